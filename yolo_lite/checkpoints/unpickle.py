"""Reads the pickle inside a PyTorch ``.pt`` file without running anything in it.

A pickle is a program: it names functions and calls them. Here no name is ever looked up in Python: a few that rebuild
tensors and dicts stand for functions of ours, and every other one stands for an inert ``PickledObject``, which only
writes down what it was given. So whatever a training left beside the network (paths, arguments, an optimiser, enums,
loggers) is read and has no effect, and what the network itself may consist of is for ``walking.py`` to judge. A tensor
becomes a ``PickledTensor``, and its numbers are read from the file when asked for (``archive.py``).
"""

import io
import math
import pickle
import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from yolo_lite._moved import moved_name

MAX_NAMES = 2000  # different classes and functions in a file; each costs about 1 KB
MAX_AXES = 64  # of a tensor
MAX_ARGUMENTS = 4  # that a record keeps: a few bytes can call with the same million arguments again and again
# No training writes these, attacks do. Nothing would run in any case: the reader should know what kind of file it is.
HOSTILE = re.compile(
    r"(?:^|\.)(?:(?:os|posix|nt)\.(?:system|popen|exec\w*|spawn\w*|posix_spawn\w*|fork\w*|startfile|kill\w*|remove\w*"
    r"|unlink|rmdir|rename\w*|putenv)|builtins\.(?:eval|exec|compile|__import__|open|input|breakpoint))$"
    # functions, and classes that act when they are made: socket.AF_INET and ctypes.c_float are harmless
    r"|^(?:subprocess|importlib|runpy|pty|pdb|socket|ctypes|webbrowser|shutil|marshal|_?pickle)\.(?:(?!c_)[a-z_]\w*"
    r"|Popen|CDLL|PyDLL|OleDLL|WinDLL|LibraryLoader|CFUNCTYPE|PYFUNCTYPE|WINFUNCTYPE|Unpickler|Pdb|SocketType)$"
    r"|^(?:types\.(?:FunctionType|CodeType)|torch(?:\.serialization|\.jit)?\.load|torch\.hub\.\w+|numpy\.load)$"
)
NO_STATE: Mapping[str, Any] = MappingProxyType({})  # shared: a pickle of 4 MB may make millions of records


class CheckpointError(ValueError):
    """A file that cannot be read as a model; the message names the file and says what is wrong with it."""


class PickledObject:
    """What a pickled object was: the name of its class, the first arguments of its making, attributes, entries.

    It accepts all that a pickle does to an object (attributes, entries of a dict, a list or a set, a call) and does
    nothing with it.
    """

    __slots__ = ("arguments", "entries", "state")
    module: ClassVar[str] = ""
    name: ClassVar[str] = ""
    arguments: tuple[Any, ...]
    state: Mapping[str, Any]
    entries: Mapping[Any, Any]

    def __new__(cls, *arguments: Any, **named: Any) -> "PickledObject":
        record = object.__new__(cls)
        record.arguments, record.state, record.entries = arguments[:MAX_ARGUMENTS], NO_STATE, NO_STATE
        return record

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def __call__(self, *arguments: Any) -> "PickledObject":
        return PickledObject(self, *arguments[:MAX_ARGUMENTS])

    def __setstate__(self, state: Any) -> None:  # pickle calls this, and sets no attribute itself
        if isinstance(state, tuple):  # (attributes, slots)
            state = next((part for part in state if isinstance(part, dict)), None)
        self.state = state if isinstance(state, dict) else NO_STATE

    def __setitem__(self, key: Any, value: Any) -> None:  # a dict of another class: EasyDict, Counter ...
        if isinstance(self.entries, dict):
            self.entries[key] = value
        else:
            self.entries = {key: value}

    def append(self, value: Any) -> None:
        """A list or deque of another class: its items have no say."""

    extend = add = append


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


class Dictionary(dict[Any, Any]):
    """Stands for an OrderedDict; attributes that the pickle sets on it are dropped."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


class StorageType(_Closed):
    """The type of the numbers in a storage; None for one that no network here has (complex, quantised)."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype | None) -> None:
        self.dtype = dtype


class PickledStorage(_Closed):
    """Where in the file numbers are: the entry ``data/<key>``."""

    __slots__ = ("dtype", "key", "numel")

    def __init__(self, key: str, dtype: torch.dtype | None, numel: int) -> None:
        self.key, self.dtype, self.numel = key, dtype, numel


