"""Checkpoints: weights and the description of their network in one file.

Our own format is a safetensors file whose header carries a JSON text; it holds numbers and no code. Official YOLOv5
``.pt`` files are read too, without running anything in them (``official.py``, ``unpickle.py``).
"""

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from yolo_lite._moved import moved_name
from yolo_lite.checkpoints.official import CheckpointContents, read_official
from yolo_lite.checkpoints.unpickle import CheckpointError
from yolo_lite.model.blocks import Conv
from yolo_lite.model.spec import MODELS, SpecError, read_rows
from yolo_lite.model.yolo import Yolo, create_model, seeded
from yolo_lite.support.class_names import listed, match_names
from yolo_lite.writing import atomic_write

FORMAT_VERSION = 1
HEADER_KEY = "yolo_lite"
WEIGHTS = Path(__file__).parent / "weights"
SPARE_BLOCKS = 100  # that a file may describe beyond its tensors: Concat, Upsample and pooling have no weights
PLACEHOLDER = re.compile(r"(class[ _-]?)?\d+", re.IGNORECASE)  # a class that nobody gave a name


def save(model: Yolo, path: str | Path, metadata: Mapping[str, Any] | None = None, half: bool = False) -> None:
    """Write a model so that ``load`` gives it back: all of the new file appears, or the old one stays.

    Args:
        path: of the file, by convention ``.safetensors``; its folder must exist.
        metadata: anything that JSON can say, found again in ``load(path).metadata``; default: the model's own. Its
            ``img_size`` is kept in any case: without it, prediction would take another size than training did.
        half: store the weights in half precision, at half the size.
    Raises:
        CheckpointError: not a Yolo; metadata that JSON cannot say. OSError: the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(create_model("yolov5n", names=["cat"]), f"{folder}/cat.safetensors", metadata={"epoch": 3})
    ...     model = load(f"{folder}/cat.safetensors")
    >>> model.names, model.metadata
    (('cat',), {'epoch': 3})
    """
    if not isinstance(model, Yolo):
        way = "unwrap it first (.module)" if hasattr(model, "module") else "keep its state_dict() with torch.save"
        raise CheckpointError(f"only a Yolo can be saved, not a {type(model).__name__}: {way}")
    tensors = {name: _stored(tensor, half) for name, tensor in model.state_dict().items() if name != _anchors(model)}
    header = {
        "format_version": FORMAT_VERSION,
        "architecture": "yolo",
        "spec": model.spec | {"anchors": model.anchors.flatten(1).tolist()},
        "names": list(model.names),
        "fused": _is_fused(model),
        "dtype": "float16" if half else str(model.anchors.dtype).removeprefix("torch."),
        "metadata": dict(model.metadata if metadata is None else _with_img_size(metadata, model)),
    }
    try:
        text = json.dumps(header)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: spec and metadata must be what JSON can say: {error}") from None
    atomic_write(path, safetensors.torch.save(tensors, {HEADER_KEY: text}))


def load(
    path: str | Path,
    num_classes: int | None = None,
    names: Sequence[str] | Mapping[int, str] | None = None,
    seed: int = 0,
) -> Yolo:
    """A model with its weights, in float32 and evaluation mode, on the CPU. YOLOv5: ``attempt_load``.

    Args:
        path: a file that ``save`` wrote, an official YOLOv5 ``.pt``, or the name of bundled weights ("shapes-n").
        num_classes, names: for other classes than the file's: everything that fits is kept (YOLOv5:
            ``intersect_dicts``), and the head starts anew from ``seed``, with a warning where ``names`` alone is given
            and some of them are the file's.
            The same number keeps the head: classes that the file knows by the same name keep their outputs, wherever
            they stand in ``names``; the outputs of the others get the other names, in order, with a warning where
            only a part of the names is known.
    Raises:
        CheckpointError (a ValueError): no such file, or one that is damaged or something else, with the reason.
    """
    file = _find(path)
    contents = _read(file)
    model = _assembled(contents, file)
    is_asked_for = num_classes is not None
    if num_classes is None:
        num_classes = model.num_classes if names is None else len(names)
    if num_classes == model.num_classes and names is None:
        return model
    other = _with_classes(model, num_classes, names, seed)
    if not is_asked_for:
        _warn_of_a_new_head(model.names, other.names)
    return other


def read_header(path: str | Path) -> dict[str, Any]:
    """The description in a file that ``save`` wrote: format_version, spec, names, dtype, metadata ..., no weights."""
    file = _find(path)
    try:
        with safetensors.safe_open(file, "pt") as stored:
            return _header(stored.metadata(), file)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: not a checkpoint, or a damaged one: {error}") from None


def _find(path: str | Path) -> Path:
    file = Path(path)
    shipped = WEIGHTS / f"{path}.safetensors"
    if not file.exists() and file.name == str(path) and shipped.exists():
        return shipped
    if file.is_file():
        return file
    if file.exists():
        raise CheckpointError(f"{file}: a folder, not a checkpoint file")
    hint = f"; create_model({str(path)!r}) makes that model, untrained" if str(path) in MODELS else ""
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
    return header


