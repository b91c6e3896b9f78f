"""YOLOv8: the loss, its assignment and its head."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from yolo_lite.boxes import bbox_iou
from yolo_lite.coding import encode_distances, encode_distribution
from yolo_lite.family.yolov8 import DetectDFL, Yolov8Loss, Yolov8Settings, assign_task_aligned, decode_yolov8
from yolo_lite.family.yolov8 import loss as module
from yolo_lite.family.yolov8.assignment import PaddedObjects
from yolo_lite.family.yolov8.loss import grid_points

MODERN = Path(__file__).parents[1] / "golden" / "family" / "modern"
SIZE, STRIDES, BINS, CLASSES = (64, 96), (8, 16), 8, 3  # height, width
SHAPES = [(1, SIZE[0] // stride, SIZE[1] // stride) for stride in STRIDES]
TARGETS = torch.tensor(  # rows of images are mixed on purpose
    [
        [1, 2, 0.40, 0.50, 0.30, 0.50],
        [0, 0, 0.50, 0.50, 0.55, 0.70],
        [1, 1, 0.75, 0.30, 0.25, 0.30],
        [0, 1, 0.20, 0.30, 0.21, 0.33],
    ]
)
NONE = torch.zeros(0, 6)


def make(**settings: float) -> Yolov8Loss:
    return Yolov8Loss(STRIDES, CLASSES, Yolov8Settings(**settings), BINS)


def random_maps(images: int = 2, seed: int = 3, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    columns = 4 * BINS + CLASSES
    return [torch.randn(images, *shape, columns, generator=generator).to(dtype) for shape in SHAPES]


def good_maps() -> list[Tensor]:
    """Every point predicts, as well as it can, the object of image 0 that ``TARGETS`` has first, with its class."""
    height, width = SIZE
    x, y, w, h = (TARGETS[1, 2:] * torch.tensor([width, height, width, height])).tolist()
    points = grid_points(SHAPES, STRIDES, TARGETS)
    corners = torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    sides = encode_distribution(encode_distances(corners, points.xy) / points.stride, BINS)  # (P, 4, R)
    logits = torch.tensor([6.0, -6.0, -6.0]).expand(len(sides), CLASSES)
    flat = torch.cat((sides.clamp(min=1e-6).log().flatten(1), logits), 1)
    counts = [rows * cols for _, rows, cols in SHAPES]
    return [part.view(1, *shape, -1) for part, shape in zip(flat.split(counts), SHAPES, strict=True)]


@pytest.mark.parametrize("auxiliary", [False, True])
def test_losses_of_points_add_up_to_the_loss(auxiliary: bool) -> None:
    maps = random_maps() + (random_maps(seed=4) if auxiliary else [])
    loss = make()
    assigned, parts = loss.assign(maps, TARGETS), loss(maps, TARGETS)
    for of_points, whole in zip(assigned.losses, parts, strict=True):
        torch.testing.assert_close(of_points.sum(), whole)
    torch.testing.assert_close(parts.total, 2 * (parts.box + parts.cls + parts.dfl))
    assert assigned.role.shape == assigned.target.shape == assigned.losses.box.shape == (2, len(assigned.cells))


def test_positives_have_the_losses_of_boxes() -> None:
    assigned = make().assign(random_maps(), TARGETS)
    positive = assigned.role == 1
    assert positive.any()
    assert torch.equal(positive, assigned.losses.dfl > 0)
    assert torch.equal(positive, assigned.target >= 0)
    assert (assigned.losses.cls > 0).all()
    pairs = assigned.matches
    assert torch.equal(assigned.target[pairs.image, pairs.prediction], pairs.target)
    assert torch.equal(TARGETS[pairs.target, 0].long(), pairs.image)


def test_order_of_targets_does_not_matter() -> None:
    maps, order = random_maps(), torch.tensor([2, 0, 3, 1])
    loss = make()
    first, other = loss.assign(maps, TARGETS), loss.assign(maps, TARGETS[order])
    torch.testing.assert_close(loss(maps, TARGETS), loss(maps, TARGETS[order]))
    renamed = torch.where(other.target >= 0, order[other.target], -1)
    assert torch.equal(first.target, renamed)


def test_no_objects() -> None:
    maps = [raw.requires_grad_() for raw in random_maps()]
    loss = make()
    parts = loss(maps, NONE)
    parts.total.backward()
    assert parts.box == parts.dfl == loss.dropped == 0
    flat = torch.cat([raw.flatten(1, 3) for raw in maps], 1)
    torch.testing.assert_close(parts.cls, 0.5 * torch.nn.functional.softplus(flat[..., 4 * BINS :]).sum())
    assert not (loss.assign(maps, NONE).role == 1).any()


def test_an_object_between_the_points_is_found_by_its_neighbours() -> None:
    """2 x 2 pixels around a corner of cells: no point is inside, and four are within 8 pixels of its centre."""
    tiny = torch.tensor([[0, 1, 48 / 96, 32 / 64, 2 / 96, 2 / 64]])
    maps = random_maps(1)
    candidates = make().ask(maps, tiny).aligned.candidates[0, 0]
    assert grid_points(SHAPES, STRIDES, tiny).xy[candidates].tolist() == [[44, 28], [52, 28], [44, 36], [52, 36]]
    assert not make(min_side=0).ask(maps, tiny).aligned.candidates.any()
    loss = make(min_side=0)
    loss(maps, tiny)
    assert loss.dropped == 1


def test_a_good_prediction_costs_little_and_decodes_to_its_object() -> None:
    maps, target = good_maps(), TARGETS[1:2]
    loss = make()
    pairs, parts = loss.assign(maps, target).matches, loss(maps, target)
    assert len(pairs.image) == 10
    boxes = decode_yolov8(maps, STRIDES, CLASSES)[pairs.image, pairs.prediction]
    object_box = target[0, 2:] * torch.tensor([SIZE[1], SIZE[0], SIZE[1], SIZE[0]])
    assert bbox_iou(boxes[:, :4], object_box.expand(10, 4), "iou").min() > 0.99
    assert (boxes[:, 5:].argmax(1) == 0).all()
    assert (boxes[:, 4] == 1).all()
    random = make()(random_maps(1), target)
    assert parts.box < random.box / 100
    assert parts.dfl < random.dfl / 2  # not 0: a distance between two bins has the entropy of both


def test_targets_are_scaled_to_the_best_overlap() -> None:
    """The best point of an object is trained towards the object's largest overlap, the others towards less."""
    aligned = make().ask(random_maps(), TARGETS).aligned
    assert aligned.assigned.any(2).all()
    weight = aligned.target_scores.amax(2)[:, None] * aligned.assigned  # (N, M, P)
    torch.testing.assert_close(weight.amax(2), (aligned.overlaps * aligned.assigned).amax(2), rtol=1e-3, atol=1e-4)


