"""What an official file says about its network, beside the weights: rows, names of classes, image size."""

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from yolo_lite.checkpoints.plain import MAX_VALUES, as_int, is_simple, plain
from yolo_lite.checkpoints.unpickle import CheckpointError, PickledObject


def described_rows(model: PickledObject, needed: Sequence[str]) -> dict[str, Any]:
    """The ``yaml`` dict of a network; other things that were noted among its entries have no say.

    Args:
        needed: keys whose values must be numbers, texts and lists of them.
    """
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
            if key in needed or left[0] < 0:
                raise
    spec.pop("names", None)  # the model's own say more
    return spec


def class_names(found: Any, num_classes: Any) -> list[str] | None:
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


def noted_metadata(root: Any, model: PickledObject) -> dict[str, Any]:
    """Epoch and date, and the image size where the training noted it with its arguments, in the file or the network."""
    table = root if isinstance(root, dict) else {}
    metadata = {key: table[key] for key in ("epoch", "date") if is_simple(table.get(key))}
    for noted in (table.get("opt"), table.get("train_args"), table.get("hyp"), model.state.get("args")):
        if isinstance(noted, PickledObject):  # argparse.Namespace and its like
            noted = noted.entries or noted.state
        for key in ("imgsz", "img_size"):
            size = noted.get(key) if isinstance(noted, Mapping) else None
            size = max(size, default=None, key=as_int) if isinstance(size, list | tuple) else size
            if as_int(size) > 0:
                return metadata | {"img_size": as_int(size)}
    return metadata
