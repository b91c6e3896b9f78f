"""What the losses of YOLOv1 to YOLOv4 share."""

import pytest
import torch

from yolo_lite.boxes import box_iou, xywh_to_xyxy
from yolo_lite.family.common import (
    add_at,
    centre_iou,
    check_maps,
    gradients_in,
    last_on_place,
    object_cells,
    read_objects,
    shape_iou,
)

MAPS = [torch.zeros(2, 3, 4, 5, 7)]


def test_overlaps_are_those_of_corners():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 40, 4, generator=generator, dtype=torch.float64).unbind(0)
    expected = box_iou(xywh_to_xyxy(a), xywh_to_xyxy(b))  # which has an epsilon of 1e-7 in the union
    torch.testing.assert_close(centre_iou(a[:, None], b), expected, rtol=1e-3, atol=1e-6)
    at_origin = [torch.cat((torch.zeros(40, 2).double(), each[:, 2:]), 1) for each in (a, b)]
    torch.testing.assert_close(shape_iou(a[:, 2:], b[:, 2:]), centre_iou(at_origin[0][:, None], at_origin[1]))


def test_boxes_without_area_or_with_negative_sides_overlap_nothing():
    box = torch.tensor([0.5, 0.5, 0.25, 0.25])
    flat = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.5, 0.5, -0.2, 0.2], [0.5, 0.5, -0.2, -0.2], [0.75, 0.5, 0.25, 0.25]])
    assert centre_iou(box, flat).tolist() == [0, 0, 0, 0]
    assert centre_iou(flat[0], flat[0]) == 0
    assert centre_iou(box, box) == 1


def test_small_boxes_have_exact_overlaps():
    small = torch.tensor([0.5, 0.5, 2**-13, 2**-13])  # whose area an epsilon of 1e-7 would drown
    assert centre_iou(small, small) == 1


def test_objects_that_no_cell_can_have_are_left_out():
    box = [0.5, 0.5, 0.1, 0.1]
    odd = [
        [1.1, 0.5, 0.1, 0.1],
        [0.5, -0.1, 0.1, 0.1],
        [0.5, 0.5, 0, 0.1],
        [0.5, 0.5, 0.1, -1],
        [float("nan"), *box[1:]],
    ]
    targets = torch.tensor([[0, 1, *each] for each in (box, *odd, box)])
    assert read_objects(targets, MAPS, 2).target.tolist() == [0, 6]


def test_the_first_objects_of_each_image_are_read():
    targets = torch.tensor([[image, 0, 0.5, 0.5, 0.1, 0.1] for image in (0, 1, 0, 0, 1, 1)])
    targets[0, 4] = 0  # left out: does not count
    assert read_objects(targets, MAPS, 2, max_boxes=2).target.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("row", "facts"),
    [
        ([0, 2, 0.5, 0.5, 0.1, 0.1], ("row 1", "class 2", "0 to 1")),
        ([2, 0, 0.5, 0.5, 0.1, 0.1], ("row 1", "image index 2", "0 to 1")),
        ([-1, 0, 0.5, 0.5, 0.1, 0.1], ("row 1", "-1")),
        ([0, float("nan"), 0.5, 0.5, 0.1, 0.1], ("row 1", "class nan")),
    ],
)
def test_targets_out_of_range(row, facts):
    with pytest.raises(ValueError) as caught:
        read_objects(torch.tensor([[0, 0, 0.5, 0.5, 0.1, 0.1], row]), MAPS, 2)
    assert all(fact in str(caught.value) for fact in facts)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\(2, 5\)"):
        read_objects(torch.zeros(2, 5), MAPS, 2)
    for maps in ([], [*MAPS, *MAPS], [torch.zeros(2, 2, 4, 5, 7)], [torch.zeros(2, 3, 4, 5, 8)], [torch.zeros(2, 3)]):
        with pytest.raises(ValueError):
            check_maps(maps, [3], 2)


def test_the_border_belongs_to_the_last_cell():
    row, col = object_cells(torch.tensor([[1.0, 1.0, 0.1, 0.1], [0.0, 0.0, 0.1, 0.1], [0.999, 0.5, 0.1, 0.1]]), 4, 5)
    assert (row.tolist(), col.tolist()) == ([3, 0, 2], [4, 0, 4])


def test_places():
    assert last_on_place(torch.tensor([], dtype=torch.int64)).tolist() == []
    assert add_at(torch.tensor([1, 1, 4]), torch.tensor([1.0, 2, 4]), (2, 1, 1, 3)).tolist() == [[0, 3, 0], [0, 4, 0]]


def test_gradients_without_grad_mode():
    with torch.no_grad():
        square, unused = gradients_in([torch.tensor([3.0]), torch.tensor([1.0])], lambda leaves: (leaves[0] ** 2).sum())
    assert (square.item(), unused.item()) == (6, 0)
