"""Official YOLOv5 ``.pt`` files: whole pickled modules, taken apart into a spec and tensors."""

import contextlib
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import torch
from torch import Tensor

from yolo_lite._moved import moved_name
from yolo_lite.checkpoints.archive import Archive
from yolo_lite.checkpoints.plain import MAX_VALUES, as_int, is_simple, plain
from yolo_lite.checkpoints.unpickle import OTHER_TASKS, CheckpointError, PickledObject, PickledTensor, is_known_module
from yolo_lite.model.blocks import BN_EPS

MAX_MODULES = 100_000
MAX_DEPTH = 50  # of modules inside modules
SPEC_KEYS = ("nc", "ch", "depth_multiple", "width_multiple", "activation", "anchors", "backbone", "head")
WRAPPERS: Mapping[str, str] = MappingProxyType(  # class around a network -> where it keeps it
    {"DistributedDataParallel": "module", "DataParallel": "module", "OptimizedModule": "_orig_mod", "ModelEMA": "ema"}
    | {"AutoShape": "model", "autoShape": "model", "DetectMultiBackend": "model"}
)


class CheckpointContents(NamedTuple):
    """What any checkpoint holds, whichever format it came in."""

    spec: dict[str, Any]
    names: list[str] | None
    anchors: Any  # (L, A, 2) pixels
    strides: list[int] | None  # None where the file does not say
    tensors: dict[str, Tensor]  # by the names of Yolo's state dict
    fused: bool  # BatchNorm already folded
    metadata: dict[str, Any]


