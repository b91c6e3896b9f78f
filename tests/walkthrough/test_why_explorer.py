"""WhyExplorer sorts what predict gives, and tells where each box was lost, for any detector and any labels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import yolo_lite as yl
from tests.walkthrough.detectors import Centres, two_levels
from walkthrough import NmsExplorer, WhyExplorer
from walkthrough.explorers.inputs import FIRST
from walkthrough.explorers.pictures import images_of, targets_of
from walkthrough.explorers.why.reading import Assigned
from walkthrough.explorers.why.reasons import WORDS
from walkthrough.scene import Boxes, Table
from walkthrough.serialise import to_json
from walkthrough.style import CLASSES, GREEN
from yolo_lite.analysis.errors import KINDS
from yolo_lite.datasets.shapes import Shapes, export_shapes
from yolo_lite.detect.matching import match_detections

SIDE = 128
LEFT, RIGHT, BELOW = (32.0, 32, 20, 20), (96.0, 32, 20, 20), (64.0, 96, 20, 20)  # xywh


class Said(nn.Module):
    """A detector that says what it was told to, from the cells of one level at stride 32."""

    names, num_classes, strides = ("cat", "dog", "owl"), 3, (32,)

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 32, 32)
        self.register_buffer("rows", torch.tensor([*rows, *[[8.0, 8, 4, 4, 0, 0, 0, 0]] * (16 - len(rows))]))

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.conv(images)]

    def decode(self, maps: list[Tensor]) -> Tensor:
        return self.rows[None].expand(len(maps[0]), -1, -1)

    def criterion(self, hyp: yl.Hyperparameters, img_size: int = 640) -> nn.Module:
        return nn.Identity()  # a loss without assign


def row(box: tuple, cat: float = 0.0, dog: float = 0.0, owl: float = 0.0, objectness: float = 1.0) -> list[float]:
    return [*box, objectness, cat, dog, owl]


def moved(box: tuple, right: float) -> tuple:
    return (box[0] + right, *box[1:])


def facts_of(w: WhyExplorer) -> dict[str, str]:
    return {fact.what: fact.value for fact in w.result.reason.facts}


def target(box: tuple, cls: int) -> list[float]:
    return [0, cls, *(value / SIDE for value in box)]


def why(rows: list[list[float]], targets: list[list[float]], **settings: object) -> WhyExplorer:
    w = WhyExplorer(images=torch.zeros(1, 3, SIDE, SIDE), targets=targets, model=Said(rows), **settings)
    assert w.message == ""
    return w


@pytest.fixture(scope="module")
def drawn() -> WhyExplorer:
    return WhyExplorer()


@pytest.fixture
def scenes(drawn: WhyExplorer) -> WhyExplorer:
    """The default pictures, as they are at the beginning."""
    drawn.reset()
    return drawn


LOST = [
    ("confidence", [row(LEFT, cat=0.2)], {}, ["0.2", "conf_thres 0.25"]),
    ("confidence", [row(LEFT, cat=0.9, objectness=0.1)], {}, ["objectness 0.1"]),
    ("class", [row(LEFT, cat=0.4, dog=0.6)], {}, ["dog 0.60", "cat 0.40"]),
    ("suppressed", [row(LEFT, cat=0.4), row(moved(LEFT, 8), cat=0.9)], {"iou_thres": 0.4}, ["0.90", "IoU 0.43 > 0.4"]),
]


@pytest.mark.parametrize(("stage", "rows", "settings", "facts"), LOST)
def test_where_the_best_prediction_of_a_label_was_lost(stage: str, rows: list, settings: dict, facts: list) -> None:
    w = why(rows, [target(LEFT, 0)], **settings)
    w.chosen = (len(w.result.errors) - 1,)
    best = w.result.reason.best
    assert best.stage == stage
    assert best.prediction == 0
    assert best.iou == pytest.approx(1)
    assert all(fact in best.words for fact in facts), best.words


def test_a_miss_without_any_box_near_it() -> None:
    w = why([row(moved(LEFT, 15), cat=0.9)], [target(LEFT, 0), target(BELOW, 2)])
    assert [error.kind for error in w.result.errors] == ["localization", "missed"]
    w.chosen = (1,)
    assert "Missed owl" in w.headline
    assert "no prediction overlaps it by 0.5" in w.headline


def test_each_kind_says_why() -> None:
    rows = [
        row(LEFT, cat=0.95),
        row(moved(LEFT, 6), cat=0.9),  # IoU 14 / 26 with the first: found the same label
        row(RIGHT, cat=0.8, dog=0.3),
        row(moved(BELOW, 10), owl=0.7),
        row((20.0, 100, 16, 16), owl=0.6),
        row((100.0, 100, 16, 16), dog=0.5),
    ]
    targets = [target(LEFT, 0), target(RIGHT, 1), target(BELOW, 2), target((108.0, 100, 16, 16), 0)]
    w = why(rows, targets, iou_thres=0.6)
    said = {}
    for number, error in enumerate(w.result.errors):
        w.chosen = (number,)
        said[error.kind] = (w.headline, facts_of(w))
    assert said.keys() == set(KINDS)
    for kind, facts in {
        "duplicate": ["cat", "0.54", "iou_thres 0.6"],
        "classification": ["dog", "cat 0.80", "dog 0.30"],
        "localization": ["owl", "0.33"],
        "both": ["dog", "cat", "0.33"],
        "background": ["owl", "no label"],
        "missed": ["cat"],
    }.items():
        assert all(fact in said[kind][0] for fact in facts), said[kind][0]
    assert said["localization"][1]["off by"] == "10 px right, 0 px down; 1.00 x as wide, 1.00 x as high"
    assert said["background"][1]["removed by"] == "conf_thres from 0.60 on"
    assert w.result.costs.counts == dict.fromkeys(KINDS, 1)


def test_detections_and_errors_are_those_of_the_library(scenes: WhyExplorer) -> None:
    w = scenes
    assert w.message == ""
    model = w.state.model
    for place in range(len(w.state.pictures)):
        w.set(picture=place, conf_thres=0.1)
        with torch.no_grad():
            boxes = model.decode(model.eval()(images_of((w.state.shown,))))
        (expected,) = yl.non_max_suppression(boxes, 0.1, 0.45)
        found = w.result.judged.detections
        np.testing.assert_allclose(found.xyxy, expected[:, :4].numpy(), atol=1e-2)
        labels = np.float32([(box[4], *box[:4]) for box in w.state.shown.boxes])
        right = int(match_detections(expected, labels, np.array([0.5])).sum())
        assert right == (w.result.judged.errors.found_by >= 0).sum()
        assert len(w.result.errors) == len(expected) - right + w.result.judged.errors.missed.sum()


def test_the_default_pictures_hold_every_kind_that_a_story_is_about(scenes: WhyExplorer) -> None:
    w = scenes
    assert any(error.kind for error in w.result.errors)
    for story in w.stories:
        w.show_story(story.label)
        assert w.message == ""
        assert WORDS[w.result.error.kind] == story.label
    assert w.page_state()["stage"]["story"] == w.stories[-1].label


def test_responsible_cells_are_those_of_build_targets(scenes: WhyExplorer) -> None:
    w = scenes
    w.show_story("missed")
    result, model = w.result, w.state.model
    grids = [tuple(side // stride for side in w.state.shown.size) for stride in (8, 16, 32)]
    levels = yl.build_targets(targets_of((w.state.shown,)), grids, model.anchors, model.strides)
    expected = {
        (level, int(a), int(r), int(c))
        for level, match in enumerate(levels)
        for a, r, c, t in zip(match.anchor, match.row, match.col, match.target, strict=True)
        if int(t) == result.error.label
    }
    assert isinstance(result.case.assigned, Assigned)
    found = {tuple(result.case.assigned.cells[one.prediction].tolist()) for one in result.reason.responsible}
    assert found == expected
    assert result.seen.box == (0, 0, *w.state.shown.size[::-1])
    looks = {(key.colour, key.hatch, key.dash) for key in w.as_scene().legend}
    assert looks >= {("own", "", ""), ("neighbour", "/", ""), (GREEN, "", "dotted")}  # all that the close-up has
    assert "bright" in w.as_scene().rows[0][1].caption
    assert result.seen.heard.shape == w.state.shown.size
    level, anchor, _, col = result.case.assigned.cells[result.reason.prediction].tolist()
    place = facts_of(w)["best prediction from"]
    assert f"column {col}" in place
    assert "{:g} x {:g}".format(*model.anchors[level][anchor].tolist()) in place


def tables(w: WhyExplorer) -> list[Table]:
    return [panel for row in w.as_scene().all_rows for panel in row if isinstance(panel, Table)]


def test_rows_boxes_and_colours_go_together(scenes: WhyExplorer) -> None:
    w = scenes
    scene = w.as_scene()
    (boxes,) = [layer for layer in scene.rows[0][0].layers if isinstance(layer, Boxes) and layer.pick == "chosen"]
    (table,) = [panel for panel in tables(w) if panel.pick == "chosen"]
    assert boxes.refs == table.refs
    assert [name.split(" ", 1)[1] for name in boxes.names] == [line[1] for line in table.rows]
    assert {colour[:7] for colour in boxes.colours} <= set(CLASSES)
    front = scene.rows[0][0].layers[-1]
    assert front.labels == (boxes.names[w.result.chosen],)  # the chosen one is the only one in words
    assert {colour == front.colours[0] for colour in boxes.colours} == {True, False}
    assert boxes.labels[w.result.chosen] == ""
    truth = next(layer for layer in scene.rows[0][0].layers if isinstance(layer, Boxes) and layer.drag == "objects")
    assert truth.dash == "dashed"
    to_json(scene)  # drawn by the page
    w.chosen = (len(table.rows) - 1,)
    assert tables(w)[0].marked == (len(table.rows) - 1,)
    marks = {ref for layer in w.as_scene().rows[0][1].layers for ref in getattr(layer, "refs", ())}
    for table in tables(w)[1:]:  # the facts, and the cells that are responsible
        assert marks & set(table.refs)


def test_a_loss_that_does_not_tell_says_so_and_all_else_is_there() -> None:
    w = why([row(LEFT, cat=0.2)], [target(LEFT, 0)])
    assert "no assign" in w.result.reason.unknown
    assert w.result.reason.responsible == ()
    assert all("no assign" in table.caption for table in tables(w)[1:])
    unlabelled = WhyExplorer(images=torch.zeros(1, 3, 64, 64), model=Centres(), conf_thres=0.0)
    assert unlabelled.result.costs is None
    assert "0 labels" in unlabelled.words()


def test_a_model_of_ones_own_with_two_levels(tmp_path: Path) -> None:
    images, targets = torch.rand(1, 3, 64, 64), [[0, 2, 0.5, 0.5, 0.3, 0.4]]
    w = WhyExplorer(images=images, targets=targets, model=two_levels(tmp_path))
    assert w.message == ""
    assert w.result.error.kind == "missed"
    assert "Missed bird" in w.headline
    assert w.result.seen.heard is not None


@pytest.mark.parametrize("kind", [WhyExplorer, NmsExplorer])
def test_labels_that_nothing_can_find_are_left_out_and_counted(kind: type) -> None:
    flat, strange = target((20.0, 40, 0, 16), 1), [target(RIGHT, 7), target(BELOW, 7)]
    given = {"images": torch.zeros(1, 3, SIDE, SIDE), "model": Said([row(LEFT, cat=0.9)])}
    w = kind(targets=[*strange, target(LEFT, 0), flat], **given)
    assert w.state.shown.boxes == ((22, 22, 42, 42, 0),)
    assert w.state.names == Said.names
    assert w.message.count("left out") == 1
    assert all(fact in w.message for fact in ("2 labels of class 7", "0 to 2", "1 label without area", "0 x 16 px"))
    assert "Error" not in w.message
    w.conf_thres = 0.5
    assert "2 labels of class 7" in w.message
    assert kind(targets=[flat, target(LEFT, 0)], **given).message.startswith("left out: 1 label without area")
    assert kind(targets=[target(LEFT, 0)], **given).message == ""


def test_labels_of_a_dataset_that_the_model_does_not_know_are_counted_page_by_page(tmp_path: Path) -> None:
    export_shapes(tmp_path, ("val",), size=64, count=FIRST + 1)
    model = Said([row(LEFT, cat=0.9)])
    model.names = None  # classes are known by their numbers alone
    w = WhyExplorer(images=tmp_path, model=model, img_size=64)
    rows = [len(w.state.dataset.objects(k).cls[w.state.dataset.objects(k).cls >= 3]) for k in range(FIRST + 1)]
    assert f"{sum(rows[:FIRST])} labels" in w.message
    w.index = FIRST
    assert (f"left out: {rows[FIRST]} label" in w.message) == bool(rows[FIRST])


def test_both_explorers_of_detections_count_the_same_objects_as_found(scenes: WhyExplorer) -> None:
    w, nms = scenes, NmsExplorer()
    (shown,) = [p for p in nms.state.pictures if np.array_equal(p.pixels, w.state.pictures[0].pixels)]
    place = nms.state.pictures.index(shown)
    for conf_thres in (0.05, 0.25, 0.6):
        nms.set(picture=place, conf_thres=conf_thres)
        w.conf_thres = conf_thres
        found = f"{int(nms.result.correct.sum())} of {len(shown.boxes)} objects found (its class, IoU ≥ 0.5)"
        assert found in nms.as_scene().rows[0][1].caption
        assert found in w.as_scene().rows[0][0].caption
    given = {"images": [w.state.shown.pixels], "targets": targets_of((w.state.shown,)), "conf_thres": 0.05}
    one, other = (kind(model=yl.create_model("yolov5n", num_classes=6), **given) for kind in (WhyExplorer, NmsExplorer))
    assert (
        one.state.shown.size == other.state.shown.size == (640, 640)
    )  # what predict takes of a model that says no size


def test_labels_that_are_drawn_move_the_errors() -> None:
    w = why([row(LEFT, cat=0.9)], [])
    assert [error.kind for error in w.result.errors] == ["background"]
    w.objects = ((22.0, 22.0, 42.0, 42.0, 0.0),)
    assert w.result.errors == ()
    assert "no error" in w.words()
    w.objects = ((22.0, 22.0, 42.0, 42.0, 1.0),)
    assert [error.kind for error in w.result.errors] == ["classification"]


def test_pages_through_a_dataset_and_evaluates_all_of_it(tmp_path: Path) -> None:
    export_shapes(tmp_path, ("val",), size=64, count=FIRST + 2)
    w = WhyExplorer(images=tmp_path, img_size=64)
    assert w.message == ""
    assert len(w.state.pictures) == FIRST
    w.index = FIRST + 1
    assert (w.state.picture, len(w.state.pictures)) == (1, 2)
    assert w.state.shown.name.startswith(f"{FIRST + 1} ")
    assert w.index == FIRST + 1
    w.picture = 0
    assert w.index == FIRST
    w.index = 3
    w.picture = 5
    assert w.index == 5
    w.evaluate_all()
    assert w.message == ""
    assert len(w.result.whole.images) == FIRST + 2
    assert "whole dataset" in w.as_scene().all_rows[-1][0].caption
    single = why([], [])
    single.evaluate_all()
    assert "dataset" in single.message


def test_all_that_people_hold(tmp_path: Path) -> None:
    pixels = Shapes("val", 64, 1).read(0)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    weights = tmp_path / "own.safetensors"
    yl.save(yl.load("shapes-n"), weights)
    model = yl.load(weights)
    for images in (tmp_path / "one.png", str(tmp_path / "one.png"), Image.fromarray(pixels), pixels, [pixels, pixels]):
        w = WhyExplorer(images=images, model=model, img_size=64)
        assert w.message == ""
        assert {picture.size for picture in w.state.pictures} == {(64, 64)}
    assert WhyExplorer(images=pixels, model=str(weights)).state.names == Shapes.names
    refused = WhyExplorer(images="https://example.org/a.jpg")
    assert refused.result is None
    assert "example.org" in refused.message


def test_code_finds_the_same_errors(scenes: WhyExplorer) -> None:
    w = scenes
    w.set(picture=1, conf_thres=0.2)
    names = {"yl": yl, "torch": torch, "model": w.state.model.eval()}
    names |= {"images": images_of(w.state.pictures), "targets": targets_of(w.state.pictures)}
    with torch.no_grad():
        exec(w.as_code(), names)
    assert names["errors"].counts == w.result.judged.errors.counts
