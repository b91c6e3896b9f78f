"""LayerExplorer: set from Python, its results are those of record_layers; clicks on graph, picture and maps agree."""

from itertools import combinations, pairwise, product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import yolo_lite as yl
from walkthrough import LayerExplorer, effective_field, record_layers
from walkthrough.explorers.layer.detail import joined, within_blocks
from walkthrough.explorers.layer.graph import LEGIBLE, WIDTH, graph_panel
from walkthrough.explorers.pictures import images_of
from walkthrough.render.text import width_of
from walkthrough.scene import Boxes, Line, Panel, Scene, Table, Text
from walkthrough.serialise import to_json

TWO_LEVELS = {
    "nc": 3,
    "anchors": 2,
    "backbone": [[-1, 1, "Conv", [8, 6, 2, 2]], [-1, 1, "C3", [8]], [-1, 1, "Conv", [16, 3, 2]]],
    "head": [[-1, 1, "nn.Upsample", [None, 2, "nearest"]], [[-1, 1], 1, "Concat", [1]], [[4, 2], 1, "Detect", []]],
}


def photograph(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def shapes() -> LayerExplorer:
    return LayerExplorer()


def panels(scene: Scene, title: str) -> list[Panel]:
    return [panel for row in scene.all_rows for panel in row if title in panel.title]


def test_without_arguments_it_shows_the_weights_that_come_along_on_a_scene(shapes: LayerExplorer) -> None:
    assert shapes.message == ""
    assert len(shapes.result.records) == 25
    assert shapes.state.shown.size == (256, 256)
    assert [record.kind for record in shapes.result.records][-1] == "Detect"
    assert "25 layers; 16 Concat, from 15, 4: 128 x 32 x 32, 0 parameters" in repr(shapes)


def test_its_numbers_are_those_of_record_layers_and_effective_field(shapes: LayerExplorer) -> None:
    model, images = shapes.state.recordings.model, images_of((shapes.state.shown,))
    records = record_layers(model, images)
    shapes.set(layer=6, place=(100, 50), channel=5)
    result = shapes.result
    assert result.cell == (50 // 16, 100 // 16)
    assert torch.equal(result.record.output, records[6].output)
    assert result.field.of(*result.cell) == records[6].receptive_field.of(3, 6)
    assert torch.equal(result.effective.gradient, effective_field(model, images, records[6], 3, 6, 5).gradient)
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_click_on_a_map_chooses_cell_and_channel(shapes: LayerExplorer) -> None:
    shapes.set(layer=4, channel=-1)
    (maps,) = panels(shapes.as_scene(), "feature maps")
    shapes.map_place = (
        2 * 1.06 * 160 + 7 * 5 + 4,
        1.06 * 160 + 11 * 5 + 1,
    )  # the third map of the second row, 5 a cell
    assert shapes.map_place is None
    assert (shapes.channel, shapes.result.cell) == (6, (11, 7))
    assert maps.width == pytest.approx(4.18 * 160)
    shapes.map_place = (1.03 * 160, 3)  # between two maps
    assert (shapes.channel, shapes.result.cell) == (6, (11, 7))


def test_the_place_in_the_picture_stays_from_layer_to_layer(shapes: LayerExplorer) -> None:
    shapes.set(layer=2, place=(200.0, 130.0))
    assert shapes.result.cell == (32, 50)
    shapes.layer = 23
    assert shapes.result.cell == (4, 6)
    assert shapes.place == (200, 130)


def test_a_channel_that_the_next_layer_lacks_becomes_all_of_them(shapes: LayerExplorer) -> None:
    shapes.set(layer=8, channel=200)
    shapes.layer = 0
    assert shapes.channel == -1
    shapes.channel = 16
    assert "lies between -1 and 15" in shapes.message


def test_a_click_on_a_layer_of_the_graph_sets_it(shapes: LayerExplorer) -> None:
    (nodes,) = [layer for layer in shapes.as_scene().all_rows[1][0].layers if isinstance(layer, Boxes) and layer.pick]
    assert nodes.pick == "layer"
    assert len(nodes.xyxy) == 25
    shapes.set(layer=(9,))  # what the page sends for a click on box 9
    assert shapes.result.record.kind == "SPPF"
    modules = next(panel for panel in shapes.as_scene().all_rows[-1] if panel.columns[0] == "modules in it")
    assert [row[0] for row in modules.rows] == ["cv1 Conv", "m MaxPool2d", "m MaxPool2d", "m MaxPool2d", "cv2 Conv"]
    shapes.set(layer=2, every_module=True)
    modules = next(panel for panel in shapes.as_scene().all_rows[-1] if panel.columns[0] == "modules in it")
    assert "m.0.cv2.conv Conv2d" in [row[0] for row in modules.rows]
    shapes.every_module = False


def test_the_head_shows_one_of_its_outputs_at_a_time(shapes: LayerExplorer) -> None:
    shapes.set(layer=24, output=2)
    assert shapes.message == ""
    assert shapes.result.field.grid == (8, 8)
    assert len(panels(shapes.as_scene(), "objectness, by anchor")) == 1
    shapes.map_place = (3.5 * 20, 2.5 * 20)
    assert (shapes.channel, shapes.result.cell) == (4, (2, 3))  # the objectness of anchor 0
    shapes.clear()
    shapes.reset()
    assert shapes.message == ""
    assert (shapes.layer, shapes.output, shapes.channel) == (16, 0, -1)


@pytest.mark.parametrize(("layer", "skip"), [(11, 6), (12, 6), (15, 4), (16, 4)])
def test_what_upsampling_lost_is_measured_at_both_of_its_layers(shapes: LayerExplorer, layer: int, skip: int) -> None:
    shapes.layer = layer
    found = shapes.result.joined
    assert (found.coarse, found.up, found.skip, found.factor) == ({6: 10, 4: 14}[skip], {6: 11, 4: 15}[skip], skip, 2)
    assert found.share_up == pytest.approx(0, abs=1e-6)
    fine = shapes.result.records[skip].output[0].double()
    means = fine.unfold(1, 2, 2).unfold(2, 2, 2).mean((3, 4))
    outside = (means - means.mean((1, 2), keepdim=True)).square().sum() * 4
    total = (fine - fine.mean((1, 2), keepdim=True)).square().sum()
    assert found.share_fine == pytest.approx(float(1 - outside / total), rel=1e-4)
    assert len(panels(shapes.as_scene(), "upsampled")) == 1


def test_layers_without_upsampling_have_nothing_to_compare(shapes: LayerExplorer) -> None:
    for layer in (4, 14, 19, 22, 24):
        assert joined(shapes.state.records, layer) is None
    assert within_blocks(torch.ones(2, 4, 4), 2)[1] == 0


# ---- other models and pictures ---------------------------------------------------------------------------------------


class Residual(nn.Module):
    """No YOLO: children of its own names, a sum, an upsampling, a vector at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2, 1)
        self.down = nn.Conv2d(6, 6, 3, 2, 1)
        self.up = nn.Upsample(scale_factor=2)
        self.join = nn.Conv2d(12, 6, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classes = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.stem(x)
        x = self.join(torch.cat((self.up(self.down(fine)), fine), 1))
        return self.classes(self.pool(x).flatten(1))


@pytest.mark.parametrize(
    "model",
    [
        yl.create_model(TWO_LEVELS),
        yl.create_model("yolov5n-p2", num_classes=3),
        yl.create_model("yolov3-tiny", num_classes=3).fuse(),
        Residual().train(),
        nn.Conv2d(3, 4, 3),
    ],
    ids=["two levels", "four levels", "yolov3-tiny, fused", "no YOLO", "one layer"],
)
def test_layers_of_other_models_are_shown(model: nn.Module) -> None:
    training = model.training
    w = LayerExplorer(images=photograph(61, 83), model=model, img_size=64)
    assert w.message == ""
    step = max(len(w.result.records) // 8, 1)
    for record in w.result.records[::-step]:
        w.layer = record.index
        assert w.message == ""
        assert w.result.record is record
        x1, y1, x2, y2 = w.result.effective.box
        left, top, right, bottom = w.result.field.of(*w.result.cell)
        assert left <= x1 <= x2 <= right
        assert top <= y1 <= y2 <= bottom
        to_json(w.as_scene())
    assert model.training == training


def test_a_module_that_is_no_yolo_has_its_graph_and_its_joined_maps() -> None:
    w = LayerExplorer(images=photograph(40, 40), model=Residual(), img_size=64)
    assert [record.inputs for record in w.result.records] == [(-1,), (0,), (1,), (2, 0), (3,), (4,)]
    assert w.layer == 3  # where a skip meets an upsampled map
    assert (w.result.joined.skip, w.result.joined.up) == (0, 2)
    w.layer = 5
    assert w.result.field.size == (None, None)
    assert w.result.cell == (0, 0)
    assert [type(panel).__name__ for panel in w.as_scene().all_rows[0]] == ["Panel", "Chart"]


def test_an_added_picture_is_recorded_and_shown(shapes: LayerExplorer) -> None:
    shapes.set(layer=4, place=(10, 10))
    before = shapes.result.record
    shapes.add_picture(photograph(300, 500), "mine.jpg")
    assert shapes.state.shown.name == "4 mine.jpg"
    assert shapes.result.record is not before
    assert torch.equal(shapes.result.record.output[0], record_of(shapes, 4))
    shapes.clear()
    shapes.reset()


def record_of(explorer: LayerExplorer, layer: int) -> Tensor:
    images = images_of((explorer.state.shown,))
    return record_layers(explorer.state.recordings.model, images)[layer].output[0]


def test_wrong_use_gets_a_sentence_in_place() -> None:
    assert "multiples of 32" in LayerExplorer(images=torch.zeros(1, 3, 50, 64)).message
    assert "a model is a torch.nn.Module" in LayerExplorer(model=3).message
    broken = LayerExplorer(images=photograph(32, 32), model=nn.Linear(7, 2))
    assert "640 x 640" in broken.message
    assert "640 x 640" in repr(broken.as_scene())


# ---- the graph -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["yolov5n", "yolov5n6", "yolov5n-p2", "yolov3-tiny", TWO_LEVELS])
def test_no_layer_of_the_graph_lies_on_another_and_all_lie_in_the_panel(source: str | dict) -> None:
    model = yl.create_model(source, num_classes=3)
    records = record_layers(model, torch.zeros(1, 3, 64, 64), kept_depth=0)
    panel = graph_panel(records, 1, (64, 64))
    (nodes,) = [layer for layer in panel.layers if isinstance(layer, Boxes) and layer.pick]
    boxes = torch.tensor(nodes.xyxy)
    assert boxes.min() >= 0
    assert boxes[:, 2].max() <= panel.width
    assert boxes[:, 3].max() <= panel.height
    assert len(boxes) == len(records)
    assert int((yl.box_iou(boxes, boxes) > 0).sum()) == len(records)  # each with itself


@pytest.mark.parametrize("source", ["yolov5n", "yolov3-tiny"])
def test_edges_have_lanes_of_their_own_and_words_fit_into_their_layer(source: str) -> None:
    records = record_layers(yl.create_model(source, num_classes=3), torch.zeros(1, 3, 64, 64), kept_depth=0)
    layers = graph_panel(records, 1, (64, 64)).layers
    (nodes,) = [layer for layer in layers if isinstance(layer, Boxes) and layer.pick]
    for x1, y1, x2, y2 in nodes.xyxy:
        words = [t for t in layers if isinstance(t, Text) and x1 < t.x < x2 and y1 < t.y < y2]
        assert len(words) == 2
        assert max(width_of(t.text, t.size) for t in words) <= (x2 - x1) * LEGIBLE / WIDTH
    lines = [layer.points for layer in layers if isinstance(layer, Line)]
    assert len(lines) == sum(source >= 0 for record in records for source in record.inputs)
    for one, other in combinations(lines, 2):  # lines of one layer may share a part of their way
        if {one[0], one[-1]}.isdisjoint((other[0], other[-1])):
            assert not _run_together(one, other), (one, other)


def _run_together(one: tuple, other: tuple) -> bool:
    """Whether two lines of level and upright parts lie on each other somewhere."""
    parts = [({(x1, y1), (x2, y2)}) for line in (one, other) for (x1, y1), (x2, y2) in pairwise(line)]
    mine, theirs = parts[: len(one) - 1], parts[len(one) - 1 :]
    for a, b in product(mine, theirs):
        for axis in (0, 1):
            across = {point[1 - axis] for point in a | b}
            (low, high), (left, right) = (sorted(point[axis] for point in part) for part in (list(a), list(b)))
            if len(across) == 1 and min(high, right) > max(low, left):
                return True
    return False


def test_finer_grids_stand_above_coarser_ones(shapes: LayerExplorer) -> None:
    panel = graph_panel(shapes.state.records, 0, (256, 256))
    (nodes,) = [layer for layer in panel.layers if isinstance(layer, Boxes) and layer.pick]
    tops = [box[1] for box in nodes.xyxy]
    assert tops[0] < tops[1] < tops[3] < tops[5] < tops[7]  # the strides 2, 4, 8, 16, 32 of the backbone
    assert tops[3] == tops[17] == tops[24]
    assert tops[5] == tops[12] == tops[20]
    assert tops[7] == tops[10] == tops[23]


def test_words_and_table_of_the_scene_hold_the_layer(shapes: LayerExplorer) -> None:
    shapes.set(layer=16, place=(128, 128), effective=False)
    assert shapes.result.effective is None
    assert "a cell sees 682 x 682 pixels, every 8 pixels" in shapes.words()
    numbers = next(panel for panel in shapes.as_scene().all_rows[-1] if isinstance(panel, Table))
    assert ("from", "15, 4") in numbers.rows
    assert ("output", "128 x 32 x 32") in numbers.rows
    assert "record_layers(model, images)[16]" in shapes.as_code()


# -- objects ---------------------------------------------------------------------------------------------------------


def test_of_each_object_it_is_said_how_much_the_cell_sees_and_hears(shapes: LayerExplorer) -> None:
    shapes.clear()
    shapes.reset()
    shapes.set(layer=1, place=(30.0, 40.0), effective=True, channel=-1)
    x1, y1, x2, y2 = shapes.result.field.of(*shapes.result.cell)
    shapes.objects = [(x1, y1, x2, y2, 1), (x1 + 2, y1, x2 + 2, y2, 2), (200, 200, 220, 220)]
    assert [reach.seen for reach in shapes.result.reach] == pytest.approx([1, (x2 - x1 - 2) / (x2 - x1), 0])
    gradient = shapes.result.effective.gradient
    heard = [1, float(gradient[y1:y2, x1 + 2 : x2].sum() / gradient.sum()), 0]
    assert [reach.heard for reach in shapes.result.reach] == pytest.approx(heard, abs=1e-6)
    panels = [panel for row in shapes.as_scene().all_rows for panel in row]
    (table,) = [panel for panel in panels if getattr(panel, "title", "")[:3] == "the"]
    assert [row[0] for row in table.rows] == [f"{k} {shapes.state.names[cls]}" for k, cls in enumerate((1, 2, 0))]
    shapes.effective = False
    assert [reach.heard for reach in shapes.result.reach] == [None, None, None]


def test_boxes_drawn_on_a_picture_leave_its_record_and_the_cell_alone(shapes: LayerExplorer) -> None:
    shapes.clear()
    shapes.reset()
    shapes.place = (100, 60)
    records = shapes.result.records
    shapes.objects = [*shapes.objects, (10, 10, 60, 60, 0)]
    assert shapes.result.records is records
    assert shapes.place == (100, 60)
    assert len(shapes.result.reach) == 4
    (panel,) = panels(shapes.as_scene(), "sees")
    assert (panel.pick, panel.draw) == ("place", "objects")
    shapes.add_picture(photograph(90, 200), "mine.jpg")
    assert (shapes.objects, shapes.result.reach) == ((), ())
    shapes.objects = [(0, 100, 50, 140)]
    assert shapes.message == ""
    assert len(shapes.result.reach) == 1
    shapes.clear()
    shapes.reset()


def test_targets_and_names_are_the_readers() -> None:
    w = LayerExplorer(
        images=torch.rand(1, 3, 64, 64),
        targets=[[0, 1, 0.5, 0.5, 0.25, 0.25]],
        names=["cat", "dog"],
        model=yl.create_model(TWO_LEVELS),
    )
    assert w.message == ""
    assert w.objects == ((24, 24, 40, 40, 1),)
    assert w.place == (32, 32)
    assert "0 dog" in str(w.as_scene().all_rows)


@pytest.mark.parametrize("over", [1e-6, 0.2])
def test_an_object_over_the_border_counts_as_far_as_it_is_in_the_picture(shapes: LayerExplorer, over: float) -> None:
    images = images_of((shapes.state.shown,))
    inside, crossing = (
        LayerExplorer(images=images, targets=[[0, 0, 0.25, 0.5, width, 1]], layer=9).result.reach[0].heard
        for width in (0.5, 0.5 + over)
    )
    assert 0 < inside <= crossing


def test_an_object_without_an_area_is_seen_where_it_lies(shapes: LayerExplorer) -> None:
    targets = [[0, 0, 0.5, 0.5, 0, 0.2], [0, 0, 0.1, 0.9, 0, 0]]
    w = LayerExplorer(images=images_of((shapes.state.shown,)), targets=targets, layer=1, place=(128, 128))
    assert w.message == ""
    line, point = w.result.reach
    assert 0 < line.seen < 1
    assert point == (0, 0)


def test_the_code_gives_the_same_gradient_for_any_picture_channel_and_output(shapes: LayerExplorer) -> None:
    shapes.clear()
    shapes.reset()
    images = images_of(shapes.state.pictures)
    names = {"model": shapes.state.recordings.model, "images": images}
    names |= {"record_layers": record_layers, "effective_field": effective_field}
    for settings in ({"layer": 4, "channel": 5, "picture": 1}, {"layer": 24, "output": 2, "channel": 4}):
        shapes.clear()
        shapes.reset()
        shapes.set(**settings)
        first, last = shapes.as_code().splitlines()
        lines = f"{first}\nfield, effective = {last}"
        exec(lines, names)  # what a reader does with it
        assert names["field"] == shapes.result.field.of(*shapes.result.cell)
        torch.testing.assert_close(names["effective"].gradient, shapes.result.effective.gradient)
    shapes.clear()
    shapes.reset()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_measured_where_they_are_switched_off(mode) -> None:
    model = yl.load("shapes-n")
    with mode():
        w = LayerExplorer(model=model, layer=4)
    assert w.message == ""
    assert w.result.effective.size > 1


class Silent(nn.Module):
    def forward(self, images: Tensor) -> None:
        return None


class Logging(nn.Module):
    """A model of which one module gives nothing back."""

    def __init__(self) -> None:
        super().__init__()
        self.log, self.conv = Silent(), nn.Conv2d(3, 4, 3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        self.log(images)
        return self.conv(images)


def test_a_layer_that_gives_nothing_is_told_and_the_others_are_shown() -> None:
    w = LayerExplorer(images=torch.rand(1, 3, 32, 32), model=Logging(), layer=1)
    assert w.message == ""
    assert w.result.record.kind == "Conv2d"
    assert w.as_scene().all_rows
    w.layer = 0
    assert w.message == "layer 0 Silent gives out no tensor"
    w.layer = 1
    assert w.message == ""
