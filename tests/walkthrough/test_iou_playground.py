"""IouPlayground: its numbers are the library's, at overlaps of every sort."""

import math

import pytest
import torch
from torch.nn import functional

from walkthrough import IouPlayground
from walkthrough.explorers.iou.comparison import SCALES
from walkthrough.explorers.iou.state import HEIGHT, SMALLEST, WIDTH
from walkthrough.scene import Arrows, Boxes, Line, Panel, Table
from yolo_lite.boxes import IOU_KINDS, bbox_iou, iou_terms, xywh_to_xyxy, xyxy_to_xywh
from yolo_lite.overlap_gradients import iou_gradient

OVERLAPPING = ((50, 80, 150, 140), (90, 70, 160, 160))  # reference.md, section 5
SITUATIONS = {
    "overlapping": OVERLAPPING,
    "disjoint": ((0, 0, 10, 10), (20, 20, 30, 30)),
    "nested": ((60, 60, 80, 90), (40, 40, 120, 140)),
    "identical": ((40, 40, 90, 80), (40, 40, 90, 80)),
    "touching": ((40, 40, 80, 80), (80, 40, 120, 80)),
    "a prediction without area": ((60, 60, 60, 60), (40, 40, 90, 80)),
    "a truth without height": ((40, 40, 90, 80), (40, 60, 90, 60)),
    "two points": ((60, 60, 60, 60), (90, 90, 90, 90)),
    "the same point": ((60, 60, 60, 60), (60, 60, 60, 60)),
}


@pytest.fixture(scope="module")
def playground():
    return IouPlayground(boxes=OVERLAPPING)


def panel_of(explorer, kind):
    return next(panel for row in explorer.as_scene().all_rows for panel in row if isinstance(panel, kind))


def tables_of(explorer):
    return [panel for row in explorer.as_scene().all_rows for panel in row if isinstance(panel, Table)]


def test_the_numbers_of_the_worked_example(playground):
    losses = {kind: 1 - value for kind, value in playground.result.overlap.items()}
    assert losses == pytest.approx({"iou": 0.586207, "giou": 0.707419, "diou": 0.618385, "ciou": 0.6231495}, abs=1e-6)
    d_x, d_y, d_w, d_h = playground.result.by_formula.tolist()
    corners = (d_x / 2 - d_w, d_y / 2 - d_h, d_x / 2 + d_w, d_y / 2 + d_h)  # left, top, right, bottom
    assert corners == pytest.approx((-0.003855, 0.004936, -0.00802, -0.005431), abs=1e-6)


def test_disjoint_boxes_pull_by_every_loss_but_iou():
    w = IouPlayground(boxes=((0, 0, 1, 1), (2, 2, 3, 3)), box_loss="iou", steps=5)
    assert 1 - w.result.overlap["giou"] == pytest.approx(1.777778, abs=1e-5)
    assert 1 - w.result.overlap["diou"] == pytest.approx(1.444444, abs=1e-5)
    assert w.result.by_formula.tolist() == [0, 0, 0, 0]
    assert not any(isinstance(layer, Arrows) and layer.ends for layer in panel_of(w, Panel).layers)
    assert "no gradient" in panel_of(w, Panel).caption
    w.box_loss = "giou"
    assert w.result.by_formula.abs().min() > 0
    assert any(isinstance(layer, Arrows) and layer.ends for layer in panel_of(w, Panel).layers)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("kind", IOU_KINDS)
def test_every_number_is_the_librarys_and_is_finite(situation, kind):
    w = IouPlayground(boxes=SITUATIONS[situation], box_loss=kind, steps=8)
    assert w.message == ""
    pred, truth = (torch.tensor([box], dtype=torch.float32) for box in SITUATIONS[situation])
    pred, truth = xyxy_to_xywh(pred), xyxy_to_xywh(truth)
    assert w.result.overlap[kind] == bbox_iou(pred, truth, kind).item()
    assert all(torch.equal(a, b) for a, b in zip(w.result.terms, iou_terms(pred, truth), strict=True))
    moving = pred.clone().requires_grad_()
    (1 - bbox_iou(moving, truth, kind)).sum().backward()
    assert torch.equal(w.result.by_autograd, moving.grad[0])
    assert torch.equal(w.result.by_formula, -iou_gradient(pred, truth, kind)[0])
    numbers = (w.result.by_formula, w.result.by_autograd, *vars(w.result.descent).values(), *w.result.terms)
    assert all(number.isfinite().all() for number in numbers)
    assert (w.result.descent.boxes[..., 2:] >= SMALLEST).all()
    assert "nan" not in repr(tables_of(w)).lower()


