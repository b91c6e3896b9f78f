"""A trained backbone for a detector with another neck or head: what fits is taken, and what does not is reported."""

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from yolo_lite.checkpoints.assemble import is_fused
from yolo_lite.checkpoints.darknet import load_darknet_weights
from yolo_lite.checkpoints.own import load
from yolo_lite.checkpoints.unpickle import CheckpointError
from yolo_lite.family.backbones.features import backbone_length
from yolo_lite.family.darknet.network import Darknet
from yolo_lite.model.layered import LayeredDetector

COUNTER = "num_batches_tracked"  # of a BatchNorm


class Taken(NamedTuple):
    """Which tensors of a backbone were taken from another network. Names are those in the model's ``state_dict``."""

    taken: tuple[str, ...]
    left: Mapping[str, str]  # the model's, which stay as they were -> why
    unused: Mapping[str, str]  # of the other network's backbone -> why
    layers: int  # of the model's backbone
    activations: tuple[str, str] | None = None  # in the two backbones, here and there, where they differ

    def __str__(self) -> str:
        total = len(self.taken) + len(self.left)
        few = " (less than half)" if 2 * len(self.taken) < total else ""
        text = f"taken: {len(self.taken)} of {total} tensors{few} of the backbone, layers 0 to {self.layers - 1}"
        for what, tensors in (("left as they were", self.left), ("not used", self.unused)):
            if tensors:
                name, reason = next(iter(tensors.items()))
                more = f", and {len(tensors) - 1} more" if len(tensors) > 1 else ""
                text += f"; {what}: {name} ({reason}){more}"
        if self.activations is not None:
            here, there = self.activations
            text += f"; trained with another activation: {here} here, {there} there"
        return text


def load_backbone(model: LayeredDetector, source: str | Path | LayeredDetector, cfg: str | Path | None = None) -> Taken:
    """Puts the backbone of a trained network into a detector with another neck, head or classes, in place.

    A tensor is taken where the same layer, of the same kind, has one of the same name and shape. The backbone is what
    the spec's ``backbone`` rows make; of a Darknet, all layers from the first for which both .cfg files agree.

    Args:
        model: gets the weights. source: a checkpoint that ``load`` reads, or a model; for a Darknet also the first
            layers of a .weights file, such as darknet53.conv.74. cfg: as in ``load``.
    Returns:
        What was taken, what was not, and why; ``print`` says it in a sentence. A warning says it, too, where less than
        half of the model's tensors were taken.
    Raises:
        TypeError: a model that is not a detector, a source that is neither a path nor one.
        CheckpointError (a ValueError): nothing fits; one is fused and the other is not; or a file that ``load``
            refuses. The model is then as it was.

    >>> from yolo_lite.model.yolo import create_model
    >>> trained = create_model("yolov5n", num_classes=3)
    >>> model = create_model("yolov5n-p2", num_classes=20, seed=1)
    >>> print(load_backbone(model, trained))
    taken: 198 of 198 tensors of the backbone, layers 0 to 9
    """
    _check_types(model, source)
    if isinstance(model, Darknet) and cfg is None and not isinstance(source, LayeredDetector) and _is_part(source):
        return _of_a_part(model, source)
    what = "the source" if isinstance(source, LayeredDetector) else str(source)
    other = source if isinstance(source, LayeredDetector) else load(source, cfg=cfg)
    if is_fused(model) != is_fused(other):
        fused, plain = ("the model", what) if is_fused(model) else (what, "the model")
        raise CheckpointError(
            f"{what}: {fused} is fused and {plain} is not, so their weights mean different things: take it before fuse"
        )
    ours, theirs = _backbone_lengths(model, other, what)
    mine, given = _tensors(model, ours), _tensors(other, theirs)
    left, unused = {}, {}
    for name in mine:
        if reason := _difference(name, mine, given, model, other):
            left[name] = reason
    for name in given:
        if name not in mine:
            unused[name] = _difference(name, given, mine, other, model)
    taken = tuple(name for name in mine if name not in left)
    if not taken:
        name, reason = next(iter(left.items()), ("no layer", "the first layers are not the same"))
        raise CheckpointError(
            f"{what}: nothing of its backbone fits the model's: {name} ({reason}); "
            "build the model with the same stem, stages and width"
        )
    for name in taken:
        mine[name].copy_(given[name])
    activations = _activations(model, ours), _activations(other, theirs)
    differ = all(activations) and activations[0] != activations[1]
    found = Taken(taken, left, unused, ours, activations if differ else None)
    if 2 * len(taken) < len(mine):
        warnings.warn(f"{what}: most of the model's backbone stays as it was; {found}", stacklevel=2)
    return found