def test_points_without_metric_are_not_selected() -> None:
    """Nine points predict boxes elsewhere: whichever the sort brings first, none of them is positive."""
    boxes = torch.tensor([[0.0, 0, 16, 16]] + [[200.0, 200, 210, 210]] * 9)[None]
    objects = PaddedObjects(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[[0.0, 0, 16, 16]]]))
    found = assign_task_aligned(torch.full((1, 10, 1), 0.5), boxes, torch.full((10, 2), 8.0), objects)
    assert found.candidates.all()
    assert found.slot.tolist() == [[0, *[-1] * 9]]


def test_gradients_are_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the classes and distributions, with the assignment held. CIoU's weight of the aspect ratio is a constant."""
    maps, targets = random_maps(dtype=torch.float64), TARGETS.double()
    loss = make(box=0)
    asked = loss.ask(maps, targets)
    monkeypatch.setattr(module, "assign_task_aligned", lambda *_: asked.aligned)
    place = [*asked.aligned.slot.ge(0).nonzero()[::5].tolist(), [0, 0], [1, 100]]
    cells = loss.assign(maps, targets).cells

    def total(values: Tensor) -> Tensor:
        changed = [raw.clone() for raw in maps]
        for value, (image, point) in zip(values, place, strict=True):
            level, _, row, col = cells[point].tolist()
            changed[level][image, 0, row, col] = value
        return loss(changed, targets).total

    flat = torch.cat([raw.flatten(1, 3) for raw in maps], 1)
    assert torch.autograd.gradcheck(total, torch.stack([flat[image, point] for image, point in place]).requires_grad_())


def test_a_step_along_the_gradient_improves_boxes() -> None:
    maps = [raw.requires_grad_() for raw in random_maps()]
    loss = make(cls=0, dfl=0)
    before = loss(maps, TARGETS)
    gradients = torch.autograd.grad(before.total, maps)
    aligned = loss.ask(maps, TARGETS).aligned
    with pytest.MonkeyPatch.context() as held:
        held.setattr(module, "assign_task_aligned", lambda *_: aligned)
        after = loss([raw - 0.5 * gradient for raw, gradient in zip(maps, gradients, strict=True)], TARGETS)
    assert after.box < before.box


def test_half_precision_is_computed_in_float32() -> None:
    half = [raw.bfloat16() for raw in random_maps()]
    again = [raw.float() for raw in half]
    loss = make()
    assert loss(half, TARGETS).total == loss(again, TARGETS).total
    assert decode_yolov8(half, STRIDES, CLASSES).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(loss(again, TARGETS), loss(half, TARGETS))
        inside = loss(half, TARGETS).total
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, loss(again, TARGETS).total)


def test_objects_without_a_point_are_counted() -> None:
    loss, maps = make(), random_maps()
    line, nowhere, outside = [0, 0, 0.5, 0.5, 0.2, 0.0], [0, 0, torch.nan, 0.5, 0.2, 0.2], [1, 2, 30, 30, 0.2, 0.2]
    parts = loss(maps, torch.cat((torch.tensor([line, nowhere, outside]), TARGETS)))
    assert loss.dropped == 3
    torch.testing.assert_close(parts, loss(maps, TARGETS))
    assert loss.dropped == 3


