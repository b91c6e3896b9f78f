"""Reads the pickle inside a PyTorch ``.pt`` file without running anything in it.

A pickle is a program: it names functions and calls them. Here every name is looked up in a table of our own, whose
entries only write down what they were given; a name that is not in the table is refused, and nothing is imported.
So a class becomes a ``Record``, a tensor a ``TensorRecord``, and their numbers are read from the file when asked for.
"""

import functools
import io
import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from yolo_lite.model.registry import known_layers

MAX_PICKLE_BYTES = 64 * 2**20  # of the largest official file: 0.5 MB
NETWORK_MODULES = ("models.common", "models.experimental")
OTHER_TASKS = ("Segment", "SegmentationModel", "ClassificationModel", "Classify", "Proto")
# opcodes that reserve memory for as much as they claim, or bypass the table of names
REFUSED_OPCODES = ("BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER", "EXT1", "EXT2", "EXT4")


class CheckpointError(ValueError):
    """A file that cannot be read as a model; the message names the file and says what is wrong with it."""


class Record:
    """What a pickled object was: the name of its class, the arguments it was made with, and its attributes."""

    __slots__ = ("arguments", "state")
    module: ClassVar[str] = ""
    name: ClassVar[str] = ""

    def __new__(cls, *arguments: Any) -> "Record":
        record = object.__new__(cls)
        record.arguments, record.state = arguments, {}
        return record

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:  # pickle calls this, and sets no attribute itself
        self.state = state if isinstance(state, dict) else {}


class _Closed:
    """Refuses the attributes that a pickle tries to set on it."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise CheckpointError(f"it sets attributes on a {type(self).__name__}")


class Builder(_Closed):
    """A function of ours under a name that a pickle may call."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


class Dictionary(dict):
    """Stands for an OrderedDict; attributes that the pickle sets on it are dropped."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


class StorageType(_Closed):
    """The type of the numbers in a storage."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class StorageRecord(_Closed):
    """Where in the file numbers are: the entry ``data/<key>``."""

    __slots__ = ("dtype", "key", "numel")

    def __init__(self, key: str, dtype: torch.dtype, numel: int) -> None:
        self.key, self.dtype, self.numel = key, dtype, numel


class TensorRecord(_Closed):
    """A tensor as a view of a storage, inside whose bounds it is known to lie."""

    __slots__ = ("offset", "size", "storage", "stride")

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, *unused: Any) -> None:
        if not isinstance(storage, StorageRecord) or not isinstance(size, tuple) or not isinstance(stride, tuple):
            raise CheckpointError("it holds a tensor without a storage or a shape")
        numbers = (offset, *size, *stride)
        if len(size) != len(stride) or not all(type(number) is int and number >= 0 for number in numbers):
            raise CheckpointError("it holds a tensor whose shape makes no sense")
        last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
        if math.prod(size) > storage.numel or (0 not in size and last >= storage.numel):
            raise CheckpointError("it holds a tensor that reaches beyond its storage")
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride


def _parameter(data: Any, *unused: Any) -> TensorRecord:
    if not isinstance(data, TensorRecord):
        raise CheckpointError("it holds a parameter that is no tensor")
    return data


def _path(*parts: Any) -> str:
    return "/".join(str(part) for part in parts if isinstance(part, str))


@functools.cache
def _record_class(module: str, name: str) -> type[Record]:
    return type(name, (Record,), {"__slots__": (), "module": module, "name": name})