def read_official(path: Path) -> CheckpointContents:
    """The contents of an official file, with nothing in it imported or run.

    The averaged weights ("ema") are used where the file has them, as YOLOv5's `attempt_load` does.

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
    except Warning:  # where the caller has made them errors
        raise
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path}: a damaged or truncated .pt file ({error})") from None
    except Exception as error:  # a pickle that was tampered with can fail in any way at all
        raise CheckpointError(f"{path}: a damaged .pt file ({type(error).__name__}: {error})") from None


def _read(archive: Archive) -> CheckpointContents:
    root = archive.root()
    model = _find_model(root)
    network = _child(model, "model")
    rows = list(_children(network).values())
    head = rows[-1] if rows else None
    if not _is(head, "models.yolo", "Detect"):
        found = f"{head.module}.{head.name}" if isinstance(head, PickledObject) else "missing"
        raise CheckpointError(
            f"its last layer must be models.yolo.Detect, and is {found}: this library reads detectors"
        )

    spec = _spec(model)
    seen = Seen()
    records = dict(_tensors(network, seen))
    if len(seen.activations) > 1:
        mixed = ", ".join(sorted(seen.activations))
        raise CheckpointError(f"it mixes the activations {mixed}, which a spec cannot say")
    if seen.activations and seen.activations != {"nn.SiLU()"}:
        spec["activation"] = seen.activations.pop()

    strides = _numbers(archive, head.state.get("stride"), "stride")  # (L,)
    last = str(len(rows) - 1)
    anchors = _numbers(archive, records.pop(f"{last}.anchors", None), "anchors")  # (L, A, 2) in cells
    records.pop(f"{last}.anchor_grid", None)  # the same in pixels, in older files
    if anchors.dim() != 3 or strides.dim() != 1 or len(anchors) != len(strides):
        raise CheckpointError("its anchors and strides disagree")
    return CheckpointContents(
        spec=spec,
        names=_names(model.state.get("names"), spec.get("nc", 80)),
        anchors=anchors * strides[:, None, None],
        strides=[int(stride) for stride in strides.tolist()],
        tensors={f"layers.{name}": archive.tensor(record) for name, record in records.items()},
        fused=seen.convolutions > 0 and seen.norms == 0,
        metadata=_metadata(root),
    )


# ---- finding the network --------------------------------------------------------------------------------------------


def _find_model(root: Any) -> PickledObject:
    """The network of YOLOv5 in whatever was saved: under "ema" or "model", alone, or inside a wrapper."""
    found = [root[key] for key in ("ema", "model") if root.get(key) is not None] if isinstance(root, dict) else [root]
    unwrapped = [_unwrapped(value) for value in found]
    for value in unwrapped:
        if _is(value, "models.yolo", "Model", "DetectionModel"):
            if value is not unwrapped[0]:
                warnings.warn("its averaged weights, 'ema', are not a network: those of 'model' are used", stacklevel=2)
            return value
    raise CheckpointError(_what_instead(root, unwrapped))


def _unwrapped(value: Any) -> Any:
    """The innermost of the wrappers that training scripts leave around a network."""
    for _ in range(MAX_DEPTH):
        if isinstance(value, tuple) and value:  # (average, updates), as early releases saved it
            value = value[0]
        if not isinstance(value, PickledObject) or value.name not in WRAPPERS:
            return value
        name = WRAPPERS[value.name]
        inner = value.state.get(name)
        members = value.state.get("_modules")
        value = members.get(name) if inner is None and isinstance(members, dict) else inner
    return value


def _what_instead(root: Any, found: list[Any]) -> str:
    """A sentence on what the file holds, and what to do."""
    record = next((value for value in found if isinstance(value, PickledObject)), None)
    if record is not None and record.module.split(".")[0] == "ultralytics":
        return "it holds a model of the newer, anchor-free architecture (YOLOv8 and later), which is a different one"
    if record is not None and record.name in OTHER_TASKS:
        kind = f"{record.module}.{record.name}"
        return f"it holds a segmentation or classification model ({kind}), and this library reads detectors"
    if record is not None:
        what = f"{record.module}.{record.name}" if record.name else "call of what another call gave"
        if record.module.split(".")[0] == "yolo_lite":
            return f"it holds a {what}, which was not run: this library's models are written with yl.save(model, path)"
        return f"it holds a {what}, which was not run: expected a YOLOv5 model, alone or under 'ema' or 'model'"
    tables = [value for value in (root, *found) if isinstance(value, dict)]
    nested = [inner for table in tables for inner in table.values() if isinstance(inner, dict)]
    for table in (*found, *tables, *nested):
        if isinstance(table, dict) and any(isinstance(value, PickledTensor) for value in table.values()):
            return _about_state_dict(table)
    return "it does not hold a model: expected a YOLOv5 model, alone or under 'ema' or 'model'"


def _about_state_dict(table: dict[Any, Any]) -> str:
    if any(".layers." in f".{name}" for name in table):  # of this library's networks
        way = "create_model(...).load_state_dict(torch.load(path, weights_only=True)), then yl.save the model"
    else:
        way = "save the model itself where it was trained, torch.save({'model': model}, path)"
    return f"it holds weights without an architecture (a state_dict): {way}"


# ---- what describes it ----------------------------------------------------------------------------------------------


def _spec(model: PickledObject) -> dict[str, Any]:
    """The rows of the network; other things that were noted among them have no say."""
    described = model.state.get("yaml")
    if isinstance(described, PickledObject) and described.entries:  # a dict of another class
        described = described.entries
    if not isinstance(described, dict):
        raise CheckpointError("it does not say how its layers are connected: the model has no `yaml` dict")
    left = [MAX_VALUES]
    spec = {}
    for key, value in described.items():
        try:
            spec[str(key)] = plain(value, left)
        except CheckpointError:
            if key in SPEC_KEYS or left[0] < 0:
                raise
    spec.pop("names", None)  # the model's own say more
    return spec


def _names(found: Any, num_classes: Any) -> list[str] | None:
    """One name per class, whether they are listed or numbered by int or text; warns where the number differs.

    None where the file names no class.
    """
    left = [MAX_VALUES]
    if isinstance(found, PickledObject) and found.entries:
        found = found.entries
    if isinstance(found, dict):
        numbered = {}
        for key, name in found.items():
            if isinstance(key, int) or (isinstance(key, str) and key.strip().isdecimal() and len(key) < 10):
                numbered[int(key)] = name
    elif isinstance(found, list | tuple):
        numbered = dict(enumerate(found))
    else:
        return None
    texts = {}
    for index, name in numbered.items():
        with contextlib.suppress(CheckpointError):
            texts[index] = str(plain(name, left))
    if not texts or not isinstance(num_classes, int) or not 0 < num_classes <= MAX_VALUES:
        return None
    missing = [index for index in range(num_classes) if index not in texts]
    beyond = [name for index, name in sorted(texts.items()) if not 0 <= index < num_classes]
    if missing or beyond:
        mismatch = [f"classes {_some(missing)} have no name and are called class{missing[0]} ..."] if missing else []
        mismatch += [f"the names {_some(beyond)} are for no class and are left out"] if beyond else []
        warnings.warn(f"the file names {len(texts)} of {num_classes} classes: {'; '.join(mismatch)}", stacklevel=2)
    return [texts.get(index, f"class{index}") for index in range(num_classes)]


def _some(values: list[Any]) -> str:
    return ", ".join(map(str, values[:5])) + (" ..." if len(values) > 5 else "")


def _metadata(root: Any) -> dict[str, Any]:
    """Epoch and date, and the image size where the training noted it with its arguments."""
    if not isinstance(root, dict):
        return {}
    metadata = {key: root[key] for key in ("epoch", "date") if is_simple(root.get(key))}
    for place in ("opt", "train_args", "hyp"):
        noted = root.get(place)
        if isinstance(noted, PickledObject):  # argparse.Namespace and its like
            noted = noted.entries or noted.state
        for key in ("imgsz", "img_size"):
            size = noted.get(key) if isinstance(noted, Mapping) else None
            size = max(size, default=None, key=as_int) if isinstance(size, list | tuple) else size
            if as_int(size) > 0:
                return metadata | {"img_size": as_int(size)}
    return metadata


def _is(value: Any, module: str, *names: str) -> TypeGuard[PickledObject]:
    return isinstance(value, PickledObject) and value.module == module and value.name in names


def _members(record: Any, kind: str) -> dict[str, Any]:
    """``_modules``, ``_parameters`` or ``_buffers`` of a recorded module."""
    members = record.state.get(kind, {}) if isinstance(record, PickledObject) else None
    if not isinstance(members, dict) or not all(isinstance(name, str) for name in members):
        raise CheckpointError(f"it holds a module without {kind}")
    return members


def _children(record: Any) -> dict[str, Any]:
    return {name: child for name, child in _members(record, "_modules").items() if child is not None}


def _child(record: PickledObject, name: str) -> PickledObject:
    child = _children(record).get(name)
    if not isinstance(child, PickledObject):
        raise CheckpointError(f"its model has no part named {name!r}")
    return child


@dataclass
class Seen:
    """What a walk through the modules of a network has met."""

    modules: int = 0
    convolutions: int = 0  # Conv and DWConv, which have a BatchNorm unless it was folded in
    norms: int = 0  # of those
    activations: set[str] = field(default_factory=set)


def _tensors(
    record: PickledObject, seen: Seen, prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, PickledTensor]]:
    """Every parameter and buffer below a module, by its name in a state dict; notes in ``seen`` what else there is.

    A module of a class that is not known is an error: it might compute something else.
    """
    seen.modules += 1
    if depth > MAX_DEPTH or seen.modules > MAX_MODULES:
        raise CheckpointError("its modules are nested without end")
    if not is_known_module(record):
        kind = f"{record.module}.{record.name}"
        raise CheckpointError(
            f"its network holds a {kind} at {prefix.rstrip('.') or 'its top'}, which is not on the list of what a "
            "detector may consist of (register_layer adds layers of your own)"
        )
    if record.name in ("Conv", "DWConv"):
        seen.convolutions += 1
        seen.norms += "bn" in _children(record)
    if record.name == "BatchNorm2d" and record.state.get("eps") != BN_EPS:
        raise CheckpointError(f"its BatchNorm has eps {record.state.get('eps')!r}, and this library {BN_EPS}")
    for kind in ("_parameters", "_buffers"):
        for name, value in _members(record, kind).items():
            if isinstance(value, PickledTensor):
                yield prefix + name, value
    for name, child in _children(record).items():
        if not isinstance(child, PickledObject):
            raise CheckpointError(f"it holds a {type(child).__name__} in the place of the module {prefix}{name}")
        if name == "act" and child.name != "Identity":
            seen.activations.add(_activation_text(child))
        yield from _tensors(child, seen, f"{prefix}{name}.", depth + 1)


def _activation_text(record: PickledObject) -> str:
    """As a spec writes it, with the one number that some of them have."""
    number = {"LeakyReLU": "negative_slope", "ELU": "alpha"}.get(record.name)
    return f"nn.{record.name}({record.state.get(number) if number else ''})"


def _numbers(archive: Archive, value: Any, what: str) -> Tensor:
    if not isinstance(value, PickledTensor):
        raise CheckpointError(f"its Detect has no {what}")
    return archive.tensor(value).to(torch.float32)


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