def test_auxiliary_maps_are_a_second_loss() -> None:
    main, other = random_maps(), [raw.requires_grad_() for raw in random_maps(seed=4)]
    both = make()(main + other, TARGETS)
    for name in both._fields:
        alone = getattr(make()(main, TARGETS), name) + 0.25 * getattr(make()(other, TARGETS), name)
        torch.testing.assert_close(getattr(both, name), alone)
    assert all(gradient.any() for gradient in torch.autograd.grad(both.total, other))
    assert torch.equal(make().assign(main + other, TARGETS).role, make().assign(main, TARGETS).role)
    torch.testing.assert_close(make(auxiliary=0)(main + other, TARGETS), make()(main, TARGETS))


def test_maps_that_do_not_fit() -> None:
    maps = random_maps()
    with pytest.raises(ValueError, match="1 maps"):
        make()(maps[:1], TARGETS)
    with pytest.raises(ValueError, match="map 0"):
        Yolov8Loss(STRIDES, CLASSES)(maps, TARGETS)
    with pytest.raises(ValueError, match="auxiliary"):
        make()(maps + maps[::-1], TARGETS)
    with pytest.raises(ValueError, match="map 1"):
        decode_yolov8([maps[0], maps[1][..., :-1]], STRIDES, CLASSES)


@pytest.mark.parametrize(("row", "word"), [([2, 0], "image"), ([0, 3], "class"), ([0, -1], "class")])
def test_targets_out_of_range(row: list[int], word: str) -> None:
    with pytest.raises(ValueError, match=f"row 4.*{word}"):
        make()(random_maps(), torch.cat((TARGETS, torch.tensor([[*row, 0.5, 0.5, 0.2, 0.2]]))))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"box": -1}, {"box": torch.inf}, {"beta": -1}, {"auxiliary": torch.nan}, {"min_side": None}, {"dfl": True}),
        *({"topk": 0}, {"topk": 2.5}, {"topk": "a"}, {"topk": True}),
    ],
    ids=str,
)
def test_settings_out_of_range(wrong: dict) -> None:
    with pytest.raises(ValueError, match=f"Yolov8Settings: {next(iter(wrong))} must be"):
        Yolov8Settings(**wrong)


# The head


@pytest.mark.parametrize(("case", "depthwise"), [("head_v8", False), ("head_v11", True)])
def test_head_with_recorded_weights(case: str, depthwise: bool) -> None:
    with np.load(MODERN / "yolo_blocks.npz") as file:
        recorded = {key.removeprefix(f"{case}/"): torch.from_numpy(file[key]) for key in file if key.startswith(case)}
    inputs = [recorded[f"x{level}"] for level in range(3)]
    head = DetectDFL(3, [each.shape[1] for each in inputs], reg_max=4, depthwise=depthwise).eval()
    weights = {key.removeprefix("p/"): value for key, value in recorded.items() if key.startswith("p/")}
    ours = {name: tensor for name, tensor in head.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert {name: tensor.shape for name, tensor in ours.items()} == {name: w.shape for name, w in weights.items()}
    assert torch.equal(ours["dfl.conv.weight"], weights["dfl.conv.weight"])
    head.load_state_dict(weights, strict=False)
    with torch.no_grad():
        maps = head(inputs)
    flat = torch.cat([raw.flatten(1, 3) for raw in maps], 1).transpose(1, 2)  # (N, 4 R + C, P)
    torch.testing.assert_close(flat[:, :16], recorded["raw_boxes"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(flat[:, 16:], recorded["raw_scores"], rtol=1e-4, atol=1e-4)
    decoded = decode_yolov8(maps, [8, 16, 32], 3).transpose(1, 2)[:, [0, 1, 2, 3, 5, 6, 7]]
    torch.testing.assert_close(decoded, recorded["decoded"], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("name", "depthwise"), [("yolov8n", False), ("yolo11n", True)])
def test_head_has_the_recorded_number_of_weights(name: str, depthwise: bool) -> None:
    facts = json.loads((MODERN / "facts.json").read_text())["ultralytics_models"][name]["layers"][-1]
    head = DetectDFL(80, [shape[1] for shape in facts["head_in_shapes"]], depthwise=depthwise)
    counted = {branch: sum(p.numel() for p in getattr(head, branch).parameters()) for branch in ("cv2", "cv3", "dfl")}
    assert counted == facts["branch_params"]


def test_first_predictions() -> None:
    """Every class score is that of five objects in a picture of 640 pixels."""
    head = DetectDFL(4, [16, 32], strides=[8, 16])
    for branch, stride in zip(head.cv3, (8, 16), strict=True):
        probability = branch[-1].bias.sigmoid()
        torch.testing.assert_close(probability, torch.full((4,), 5 / 4 / (640 / stride) ** 2), rtol=1e-3, atol=0)
    assert all((branch[-1].bias == 2).all() for branch in head.cv2)
    assert not head.dfl.conv.weight.requires_grad
