"""AnchorExplorer: what it shows is what build_targets and anchor_fit say, on pictures and models of any kind."""

import copy

import cv2
import numpy as np
import pytest
import torch
import yaml

import yolo_lite as yl
from walkthrough import AnchorExplorer, link
from walkthrough.explorers.anchors.fit import THRESHOLDS, Sizes
from walkthrough.explorers.anchors.scene import reason_of, verdict
from walkthrough.scene import Boxes, Cells, Chart, Panel, Table, Text
from yolo_lite.data.source import open_source
from yolo_lite.loss.anchors import anchor_fit, object_sizes
from yolo_lite.loss.targets import ratio_test
from yolo_lite.model.spec import read_spec

ANCHORS = torch.tensor(
    [[[10.0, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]]
)
NINE = """53 .396669 .479963 .793338 .588065; 0 .321526 .212996 .643052 .16726; 60 .420099 .496443 .840199 .563289;
0 .97439 .539114 .0512177 .469156; 0 .62153 .994613 .0269818 .0107708; 0 .21751 .992081 .076763 .0158359;
6 .37533 .892184 .75066 .215629; 6 .781094 .986248 .0703293 .0275012; 0 .927958 .812408 .0307235 .0600933"""
NINE = torch.tensor([[0, *map(float, row.split())] for row in NINE.split(";")])  # reference.md, section 5
BLANK = torch.zeros(1, 3, 640, 640)


@pytest.fixture(scope="module")
def tour():
    return AnchorExplorer()


@pytest.fixture
def nine():
    return AnchorExplorer(images=BLANK, targets=NINE)


def random_targets(count, images=1, seed=0):
    draw = np.random.default_rng(seed)
    wh = draw.uniform(0.01, 0.6, (count, 2))
    centres = draw.uniform(wh / 2, 1 - wh / 2)
    columns = (draw.integers(0, images, (count, 1)), draw.integers(0, 3, (count, 1)), centres, wh)
    return torch.from_numpy(np.concatenate(columns, 1)).float()


def of_kind(explorer, kind):
    return [panel for row in explorer.as_scene().all_rows for panel in row if isinstance(panel, kind)]


def assert_shows_build_targets(explorer):
    """Everything on screen against one call of build_targets on the same objects."""
    result, state = explorer.result, explorer.state
    height, width = state.shown.size
    grids = [(height // stride, width // stride) for stride in state.strides]
    anchors = torch.tensor(state.anchors)
    expected = yl.build_targets(result.targets, grids, anchors, state.strides, state.anchor_t)
    for level, (match, own) in enumerate(zip(expected, result.matches, strict=True)):
        assert all(torch.equal(a, b) for a, b in zip(match, own, strict=True))
        accepted = {
            (anchor, index)
            for anchor in range(len(state.anchors[level]))
            for index in range(len(state.objects))
            if verdict(result, level, anchor, index).passed
        }
        assert accepted == set(zip(match.anchor.tolist(), match.target.tolist(), strict=True))
    objects = next((table for table in of_kind(explorer, Table) if table.pick == "object"), None)
    for index, row in enumerate(objects.rows if objects else ()):
        counts = [int((match.target == index).sum()) for match in expected]
        assert (int(row[-2]), int(row[-1])) == (counts[state.level], sum(counts))


def test_the_nine_objects_of_the_reference(nine):
    assert [int(test.passed.sum()) for test in nine.result.tests] == [9, 6, 10]
    assert [len(match.row) for match in nine.result.matches] == [25, 18, 30]
    assert torch.equal(nine.result.targets, NINE)
    assert_shows_build_targets(nine)


def test_the_worked_example_claims_its_cells_in_the_references_order(nine):
    nine.set(object=7, level=0)
    claimed = nine.result.claimed
    assert list(zip(claimed.col.tolist(), claimed.row.tolist(), strict=True)) == [(62, 78), (61, 78), (62, 79)]
    assert claimed.offset.tolist() == [0, 1, 4]
    assert [len(match.row[match.target == 7]) for match in nine.result.matches] == [6, 6, 0]
    found = verdict(nine.result, 0, 0, 7)
    assert not found.passed
    assert found.reason == "w 5.626 cells / anchor 1.25 = 4.5 > 4"
    close_up = of_kind(nine, Panel)[1]
    assert close_up.caption == "2 anchors x 3 cells = 6 matches"
    assert [layer.text for layer in close_up.layers if isinstance(layer, Text)] == ["own", "left", "down"]


@pytest.mark.parametrize("anchor_t", [1.1, 2.0, 2.91, 4.0, 10.0])
def test_the_verdicts_are_those_of_build_targets_at_any_threshold(anchor_t):
    explorer = AnchorExplorer(images=BLANK, targets=random_targets(40), anchor_t=anchor_t)
    for level in range(3):
        explorer.level = level
        assert_shows_build_targets(explorer)


def test_cells_and_offsets_of_an_object_are_those_of_its_matches():
    explorer = AnchorExplorer(images=BLANK, targets=random_targets(30, seed=3), anchor_t=10)
    compared = 0
    for level in range(3):
        for index in range(30):
            explorer.set(object=index, level=level)
            match, claimed = explorer.result.matches[level], explorer.result.claimed
            for anchor in range(3):
                mine = (match.target == index) & (match.anchor == anchor)
                if mine.any():
                    compared += 1
                    for name in ("row", "col", "offset", "box", "cls", "image"):
                        assert torch.equal(getattr(match, name)[mine], getattr(claimed, name))
    assert compared > 100


def test_a_centre_on_a_grid_line_is_listed_twice():
    explorer = AnchorExplorer(images=BLANK, targets=[[0, 0, 0.5, 0.33, 0.1, 0.12]], level=0)
    claimed = explorer.result.claimed
    right = claimed.offset.tolist().index(3)
    assert (claimed.row[right], claimed.col[right]) == (claimed.row[0], claimed.col[0])
    close_up = of_kind(explorer, Panel)[1]
    words = [layer.text for layer in close_up.layers if isinstance(layer, Text)]
    assert {"own", "right", "listed 2 times"} <= set(words)
    assert close_up.caption == "1 anchor x 4 choices of 3 cells = 4 matches"


def test_the_explorer_opens_with_the_pair_that_fits_best(tour):
    every = tour.state.anchors
    worst = [ratio_test(box[:, 2:], torch.tensor(every[k]) / s).worst for k, (box, s) in enumerate(levels_of(tour))]
    best = min(float(level.min()) for level in worst)
    chosen = worst[tour.level][tour.anchor, tour.object].item()
    assert chosen == pytest.approx(best)
    assert (tour.anchor_w, tour.anchor_h) == every[tour.level][tour.anchor]
    assert tour.message == ""


def levels_of(explorer):
    return zip(explorer.result.boxes, explorer.state.strides, strict=True)


def test_another_level_or_anchor_brings_its_size_and_a_new_size_replaces_it(tour):
    tour.reset()
    tour.set(level=1, anchor=2)
    assert (tour.anchor_w, tour.anchor_h) == (59, 119)
    tour.anchor_w = 70
    assert tour.anchors[1] == ((30, 61), (62, 45), (70, 119))
    tour.anchor = 0
    assert (tour.anchor_w, tour.anchor_h) == (30, 61)
    tour.anchor = 2
    assert tour.anchor_w == 70
    tour.set(level=0, anchor=1, anchor_h=40)
    assert tour.anchors[0][1] == (16, 40)
    tour.anchors = ANCHORS
    assert (tour.anchor_w, tour.anchor_h) == (16, 30)
    tour.reset()
    assert torch.equal(torch.tensor(tour.anchors), ANCHORS)


def test_changed_anchors_are_those_that_targets_are_built_with(nine):
    nine.set(level=0, anchor=1)
    nine.set(anchor_w=50, anchor_h=60)
    assert_shows_build_targets(nine)
    changed = ANCHORS.clone()
    changed[0, 1] = torch.tensor([50.0, 60.0])
    grids = [(80, 80), (40, 40), (20, 20)]
    expected = yl.build_targets(NINE, grids, changed, [8, 16, 32])
    assert [len(match.row) for match in nine.result.matches] == [len(match.row) for match in expected]


def test_the_code_builds_the_same_targets(nine):
    assert nine.as_code() == "hyp = yl.Hyperparameters(anchor_t=4)"
    nine.set(anchor_t=2.5, level=1, anchor=0)
    nine.anchor_w = 44.5
    names = {"yl": yl, "model": yl.create_model("yolov5n")}
    exec(nine.as_code(), names)
    assert names["hyp"].anchor_t == 2.5
    assert names["model"].anchors.tolist() == [[list(size) for size in level] for level in nine.anchors]


def test_dragging_an_object_moves_its_target_and_its_cells(nine):
    nine.set(object=8, level=0)
    before = nine.result.claimed.col[0].item()
    x1, y1, x2, y2, cls = nine.objects[8]
    nine.objects = (*nine.objects[:8], (x1 - 80, y1, x2 - 80, y2, cls))
    assert nine.result.claimed.col[0].item() == before - 10
    assert nine.result.targets[8, 2].item() == pytest.approx(NINE[8, 2].item() - 80 / 640)
    assert_shows_build_targets(nine)


def test_a_click_on_a_box_or_a_row_chooses_the_object(nine):
    nine.object = [5]
    assert nine.object == 5
    table = next(table for table in of_kind(nine, Table) if table.pick == "object")
    assert table.marked == (5,)
    panel = of_kind(nine, Panel)[0]
    dragged = next(layer for layer in panel.layers if isinstance(layer, Boxes) and layer.drag)
    assert (dragged.drag, dragged.pick, len(dragged.xyxy)) == ("objects", "object", 9)
    nine.object = 9
    assert "object is one of" in nine.message
    assert nine.object == 5


def test_a_picture_and_its_object_are_chosen_together(tour):
    tour.reset()
    tour.set(picture=2, object=7)
    assert (tour.state.picture, tour.object, tour.message) == (2, 7, "")
    tour.reset()


def test_deleting_the_chosen_object_chooses_the_last_one(nine):
    nine.object = 8
    nine.objects = nine.objects[:3]
    assert (nine.object, nine.message) == (2, "")
    nine.objects = ()
    assert nine.message == ""
    assert nine.result.claimed is None
    assert [len(match.row) for match in nine.result.matches] == [0, 0, 0]
    assert nine.result.fit is None
    assert "0 objects" in nine.words()


def test_objects_that_no_anchor_takes_are_named_and_drawn_in_another_dash():
    targets = [[0, 0, 0.5, 0.5, 0.1, 0.12], [0, 1, 0.2, 0.2, 0.01, 0.4]]
    explorer = AnchorExplorer(images=BLANK, targets=targets, names=["cat", "pole"])
    assert explorer.result.untaken.tolist() == [False, True]
    panel = of_kind(explorer, Panel)[0]
    labels = [label for layer in panel.layers if isinstance(layer, Boxes) for label in layer.labels]
    assert "pole: no anchor" in labels
    dotted = [layer for layer in panel.layers if isinstance(layer, Boxes) and layer.dash == "dotted"]
    assert [len(layer.xyxy) for layer in dotted if layer.colours == ("accent",)] == [1]
    missed = of_kind(explorer, Table)[-1]
    assert missed.title == "No anchor matches 1 of 2 objects of these pictures"
    assert missed.rows[0][-1] == "anchor 30 / w 6.4 px = 4.69 > 4"
    explorer.anchor_t = 5
    assert not explorer.result.untaken.any()
    assert not any("No anchor" in table.title for table in of_kind(explorer, Table))


def test_own_cells_and_neighbours_on_the_picture_are_those_of_the_matches(nine):
    for level in range(3):
        nine.level = level
        match = nine.result.matches[level]
        drawn = {layer.colour: layer.cells for layer in of_kind(nine, Panel)[0].layers if isinstance(layer, Cells)}
        cells = torch.stack((match.row, match.col), 1)
        assert set(drawn["own"]) == {tuple(map(float, cell)) for cell in cells[match.offset == 0].tolist()}
        assert set(drawn["neighbour"]) == {tuple(map(float, cell)) for cell in cells[match.offset > 0].tolist()}


def test_curves_are_what_anchor_fit_says_at_every_threshold():
    wh = np.random.default_rng(1).lognormal(3.5, 1.2, (500, 2))
    wh[:9] = ANCHORS.reshape(-1, 2).numpy() * 2.0  # ratios of exactly 2 are on no side by luck
    explorer = AnchorExplorer(dataset=wh)
    curves = explorer.result.curves
    for t, recall, matches in zip(THRESHOLDS.tolist(), *(curve.tolist() for curve in curves), strict=True):
        fit = anchor_fit(wh, ANCHORS, round(t, 1))
        assert recall == pytest.approx(fit.best_possible_recall, abs=1e-6)
        assert matches == pytest.approx(fit.matches_per_object, abs=1e-5)
    assert explorer.result.fit.best_possible_recall == anchor_fit(wh, ANCHORS, 4.0).best_possible_recall
    explorer.set(anchor_t=2.3, level=1, anchor=1)
    explorer.anchor_w = 100
    changed = torch.tensor(explorer.anchors)
    fit = anchor_fit(wh, changed, 2.3)
    assert explorer.result.fit.matches_per_object == fit.matches_per_object
    assert explorer.result.curves.recall[12].item() == pytest.approx(fit.best_possible_recall)
    assert len(explorer.result.missed) == round((1 - fit.best_possible_recall) * 500)
    charts = of_kind(explorer, Chart)
    assert [chart.upright for chart in charts] == [(2.3,)] * 2
    assert charts[0].title == f"Best possible recall {fit.best_possible_recall:.4f}"


def test_the_missed_objects_of_a_dataset_are_listed_with_their_image_the_furthest_first(tmp_path):
    folder = tmp_path / "mine"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    labels = {"near": "0 .5 .5 .1 .1\n", "far": "0 .5 .5 .9 .01\n1 .2 .2 .3 .004\n"}
    for name, text in labels.items():
        cv2.imwrite(str(folder / "images" / f"{name}.png"), np.zeros((200, 400, 3), np.uint8))
        (folder / "labels" / f"{name}.txt").write_text(text)
    for dataset in (str(folder), open_source(folder), yl.YoloDataset(folder)):
        explorer = AnchorExplorer(dataset=dataset)
        assert explorer.message == ""
        wh = object_sizes(open_source(folder), 640)
        assert explorer.result.fit.best_possible_recall == anchor_fit(wh, ANCHORS).best_possible_recall
        table = of_kind(explorer, Table)[-1]
        assert [row[0] for row in table.rows] == ["far.png", "far.png"]
        assert "unmatched: 2 of them" in of_kind(explorer, Chart)[0].caption
        worst = ratio_test(wh[explorer.result.missed], ANCHORS.reshape(-1, 2)).worst.amin(0)
        assert worst.tolist() == sorted(worst.tolist(), reverse=True)


def test_one_changed_anchor_is_measured_alone():
    sizes = Sizes(np.random.default_rng(0).uniform(5, 300, (100, 2)))
    explorer = AnchorExplorer(dataset=sizes)
    assert sizes.ratios.cache_info().misses == 9
    explorer.set(anchor_t=3.0)
    assert sizes.ratios.cache_info().misses == 9
    explorer.anchor_w = explorer.anchor_w + 7
    assert sizes.ratios.cache_info().misses == 10


def test_two_and_four_levels_with_other_numbers_of_anchors(tmp_path):
    spec = copy.deepcopy(read_spec("yolov5n")[0])
    spec["head"][-1] = [[20, 23], 1, "Detect", ["nc", "anchors"]]
    spec |= {"nc": 3, "anchors": [[20, 30, 60, 50], [120, 90, 300, 250]]}
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump(spec))
    for model, levels, count in ((yl.create_model(path), 2, 2), (yl.create_model("yolov5n6", num_classes=3), 4, 3)):
        explorer = AnchorExplorer(images=BLANK, targets=random_targets(12), model=model, names=model.names)
        assert explorer.message == ""
        assert len(explorer.result.matches) == levels
        assert len(explorer.anchors[0]) == count
        assert torch.equal(torch.tensor(explorer.anchors), model.anchors)
        for level in range(levels):
            explorer.level = level
            assert_shows_build_targets(explorer)
        explorer.level = levels
        assert "level is one of stride" in explorer.message


def test_photographs_of_odd_sizes_are_letterboxed_with_their_objects():
    draw = np.random.default_rng(0)
    sizes = ((33, 517, 3), (480, 640, 3), (901, 77, 3))
    pictures = [draw.integers(0, 255, size).astype(np.uint8) for size in sizes]
    explorer = AnchorExplorer(images=pictures, targets=random_targets(20, images=3))
    for index in range(3):
        explorer.set(picture=index)
        assert explorer.message == ""
        assert explorer.state.shown.size == (640, 640)
        assert_shows_build_targets(explorer)


def test_a_batch_of_other_sides_keeps_them_and_shows_cells_that_are_not_square_in_number():
    explorer = AnchorExplorer(images=torch.rand(2, 3, 96, 160), targets=random_targets(10, images=2))
    assert explorer.result.grids == ((12, 20), (6, 10), (3, 5))
    assert_shows_build_targets(explorer)
    explorer.level = 2
    close_up = of_kind(explorer, Panel)[1]
    assert (close_up.width, close_up.height) == (160, 96)


def test_what_cannot_be_used_is_refused_with_a_sentence():
    class WithoutAnchors:
        strides = (8, 16, 32)

    cases = {
        "has no anchors and strides": {"model": WithoutAnchors()},
        "3 levels of anchors": {"anchors": ANCHORS, "strides": [8, 16]},
        "anchor sizes must be positive": {"anchors": -ANCHORS},
        "sides between 1 and 2048": {"anchors": ANCHORS * 0.01},
        "no whole number of cells": {"images": torch.zeros(1, 3, 100, 100)},
        "belongs to image 4": {"images": BLANK, "targets": [[4, 0, 0.5, 0.5, 0.1, 0.1]]},
        "with n at least 1": {"dataset": np.zeros((0, 2))},
        "above 0 pixels": {"dataset": np.zeros((4, 2))},
        "anchor_t lies between 1.1 and 10": {"anchor_t": 1.0},
        "nowhere.jpg": {"images": "nowhere.jpg"},
        "the size above 0": {"images": BLANK, "targets": [[0, 0, 0.5, 0.5, 0.0, 0.1]]},
    }
    for words, settings in cases.items():
        explorer = AnchorExplorer(**settings)
        assert words in explorer.message
        assert words in repr(explorer)
        if explorer.result is None:
            assert words in repr(explorer.as_scene())
            explorer.set(level=1, anchor=1)
            assert words in explorer.message


def test_anchors_set_later_are_checked_too(nine):
    nine.anchors = [[1, 2, 3]]
    assert "anchors must have the shape" in nine.message
    assert torch.equal(torch.tensor(nine.anchors), ANCHORS)
    nine.anchor_w = 0
    assert "anchor_w lies between 1 and 2048" in nine.message


def test_a_reason_never_reads_as_a_contradiction():
    assert reason_of("w", 8.0, 2.0, 4.0, 4.0) == "w 8 cells / anchor 2 = 4, not below 4"
    assert reason_of("w", 8.0006, 2.0, 4.0003, 4.0) == "w 8.001 cells / anchor 2 = 4.0003 > 4"
    assert reason_of("h", 1.0, 3.9998, 3.9998, 4.0) == "anchor 4 / h 1 cells = 3.9998 < 4"


def test_the_words_hold_the_verdict_the_matches_and_the_fit(nine):
    nine.set(object=7, level=0, anchor=0)
    assert nine.words() == (
        "anchor 0 of stride 8 (10 x 13 px) does not match object 7 (class 6): w 5.626 cells / anchor 1.25 = 4.5 > 4\n"
        "9 objects, matches by level: 25, 18, 30; unmatched: 0\n"
        "best possible recall 1.000, 2.78 anchors per object, over 9 objects of these pictures"
    )


def test_a_dataset_set_later_is_read_as_at_the_start() -> None:
    w = AnchorExplorer()
    w.dataset = [(10, 20), (30, 40)]
    assert w.message == ""
    assert len(w.result.sizes) == 2
    w.dataset = 5
    assert w.message
    assert len(w.result.sizes) == 2
    w.anchor_t = 3
    assert w.message == ""


def test_linked_explorers_of_two_models_keep_their_anchors() -> None:
    other = yl.create_model("yolov5n6", num_classes=3)
    one, two = AnchorExplorer(), AnchorExplorer(model=other)
    link(one, two)
    for level in range(3):
        one.level = level
    assert two.level == 2
    assert two.state.anchors is two.state.first_anchors


def test_it_opens_with_an_object_well_within_its_picture():
    tour = AnchorExplorer()
    height, width = tour.state.shown.size
    x1, y1, x2, y2, _ = tour.state.objects[tour.object]
    clear = min(x1, y1, width - x2, height - y2)
    others = [min(b[0], b[1], width - b[2], height - b[3]) for p in tour.state.pictures for b in p.boxes]
    assert clear >= max(others) / 2 > 0
    assert tour.picture == 2  # the others hold nothing that is not cut by a border
    assert tour.page_state()["stage"]["story"] == "a good fit"


def test_a_corner_is_opened_with_where_there_is_nothing_else():
    images = np.zeros((2, 64, 64, 3), np.uint8)
    corner = [[0, 0, 0.1, 0.1, 0.2, 0.2]]
    assert AnchorExplorer(images=images, targets=corner).object == 0
    middle = [[0, 0, 0.1, 0.1, 0.2, 0.2], [1, 0, 0.1, 0.9, 0.2, 0.2], [1, 0, 0.5, 0.5, 0.3, 0.3]]
    w = AnchorExplorer(images=images, targets=middle)
    assert (w.picture, w.object) == (1, 1)
    assert AnchorExplorer(images=images, targets=[]).picture == 0
