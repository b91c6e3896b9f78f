"""show_*: what the library returns, seen at the right place."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

import yolo_lite as yl
from walkthrough import show_assignment, show_batch, show_feature_maps, show_grid, show_image, show_roles
from walkthrough.scene import Boxes, Cells, Grid, Panel, Picture, Points, Text
from yolo_lite.coding import prediction_cells
from yolo_lite.data.dataset import Batch
from yolo_lite.loss.criterion import AssignedPredictions
from yolo_lite.loss.targets import Assignment


def of_kind(panel, kind: type) -> list:
    return [layer for layer in panel.layers if isinstance(layer, kind)]


def one_match(image: int, offset: int, row: int, col: int) -> Assignment:
    whole = [torch.tensor([value]) for value in (image, 0, row, col, 0, 0, offset)]
    return Assignment(*whole, torch.tensor([[0.5, 0.5, 2.0, 1.0]]), torch.tensor([[3.0, 3.0]]))


def joined(*parts: Assignment) -> Assignment:
    return Assignment(*(torch.cat(field) for field in zip(*parts, strict=True)))


def test_batch_targets_lie_in_their_own_image_in_pixels() -> None:
    targets = torch.tensor([[0, 1, 0.5, 0.5, 0.5, 0.25], [1, 0, 0.25, 0.5, 0.5, 1.0]])
    batch = Batch(torch.zeros(2, 3, 64, 32, dtype=torch.uint8), targets, ("a", "b"), (None, None))
    scene = show_batch(batch, names=["cat", "dog"], columns=1)
    first, second = (panels[0] for panels in scene.rows)
    assert of_kind(first, Boxes)[0].xyxy == ((8.0, 24.0, 24.0, 40.0),)
    assert of_kind(second, Boxes)[0].xyxy == ((0.0, 0.0, 16.0, 64.0),)
    assert repr(scene) == "image 0: picture 32 x 64, 1 box: dog\nimage 1: picture 32 x 64, 1 box: cat"


def test_detections_and_objects_are_taken_as_they_are() -> None:
    class Detections(NamedTuple):
        xyxy: torch.Tensor
        conf: torch.Tensor
        cls: torch.Tensor
        names: tuple[str, ...]

    class Objects(NamedTuple):
        cls: np.ndarray
        boxes: np.ndarray
        polygons: tuple

    image, corners = np.zeros((9, 9), np.uint8), [[1.0, 1.0, 4.0, 5.0]]
    found = show_image(image, Detections(torch.tensor(corners), torch.tensor([0.5]), torch.tensor([1]), ("a", "b")))
    known = show_image(image, Objects(np.array([1]), np.array(corners), (None,)), names=("a", "b"))
    assert repr(found) == repr(known) == "picture 9 x 9, 1 box: b"
    assert of_kind(found.rows[0][0], Boxes)[0].scores == (0.5,)
    assert of_kind(known.rows[0][0], Boxes)[0].scores == ()


@pytest.mark.parametrize("none", [[], np.zeros((0, 4)), torch.zeros(0, 6)], ids=["list", "n x 4", "n x 6"])
def test_no_boxes_is_a_picture_with_none(none) -> None:
    assert repr(show_image(np.zeros((9, 9)), none)) == "picture 9 x 9, 0 boxes"


def test_words_say_what_is_seen() -> None:
    plain = np.full((40, 60, 3), 114, np.uint8)
    plain[10:35] = np.random.default_rng(0).integers(0, 256, (25, 60, 3))
    assert repr(show_image(plain)).endswith("; plain border: 10 px above, 5 px below")
    grey = np.tile(np.arange(60, dtype=np.uint8), (40, 1))
    assert "in shades of gray" in repr(show_image(grey))
    boxes = np.array([[0, 0, 9, 9], [9, 9, 20, 20], [30, 30, 40, 40]])
    assert repr(show_image(plain, boxes, ["cat", "dog", "cat"])) == "picture 60 x 40, 3 boxes: cat x 2, dog"
    drawn = "3 boxes (object); 3 cells (cell of its centre); 3 points (object); grid of stride 8"
    assert repr(show_grid(plain, 8, boxes=boxes)) == f"stride 8: picture 60 x 40, {drawn}"
    maps = repr(show_feature_maps(torch.tensor([[[[-2.0, 1.0]], [[3.0, 3.0]], [[float("nan")] * 2]]])))
    assert "channel 0 from ≈ -2 to ≈ 1; channel 1 from ≈ 3 to ≈ 3; channel 2 without a number" in maps


def test_only_what_lies_in_the_window_is_told() -> None:
    layers = (
        Boxes(((0, 0, 10, 10), (50, 50, 60, 60))),
        Boxes(((50, 50, 60, 60),), ("cup",)),
        Boxes(((50, 50, 60, 60),), width=0),
    )
    panel = Panel(layers, 20, 20, left=45, top=45)
    assert panel.describe() == "picture 20 x 20, 1 box: cup; 1 box (object)"


def test_grid_shows_the_cell_that_holds_a_centre() -> None:
    panel = show_grid(np.zeros((64, 96, 3), np.uint8), 32, boxes=[[30, 0, 60, 40]]).rows[0][0]
    assert of_kind(panel, Cells)[0].cells == ((0.0, 1.0),)  # the centre (45, 20) lies in row 0, column 1
    assert of_kind(panel, Points)[0].xy == ((45.0, 20.0),)
    assert of_kind(panel, Grid)[0].stride == 32
    assert panel.caption == "2 x 3 cells"


def test_assignment_tells_own_cells_from_neighbours_and_puts_object_and_anchor_in_place() -> None:
    level = joined(one_match(0, 0, 2, 3), one_match(0, 1, 2, 2), one_match(1, 0, 7, 7))
    images = torch.zeros(2, 3, 64, 64)
    (panel,) = show_assignment(images, [level], [8]).rows[0]
    neighbours, own = of_kind(panel, Cells)
    assert own.cells == ((2.0, 3.0),)
    assert neighbours.cells == ((2.0, 2.0),)
    assert own.hatch != neighbours.hatch  # not by colour alone
    anchors, objects = of_kind(panel, Boxes)
    assert (20.0, 16.0, 36.0, 24.0) in objects.xyxy  # centre (3.5, 2.5) cells, 2 x 1 cells, at stride 8
    assert anchors.xyxy == ((16.0, 8.0, 40.0, 32.0),)  # 3 x 3 cells around the middle of the cell
    assert panel.caption == "2 matches"
    (other,) = show_assignment(images, [level], torch.tensor([8]), image_index=1).rows[0]
    assert other.caption == "1 match"


def test_assignment_window_and_mismatched_levels() -> None:
    level = one_match(0, 0, 2, 3)
    (panel,) = show_assignment(torch.zeros(3, 64, 64), [level], [8], window=(8, 16, 40, 32)).rows[0]
    assert (panel.left, panel.top, panel.width, panel.height) == (8, 16, 32, 16)
    with pytest.raises(ValueError, match="1 levels of matches, but 2 strides"):
        show_assignment(torch.zeros(3, 64, 64), [level], [8, 16])


def test_feature_maps_show_the_first_channels_each_in_its_own_range() -> None:
    maps = torch.stack([torch.full((4, 5), 7.0), torch.arange(20.0).reshape(4, 5)])[None]
    (panel,) = show_feature_maps(maps, count=16).rows[0]
    flat, ramp = of_kind(panel, Picture)
    assert np.ptp(flat.pixels.reshape(-1, 3), axis=0).max() == 0  # a constant map divides by nothing
    assert tuple(ramp.pixels[0, 0]) != tuple(ramp.pixels[-1, -1])
    assert panel.caption == "channel 0 to 1 of 2, 4 x 5"
    assert [text.text for text in of_kind(panel, Text)] == ["0", "1"]


def test_one_feature_map_has_no_number_and_its_caption_no_range() -> None:
    (alone,), (chosen,) = (show_feature_maps(torch.rand(1, n, 4, 5), count=1, first=n - 1).rows[0] for n in (1, 3))
    assert (alone.caption, chosen.caption) == ("4 x 5", "channel 2 of 3, 4 x 5")
    assert of_kind(alone, Text) == of_kind(chosen, Text) == []


def test_feature_maps_of_several_layers_and_of_detection_maps() -> None:
    several = show_feature_maps({"0 Conv": torch.rand(1, 20, 4, 4), "1 Conv": torch.rand(1, 3, 2, 2)}, count=4)
    assert [panels[0].title for panels in several.rows] == ["0 Conv", "1 Conv"]
    (raw,) = show_feature_maps([torch.rand(1, 3, 4, 4, 7)]).rows[0]
    assert raw.caption.startswith("objectness of anchor 0 to 2 of 3")
    with pytest.raises(ValueError, match=r"got \(4,\)"):
        show_feature_maps(torch.zeros(4))


def test_nested_lists_are_pictures_and_what_is_none_is_a_sentence() -> None:
    (picture,) = of_kind(show_image([[0, 128], [128, 255]]).rows[0][0], Picture)
    assert picture.pixels[..., 0].tolist() == [[0, 128], [128, 255]]
    for wrong in ([[1, 2], [3]], [["a", "b"]]):
        with pytest.raises(ValueError, match=r"rows of one length"):
            show_image(wrong)


def asked(*roles: int, shapes: list[tuple[int, int, int]]) -> AssignedPredictions:
    role = torch.tensor([roles], dtype=torch.int8)
    return AssignedPredictions(role, role.long(), None, None, prediction_cells(shapes))


def test_roles_fill_cells_by_the_most_that_an_anchor_is_and_count_them() -> None:
    two_anchors = asked(1, 0, -1, 0, 1, -1, -1, 0, shapes=[(2, 2, 2)])  # anchor 0, then anchor 1, of four cells
    (panel,) = show_roles(np.zeros((64, 64, 3), np.uint8), two_anchors, [32], boxes=[[2, 2, 40, 40]]).rows[0]
    ignored, positive = of_kind(panel, Cells)
    assert positive.cells == ((0.0, 0.0),)
    assert ignored.cells == ((0.0, 1.0), (1.0, 0.0))
    assert ignored.hatch != positive.hatch  # not by colour alone
    numbers = [(text.text, text.x, text.y) for text in of_kind(panel, Text)]
    assert numbers == [("2", 16.0, 16.0), ("1", 48.0, 16.0), ("2", 16.0, 48.0)]  # a filled cell always says how many
    assert panel.caption == "2 positive, 3 ignored, 3 negative"
    assert of_kind(panel, Boxes)[0].xyxy == ((2.0, 2.0, 40.0, 40.0),)


def test_roles_have_a_panel_for_each_level_and_none_may_be_empty() -> None:
    roles = asked(0, 0, 0, 0, -1, shapes=[(1, 2, 2), (1, 1, 1)])
    fine, coarse = show_roles(torch.zeros(3, 32, 32), roles, [16, 32.0], window=[8, 4, 32, 28]).rows[0]
    assert (fine.left, fine.top, fine.width, fine.height) == (8, 4, 24, 24)
    assert fine.caption == "0 positive, 0 ignored, 4 negative"
    assert of_kind(coarse, Cells)[0].cells == ((0.0, 0.0),)
    assert of_kind(coarse, Text) == []  # one prediction per cell: nothing to count
    with pytest.raises(ValueError, match="2 levels, but 1"):
        show_roles(np.zeros((32, 32)), asked(0, 1, shapes=[(1, 1, 1), (1, 1, 1)]), [32])


def test_roles_say_where_cells_are_too_small_for_numbers() -> None:
    roles = asked(*[1, *[0] * 1023] * 2, shapes=[(2, 32, 32)])
    (panel,) = show_roles(np.zeros((64, 64, 3), np.uint8), roles, [2]).rows[0]
    assert of_kind(panel, Text) == []
    assert panel.caption.startswith("2 positive, 0 ignored, 2046 negative (")
    (closer,) = show_roles(np.zeros((64, 64, 3), np.uint8), roles, [2], window=[0, 0, 16, 16]).rows[0]
    assert [text.text for text in of_kind(closer, Text)] == ["2"]
    assert closer.caption == "2 positive, 0 ignored, 2046 negative"


def test_roles_given_as_matches_are_answered_by_a_sentence() -> None:
    model = yl.create_model("yolov8n", num_classes=3)
    maps = model(torch.zeros(1, 3, 64, 64))
    assigned = model.criterion(yl.Hyperparameters(), 64).assign(maps, torch.tensor([[0, 1, 0.5, 0.5, 0.4, 0.4]]))
    with pytest.raises(ValueError, match="show_roles"):
        show_assignment(torch.zeros(3, 64, 64), assigned, model.strides)
    with pytest.raises(ValueError, match=r"\.matches: give all that it returned to show_roles.*build_targets"):
        show_assignment(torch.zeros(3, 64, 64), assigned.matches, model.strides)  # three fields, three strides
    assert len(show_roles(torch.zeros(3, 64, 64), assigned, model.strides).rows[0]) == 3
