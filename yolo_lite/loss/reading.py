"""What the loss reads of a map: the predictions at the matches, and one column of all others, the objectness.

Indexing reads both, and ``read_plainly`` is no more than that. But the gradient of an index is a map full of zeros with
a few numbers in it, so autograd fills two such maps, and adds them. ``read_predictions`` reads the same numbers, and
its gradient is one map, written once: at 80 classes most of the time that a loss takes.

Shape letters: N batch, A anchors, H W grid of a level, C classes, m matches.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from yolo_lite.loss.targets import Assignment

OBJECTNESS = 4  # the column after x, y, w, h


class Predictions(NamedTuple):
    """What a loss looks at; at least float32."""

    matched: Tensor  # (m, 5 + C) raw numbers at the matches
    objectness: Tensor  # (N, A, H, W) logits of all predictions


def read_plainly(raw: Tensor, matches: Assignment) -> Predictions:
    """The predictions of a level that its loss reads. raw: (N, A, H, W, 5 + C)."""
    raw = raw.to(torch.promote_types(raw.dtype, torch.float32))
    return Predictions(raw[matches.image, matches.anchor, matches.row, matches.col], raw[..., OBJECTNESS])


def read_predictions(raw: Tensor, matches: Assignment) -> Predictions:
    """The same numbers and the same gradient as ``read_plainly``, in less time.

    >>> from yolo_lite.loss.targets import build_targets
    >>> anchors = torch.tensor([[[10.0, 13]]])
    >>> (matches,) = build_targets(torch.tensor([[0, 0, 0.3, 0.3, 0.1, 0.1]]), [(8, 8)], anchors, [8])
    >>> raw = torch.zeros(1, 1, 8, 8, 6, requires_grad=True)
    >>> read = read_predictions(raw, matches)
    >>> read.matched.shape, read.objectness.shape
    (torch.Size([3, 6]), torch.Size([1, 1, 8, 8]))
    >>> (read.matched.sum() + read.objectness.sum()).backward()
    >>> raw.grad[0, 0, 2, 2].tolist(), raw.grad[0, 0, 7, 7].tolist()
    ([1.0, 1.0, 1.0, 1.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    """
    place = matches.image, matches.anchor, matches.row, matches.col  # (m,) each
    matched, objectness = _ReadPredictions.apply(raw, *place)  # type: ignore[no-untyped-call]
    return Predictions(matched, objectness)


def zeros(like: Tensor, device: torch.device) -> Tensor:
    """Zeros in the shape, dtype and memory layout of a tensor that may be on "meta".

    A processor's memory comes from the system as zeros, and NumPy takes it in large pages. ``torch.zeros`` takes it in
    small ones and writes the zeros again: four times as long for the 100 MB of a map.

    >>> zeros(torch.ones(2, 3, dtype=torch.bfloat16).T, torch.device("cpu")).stride()
    (1, 3)
    """
    if device.type != "cpu" or not like.numel() or torch.compiler.is_compiling():
        return torch.zeros_like(like, device=device)
    memory = np.zeros(like.numel() * like.element_size(), np.uint8)
    return torch.frombuffer(memory, dtype=like.dtype).as_strided(like.shape, like.stride()).detach()


class _ReadPredictions(torch.autograd.Function):
    """Both reads, as one operation for autograd."""

    @staticmethod
    def forward(raw: Tensor, *place: Tensor) -> tuple[Tensor, Tensor]:
        dtype = torch.promote_types(raw.dtype, torch.float32)
        return raw[place].to(dtype), raw[..., OBJECTNESS].clone(memory_format=torch.contiguous_format).to(dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
        raw, *place = inputs
        ctx.save_for_backward(*place)
        ctx.like = torch.empty_like(raw, device="meta")  # shape, layout and dtype, without memory
        ctx.set_materialize_grads(False)  # None for what a term does not depend on, instead of zeros

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor | None) -> tuple[Tensor | None, ...]:
        """Differentiable again, as all that it does is."""
        matched, objectness = incoming  # (m, 5 + C), (N, A, H, W)
        place = ctx.saved_tensors
        gradient = zeros(ctx.like, place[0].device)  # (N, A, H, W, 5 + C)
        if objectness is not None:
            gradient[..., OBJECTNESS] = objectness.to(gradient.dtype)
        if matched is not None:  # two objects may be matched to one prediction: their gradients add up
            gradient.index_put_(place, matched.to(gradient.dtype), accumulate=True)
        return gradient, *(None for _ in place)
