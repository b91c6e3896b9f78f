"""L1, smooth L1 and L2 of two boxes beside the losses of the four overlaps, here and with all of it made larger.

For comparison: YOLOv5 trains with none of the three. They add up what x, y, w and h differ by, in pixels, and do not
know how large the box is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from walkthrough.scene import Chart, More, Series, Table
from walkthrough.style import DASHES, THEMES
from yolo_lite.boxes import IOU_KINDS, IouKind, iou_terms
from yolo_lite.overlap_gradients import iou_gradients

PLAIN: dict[str, Callable[..., Tensor]] = {
    "l1": functional.l1_loss,
    "smooth_l1": functional.smooth_l1_loss,
    "l2": functional.mse_loss,
}
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # both boxes this many times as large, and as far apart
HERE, TWICE = SCALES.index(1.0), SCALES.index(2.0)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Seven losses of one prediction: l1, smooth_l1, l2, then 1 - overlap of each of IOU_KINDS."""

    losses: dict[str, Tensor]  # (S,) with both boxes times each of SCALES; the plain ones are means over x, y, w, h
    gradients: dict[str, Tensor]  # (4,) d loss / d (x, y, w, h) of the prediction, as it is


def compare(pred: Tensor, truth: Tensor) -> Comparison:
    """All losses of pred (1, 4) against truth (1, 4), xywh in pixels.

    >>> both = torch.tensor([[0.0, 0, 20, 20]])
    >>> shifted = compare(both + torch.tensor([[8.0, 0, 0, 0]]), both)
    >>> shifted.losses["l2"][HERE], shifted.gradients["l2"]
    (tensor(16.), tensor([4., 0., 0., 0.]))
    """
    scales = torch.tensor(SCALES)[:, None]
    terms = iou_terms(pred * scales, truth * scales)  # each (S,)
    gradients: dict[str, Tensor] = {kind: -gradient[0] for kind, gradient in iou_gradients(pred, truth).items()}
    losses: dict[str, Tensor] = {}
    for kind, loss in PLAIN.items():
        moving = pred.clone().requires_grad_()
        gradients[kind] = torch.autograd.grad(loss(moving, truth), moving)[0][0]
        losses[kind] = loss(pred * scales, truth * scales, reduction="none").mean(1)  # (S,)
    losses |= {kind: 1 - terms.value(kind) for kind in IOU_KINDS}
    return Comparison(losses, {kind: gradients[kind] for kind in losses})


def beside_plain_losses(comparison: Comparison, chosen: IouKind) -> More:
    """What is to be unfolded: a row for each loss, and how each grows with the size of all."""
    return More("beside L1, smooth L1 and L2", ((_table(comparison, chosen), _chart(comparison, chosen)),))


def _table(comparison: Comparison, chosen: IouKind) -> Table:
    rows = tuple(
        (
            kind,
            f"{losses[HERE]:.4g}",
            f"{losses[TWICE]:.4g}",
            *(f"{slope + 0.0:+.4g}" for slope in comparison.gradients[kind].tolist()),
        )
        for kind, losses in comparison.losses.items()
    )
    columns = ("loss", "here", "all twice as large", "d x", "d y", "d w", "d h")
    caption = "l1, smooth_l1, l2: means over x, y, w, h in pixels; d: the gradient here"
    kinds = tuple(comparison.losses)
    return Table(columns, rows, "Plain differences and overlaps", caption, (kinds.index(chosen),), refs=kinds)


def _chart(comparison: Comparison, chosen: IouKind) -> Chart:
    """Each plain loss and the chosen overlap's, over what it is here; a loss that is 0 here has no line."""
    shown = [kind for kind in (*PLAIN, chosen) if comparison.losses[kind][HERE] > 0]
    looks = dict(zip((*PLAIN, chosen), zip(THEMES["any"].series, DASHES, strict=False), strict=False))
    marks = tuple(
        Series(kind, SCALES, tuple((losses / losses[HERE]).tolist()), *looks[kind], ref=kind)
        for kind, losses in ((kind, comparison.losses[kind]) for kind in shown)
    )
    caption = "1 is what it is here" if marks else "the boxes are the same: every loss is 0"
    return Chart(marks, "If all were larger or smaller", caption, "times as large", "times the loss", "log")
