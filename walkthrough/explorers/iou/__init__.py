"""IouPlayground: two boxes, four ways to say how well they agree, and the gradient of each on the prediction."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from walkthrough._moved import moved_name
from walkthrough.explorers.base import Explorer
from walkthrough.explorers.iou.scene import scene_of, takeaway_of
from walkthrough.explorers.iou.state import HEIGHT, WIDTH, Result, State, compute
from walkthrough.explorers.stage import Story

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # names of 0.1.0


STORIES = (
    Story(
        "apart",
        {"boxes": ((25.0, 85.0, 95.0, 145.0), (140.0, 25.0, 215.0, 105.0)), "box_loss": "iou"},
        "no arrows: where boxes do not overlap, plain IoU has no gradient. Now choose giou.",
    ),
    Story(
        "touching",
        {"boxes": ((50.0, 50.0, 120.0, 120.0), (120.0, 50.0, 190.0, 120.0)), "box_loss": "giou"},
        "IoU and GIoU are 0 both: the enclosing box has nothing in it but the two boxes.",
    ),
    Story(
        "inside",
        {"boxes": ((70.0, 60.0, 110.0, 100.0), (50.0, 30.0, 190.0, 140.0)), "box_loss": "giou"},
        "GIoU equals IoU, wherever the inner box lies; DIoU and CIoU move its centre to the middle.",
    ),
    Story(
        "thin",
        {"boxes": ((40.0, 75.0, 200.0, 95.0), (80.0, 25.0, 160.0, 145.0)), "box_loss": "ciou"},
        "the centres agree, so DIoU adds nothing; CIoU's term α v is about the aspect ratio.",
    ),
)


class IouPlayground(Explorer[State, Result]):
    """Two boxes to drag; IoU, GIoU, DIoU and CIoU with every term, their gradients and the way down from here.

    Args:
        boxes: the prediction and the truth, (x1, y1, x2, y2) each, on a plane of 240 x 170 pixels.
        box_loss: "iou", "giou", "diou" or "ciou". rate: the learning rate; steps: of the gradient descent.
        step: which of them is shown.

    >>> w = IouPlayground()
    >>> w.boxes = [(50, 80, 150, 140), (90, 70, 160, 160)]
    >>> round(w.result.overlap["ciou"], 4), w.result.by_formula
    (0.3769, tensor([-0.0119, -0.0005, -0.0021, -0.0052]))
    """

    compute = staticmethod(compute)
    scene = staticmethod(scene_of)
    takeaway = staticmethod(takeaway_of)
    title = "IoU playground"
    part_of = "loss"
    primary = ("box_loss", "step")
    stories = STORIES

    def settle(self, before: State, after: State) -> State:
        """There are always two boxes, within the plane."""
        if len(after.boxes) != 2:
            raise ValueError(f"boxes holds two boxes, the prediction and the truth, not {len(after.boxes)}")
        for x1, y1, x2, y2, *_ in after.boxes:
            if not (x1 >= 0 and y1 >= 0 and x2 <= WIDTH and y2 <= HEIGHT):
                raise ValueError(
                    f"boxes lie between (0, 0) and ({WIDTH}, {HEIGHT}), not at {x1:g} {y1:g} {x2:g} {y2:g}"
                )
        return replace(after, step=min(after.step, after.steps))

    def words(self) -> str:
        """The four overlaps, and whether the formula agrees with autograd."""
        result = self.require()
        overlaps = ", ".join(f"{kind} {value:.3f}" for kind, value in result.overlap.items())
        agree = torch.allclose(result.by_formula, result.by_autograd, atol=1e-5)
        return f"{overlaps}; the gradient by formula {'equals' if agree else 'differs from'} autograd's"

    def as_code(self) -> str:
        """The same overlap by the library."""
        pred, truth = (list(box[:4]) for box in self.state.boxes)
        return (
            f"pred, truth = torch.tensor([{pred}]), torch.tensor([{truth}])\n"
            f'yl.bbox_iou(pred, truth, "{self.state.box_loss}", "xyxy")'
        )
