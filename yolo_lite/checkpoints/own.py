"""Checkpoints: weights and the description of their network in one file.

Our own format is a safetensors file whose header carries a JSON text; it holds numbers and no code. Official
``.pt`` files (YOLOv5, YOLOv8, YOLOv9, YOLO11) are read too, without running anything in them (``official.py``,
``unpickle.py``).
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
from torch import Tensor

from yolo_lite._moved import moved_name
from yolo_lite.checkpoints.about import is_as_loaded, own_metadata, remember
from yolo_lite.checkpoints.assemble import (
    YOLO,
    anchors_name,
    architecture,
    assembled,
    check_architecture,
    is_fused,
    warn_of_bad_numbers,
)
from yolo_lite.checkpoints.classes import warn_of_a_new_head, with_classes
from yolo_lite.checkpoints.contents import CheckpointContents
from yolo_lite.checkpoints.darknet import read_darknet
from yolo_lite.checkpoints.official import read_official
from yolo_lite.checkpoints.unpickle import CheckpointError
from yolo_lite.model.families import NAMED
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.spec import MODELS
from yolo_lite.model.yolo import Yolo
from yolo_lite.support.arguments import require_listed, shown
from yolo_lite.writing import atomic_write

logger = logging.getLogger(__name__)
FORMAT_VERSION = 2
FORMAT_OF_YOLO = 1  # what version 0.1.0 reads too; 2 is the same for networks of other generations
HEADER_KEY = "yolo_lite"
WEIGHTS = Path(__file__).parent / "weights"


def save(
    model: LayeredDetector, path: str | Path, metadata: Mapping[str, Any] | None = None, half: bool = False
) -> None:
    """Write a model so that ``load`` gives it back: all of the new file appears, or the old one stays.

    Args:
        path: of the file, by convention ``.safetensors``; its folder must exist.
        metadata: anything that JSON can say, found again in ``load(path).metadata``; default: the model's own. Of
            weights that were trained on since ``load``, that is what the file said, under "parent". An ``img_size``
            that the model's have is kept in any case: without one, prediction takes 640 px. A loop of your own gives
            it, ``metadata={"img_size": 160}``; where it does not, a logged warning says so.
        half: store the weights in half precision, at half the size.
    Raises:
        CheckpointError: not a network of ``create_model``; metadata that JSON cannot say; a name ending in .weights,
            which ``load`` would take for Darknet's format (``checkpoints.darknet.save_darknet_weights`` writes that).
        OSError: the file cannot be written.

    >>> import tempfile
    >>> from yolo_lite.model.yolo import create_model
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(create_model("yolov5n", names=["cat"]), f"{folder}/cat.safetensors", metadata={"epoch": 3})
    ...     model = load(f"{folder}/cat.safetensors")
    >>> model.names, model.metadata
    (('cat',), {'epoch': 3})
    """
    if not isinstance(model, LayeredDetector):
        way = "unwrap it first (.module)" if hasattr(model, "module") else "keep its state_dict() with torch.save"
        raise CheckpointError(f"only networks of create_model can be saved, not a {type(model).__name__}: {way}")
    if Path(path).suffix.lower() == ".weights":
        raise CheckpointError(
            f"{path}: .weights is Darknet's format, which checkpoints.darknet.save_darknet_weights writes for "
            "networks of a .cfg: give this file the ending .safetensors"
        )
    state = {name: tensor for name, tensor in model.state_dict().items() if name != anchors_name(model)}
    spec, version, dtype = model.spec, FORMAT_VERSION, next(tensor.dtype for tensor in state.values())
    if isinstance(model, Yolo):
        spec, dtype = spec | {"anchors": model.anchors.flatten(1).tolist()}, model.anchors.dtype
        version = FORMAT_OF_YOLO if architecture(spec) == YOLO else FORMAT_VERSION
    described = dict(own_metadata(model) if metadata is None else _with_img_size(metadata, model))
    header = {
        "format_version": version,
        "architecture": architecture(model.spec),
        "spec": spec,
        "names": list(model.names),
        "fused": is_fused(model),
        "dtype": "float16" if half else str(dtype).removeprefix("torch."),
        "metadata": described,
    }
    try:
        text = json.dumps(header)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: spec and metadata must be what JSON can say: {error}") from None
    if not ("img_size" in described or model.fixed_size or model.img_size or is_as_loaded(model)):
        message = '%s: saved without an img_size, so prediction takes 640 px: metadata={"img_size": ...} says another'
        logger.warning(message, path)
    tensors = {name: _stored(tensor, half) for name, tensor in state.items()}
    atomic_write(path, safetensors.torch.save(tensors, {HEADER_KEY: text}))


def load(
    path: str | Path,
    num_classes: int | None = None,
    names: Sequence[str] | Mapping[int, str] | None = None,
    seed: int = 0,
    cfg: str | Path | None = None,
) -> LayeredDetector:
    """A model with its weights, in float32 and evaluation mode, on the CPU. YOLOv5: ``attempt_load``.

    Args:
        path: a file that ``save`` wrote, an official ``.pt`` of YOLOv5, YOLOv8, YOLOv9 or YOLO11, a Darknet
            ``.weights``, or the name of bundled weights ("shapes-n").
        num_classes, names: for other classes than the file's: everything that fits is kept (YOLOv5:
            ``intersect_dicts``), and the head starts anew from ``seed``, with a warning where ``names`` alone is given
            and some of them are the file's.
            The same number keeps the head: classes that the file knows by the same name keep their outputs, wherever
            they stand in ``names``; the outputs of the others get the other names, in order, with a warning where
            only a part of the names is known.
        cfg: for Darknet's ``.weights``, the .cfg of its network or the name of a bundled one; see ``read_darknet``.
    Raises:
        CheckpointError (a ValueError): no such file, or one that is damaged or something else, with the reason.
        Weights that are NaN or infinite are a warning, which names the first.
    """
    require_listed("class names", names=names)
    file = _find(path)
    is_darknet = cfg is not None or file.suffix.lower() == ".weights"
    model: LayeredDetector = read_darknet(file, cfg, seed=seed) if is_darknet else assembled(_read(file), file)
    warn_of_bad_numbers(model, file)
    is_asked_for = num_classes is not None
    if num_classes is None:
        num_classes = model.num_classes if names is None else len(names)
    if num_classes != model.num_classes or names is not None:
        trained, model = model, with_classes(model, num_classes, names, seed)
        if not is_asked_for and not trained.classes_are_texts:
            warn_of_a_new_head(trained.names, model.names)
    remember(model)
    return model


def read_header(path: str | Path) -> dict[str, Any]:
    """The description in a file that ``save`` wrote: format_version, spec, names, dtype, metadata ..., no weights."""
    file = _find(path)
    try:
        with safetensors.safe_open(file, "pt") as stored:
            return _header(stored.metadata(), file)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: not a checkpoint, or a damaged one: {error}") from None


def _find(path: str | Path) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise CheckpointError(f"path must be that of a file, or the name of bundled weights, not {shown(path)}")
    file = Path(path)
    shipped = WEIGHTS / f"{path}.safetensors"
    if not file.exists() and file.name == str(path) and shipped.exists():
        return shipped
    if file.is_file():
        return file
    if file.exists():
        raise CheckpointError(f"{file}: a folder, not a checkpoint file")
    name = str(path).removesuffix(".pt")
    hint = f"; create_model({name!r}) makes that model, untrained, and `yolo-lite fetch {name}` gets public weights"
    hint = hint if name in {*MODELS, *NAMED} else ""
    known = ", ".join(sorted(entry.stem for entry in WEIGHTS.glob("*.safetensors"))) or "none"
    raise CheckpointError(f"{file}: no such file, and no bundled weights of that name (there are: {known}){hint}")


def _read(file: Path) -> CheckpointContents:
    """Tells the formats apart by how the file begins, whatever it is called."""
    try:
        with open(file, "rb") as stream:
            start = stream.read(512)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error}") from None
    if start.startswith(b"PK\x03\x04"):
        return read_official(file)
    if start[8:9] == b"{":  # after eight bytes for its length, the JSON header of safetensors
        return _read_own(file)
    if start.startswith(b"\x80") or start[257:262] == b"ustar":
        reason = "a .pt in PyTorch's format before 1.6: load it in PyTorch and torch.save it again"
        raise CheckpointError(f"{file}: {reason}")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{file}: a Git LFS pointer, not the file itself: fetch it with `git lfs pull`")
    what = "empty" if not start else "neither a checkpoint of this library nor a .pt file that torch.save wrote"
    raise CheckpointError(f"{file}: {what}")


def _read_own(file: Path) -> CheckpointContents:
    try:
        with safetensors.safe_open(file, "pt") as stored:
            header = _header(stored.metadata(), file)
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{file}: a damaged or truncated safetensors file: {error}") from None
    spec = header["spec"]
    return CheckpointContents(
        spec, header["names"], spec.get("anchors"), None, tensors, bool(header.get("fused")), header["metadata"]
    )


def _header(metadata: Mapping[str, str] | None, file: Path) -> dict[str, Any]:
    """The JSON text in a safetensors header, checked."""
    if metadata is None or HEADER_KEY not in metadata:
        raise CheckpointError(
            f"{file}: a safetensors file, but not one of this library's: no {HEADER_KEY} in its header"
        )
    try:
        header: dict[str, Any] = json.loads(metadata[HEADER_KEY])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: a damaged header: {error}") from None
    version = header.get("format_version") if isinstance(header, dict) else None
    if not isinstance(version, int):
        raise CheckpointError(f"{file}: a damaged header: it has no format_version")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{file}: written in format {version} by a newer yolo-lite; this one reads up to {FORMAT_VERSION}: update"
        )
    for key, kind in (("spec", dict), ("names", list), ("metadata", dict)):
        if not isinstance(header.get(key), kind):
            raise CheckpointError(f"{file}: a damaged header: {key} is missing or not a {kind.__name__}")
    check_architecture(header.get("architecture", YOLO), header["spec"], file)
    return header


def _stored(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.half() if half and tensor.is_floating_point() else tensor).contiguous().clone()


def _with_img_size(metadata: Mapping[str, Any], model: LayeredDetector) -> dict[str, Any]:
    return {key: model.metadata[key] for key in ("img_size",) if key in model.metadata} | dict(metadata)


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