def _check_types(model: object, source: object) -> None:
    if not isinstance(model, LayeredDetector):
        raise TypeError(
            f"model must be a detector, which create_model and load give, not {_told(model)}; it comes first"
        )
    if not isinstance(source, str | os.PathLike | LayeredDetector):
        raise TypeError(f"source must be the path of a checkpoint or a detector, not {_told(source)}")


def _told(value: object) -> str:
    return repr(value) if value is None or isinstance(value, str | int) else f"a {type(value).__name__}"


def _activations(model: LayeredDetector, length: int) -> str:
    """Those of the blocks in the first layers, as a spec writes them: "LeakyReLU(negative_slope=0.1)"."""
    blocks = list(model.layers)[:length]
    found = (getattr(module, "act", None) for block in blocks for module in block.modules())
    texts = {str(act).replace(", inplace=True", "").replace("inplace=True", "") for act in found if act is not None}
    return ", ".join(sorted(texts - {str(nn.Identity())}))


def _is_part(path: str | Path) -> bool:
    """Whether it is called as Darknet's files of a network's first layers are: darknet53.conv.74."""
    return re.search(r"\.conv\.\d+$", str(path)) is not None


def _of_a_part(model: Darknet, path: str | Path) -> Taken:
    """The first layers from a file that has no others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is a part is what is asked for
        read = load_darknet_weights(model, path)
    taken = tuple(name for name in model.state_dict() if _layer(name) in read.layers)
    return Taken(taken, {}, {}, read.last + 1)


def _backbone_lengths(model: LayeredDetector, other: LayeredDetector, what: str) -> tuple[int, int]:
    """Layers of the two backbones."""
    if isinstance(model, Darknet) and isinstance(other, Darknet):
        pairs = zip(model.rows, other.rows, strict=False)
        same = [(a.kind, a.inputs, a.arguments) == (b.kind, b.inputs, b.arguments) for a, b in pairs]
        length = [*same, False].index(False)
        return length, length
    lengths = []
    for name, network in (("the model", model), (what, other)):
        try:
            lengths.append(backbone_length(network))
        except ValueError as error:
            raise CheckpointError(f"{name} is {error}") from None
    return lengths[0], lengths[1]


def _tensors(model: LayeredDetector, length: int) -> dict[str, Tensor]:
    """Those of the first layers, by name."""
    return {name: value for name, value in model.state_dict().items() if 0 <= _layer(name) < length}


def _layer(name: str) -> int:
    """The index of a tensor's layer; -1 for what is in no layer.

    >>> _layer("layers.12.cv1.conv.weight")
    12
    """
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "layers" else -1


def _difference(
    name: str,
    tensors: Mapping[str, Tensor],
    others: Mapping[str, Tensor],
    model: LayeredDetector,
    other: LayeredDetector,
) -> str:
    """Why a tensor has no counterpart; empty where it has one."""
    layer = _layer(name)
    if layer >= len(other.rows) or (kinds := (model.rows[layer].kind, other.rows[layer].kind))[0] != kinds[1]:
        found = other.rows[layer].kind if layer < len(other.rows) else "nothing"
        return f"layer {layer} is {model.rows[layer].kind} here, {found} there"
    if name not in others:
        return "no tensor of that name there"
    if name.endswith(COUNTER):  # a single number, which fits anywhere: it goes where its statistics go
        name = name.removesuffix(COUNTER) + "running_mean"
        if name not in tensors or name not in others:
            return "a counter without statistics"
    here, there = tuple(tensors[name].shape), tuple(others[name].shape)
    return "" if here == there else f"{here} here, {there} there"
