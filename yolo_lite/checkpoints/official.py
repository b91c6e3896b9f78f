"""Official ``.pt`` files: whole pickled modules, taken apart into a spec and tensors.

Here the network is found in whatever was saved; ``official_v5.py`` and ``official_v8.py`` read it.
"""

import warnings
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from yolo_lite._moved import moved_name
from yolo_lite.checkpoints.archive import Archive
from yolo_lite.checkpoints.contents import CheckpointContents
from yolo_lite.checkpoints.official_v5 import is_v5, read_v5
from yolo_lite.checkpoints.official_v8 import is_v8, read_v8, what_kind
from yolo_lite.checkpoints.unpickle import CheckpointError, PickledObject, PickledTensor
from yolo_lite.checkpoints.walking import MAX_DEPTH
from yolo_lite.model.spec import SpecError

OTHER_TASKS = ("Segment", "SegmentationModel", "ClassificationModel", "Classify", "Proto")  # of YOLOv5
WRAPPERS: Mapping[str, str] = MappingProxyType(  # class around a network -> where it keeps it
    {"DistributedDataParallel": "module", "DataParallel": "module", "OptimizedModule": "_orig_mod", "ModelEMA": "ema"}
    | dict.fromkeys(("AutoShape", "autoShape", "DetectMultiBackend", "AutoBackend"), "model")
    | dict.fromkeys(("YOLO", "RTDETR", "YOLOWorld", "YOLOE"), "model")
)
EXPECTED = "expected a YOLOv5 model or one of YOLOv8, YOLOv9, YOLO11, alone or under 'ema' or 'model'"


def read_official(path: Path) -> CheckpointContents:
    """The contents of an official file, with nothing in it imported or run.

    The averaged weights ("ema") are used where the file has them, as YOLOv5's `attempt_load` does.

    Raises:
        CheckpointError: anything but a detector of YOLOv5, YOLOv8, YOLOv9 or YOLO11; the message says what it is
            instead, or what is broken.
    """
    try:
        archive = Archive(path)
        try:
            return _read(archive)
        finally:
            archive.close()
    except (CheckpointError, SpecError) as error:
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
    return read_v5(archive, root, model) if is_v5(model) else read_v8(archive, root, model)


def _find_model(root: Any) -> PickledObject:
    """The network in whatever was saved: under "ema" or "model", alone, or inside a wrapper."""
    found = [root[key] for key in ("ema", "model") if root.get(key) is not None] if isinstance(root, dict) else [root]
    unwrapped = [_unwrapped(value) for value in found]
    for value in unwrapped:
        if is_v5(value) or is_v8(value):
            if value is not unwrapped[0]:
                warnings.warn("its averaged weights, 'ema', are not a network: those of 'model' are used", stacklevel=2)
            network: PickledObject = value
            return network
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
        return what_kind(record)
    if record is not None and record.name in OTHER_TASKS:
        kind = f"{record.module}.{record.name}"
        return f"it holds a segmentation or classification model ({kind}), and this library reads detectors"
    if record is not None:
        what = f"{record.module}.{record.name}" if record.name else "call of what another call gave"
        if record.module.split(".")[0] == "yolo_lite":
            return f"it holds a {what}, which was not run: this library's models are written with yl.save(model, path)"
        return f"it holds a {what}, which was not run: {EXPECTED}"
    tables = [value for value in (root, *found) if isinstance(value, dict)]
    nested = [inner for table in tables for inner in table.values() if isinstance(inner, dict)]
    for table in (*found, *tables, *nested):
        if isinstance(table, dict) and any(isinstance(value, PickledTensor) for value in table.values()):
            return _about_state_dict(table)
    return f"it does not hold a model: {EXPECTED}"


def _about_state_dict(table: dict[Any, Any]) -> str:
    if any(".layers." in f".{name}" for name in table):  # of this library's networks
        way = "create_model(...).load_state_dict(torch.load(path, weights_only=True)), then yl.save the model"
    else:
        way = "save the model itself where it was trained, torch.save({'model': model}, path)"
    return f"it holds weights without an architecture (a state_dict): {way}"


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