def test_each_path_is_the_descent_under_its_own_loss_alone(playground):
    playground.set(rate=300, steps=12)
    truth = xyxy_to_xywh(torch.tensor([OVERLAPPING[1]], dtype=torch.float32))
    for row, kind in enumerate(IOU_KINDS):
        box = xyxy_to_xywh(torch.tensor([OVERLAPPING[0]], dtype=torch.float32))
        for step in range(13):
            assert playground.result.descent.boxes[row, step].tolist() == pytest.approx(box[0].tolist(), abs=1e-3)
            loss = 1 - bbox_iou(box, truth, kind)
            assert playground.result.descent.losses[row, step].item() == pytest.approx(loss.item(), abs=1e-5)
            assert playground.result.descent.ious[row, step].item() == pytest.approx(
                bbox_iou(box, truth, "iou").item(), abs=1e-5
            )
            box = box + 300 * (1 - step / 12) * iou_gradient(box, truth, kind)
    playground.reset()


def test_descent_brings_the_loss_down_and_under_iou_disjoint_boxes_stay():
    w = IouPlayground(boxes=SITUATIONS["disjoint"], rate=100, steps=100)
    losses = dict(zip(IOU_KINDS, w.result.descent.losses, strict=True))
    assert losses["iou"].tolist() == [1.0] * 101
    for kind in ("giou", "diou", "ciou"):
        assert losses[kind][-1] < losses[kind][0] - 0.3


def test_arrows_point_where_the_loss_falls(playground):
    pred, truth = (torch.tensor([box], dtype=torch.float32) for box in OVERLAPPING)
    pred, truth = xyxy_to_xywh(pred), xyxy_to_xywh(truth)
    arrows = next(layer for layer in panel_of(playground, Panel).layers if isinstance(layer, Arrows))
    gradient = playground.result.by_autograd
    assert len(arrows.ends) == 5  # x from the centre, w and h at two sides each; y is too small to be seen
    lengths = [math.hypot(x2 - x1, y2 - y1) for x1, y1, x2, y2 in arrows.ends]
    assert lengths[0] == pytest.approx(30) == max(lengths)
    assert lengths[1] / lengths[0] == pytest.approx((gradient[2] / gradient[0]).item(), abs=1e-3)
    x1, _, x2, _ = arrows.ends[0]
    moved = pred + torch.tensor([[0.01 * (x2 - x1), 0, 0, 0]])
    assert bbox_iou(moved, truth) > bbox_iou(pred, truth)


def test_the_plane_shows_the_enclosing_box_its_diagonal_and_the_centres(playground):
    layers = panel_of(playground, Panel).layers
    hull, shared, pair = (layer for layer in layers if isinstance(layer, Boxes))
    assert shared.xyxy == ((90, 80, 150, 140),)
    assert shared.fill > 0
    assert (shared.labels, shared.names) == ((), (f"intersection {60 * 60:,} px²",))  # a label would hide the arrows
    assert hull.xyxy == ((50, 70, 160, 160),)
    assert hull.dash == "dashed"
    assert pair.drag == "boxes"
    assert pair.xyxy == tuple(tuple(map(float, box)) for box in OVERLAPPING)
    diagonal, centres, *ways = (layer for layer in layers if isinstance(layer, Line))
    terms = playground.result.terms
    assert math.dist(*diagonal.points) ** 2 == pytest.approx(terms.enclosing_diagonal_squared.item())
    assert math.dist(*centres.points) ** 2 == pytest.approx(terms.centre_distance_squared.item())
    assert len({way.dash for way in ways}) == len({way.colour for way in ways}) == 4


def test_the_tables_say_what_the_overlaps_are_made_of(playground):
    terms, overlaps, gradients, _ = tables_of(playground)
    assert dict(terms.rows)["intersection"] == "3,600.0 px²"
    assert dict(terms.rows)["centre distance ρ"] == "25.50 px"
    for kind, _, here, overlap, loss in overlaps.rows:
        parts = [float(part) for part in here.split(" - ")]
        assert parts[0] - sum(parts[1:]) == pytest.approx(float(overlap), abs=2e-4)
        assert float(overlap) == pytest.approx(playground.result.overlap[kind], abs=1e-4)
        assert float(overlap) + float(loss) == pytest.approx(1, abs=1e-4)
    assert overlaps.marked == (3,)
    assert [row[0] for row in gradients.rows] == ["x", "y", "w", "h"]


