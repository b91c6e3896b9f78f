"""FamilyExplorer: its numbers are those of the two losses, whatever is chosen."""

from pathlib import Path

import pytest
import torch

import yolo_lite as yl
from tests.walkthrough.detectors import ByProtocol, Centres, pictures, two_levels
from tests.walkthrough.generations import GENERATIONS, model_of
from walkthrough import FamilyExplorer
from walkthrough.explorers.family.words import RULES, TERMS
from walkthrough.explorers.pictures import images_of, targets_of
from walkthrough.gradients import map_gradients, maps_of
from walkthrough.render.live import Live
from walkthrough.scene import Chart, Panel, Table
from yolo_lite.loss.criterion import IGNORED, NEGATIVE, POSITIVE

PAIRS = [("YOLOv1", "YOLOv2"), ("YOLOv3", "YOLOv4"), ("YOLOv5", "SSD"), ("RetinaNet", "FCOS")]
PAIRS += [("YOLOv7", "YOLOv8"), ("YOLOv9", "YOLO11"), ("YOLO-World", "YOLOv8")]


@pytest.fixture(scope="module")
def shown() -> FamilyExplorer:
    return FamilyExplorer()


@pytest.mark.parametrize("pair", PAIRS)
def test_every_number_is_of_the_loss_that_training_calls(shown: FamilyExplorer, pair: tuple[str, str]) -> None:
    shown.clear()
    shown.reset()
    shown.set(left=pair[0], right=pair[1])
    assert shown.message == ""
    picture = shown.state.shown
    targets = targets_of((picture,))
    for side, name in zip(shown.result.sides, pair, strict=True):
        model = model_of(name)
        loss, maps = model.criterion(yl.Hyperparameters(), 224), maps_of(model, images_of((picture,)))
        parts, assigned = loss(maps, targets), loss.assign(maps, targets)
        assert side.parts == pytest.approx({term: value.item() for term, value in parts._asdict().items()})
        assert torch.equal(side.role, assigned.role[0])
        assert torch.equal(side.target, assigned.target[0])
        assert side.counts == {
            word: int((assigned.role == role).sum())
            for word, role in (("positive", POSITIVE), ("ignored", IGNORED), ("negative", NEGATIVE))
        }
        torch.testing.assert_close(side.boxes, model.decode(maps)[0, :, :4])
        gradients = map_gradients(loss, maps, targets, model.decode)
        whole = torch.stack([level.norm() for level in gradients.of("total")]).norm()
        if name != "YOLOv1":  # whose two boxes of a cell share the classes
            torch.testing.assert_close(side.gradients.strength.norm(), whole)
        level, anchor, row, col = side.cells[side.chosen].tolist()
        own = gradients.cells("total", level)[0, anchor, row, col]
        torch.testing.assert_close(torch.tensor(side.gradients.values).norm(), own)
        assert len(side.gradients.names) == len(side.gradients.values)
        assert side.kind in RULES
        assert set(TERMS[side.kind]) == set(parts._fields[1:])


def test_the_code_makes_the_same_numbers(shown: FamilyExplorer) -> None:
    shown.clear()
    shown.reset()
    shown.set(left="YOLOv4", right="YOLOv5", faithful="paper")
    names = {"yl": yl, "images": images_of((shown.state.shown,)), "targets": targets_of((shown.state.shown,))}
    exec(shown.as_code(), names)
    for side in ("left", "right"):
        assert getattr(shown.result, side).parts["total"] == pytest.approx(names[f"{side}_parts"].total.item())
        assert torch.equal(getattr(shown.result, side).role, names[f"{side}_assigned"].role[0])


def test_the_form_of_the_loss_changes_gradients_and_is_there_for_darknet_only(shown: FamilyExplorer) -> None:
    shown.clear()
    shown.reset()
    shown.set(left="YOLOv4", right="FCOS")
    box = {name: value for name, value in zip(*shown.result.left.gradients[1:], strict=True) if name.startswith("t_")}
    total = shown.result.left.parts["total"]
    shown.faithful = "paper"
    other = {name: value for name, value in zip(*shown.result.left.gradients[1:], strict=True) if name.startswith("t_")}
    assert shown.result.left.parts["total"] == pytest.approx(total)
    assert box != pytest.approx(other, rel=1e-3)
    shown.set(left="SSD")
    assert "faithful" not in {control["name"] for control in Live(shown).controls}


def test_rows_grids_and_predictions_are_chosen(shown: FamilyExplorer) -> None:
    shown.clear()
    shown.reset()
    shown.set(left="YOLOv3", right="YOLOv5", object=1)
    left = shown.result.left
    assert int(left.target[left.chosen]) == 1
    assert left.level == int(left.cells[left.chosen, 0])
    shown.left_row = (2,)
    assert shown.result.left.chosen == shown.result.left.listed[2]
    shown.left_prediction = 17
    assert shown.result.left.chosen == 17
    assert shown.left_row is None
    shown.left_level = 2
    assert shown.result.left.level == 2
    panel = shown.as_scene().all_rows[0][0]
    assert "28 x 28 cells" in panel.caption
    shown.left = "YOLOv2"
    assert (shown.left_level, shown.left_prediction) == (-1, -1)
    shown.left_prediction = 10**6
    assert shown.result.left.chosen == shown.result.left.listed[0]


