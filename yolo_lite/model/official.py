"""Official YOLOv5 ``.pt`` files: whole pickled modules, taken apart into a spec and tensors."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from yolo_lite.model.blocks import BN_EPS
from yolo_lite.model.unpickle import Archive, CheckpointError, Record, TensorRecord

MAX_MODULES = 100_000
MAX_DEPTH = 50  # of modules inside modules
MAX_VALUES = 100_000  # in the description of the architecture


class Contents(NamedTuple):
    """What any checkpoint holds, whichever format it came in."""

    spec: dict[str, Any]
    names: list[str] | dict[int, str] | None
    anchors: Any  # (L, A, 2) pixels
    strides: list[int] | None  # None where the file does not say
    tensors: dict[str, Tensor]  # by the names of Yolo's state dict
    fused: bool  # BatchNorm already folded
    metadata: dict[str, Any]


def read_official(path: Path) -> Contents:
    """The contents of an official file, with nothing in it imported or run.

    The averaged weights ("ema") are taken where the file has them, as the reference does.

    Raises:
        CheckpointError: anything but a YOLOv5 detector; the message says what it is instead, or what is broken.
    """
    try:
        archive = Archive(path)
        try:
            return _read(archive)
        finally:
            archive.close()
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path}: a damaged or truncated .pt file ({error})") from None
    except Exception as error:  # a pickle that was tampered with can fail in any way at all
        raise CheckpointError(f"{path}: a damaged .pt file ({type(error).__name__}: {error})") from None


def _read(archive: Archive) -> Contents:
    root = archive.root()
    model = root
    if isinstance(root, dict):
        model = next((root[key] for key in ("ema", "model") if root.get(key) is not None), None)
    if not _is(model, "models.yolo", "Model", "DetectionModel"):
        holds = "weights without an architecture" if isinstance(root, dict) else "no model"
        raise CheckpointError(f"it holds {holds}: expected a YOLOv5 model under 'ema' or 'model'")
    network = _child(model, "model")
    rows = list(_children(network).values())
    head = rows[-1] if rows else None
    if not _is(head, "models.yolo", "Detect"):
        raise CheckpointError("its last layer is no Detect")

    spec = _plain(model.state.get("yaml"), [MAX_VALUES])
    if not isinstance(spec, dict):
        raise CheckpointError("it does not say how its layers are connected: the model has no `yaml` dict")
    activations: set[str] = set()
    records = dict(_tensors(network, activations))
    if len(activations) > 1:
        raise CheckpointError(f"it mixes the activations {', '.join(sorted(activations))}, which a spec cannot say")
    if activations and activations != {"nn.SiLU()"}:
        spec["activation"] = activations.pop()

    strides = _numbers(archive, head.state.get("stride"), "stride")  # (L,)
    last = str(len(rows) - 1)
    anchors = _numbers(archive, records.pop(f"{last}.anchors", None), "anchors")  # (L, A, 2) in cells
    records.pop(f"{last}.anchor_grid", None)  # the same in pixels, in older files
    if anchors.dim() != 3 or strides.dim() != 1 or len(anchors) != len(strides):
        raise CheckpointError("its anchors and strides disagree")
    return Contents(
        spec=spec,
        names=_plain(model.state.get("names"), [MAX_VALUES]),
        anchors=anchors * strides[:, None, None],
        strides=[int(stride) for stride in strides.tolist()],
        tensors={f"layers.{name}": archive.tensor(record) for name, record in records.items()},
        fused=False,  # a fused model pickles a bound method, and is refused for that
        metadata={key: root[key] for key in ("epoch", "date") if isinstance(root, dict) and _is_simple(root.get(key))},
    )


def _is(value: Any, module: str, *names: str) -> bool:
    return isinstance(value, Record) and value.module == module and value.name in names


def _members(record: Any, kind: str) -> dict[str, Any]:
    """``_modules``, ``_parameters`` or ``_buffers`` of a recorded module."""
    members = record.state.get(kind, {}) if isinstance(record, Record) else None
    if not isinstance(members, dict) or not all(isinstance(name, str) for name in members):
        raise CheckpointError(f"it holds a module without {kind}")
    return members


def _children(record: Any) -> dict[str, Any]:
    return {name: child for name, child in _members(record, "_modules").items() if child is not None}


def _child(record: Record, name: str) -> Record:
    child = _children(record).get(name)
    if not isinstance(child, Record):
        raise CheckpointError(f"its model has no part named {name!r}")
    return child


def _tensors(
    record: Record, activations: set[str], prefix: str = "", depth: int = 0, left: list[int] | None = None
) -> Iterator[tuple[str, TensorRecord]]:
    """Every parameter and buffer below a module, by its name in a state dict; and which activations there are."""
    left = [MAX_MODULES] if left is None else left
    left[0] -= 1
    if depth > MAX_DEPTH or left[0] < 0:
        raise CheckpointError("its modules are nested without end")
    if record.name == "BatchNorm2d" and record.state.get("eps") != BN_EPS:
        raise CheckpointError(f"its BatchNorm has eps {record.state.get('eps')!r}, and this library {BN_EPS}")
    for kind in ("_parameters", "_buffers"):
        for name, value in _members(record, kind).items():
            if isinstance(value, TensorRecord):
                yield prefix + name, value
    for name, child in _children(record).items():
        if name == "act" and isinstance(child, Record) and child.name != "Identity":
            activations.add(_activation_text(child))
        yield from _tensors(child, activations, f"{prefix}{name}.", depth + 1, left)


def _activation_text(record: Record) -> str:
    """As a spec writes it, with the one number that some of them have."""
    number = {"LeakyReLU": "negative_slope", "ELU": "alpha"}.get(record.name)
    return f"nn.{record.name}({record.state.get(number) if number else ''})"


def _numbers(archive: Archive, value: Any, what: str) -> Tensor:
    if not isinstance(value, TensorRecord):
        raise CheckpointError(f"its Detect has no {what}")
    return archive.tensor(value).to(torch.float32)


def _is_simple(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _plain(value: Any, left: list[int]) -> Any:
    """Dicts, lists, numbers and texts as they are, and not endlessly many of them; nothing else."""
    left[0] -= 1
    if left[0] < 0:
        raise CheckpointError("its description of the architecture has no end")
    if value is None or _is_simple(value):
        return value
    if isinstance(value, dict):
        return {key: _plain(entry, left) for key, entry in value.items() if _is_simple(key)}
    if isinstance(value, list | tuple):
        return [_plain(entry, left) for entry in value]
    raise CheckpointError(f"its description of the architecture holds a {type(value).__name__}")