def test_a_third_box_or_one_outside_is_refused_with_a_sentence():
    w = IouPlayground(boxes=OVERLAPPING)
    before = w.boxes
    w.boxes = (*OVERLAPPING, (1, 1, 5, 5))
    assert w.message == "boxes holds two boxes, the prediction and the truth, not 3"
    assert w.boxes == before
    w.boxes = ()
    assert "not 0" in w.message
    w.boxes = ((-5, 0, 10, 10), OVERLAPPING[1])
    assert f"({WIDTH}, {HEIGHT})" in w.message
    assert w.boxes == before
    assert w.result.overlap["iou"] == pytest.approx(0.413793, abs=1e-5)
    w.box_loss = "siou"
    assert w.message == "box_loss is one of iou, giou, diou, ciou, not 'siou'"
    w.rate = 0
    assert "learning rate (rate) lies between 1 and 2000" in w.message


def test_corners_may_come_in_any_order(playground):
    x1, y1, x2, y2 = OVERLAPPING[0]
    swapped = IouPlayground(boxes=((x2, y2, x1, y1), OVERLAPPING[1]))
    assert swapped.result.overlap == playground.result.overlap


def test_the_code_gives_the_number_on_screen(playground):
    import yolo_lite as yl

    *before, last = playground.as_code().splitlines()
    names = {"torch": torch, "yl": yl}
    exec("\n".join(before), names)
    assert eval(last, names).item() == playground.result.overlap["ciou"]


def test_the_words_name_all_four_and_whether_the_gradients_agree(playground):
    assert repr(playground) == (
        "IoU playground: box_loss ciou, rate 800, steps 20\n"
        "iou 0.414, giou 0.293, diou 0.382, ciou 0.377; the gradient by formula equals autograd's"
    )


def test_the_path_ends_near_the_truth():
    w = IouPlayground(boxes=OVERLAPPING, steps=200)
    ends = xywh_to_xyxy(w.result.descent.boxes[:, -1])
    assert (ends - torch.tensor(OVERLAPPING[1])).abs().max() < 3
    assert (w.result.descent.ious[:, -1] > 0.95).all()


def test_plain_losses_are_torchs_and_grow_with_the_boxes_where_overlaps_do_not(playground):
    pred, truth = (xyxy_to_xywh(torch.tensor([box], dtype=torch.float32)) for box in OVERLAPPING)
    functions = {"l1": functional.l1_loss, "smooth_l1": functional.smooth_l1_loss, "l2": functional.mse_loss}
    comparison = playground.result.comparison
    assert list(comparison.losses) == [*functions, *IOU_KINDS]
    for times, scale in enumerate(SCALES):
        for kind, loss in functions.items():
            assert comparison.losses[kind][times] == pytest.approx(loss(pred * scale, truth * scale).item())
        for kind in IOU_KINDS:
            assert comparison.losses[kind][times] == pytest.approx(1 - playground.result.overlap[kind], abs=1e-6)
    assert comparison.gradients["l1"].tolist() == [-0.25, -0.25, 0.25, -0.25]  # x, y, h too small, w too large
    assert comparison.gradients["l2"].tolist() == [-12.5, -2.5, 15, -15]


def test_the_table_beside_l1_marks_the_chosen_loss_and_the_same_boxes_have_no_lines():
    w = IouPlayground(boxes=SITUATIONS["identical"], box_loss="giou")
    *_, table = tables_of(w)
    assert [row[0] for row in table.rows] == ["l1", "smooth_l1", "l2", *IOU_KINDS]
    assert table.rows[table.marked[0]][0] == "giou"
    chart = w.as_scene().all_rows[-1][-1]
    assert (chart.marks, chart.caption) == ((), "the boxes are the same: every loss is 0")
    w.boxes = OVERLAPPING
    assert [mark.name for mark in w.as_scene().all_rows[-1][-1].marks] == ["l1", "smooth_l1", "l2", "giou"]
