"""What moves step by step, what is dragged on a chart, and what is guessed: each as the library's functions say."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

import yolo_lite as yl
from walkthrough import AnchorExplorer, GradientExplorer, IouPlayground, LayerExplorer, NmsExplorer, ScheduleExplorer
from walkthrough.explorers.base import Explorer
from walkthrough.explorers.controls import PACE, slider, toggle
from walkthrough.explorers.gradient.state import DOWN
from walkthrough.explorers.nms.suppression import recalls
from walkthrough.scene import Boxes, Chart, Guess, Line, Panel, Scene, Table
from walkthrough.serialise import from_json, to_json
from yolo_lite.boxes import IOU_KINDS, bbox_iou, box_iou, xywh_to_xyxy
from yolo_lite.detect.nms import UNDECIDED
from yolo_lite.loss.targets import ratio_test


def boxes_with(explorer: Explorer, label: str) -> list[tuple[float, ...]]:
    """The boxes of the picture whose label contains a word."""
    layers = [layer for panel in explorer.as_scene().rows[0] if isinstance(panel, Panel) for layer in panel.layers]
    found = [layer for layer in layers if isinstance(layer, Boxes)]
    return [box for layer in found for box, name in zip(layer.xyxy, layer.labels, strict=False) if label in name]


def control(explorer: Explorer, name: str) -> dict[str, Any]:
    return next(shown for shown in explorer.page_state()["controls"] if shown["name"] == name)


def charts(explorer: Explorer) -> list[Chart]:
    return [panel for row in explorer.as_scene().all_rows for panel in row if isinstance(panel, Chart)]


# -- controls that play ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    count: int = slider(8, 1, 20)
    shown: int | None = slider(None, 0, lambda state: state.count, plays=True)
    guess: bool = toggle(False, quiet=True)


class Steps(Explorer[State, int]):
    compute = staticmethod(lambda state: state.count if state.shown is None else state.shown)
    scene = staticmethod(lambda result: Scene((), words=f"{result} steps"))


def test_none_is_the_upper_end_wherever_that_is() -> None:
    w = Steps()
    assert (w.shown, w.result, w.page_state()["values"]["shown"]) == (None, 8, 8)
    w.count = 12
    assert (w.shown, w.page_state()["values"]["shown"]) == (None, 12)
    w.shown = 3
    assert (w.shown, w.result) == (3, 3)
    w.page_moved({"shown": 12})
    assert w.shown is None
    w.shown = 13
    assert "between 0 and 12" in w.message
    w.shown = 2.5
    assert "whole number" in w.message


def test_what_is_no_setting_is_named_only_where_it_was_changed() -> None:
    w = Steps()
    assert repr(w).splitlines()[0] == "Steps: count 8"
    w.set(shown=3, guess=True)
    assert repr(w).splitlines()[0] == "Steps: count 8, shown 3, guess True"


def test_the_page_is_told_the_pace_and_a_frozen_explorer_too() -> None:
    assert [control(Steps(), name)["plays"] for name in ("count", "shown")] == [0, PACE]
    frozen = Steps().freeze(shown=[0, 4, 8])
    assert frozen.controls[0].on_page()["plays"] == PACE
    assert frozen.controls[0].settings == (0, 4, None)  # the end stays the end
    assert frozen.controls[0].values == (0, 4, 8)
    assert Steps().freeze("shown").controls[0].values == tuple(range(9))
    assert control(LayerExplorer(), "layer")["plays"] > 0


# -- the steps themselves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", IOU_KINDS)
def test_the_prediction_goes_down_its_loss_step_by_step(kind: str) -> None:
    w = IouPlayground(box_loss=kind)
    assert boxes_with(w, "step") == []
    w.step = 6
    box = w.result.descent.boxes[IOU_KINDS.index(kind), 6]
    assert boxes_with(w, "step 6 of 20") == [pytest.approx(xywh_to_xyxy(box).tolist(), abs=1e-3)]
    moving = box[None].clone().requires_grad_()
    truth = torch.tensor([w.boxes[1][:4]])
    loss = 1 - bbox_iou(xywh_to_xyxy(moving), truth, kind, "xyxy")
    assert torch.allclose(torch.autograd.grad(loss.sum(), moving)[0][0], w.result.slope, atol=1e-5)
    assert f"to {loss.item():.2f}, IoU" in w.headline
    along = [chart for chart in charts(w) if chart.x_label == "step"]
    assert len(along) == 2
    assert all((chart.upright, chart.drag) == ((6,), "step") for chart in along)
    w.steps = 4
    assert w.step == 4


def test_suppression_stops_after_any_box_as_the_library_would_with_so_many_allowed() -> None:
    w = NmsExplorer()
    decoded = w.state.boxes_of(w.state.shown)
    whole = w.result.decided
    assert w.step is None
    assert control(w, "step")["high"] == len(whole.kept)
    for step in range(len(whole.kept)):
        w.step = step
        found = yl.non_max_suppression(decoded[None], w.conf_thres, w.iou_thres, max_det=step)[0] if step else ()
        assert len(w.result.decided.detections) == len(found) == step
        if not step:
            assert f"{len(whole.by)} candidates" in w.headline
            continue
        assert torch.equal(w.result.decided.detections, found)
        best, choice = int(whole.kept[step - 1]), w.result.choice
        assert choice.index == best
        assert set(choice.suppressed) == set((whole.by == best).nonzero().squeeze(1).tolist())
        left = int((w.result.decided.by == UNDECIDED).sum())
        assert f"box {best} " in w.headline
        assert w.headline.endswith(f"{left} are left.")
        boxes = whole.found.xyxy
        for word in w.headline.split(" (IoU ")[1:]:
            assert any(f"{iou:.2f}" == word[:4] for iou in box_iou(boxes[[best]], boxes)[0].tolist())
    w.step = len(whole.kept)
    assert w.step is None
    assert torch.equal(w.result.decided.kept, whole.kept)


def test_a_click_and_another_threshold_leave_the_way_of_the_suppression() -> None:
    w = NmsExplorer(step=3)
    w.chosen = (0,)
    assert (w.step, w.result.choice.index) == (None, 0)
    w.step = 5
    w.conf_thres = 0.97
    assert w.step is None or w.step < w.state.steps
    figures = NmsExplorer().result.figures
    assert NmsExplorer(step=2).result.figures[1].boxes == figures[1].boxes  # precision and recall are of the end


def test_a_box_goes_along_its_gradient_and_its_loss_falls() -> None:
    w = GradientExplorer()
    assert w.result.way is None
    truths = torch.tensor([w.state.objects[cell.target][:4] for cell in w.result.strongest])
    row = int(bbox_iou(xywh_to_xyxy(w.result.moved.before), truths, "ciou", "xyxy").argmin())  # it has the longest way
    w.set(step=4, chosen=(row,))
    cell, way = w.result.strongest[row], w.result.way
    assert way.shape == (DOWN + 1, 4)
    assert torch.equal(way[0], w.result.moved.before[row])
    assert [tuple(layer.points[-1]) for layer in boxed_lines(w)] == [pytest.approx(way[4, :2].tolist(), abs=1e-3)]
    truth = torch.tensor([w.state.objects[cell.target][:4]])
    overlaps = bbox_iou(xywh_to_xyxy(way), truth, "ciou", "xyxy")
    assert overlaps[-1] > overlaps[0] + 0.02
    assert f"object {cell.target}" in w.headline
    w.objects = [(*box[:2], box[2] + 9, *box[3:]) for box in w.objects]
    assert w.step == 0


def boxed_lines(explorer: Explorer) -> list[Line]:
    layers = [layer for panel in explorer.as_scene().rows[0] for layer in panel.layers]
    return [layer for layer in layers if isinstance(layer, Line)]


def test_a_cell_of_the_background_keeps_its_box() -> None:
    w = GradientExplorer(term="obj background", step=3)
    assert w.result.strongest[0].target is None
    assert "no gradient" in w.headline


# -- the line of a chart ---------------------------------------------------------------------------------------------


def test_lines_are_dragged_for_the_settings_that_they_stand_for() -> None:
    marked = [chart for chart in charts(ScheduleExplorer(iteration=40)) if chart.upright]
    assert [chart.drag for chart in marked] == ["iteration"] * 3
    marked = [chart for chart in charts(AnchorExplorer(anchor_t=3)) if chart.upright == (3,)]
    assert [chart.drag for chart in marked] == ["anchor_t"] * 2
    assert from_json(to_json(marked[0])) == marked[0]


def test_every_place_on_the_curve_is_the_recall_of_its_threshold() -> None:
    w = NmsExplorer()
    (curve,) = [chart for chart in charts(w) if chart.drag == "conf_thres"]
    assert curve.upright == (w.result.after.recall,)
    assert len(curve.places) > 5
    assert [recall for recall, _ in curve.places] == sorted({recall for recall, _ in curve.places})
    for recall, threshold in (curve.places[0], curve.places[len(curve.places) // 2], curve.places[-1]):
        w.conf_thres = threshold
        assert w.result.after.recall == pytest.approx(recall, abs=1e-6)
    again = NmsExplorer(conf_thres=0.5).result.recalls
    assert again == curve.places  # they do not depend on where the line stands


def test_without_objects_no_line_is_dragged() -> None:
    w = NmsExplorer()
    for picture in range(len(w.state.pictures)):
        w.picture = picture
        w.objects = []
    assert [chart.drag for chart in charts(w)] == [""]
    assert recalls([torch.zeros(0, 11)], [torch.zeros(0, 5).numpy()], w.state.rule) == [(0.0, 0.99)]


# -- a guess ---------------------------------------------------------------------------------------------------------


def test_the_answers_are_what_the_ratio_test_says_and_are_not_told_before() -> None:
    w = AnchorExplorer(guess=True, anchor_t=3)
    picture, guess = w.as_scene().rows[0]
    assert isinstance(guess, Guess)
    anchors = torch.tensor(w.state.anchors).flatten(0, 1)
    x1, y1, x2, y2 = w.state.objects[w.object][:4]
    test = ratio_test(torch.tensor([[x2 - x1, y2 - y1]]), anchors, 3.0)
    assert list(guess.right) == test.passed[:, 0].tolist()
    assert True in guess.right
    assert False in guess.right
    for reason, worst, passed in zip(guess.because, test.worst[:, 0].tolist(), guess.right, strict=True):
        assert reason.endswith(f"= {worst:.3g} {'<' if passed else '>'} 3")
    outlines = next(layer for layer in picture.layers if isinstance(layer, Boxes) and layer.refs == guess.refs)
    assert outlines.dash == "dashed"
    told = (repr(w), w.headline, picture.title, picture.caption, *map(str, w.as_scene().all_rows[0][1].rows))
    assert not any(word in text for text in told for word in ("matches", "is matched", "not matched", "< 3", "> 3"))
    assert isinstance(w.as_scene().all_rows[0][1], Table)  # of a still picture
    assert from_json(to_json(guess)) == guess


def test_there_is_nothing_to_guess_without_an_object_or_by_default() -> None:
    assert not any(isinstance(panel, Guess) for panel in AnchorExplorer().as_scene().rows[0])
    w = AnchorExplorer(images=torch.zeros(1, 3, 640, 640), targets=torch.zeros(0, 6), guess=True)
    assert "no object" in w.headline
    assert len(w.as_scene().rows[0]) == 1


@pytest.mark.parametrize("wrong", [{"right": (True,)}, {"because": ("a",)}, {"refs": ("a", "b", "c")}])
def test_a_guess_has_a_fact_for_each_answer(wrong: dict[str, Any]) -> None:
    whole = Guess("which?", ("a", "b"), (True, False))
    with pytest.raises(ValueError, match=f"2 answers, but . {next(iter(wrong))}"):
        replace(whole, **wrong)
