"""The zip that ``torch.save`` writes: one pickle, which is checked before it is read, and the numbers of tensors."""

import io
import pickletools
import zipfile
from array import array
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from yolo_lite.checkpoints.unpickle import CheckpointError, PickledTensor, Unpickler

MAX_PICKLE_BYTES = 4 * 2**20  # of the largest official file: 0.5 MB; checking takes up to two seconds per MB
MAX_NESTING = 10_000  # of tuples; Python computes the hash of one by recursion, and 1 MB of them ended the process
# opcodes that reserve memory for as much as they claim, or bypass the table of names
REFUSED_OPCODES = ("BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER", "EXT1", "EXT2", "EXT4")


class _StackEffect(NamedTuple):
    """What an opcode does to a pickle's stack."""

    to_mark: bool  # whether it pops all that lies above the last mark
    pops: int  # entries, besides those
    pushes: int


STACK_EFFECTS: Mapping[str, _StackEffect] = MappingProxyType(
    {
        opcode.name: _StackEffect(
            pickletools.markobject in opcode.stack_before,
            [*opcode.stack_before, pickletools.markobject].index(pickletools.markobject),
            len(opcode.stack_after),
        )
        for opcode in pickletools.opcodes
    }
)
# they push a value, and do nothing else: most of a pickle
CONSTANTS = frozenset(name for name, effect in STACK_EFFECTS.items() if effect == (False, 0, 1)) - {
    "MARK",
    "GET",
    "BINGET",
    "LONG_BINGET",
}


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
        """The folder inside the zip that holds everything, once the zip's directory has been validated."""
        entries = self.zip.infolist()
        names = [entry.filename for entry in entries]
        if any(name.split("/")[1:2] == ["code"] for name in names):
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
        """The pickled object, as dicts, lists, numbers, texts and PickledObjects."""
        data = self.zip.read(f"{self.folder}data.pkl")
        check_opcodes(data)
        return Unpickler(io.BytesIO(data)).load()

    def tensor(self, record: PickledTensor) -> Tensor:
        """The numbers of a tensor, in a memory of its own."""
        storage = record.storage
        if storage.dtype is None:
            raise CheckpointError(f"its storage {storage.key} holds numbers of a kind that no network here has")
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


def check_opcodes(data: bytes) -> None:
    """Raises a CheckpointError for a pickle that could ask for much memory, or end the process, without running code.

    >>> check_opcodes(b"N.")
    """
    nesting = _Nesting()
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in REFUSED_OPCODES:
            raise CheckpointError(f"its pickle uses {opcode.name}, which torch.save never does")
        # the memo is a table as long as its largest index: a few bytes could ask for 64 GB
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and (argument or 0) > len(data):
            raise CheckpointError("its pickle is damaged: a memo index beyond its length")
        nesting.follow(opcode, argument)


class _Nesting:
    """How deeply the tuples on a pickle's stack are nested, opcode by opcode; everything else counts as 0."""

    def __init__(self) -> None:
        self.stack = array("H")
        self.marks = array("L")  # lengths of the stack
        self.memo = array("H")  # 1 more than the depth; 0 where nothing was kept
        self.kept = 0  # entries of the memo

    def follow(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        name = opcode.name
        try:
            if name in CONSTANTS:
                self.stack.append(0)
            elif name == "MARK":
                self.marks.append(len(self.stack))
            elif name == "POP" and self.marks and self.marks[-1] == len(self.stack):
                self.marks.pop()
            elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
                self._keep(self.kept if argument is None else argument)
            elif name in ("GET", "BINGET", "LONG_BINGET"):
                if not self.memo[argument]:
                    raise IndexError
                self.stack.append(self.memo[argument] - 1)
            elif name == "DUP":
                self.stack.append(self.stack[-1])
            else:
                self._replace(name)
        except IndexError:
            raise CheckpointError("its pickle is damaged: it uses more than there is") from None

    def _keep(self, index: int) -> None:
        if index >= len(self.memo):
            self.memo.frombytes(bytes(self.memo.itemsize * (index + 1 - len(self.memo))))
        self.kept += self.memo[index] == 0
        self.memo[index] = self.stack[-1] + 1

    def _replace(self, name: str) -> None:
        """Pops what the opcode uses and pushes what it leaves."""
        to_mark, pops, pushes = STACK_EFFECTS[name]
        length = len(self.stack)
        start = (min(self.marks.pop(), length) if to_mark else length) - pops
        if start < 0:
            raise IndexError
        depth = 1 + max(self.stack[start:], default=0) if name.startswith("TUPLE") else 0
        if depth > MAX_NESTING:
            raise CheckpointError(f"its pickle holds more than {MAX_NESTING} tuples inside each other")
        del self.stack[start:]
        self.stack.extend([depth] * pushes)
