"""YOLOv7: which candidates become matches, by a slow search of its own; and its network."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.family.tiny import CFG
from yolo_lite.checkpoints.own import CheckpointError, load, save
from yolo_lite.family.yolov7 import Costs, Yolov7Loss, Yolov7Settings, assign_by_cost
from yolo_lite.family.yolov7.network import Yolov7, build
from yolo_lite.loss.loss import ComputeLoss
from yolo_lite.loss.targets import build_targets
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.spec import SpecError
from yolo_lite.model.yolo import create_model

ANCHORS = torch.tensor([[[12.0, 16], [19, 36]], [[36.0, 75], [76, 55]]])
STRIDES = (8, 16)
GRIDS = ((8, 12), (4, 6))
CLASSES = 3
TARGETS = torch.tensor(
    [
        [1, 2, 0.40, 0.50, 0.30, 0.50],
        [0, 0, 0.50, 0.50, 0.25, 0.40],  # its centre is a corner of cells
        [0, 1, 0.51, 0.52, 0.26, 0.42],  # almost the same box: both choose the same predictions
        [0, 1, 0.20, 0.30, 0.15, 0.33],
        [1, 0, 0.75, 0.30, 0.002, 0.30],  # too narrow for every anchor
    ]
)


def maps(seed: int = 1, size: float = 0.4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(2, 2, *grid, 5 + CLASSES) for grid in GRIDS]
    return [size * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def make_loss(**settings: Any) -> Yolov7Loss:
    return Yolov7Loss(ANCHORS.double(), STRIDES, CLASSES, Yolov7Settings(**settings), img_size=96)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def slow_iou(a: list[float], b: list[float]) -> float:
    sides = [
        min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) - max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2) for i in (0, 1)
    ]
    inter = max(sides[0], 0) * max(sides[1], 0)
    return inter / (a[2] * a[3] + b[2] * b[3] - inter)


def slow_matches(raw_maps: list[Tensor], targets: Tensor, topk: int, weight: float) -> set[tuple[int, ...]]:
    """(target, level, image, anchor, row, column) of every match: one prediction and one object at a time."""
    found: dict[int, dict[tuple[int, ...], tuple[float, float]]] = {}  # object -> prediction -> cost, IoU
    candidates = build_targets(targets, GRIDS, ANCHORS.double(), STRIDES)
    for level, (level_candidates, raw, stride) in enumerate(zip(candidates, raw_maps, STRIDES, strict=True)):
        rows, cols = GRIDS[level]
        for index, target in enumerate(level_candidates.target.tolist()):
            image, anchor, row, col = (int(field[index]) for field in level_candidates[:4])
            numbers = raw[image, anchor, row, col].tolist()
            s = [sigmoid(value) for value in numbers]
            wide, high = ANCHORS[level, anchor].tolist()
            box = [
                (2 * s[0] - 0.5 + col) * stride,
                (2 * s[1] - 0.5 + row) * stride,
                4 * s[2] ** 2 * wide,
                4 * s[3] ** 2 * high,
            ]
            x, y, w, h = targets[target, 2:].tolist()
            truth = [x * cols * stride, y * rows * stride, w * cols * stride, h * rows * stride]
            iou = slow_iou(box, truth)
            cls = int(targets[target, 1])
            cost = sum(-math.log(s[5 + c] if c == cls else 1 - s[5 + c]) for c in range(CLASSES))
            cost -= weight * math.log(iou + 1e-8)
            found.setdefault(target, {})[(level, image, anchor, row, col)] = cost, iou
    best: dict[tuple[int, ...], tuple[float, int]] = {}  # prediction -> cost, object
    for target, predictions in found.items():
        k = max(1, int(sum(sorted((iou for _, iou in predictions.values()), reverse=True)[:topk])))
        for place in sorted(predictions, key=lambda place: predictions[place][0])[:k]:
            best[place] = min(best.get(place, (math.inf, -1)), (predictions[place][0], target))
    return {(target, *place) for place, (_, target) in best.items()}


def fast_matches(loss: Yolov7Loss, raw_maps: list[Tensor], targets: Tensor) -> set[tuple[int, ...]]:
    found = set()
    for level, matches in enumerate(loss.matches(raw_maps, targets)):
        fields = (matches.target, matches.image, matches.anchor, matches.row, matches.col)
        for target, *place in zip(*(field.tolist() for field in fields), strict=True):
            found.add((target, level, *place))
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("topk", "weight"), [(10, 3.0), (3, 0.0), (20, 10.0)])
def test_matches_are_those_of_a_slow_search(seed: int, topk: int, weight: float) -> None:
    raw, targets = maps(seed), TARGETS.double()
    loss = make_loss(topk=topk, iou_weight=weight)
    expected = slow_matches(raw, targets, topk, weight)
    assert fast_matches(loss, raw, targets) == expected
    assert 3 <= len(expected) < sum(len(level.target) for level in ComputeLoss.matches(loss, raw, targets))


def test_a_small_example_by_hand() -> None:
    # object 0: IoUs .9 + .8 + .5 = 2.2, so k = 2; object 1: .6 + .3 = .9, so 1
    target = torch.tensor([0, 0, 0, 1, 1])
    prediction = torch.tensor([10, 11, 12, 11, 13])
    iou = torch.tensor([0.9, 0.8, 0.5, 0.6, 0.3])
    cost = torch.tensor([3.0, 1.0, 2.0, 0.5, 4.0])
    chosen = assign_by_cost(Costs(target, prediction, iou, cost, cost), 2)
    # object 0 chooses 11 and 12, object 1 chooses 11, where it costs less: object 0 keeps 12
    assert chosen.tolist() == [False, False, True, True, False]
    # of the largest IoU alone: k = 1 for both, and both choose 11
    assert assign_by_cost(Costs(target, prediction, iou, cost, cost), 2, topk=1).tolist() == [False] * 3 + [True, False]


def test_better_boxes_give_more_positives() -> None:
    """Maps that predict an object exactly at every candidate: as many matches as topk IoUs of 1."""
    targets = torch.tensor([[0, 1, 0.52, 0.53, 0.25, 0.40]], dtype=torch.float64)
    loss, raw = make_loss(topk=4), maps(size=0.0)
    start = sum(len(level.target) for level in loss.matches(raw, targets))
    for level, found in zip(raw, build_targets(targets, GRIDS, loss.anchors, STRIDES), strict=True):
        place = found.image, found.anchor, found.row, found.col
        xy = ((found.box[:, :2] + 0.5) / 2).logit()
        level[(*place, slice(0, 4))] = torch.cat((xy, ((found.box[:, 2:] / found.anchor_wh).sqrt() / 2).logit()), 1)
    learnt = sum(len(level.target) for level in loss.matches(raw, targets))
    assert start < 4
    assert learnt in (3, 4)  # an eps in the IoU leaves 4 of them a little below 4


def test_the_loss_is_that_of_yolov5_on_the_chosen_matches() -> None:
    """Loss and gradient, term by term, from the slow search."""
    raw = [level.requires_grad_() for level in maps(2)]
    targets, loss = TARGETS.double(), make_loss()
    parts = loss(raw, targets)
    assert (loss.dropped, loss.hyp.obj) == (
        len(TARGETS) - len({match[0] for match in slow_matches(raw, targets, 10, 3.0)}),
        (96 / 640) ** 2 * 1.5,
    )
    assigned = loss.assign(raw, targets)
    for name, value in parts._asdict().items():
        torch.testing.assert_close(getattr(assigned.losses, name).sum(), value)
    assert (assigned.role == 1).sum() == len(slow_matches(raw, targets, 10, 3.0)) == len(assigned.matches.target)
    parts.total.backward()
    assert all(level.grad is not None and level.grad.isfinite().all() and level.grad.abs().sum() > 0 for level in raw)


def test_no_objects() -> None:
    raw = [level.requires_grad_() for level in maps()]
    loss = make_loss()
    parts = loss(raw, torch.zeros(0, 6))
    assert (parts.box.item(), parts.cls.item(), loss.dropped) == (0, 0, 0)
    assert parts.obj > 0


def test_objects_that_nothing_is_matched_to_are_counted() -> None:
    loss = make_loss()
    loss(maps(), TARGETS.double()[[0, 4]])
    assert loss.dropped == 1
    loss.assign(maps(), TARGETS.double())
    assert loss.dropped == 1


@pytest.mark.parametrize("wrong", [{"topk": 0}, {"topk": 1.5}, {"anchor_t": 1.0}, {"box": -1.0}, {"iou_weight": -1.0}])
def test_settings_out_of_range(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Yolov7Settings(**wrong)


# The network


def test_parameters_are_those_of_the_paper() -> None:
    """36.9 M at 80 classes; fused, and with the branches that RepConv has in training within 2 %."""
    with torch.device("meta"):
        model = build({"family": "yolov7"}, "yolov7")
        fused = model.fuse()
    assert sum(each.numel() for each in model.parameters()) == 37_620_125
    assert sum(each.numel() for each in fused.parameters()) == 36_905_341
    assert abs(37_620_125 / 36.9e6 - 1) < 0.02
    assert model.strides == (8, 16, 32)
    assert model.anchors.flatten(1)[2].tolist() == [142, 110, 192, 243, 459, 401]


def tiny() -> LayeredDetector:
    """With statistics of its own in every BatchNorm."""
    model = create_model({"family": "yolov7", "width": 0.0625, "settings": {"topk": 7}}, num_classes=2)
    generator = torch.Generator().manual_seed(0)
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(2, 3, 64, 64, generator=generator))
    return model.eval()


def test_fused_it_computes_the_same() -> None:
    model, images = tiny(), torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    fused = model.fuse()
    assert {type(module).__name__ for module in fused.modules()}.isdisjoint({"BatchNorm2d"})
    with torch.no_grad():
        for one, other in zip(model(images), fused(images), strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_saved_and_loaded(tmp_path: Path) -> None:
    model, images = tiny(), torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    save(model, tmp_path / "v7.safetensors")
    again = load(tmp_path / "v7.safetensors")
    assert isinstance(again, Yolov7)
    assert again.settings == Yolov7Settings(topk=7)
    with torch.no_grad():
        torch.testing.assert_close(again(images), model(images), atol=0, rtol=0)


def test_other_anchors() -> None:
    anchors = [[8, 8, 16, 16, 24, 24], [30, 30, 40, 40, 50, 50], [60, 60, 80, 80, 100, 100]]
    model = create_model({"family": "yolov7", "width": 0.0625}, num_classes=2, anchors=anchors)
    assert model.anchors is not None
    assert model.anchors.flatten(1).tolist() == anchors
    assert model.spec["anchors"] == anchors


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "yolov99"}, "yolov99.*yolov7"),
        ({"width": 0}, "width"),
        ({"settings": {"topk": 0}}, "topk"),
        ({"settings": {"gain": 1}}, "gain"),
        ({"depth": 1}, "depth"),
        ({"backbone": [], "head": []}, "anchors|last row"),
        ({"width": 0.5, "backbone": [], "head": [], "anchors": 3}, "width"),
        ({"head": [[[-1], 1, "Detect", ["nc", "anchors"]]]}, "backbone"),
    ],
)
def test_specs_that_cannot_be_built(wrong: dict, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        create_model({"family": "yolov7", **wrong})


@pytest.mark.parametrize("row", [[-1, 1000, "Conv", [64, 3, 1]], [-1, 1, "ELAN", [64, 16, 16, 1000, 1]]])
def test_a_file_that_asks_for_thousands_of_blocks_is_refused(row: list, tmp_path: Path) -> None:
    model = create_model(CFG / "tiny-v7.yaml", num_classes=2)
    model.spec = model.spec | {"backbone": [*model.spec["backbone"], *([row] * 4)]}
    save(model, tmp_path / "greedy.safetensors")
    with pytest.raises(CheckpointError, match=r"4,0\d\d blocks"):
        load(tmp_path / "greedy.safetensors")
