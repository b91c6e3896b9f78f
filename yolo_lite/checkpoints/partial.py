"""Weights for a network that is not the file's: what fits by name and shape is taken, and what does not is reported."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from yolo_lite.checkpoints.assemble import anchors_name, is_fused
from yolo_lite.checkpoints.own import HEADER_KEY, load
from yolo_lite.checkpoints.unpickle import CheckpointError
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.yolo import Yolo
from yolo_lite.support.arguments import shown

COUNTER, STATISTICS = "num_batches_tracked", "running_mean"  # of a BatchNorm


class TakenWeights(NamedTuple):
    """Which tensors of a model were taken from elsewhere. Names are those in ``state_dict``; ``print`` counts them."""

    taken: tuple[str, ...]
    left: Mapping[str, str]  # the model's, which stay as they were -> why
    unused: Mapping[str, str]  # of the source -> why

    def __str__(self) -> str:
        text = f"taken: {len(self.taken)} of {len(self.taken) + len(self.left)} tensors"
        for what, tensors in (("left as they were", self.left), ("not used", self.unused)):
            if tensors:
                name, reason = next(iter(tensors.items()))
                more = f", and {len(tensors) - 1} more" if len(tensors) > 1 else ""
                text += f"; {what}: {name} ({reason}){more}"
        return text


def load_weights(model: nn.Module, source: str | Path | Mapping[str, Tensor] | nn.Module) -> TakenWeights:
    """Puts into a model, in place, all tensors of a source that have the name and the shape of one of its own.

    ``load`` makes the file's network; this is for one of yours: with another layer in between, another head, or of your
    own class. ``load_backbone`` takes the layers of the backbone alone, and compares their kinds too.

    Args:
        model: any module. source: a checkpoint that ``load`` reads, any .safetensors file, another model, or a state
            dict (``torch.load(path, weights_only=True)`` of a file that holds one).
    Returns:
        What was taken, what was not, and why; ``print`` says it in a sentence. The anchors of a head go with its
        weights.
    Raises:
        TypeError: a source of another type. CheckpointError (a ValueError): nothing fits; one is fused and the other is
            not; or a file that ``load`` refuses. The model is then as it was.

    >>> from yolo_lite.model.yolo import create_model
    >>> model = create_model("yolov5n", num_classes=3, seed=1)
    >>> print(load_weights(model, create_model("yolov5n", num_classes=2)))
    taken: 342 of 349 tensors; left as they were: layers.24.m.0.weight ((24, 64, 1, 1) here, (21, 64, 1, 1) there), ...
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {shown(model)}: the model comes first, then the source")
    what, given = _tensors_of(source, model)
    mine = model.state_dict()
    left = {name: reason for name in mine if (reason := _difference(name, mine, given))}
    anchors = anchors_name(model) if isinstance(model, Yolo) else None
    if anchors is not None and any(name.startswith(anchors.removesuffix("anchors")) for name in left):
        left |= {anchors: "it goes with its head"}
    unused = {name: reason for name in given if name not in mine or name in left
              if (reason := left.get(name) or "no tensor of that name here")}  # fmt: skip
    taken = tuple(name for name in mine if name not in left)
    if not taken:
        name, reason = next(iter(left.items()), ("the model", "it has no tensors"))
        raise CheckpointError(f"{what}: none of its tensors fits the model's: {name} ({reason})")
    with torch.no_grad():
        for name in taken:
            mine[name].copy_(given[name])
    if isinstance(model, Yolo) and anchors in taken:
        model.set_anchors(given[anchors])
        model.anchors_given = False  # by the file
    return TakenWeights(taken, left, unused)


def _tensors_of(source: object, model: nn.Module) -> tuple[str, Mapping[str, Tensor]]:
    """What a source is called, and its tensors by name."""
    if isinstance(source, Mapping):
        if wrong := [name for name, value in source.items() if not isinstance(value, Tensor)]:
            raise TypeError(
                f"the state dict holds {type(source[wrong[0]]).__name__} under {str(wrong[0])[:80]!r}, and no tensor: "
                "give the state dict alone"
            )
        return "the state dict", source
    if not isinstance(source, str | os.PathLike | nn.Module):
        raise TypeError(f"source must be a path, a model or a state dict, not a {type(source).__name__}")
    if isinstance(source, str | os.PathLike) and (plain := _plain(Path(source))) is not None:
        return str(source), plain
    other = source if isinstance(source, nn.Module) else load(str(source))
    what = "the source" if isinstance(source, nn.Module) else str(source)
    if isinstance(model, LayeredDetector) and isinstance(other, LayeredDetector) and is_fused(model) != is_fused(other):
        fused, whole = ("the model", what) if is_fused(model) else (what, "the model")
        raise CheckpointError(
            f"{what}: {fused} is fused and {whole} is not, so their weights mean different things: take it before fuse"
        )
    return what, other.state_dict()


def _plain(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a safetensors file that ``save`` did not write, as those of a run of your own network."""
    try:
        with safetensors.safe_open(path, "pt") as stored:
            if HEADER_KEY in (stored.metadata() or {}):
                return None
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError):
        return None  # load says what it is


def _difference(name: str, tensors: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> str:
    """Why a tensor has no counterpart; empty where it has one."""
    if name not in others:
        return "no tensor of that name there"
    if name.endswith(COUNTER):  # a single number, which fits anywhere: it goes where its statistics go
        statistics = name.removesuffix(COUNTER) + STATISTICS
        return _difference(statistics, tensors, others) if statistics in tensors else "a counter without statistics"
    here, there = tuple(tensors[name].shape), tuple(others[name].shape)
    if here != there:
        return f"{here} here, {there} there"
    if others[name].is_complex() and not tensors[name].is_complex():
        return "complex numbers there"
    return "NaN there" if others[name].isnan().any() else ""