class PickledTensor(_Closed):
    """A tensor as a view of a storage, inside whose bounds it is known to lie."""

    __slots__ = ("offset", "size", "storage", "stride")

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, *unused: Any) -> None:
        if not isinstance(storage, PickledStorage) or not isinstance(size, tuple) or not isinstance(stride, tuple):
            raise CheckpointError("it holds a tensor without a storage or a shape")
        numbers = (offset, *size[: MAX_AXES + 1], *stride[: MAX_AXES + 1])
        if not len(size) == len(stride) <= MAX_AXES or not all(
            type(number) is int and number >= 0 for number in numbers
        ):
            raise CheckpointError("it holds a tensor whose shape makes no sense")
        last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
        if math.prod(size) > storage.numel or (0 not in size and last >= storage.numel):
            raise CheckpointError("it holds a tensor that reaches beyond its storage")
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride


def _pickled_class(module: str, name: str) -> type[PickledObject]:
    return type("PickledObject", (PickledObject,), {"__slots__": (), "module": module, "name": name})


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
        "UntypedStorage": torch.uint8,
    }
)


def _tensor(*arguments: Any) -> "PickledTensor | PickledObject":
    """A tensor whose numbers lie in a storage; anything else that is pickled as one is a PickledObject."""
    return (
        PickledTensor(*arguments)
        if arguments and isinstance(arguments[0], PickledStorage)
        else PickledObject(*arguments)
    )


def _parameter(data: Any, *unused: Any) -> Any:
    return data


def _rebuilt(function: Any, kind: Any, arguments: Any, *unused: Any) -> Any:
    """A tensor of a class of its own, or one with attributes."""
    is_ours = isinstance(function, Builder) and isinstance(arguments, tuple)
    return function(*arguments[:MAX_AXES]) if is_ours else PickledObject(function, arguments)


def _size(sides: Any = ()) -> Any:
    return sides if isinstance(sides, tuple) else PickledObject(sides)


# The names that stand for something else than a PickledObject. None of these functions copies what it is given, or a
# few bytes that call it again and again could ask for any amount of memory.
BUILDERS: Mapping[tuple[str, str], Any] = MappingProxyType(
    {("torch", name): StorageType(dtype) for name, dtype in STORAGES.items()}
    | {("torch.storage", name): StorageType(dtype) for name, dtype in STORAGES.items()}
    | {
        ("collections", "OrderedDict"): Builder(lambda *pairs: PickledObject(*pairs) if pairs else Dictionary()),
        ("collections", "defaultdict"): Builder(lambda *factory: Dictionary()),
        ("copyreg", "_reconstructor"): Builder(lambda cls, *base: _reconstructed(cls)),
        ("copyreg", "__newobj__"): Builder(lambda cls, *arguments: _reconstructed(cls)),
        ("torch", "Size"): Builder(_size),
        ("torch._utils", "_rebuild_tensor"): Builder(_tensor),
        ("torch._utils", "_rebuild_tensor_v2"): Builder(_tensor),
        ("torch._utils", "_rebuild_tensor_v3"): Builder(_tensor),
        ("torch._utils", "_rebuild_parameter"): Builder(_parameter),
        ("torch._utils", "_rebuild_parameter_with_state"): Builder(_parameter),
        ("torch._tensor", "_rebuild_from_type_v2"): Builder(_rebuilt),
    }
)


def _reconstructed(cls: Any) -> PickledObject:
    return cls() if isinstance(cls, type) and issubclass(cls, PickledObject) else PickledObject(cls)


class Unpickler(pickle.Unpickler):
    """Only ever hands out entries of BUILDERS and classes of inert records."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.classes: dict[tuple[str, str], type[PickledObject]] = {}

    def find_class(self, module: str, name: str) -> Any:
        # pickles of protocol 2 use Python 2's names; the package on PyPI puts its own name in front
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module).removeprefix("yolov5.")
        if HOSTILE.search(f"{module}.{name}"):
            raise CheckpointError(
                f"it asks for {module}.{name}, which no training writes and an attack does; nothing was run, and other "
                "programs should not open this file"
            )
        if (module, name) in BUILDERS:
            return BUILDERS[module, name]
        if module == "torch" and name.endswith("Storage"):
            return StorageType(None)
        if (module, name) not in self.classes:
            if len(self.classes) >= MAX_NAMES:
                raise CheckpointError(f"it names more than {MAX_NAMES} classes and functions, which no training does")
            self.classes[module, name] = _pickled_class(module, name)
        return self.classes[module, name]

    def persistent_load(self, pid: Any) -> PickledStorage:
        """("storage", type, key, device, numel): where PyTorch keeps the numbers of a tensor."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage" and isinstance(pid[1], StorageType)):
            raise CheckpointError("it refers to something that is not a storage")
        _, storage_type, key, _, numel = pid
        if not isinstance(key, str) or type(numel) is not int or numel < 0:
            raise CheckpointError("it refers to a storage without a key or a size")
        return PickledStorage(key, storage_type.dtype, numel)


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