STORAGES = MappingProxyType(
    {
        "FloatStorage": torch.float32,
        "HalfStorage": torch.float16,
        "BFloat16Storage": torch.bfloat16,
        "DoubleStorage": torch.float64,
        "LongStorage": torch.int64,
        "IntStorage": torch.int32,
        "ShortStorage": torch.int16,
        "CharStorage": torch.int8,
        "ByteStorage": torch.uint8,
        "BoolStorage": torch.bool,
    }
)
# Every name that a file may use, besides the layers of the registry. What stands for a class is inert: a Record.
_RECORDS: Mapping[str, str] = MappingProxyType(
    {
        "models.yolo": "Model DetectionModel Detect",
        "models.common": "TransformerLayer TransformerBlock",
        "utils.activations": "SiLU Hardswish Mish",
        "torch.nn.modules.conv": "Conv2d ConvTranspose2d",
        "torch.nn.modules.batchnorm": "BatchNorm2d",
        "torch.nn.modules.activation": "SiLU ReLU ReLU6 LeakyReLU Hardswish Mish GELU ELU Sigmoid MultiheadAttention",
        "torch.nn.modules.container": "ModuleList Sequential",
        "torch.nn.modules.pooling": "MaxPool2d AvgPool2d",
        "torch.nn.modules.upsampling": "Upsample",
        "torch.nn.modules.padding": "ZeroPad2d",
        "torch.nn.modules.linear": "Linear Identity NonDynamicallyQuantizableLinear",
        "torch.nn.modules.dropout": "Dropout Dropout2d",
        "torch": "device float16 float32 float64 bfloat16 int64 int32 strided contiguous_format",
        "numpy": "dtype ndarray",
        "numpy.core.multiarray": "scalar _reconstruct",
        "numpy._core.multiarray": "scalar _reconstruct",
        "argparse": "Namespace",
        "_codecs": "encode",
        "builtins": "slice int float str bool dict list object",
        "datetime": "datetime date",
    }
)
ALLOWED: Mapping[tuple[str, str], Any] = MappingProxyType(
    {(module, name): _record_class(module, name) for module, names in _RECORDS.items() for name in names.split()}
    | {("torch", name): StorageType(dtype) for name, dtype in STORAGES.items()}
    | {("pathlib", name): Builder(_path) for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")}
    | {("builtins", name): Builder(lambda *items: list(*items)) for name in ("set", "frozenset", "tuple")}
    | {
        ("collections", "OrderedDict"): Builder(Dictionary),
        ("collections", "defaultdict"): Builder(lambda *factory: Dictionary()),
        ("copyreg", "_reconstructor"): Builder(lambda cls, *base: _reconstructed(cls)),
        ("torch", "Size"): Builder(lambda sides=(): tuple(sides)),
        ("torch._utils", "_rebuild_tensor_v2"): Builder(TensorRecord),
        ("torch._utils", "_rebuild_parameter"): Builder(_parameter),
    }
)


def _reconstructed(cls: Any) -> Record:
    if not (isinstance(cls, type) and issubclass(cls, Record)):
        raise CheckpointError("it makes an object without a class")
    return cls()


class _Unpickler(pickle.Unpickler):
    """Only ever hands out entries of ALLOWED."""

    def find_class(self, module: str, name: str) -> Any:
        # pickles of protocol 2 use Python 2's names; the package on PyPI puts its own name in front
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module).removeprefix("yolov5.")
        found = ALLOWED.get((module, name))
        if found is not None:
            return found
        if module in NETWORK_MODULES and name in known_layers():
            return _record_class(module, name)
        raise CheckpointError(_refusal(module, name))

    def persistent_load(self, pid: Any) -> StorageRecord:
        """("storage", type, key, device, numel): where PyTorch keeps the numbers of a tensor."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage" and isinstance(pid[1], StorageType)):
            raise CheckpointError("it refers to something that is no storage")
        _, storage_type, key, _, numel = pid
        if not isinstance(key, str) or type(numel) is not int or numel < 0:
            raise CheckpointError("it refers to a storage without a key or a size")
        return StorageRecord(key, storage_type.dtype, numel)


def _refusal(module: str, name: str) -> str:
    if module.split(".")[0] == "ultralytics":
        return "it holds a model of the newer, anchor-free architecture (YOLOv8 and later), which is a different one"
    if name in OTHER_TASKS and module.split(".")[0] == "models":
        return f"it holds a segmentation or classification model ({module}.{name}), and this library reads detectors"
    if (module, name) == ("builtins", "getattr"):
        return "it asks for builtins.getattr, as the file of a fused model does: save the model before fusing it"
    return f"it asks for {module}.{name}, which is not on the list of what a detector may contain; nothing was run"


class Archive:
    """An open ``.pt`` file: a zip of one pickle and the numbers of its tensors, all of it uncompressed."""

    def __init__(self, path: Path) -> None:
        self.zip = zipfile.ZipFile(path)
        try:
            self.folder = self._checked_folder(path.stat().st_size)
            self._bytes_left = 2 * path.stat().st_size  # a thousand tensors may claim the same large storage
        except BaseException:
            self.zip.close()
            raise

    def _checked_folder(self, file_size: int) -> str:
        """The folder inside the zip that holds everything, once the zip's directory has been looked over."""
        entries = self.zip.infolist()
        names = [entry.filename for entry in entries]
        if any("code" in name.split("/") for name in names):
            raise CheckpointError("it is a TorchScript archive, whose architecture is code; load the original .pt")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise CheckpointError("it is a compressed zip, which PyTorch never writes")
        if sum(entry.file_size for entry in entries) > file_size:
            raise CheckpointError("its entries claim to be larger than the file")
        pickles = [name for name in names if name.split("/")[-1] == "data.pkl" and name.count("/") <= 1]
        if len(pickles) != 1:
            raise CheckpointError("it is a zip, but not one that torch.save wrote: no data.pkl in it")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in names and self.zip.read(f"{folder}byteorder") != b"little":
            raise CheckpointError("it was written on a big-endian machine")
        if self.zip.getinfo(pickles[0]).file_size > MAX_PICKLE_BYTES:
            raise CheckpointError(f"its data.pkl is larger than {MAX_PICKLE_BYTES // 2**20} MB")
        return folder

    def close(self) -> None:
        self.zip.close()

    def root(self) -> Any:
        """The pickled object, as dicts, lists, numbers, texts and Records."""
        data = self.zip.read(f"{self.folder}data.pkl")
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in REFUSED_OPCODES:
                raise CheckpointError(f"its pickle uses {opcode.name}, which torch.save never does")
            # the memo is a table as long as its largest index: a few bytes could ask for 64 GB
            if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > len(data):
                raise CheckpointError("its pickle is damaged: a memo index beyond its length")
        return _Unpickler(io.BytesIO(data)).load()

    def tensor(self, record: TensorRecord) -> Tensor:
        """The numbers of a tensor, in a memory of its own."""
        storage = record.storage
        data = self.zip.read(f"{self.folder}data/{storage.key}")  # also checks the CRC
        if len(data) != storage.numel * storage.dtype.itemsize:
            raise CheckpointError(
                f"its storage {storage.key} has {len(data)} bytes, not those of {storage.numel} numbers"
            )
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise CheckpointError("its tensors claim to be larger than the file")
        if not data:
            return torch.empty(record.size, dtype=storage.dtype)
        flat = torch.frombuffer(bytearray(data), dtype=storage.dtype)
        return flat.as_strided(record.size, record.stride, record.offset)
