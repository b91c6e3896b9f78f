"""The contents of a checkpoint -> its network. Nothing that a damaged file asks for is built before it is checked."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from yolo_lite.checkpoints.contents import CheckpointContents
from yolo_lite.checkpoints.facts import check_facts
from yolo_lite.checkpoints.unpickle import CheckpointError
from yolo_lite.model.blocks import Conv
from yolo_lite.model.families import FAMILIES, builder
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.rows import count_blocks
from yolo_lite.model.spec import SpecError
from yolo_lite.model.yolo import Yolo, seeded

YOLO = "yolo"  # the architecture of YOLOv5 and YOLOv3 as YOLOv5 builds it; that of other generations is their family
SPARE_BLOCKS = 100  # that a file may describe beyond its tensors: Concat, Upsample and pooling have no weights


def architecture(spec: Mapping[str, Any]) -> str:
    """What a checkpoint calls the kind of network that a spec describes.

    >>> architecture({"family": "ssd"}), architecture({"backbone": [], "head": []})
    ('ssd', 'yolo')
    """
    return str(spec.get("family", YOLO))


def check_architecture(named: Any, spec: Mapping[str, Any], file: Path) -> None:
    """Raises CheckpointError for a kind of network that is not known here, or that the spec is not of.

    Args:
        named: the architecture that the header names.
    """
    if named != YOLO and (not isinstance(named, str) or named not in FAMILIES):
        raise CheckpointError(
            f"{file}: a network of the family {str(named)[:80]!r}, which this version of yolo-lite does not know: "
            f"update it; it knows {', '.join((YOLO, *FAMILIES))}"
        )
    if named != architecture(spec):
        found = architecture(spec)[:80]
        raise CheckpointError(f"{file}: a damaged header: its architecture is {named!r}, its spec one of {found!r}")


def assembled(contents: CheckpointContents, file: Path) -> LayeredDetector:
    """The network that the spec describes, holding these tensors."""
    try:
        _check_size(contents, file)
        with torch.device("meta"):  # shapes without memory: a damaged file may describe anything
            _check_tensors(_network(contents, file), contents, file)
        with seeded(0):
            model = _network(contents, file)
        model.load_state_dict(contents.tensors, strict=False)  # all but the anchors of a Yolo, as checked
        if isinstance(model, Yolo):
            model.set_anchors(contents.anchors)
            model.anchors_given = False  # by the file, not by whoever loads it
        check_facts(model, contents.facts, file)
    except CheckpointError:
        raise
    except (SpecError, RuntimeError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: its network cannot be built: {error}") from None
    if contents.strides is not None and list(model.strides) != contents.strides:
        raise CheckpointError(f"{file}: it has the strides {contents.strides}, its layers {list(model.strides)}")
    model.metadata = contents.metadata
    return model.float().eval()


def _network(contents: CheckpointContents, file: Path) -> LayeredDetector:
    spec = contents.spec
    if "family" in spec:
        if "max_floats" in spec:
            raise SpecError("max_floats in its spec: only a caller may raise a limit of memory, no file")
        build = builder(spec["family"])
        model: LayeredDetector = build(spec, str(file), spec.get("nc"), None, contents.names, spec.get("ch"))
    else:
        model = Yolo(spec, contents.names)
    return model.fuse() if contents.fused else model


def _check_size(contents: CheckpointContents, file: Path) -> None:
    """Refuses a spec of far more blocks than the file has tensors, before they are built: one row can ask for 1,000.

    A block with weights has two tensors or more. The builders of generations without rows have limits of their own.
    """
    spec = contents.spec
    if "family" in spec and "backbone" not in spec:
        return
    blocks = count_blocks(spec)
    if blocks > 2 * len(contents.tensors) + SPARE_BLOCKS:
        raise CheckpointError(
            f"{file}: the weights do not fit the network: its rows ask for {blocks:,} blocks, but it has only "
            f"{len(contents.tensors):,} tensors"
        )


def _check_tensors(model: LayeredDetector, contents: CheckpointContents, file: Path) -> None:
    """One sentence for the first tensor that does not fit the network."""
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items() if name != anchors_name(model)}
    found = {name: tuple(value.shape) for name, value in contents.tensors.items()}
    for name in (*expected, *found):
        if expected.get(name) != found.get(name):
            both = name in expected and name in found
            classes = f"; its header says {model.num_classes} classes" if both and _is_output(model, name) else ""
            raise CheckpointError(
                f"{file}: the weights do not fit the network: {name} is {found.get(name, 'missing')}, "
                f"expected {expected.get(name, 'none of that name')}{classes}"
            )


def warn_of_bad_numbers(model: LayeredDetector, file: Path) -> None:
    """A warning where weights or statistics are NaN or infinite, as a training that diverged leaves them."""
    tensors = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
    bad = [name for name, value in tensors.items() if not value.isfinite().all()]
    if bad:
        warnings.warn(
            f"{file}: {len(bad)} of its {len(tensors)} tensors hold numbers that are NaN or infinite, first {bad[0]}: "
            "what the network computes from them means nothing; take an earlier checkpoint",
            stacklevel=3,
        )


def _is_output(model: LayeredDetector, name: str) -> bool:
    try:
        return name in model.class_outputs()
    except ValueError:
        return False


def anchors_name(model: LayeredDetector) -> str | None:
    """The anchors' name in a Yolo's state dict; files keep them in the spec, in full precision."""
    return f"layers.{model.heads[0]}.anchors" if isinstance(model, Yolo) else None


def is_fused(model: LayeredDetector) -> bool:
    """Whether ``fuse`` made the model. A Yolo shows it: no Conv has a norm; other layers may keep theirs."""
    norms = [module.bn for module in model.modules() if isinstance(module, Conv)]
    return model.is_fused or (bool(norms) and all(isinstance(norm, nn.Identity) for norm in norms))