def _assembled(contents: CheckpointContents, file: Path) -> Yolo:
    """The network that the spec describes, holding these tensors."""
    try:
        _check_size(contents, file)
        with torch.device("meta"):  # shapes without memory: a damaged file may describe anything
            _check_tensors(_network(contents), contents, file)
        with seeded(0):
            model = _network(contents)
        model.load_state_dict(contents.tensors, strict=False)  # all but the anchors, as checked
        model.set_anchors(contents.anchors)
    except CheckpointError:
        raise
    except (SpecError, RuntimeError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{file}: its network cannot be built: {error}") from None
    if contents.strides is not None and list(model.strides) != contents.strides:
        raise CheckpointError(f"{file}: it has the strides {contents.strides}, its layers {list(model.strides)}")
    model.metadata = contents.metadata
    return model.float().eval()


def _network(contents: CheckpointContents) -> Yolo:
    model = Yolo(contents.spec, contents.names)
    return model.fuse() if contents.fused else model


def _check_size(contents: CheckpointContents, file: Path) -> None:
    """Refuses a spec of far more blocks than the file has tensors, before they are built: one row can ask for 1,000.

    A block with weights has two tensors or more.
    """
    blocks = sum(row.number for row in read_rows(contents.spec))
    if blocks > 2 * len(contents.tensors) + SPARE_BLOCKS:
        raise CheckpointError(
            f"{file}: the weights do not fit the network: its rows ask for {blocks:,} blocks, but it has only "
            f"{len(contents.tensors):,} tensors"
        )


def _check_tensors(model: Yolo, contents: CheckpointContents, file: Path) -> None:
    """One sentence for the first tensor that does not fit the network."""
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items() if name != _anchors(model)}
    found = {name: tuple(value.shape) for name, value in contents.tensors.items()}
    for name in (*expected, *found):
        if expected.get(name) != found.get(name):
            outputs = name.startswith(f"layers.{model.rows[-1].index}.m.") and name in expected and name in found
            classes = f"; its header says {model.num_classes} classes" if outputs else ""
            raise CheckpointError(
                f"{file}: the weights do not fit the network: {name} is {found.get(name, 'missing')}, "
                f"expected {expected.get(name, 'none of that name')}{classes}"
            )


def _anchors(model: Yolo) -> str:
    """The anchors' name in the state dict; files keep them in the spec, in full precision."""
    return f"layers.{model.rows[-1].index}.anchors"


def _stored(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.half() if half and tensor.is_floating_point() else tensor).contiguous().clone()


def _with_img_size(metadata: Mapping[str, Any], model: Yolo) -> dict[str, Any]:
    return {key: model.metadata[key] for key in ("img_size",) if key in model.metadata} | dict(metadata)


def _is_fused(model: Yolo) -> bool:
    """Whether the BatchNorm of every Conv is folded into it; other layers may keep theirs."""
    norms = [module.bn for module in model.modules() if isinstance(module, Conv)]
    return bool(norms) and not any(isinstance(norm, nn.BatchNorm2d) for norm in norms)


def _with_classes(model: Yolo, num_classes: int, names: Sequence[str] | Mapping[int, str] | None, seed: int) -> Yolo:
    """The same network for other classes; tensors of another shape, which are the head's, start anew."""
    try:
        other = cast(Yolo, create_model(model.spec, num_classes=num_classes, names=names, seed=seed))
    except SpecError as error:
        raise CheckpointError(f"{num_classes} classes: {error}") from None
    if _is_fused(model):
        other = other.fuse()
    shapes = {name: value.shape for name, value in other.state_dict().items()}
    fitting = {name: value for name, value in model.state_dict().items() if value.shape == shapes[name]}
    other.load_state_dict(fitting, strict=False)
    if names is not None and num_classes == model.num_classes:
        _match_outputs(other, model.names)
    other.set_anchors(model.anchors)
    other.metadata = model.metadata
    return other.eval()


def _warn_of_a_new_head(trained_names: Sequence[str], names: Sequence[str]) -> None:
    """Names of the file among another number of names: whoever wrote them may expect their outputs to be kept."""
    shared = match_names(trained_names, names).shared
    if len(names) != len(trained_names) and shared:
        warnings.warn(
            f"names: {shared} of the {len(names)} names are the file's ({listed(trained_names)}), but the number of "
            "classes is another, so the head starts anew, untrained; give num_classes too if that is intended",
            stacklevel=3,
        )


def _match_outputs(model: Yolo, trained_names: Sequence[str]) -> None:
    """Puts the head's outputs, which were trained for other names or another order, where the model's names stand."""
    matched = match_names(trained_names, model.names)
    if matched.order is None:
        if not matched.same and not all(PLACEHOLDER.fullmatch(name) for name in trained_names):
            warnings.warn(
                f"names: none of the file's classes ({listed(trained_names)}) has a name that was asked for "
                f"({listed(model.names)}): the outputs keep their order, so each class is renamed by its number",
                stacklevel=4,
            )
        return
    order = list(matched.order)
    spare = iter([index for index in range(len(order)) if index not in order])  # of names that are not wanted
    sources = torch.tensor([next(spare) if index is None else index for index in order])  # (C,)
    if None in order:
        renamed = ", ".join(
            f"{trained_names[source]} -> {name}"
            for source, name, index in zip(sources.tolist(), model.names, order, strict=True)
            if index is None
        )
        warnings.warn(
            f"names: {len(order) - order.count(None)} of the {len(order)} classes are the file's and keep their "
            f"outputs; others are renamed: {renamed}",
            stacklevel=4,
        )
    rows = torch.cat((torch.arange(5), 5 + sources))  # x, y, w, h, objectness, then the classes
    with torch.no_grad():
        for output in model.detect.m:
            for tensor in output.parameters():  # weight and bias
                per_anchor = tensor.view(-1, len(rows), *tensor.shape[1:])  # (A, 5 + C, ...)
                tensor.copy_(per_anchor[:, rows].flatten(0, 1))


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