def test_a_moved_object_is_followed_and_its_gradients_wait(shown: FamilyExplorer) -> None:
    shown.clear()
    shown.reset()
    before = shown.result.left.target.clone()
    x1, y1, x2, y2, cls = shown.objects[0]
    shown.objects = [(x1 - 64, y1 - 32, x2 - 64, y2 - 32, cls), *shown.objects[1:]]
    assert shown.computed.left.gradients is None
    assert not torch.equal(shown.computed.left.target, before)
    assert shown.page_draft() is None  # nothing that is late is open
    draft = shown.draft(shown.computed)
    charts = [panel for row in draft.all_rows for panel in row if isinstance(panel, Chart)]
    assert sum(chart.late for chart in charts) == 2
    shown.page_scene()
    assert shown.computed.left.gradients is None  # what is folded is not computed
    opened = next(more for more in shown.page_scene().more if more.title == "gradients").unfolded()
    assert not any(panel.late for row in opened for panel in row)
    assert shown.computed.left.gradients is not None
    assert shown.draft(shown.computed) is None


def test_two_objects_in_a_cell_of_yolov1(shown: FamilyExplorer) -> None:
    shown.clear()
    shown.reset()
    shown.objects = [(96, 96, 128, 128, 1), (100, 90, 124, 134, 2)]
    assert shown.result.left.dropped == [1]
    assert "no prediction for object 1" in repr(shown)
    assert shown.result.left.counts["positive"] == 1
    assert " has 1 positive among " in shown.headline
    labels = [label for layer in shown.as_scene().all_rows[0][0].layers for label in getattr(layer, "labels", ())]
    assert [label.endswith("not matched") for label in labels] == [False, True]


def test_without_objects(shown: FamilyExplorer) -> None:
    for pair in PAIRS:
        shown.clear()
        shown.reset()
        shown.set(left=pair[0], right=pair[1], objects=[])
        assert shown.message == ""
        assert shown.result.left.counts["positive"] == 0
        assert len(shown.as_scene().all_rows) == 6
        assert "0 positive" in repr(shown)
    assert shown.as_scene().png("dark")[:4] == b"\x89PNG"


def test_the_readers_own_detectors(tmp_path: Path) -> None:
    images, targets = pictures(size=64)
    own = two_levels(tmp_path).eval()
    w = FamilyExplorer(images=images, targets=targets, models={"mine": own, "hidden": ByProtocol(own)})
    assert w.message == ""
    assert (w.left, w.right) == ("mine", "hidden")
    assert w.result.left.parts == w.result.right.parts
    assert w.state.names[:3] == ("cat", "dog", "bird")
    assert "models['mine']" in w.as_code()
    w = FamilyExplorer(images=images, targets=targets, models=[own], img_size=96)
    assert {picture.size for picture in w.state.pictures} == {(96, 96)}
    for name in GENERATIONS:
        w.right = name
        assert w.message == "", name
        assert w.right == name
        assert w.result.right.grids[0] == (96 // w.result.right.strides[0],) * 2


def test_photographs_of_any_size_are_made_square() -> None:
    wide = [torch.zeros(3, 40, 100), torch.zeros(3, 90, 30)]
    w = FamilyExplorer(images=wide, targets=[[0, 9, 0.5, 0.5, 0.5, 0.5]])
    assert w.message == ""
    assert {picture.size for picture in w.state.pictures} == {(224, 224)}
    assert w.state.detectors.num_classes == 10
    w.add_picture(wide[0], "mine")
    assert w.message == ""


def test_what_cannot_be_used_is_answered_by_a_sentence(tmp_path: Path) -> None:
    images, _ = pictures(size=64)
    own = two_levels(tmp_path)
    for given, facts in (
        ({"models": torch.nn.Linear(1, 1)}, ("Linear", "decode")),
        ({"models": "none.pt"}, ("none.pt",)),
        ({"models": own, "images": images, "targets": [[0, 5, 0.5, 0.5, 0.2, 0.2]]}, ("class 5", "2")),
        ({"models": Centres(), "images": images}, ("assign",)),
        ({"hyp": 3}, ("hyp",)),
    ):
        w = FamilyExplorer(**given)
        assert w.result is None
        assert all(fact in w.message for fact in facts), w.message
    w = FamilyExplorer()
    w.left = "YOLOv6"
    assert "YOLOv6" in w.message
    assert w.left == "YOLOv1"


def test_the_picture_tells_roles_apart_without_colour(shown: FamilyExplorer) -> None:
    shown.clear()
    shown.reset()
    shown.set(left="YOLOv3", right="SSD")
    scene = shown.as_scene()
    looks = {key.text: (key.hatch, key.dash) for key in scene.legend}
    assert len({looks[text] for text in looks if text.startswith(("positive", "ignored", "negative"))}) == 3
    assert sum(isinstance(panel, Panel) for row in scene.all_rows for panel in row) == 4
    assert sum(isinstance(panel, Table) for row in scene.all_rows for panel in row) == 4
