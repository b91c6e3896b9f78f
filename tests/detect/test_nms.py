"""NMS against the rule written out box by box, and against recorded numbers."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_lite.boxes import box_iou
from yolo_lite.detect.nms import (
    BLOCK,
    KEPT,
    UNDECIDED,
    find_candidates,
    nms,
    non_max_suppression,
    separate_classes,
    suppress,
    suppressed_by,
)
from yolo_lite.detect.sweep import BLOCK as SWEPT

SETTINGS = {
    "predict": {"conf_thres": 0.25, "iou_thres": 0.45},
    "val": {"conf_thres": 0.001, "iou_thres": 0.6, "multi_label": True},
    "agnostic": {"conf_thres": 0.1, "iou_thres": 0.3, "agnostic": True},
    "classes": {"conf_thres": 0.05, "iou_thres": 0.45, "classes": [0, 45, 56]},
    "few": {"conf_thres": 0.01, "iou_thres": 0.5, "max_det": 7},
}


def greedy(boxes: torch.Tensor, scores: torch.Tensor, iou_thres: float) -> tuple[list[int], list[int]]:
    """The rule, one box at a time: kept indices, and who suppressed whom."""
    overlaps = (box_iou(boxes, boxes) > iou_thres).tolist()
    kept: list[int] = []
    by = [KEPT] * len(boxes)
    for box in sorted(range(len(boxes)), key=lambda i: -scores[i].item()):
        rivals = [better for better in kept if overlaps[better][box]]
        if rivals:
            by[box] = rivals[0]
        else:
            kept.append(box)
    return kept, by


def random_boxes(count: int, seed: int, extent: float = 300, side: float = 100) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes, and scores of which many are equal."""
    generator = torch.Generator().manual_seed(seed)
    top_left = torch.rand(count, 2, generator=generator) * extent
    boxes = torch.cat((top_left, top_left + torch.rand(count, 2, generator=generator) * side), 1)
    return boxes, (torch.rand(count, generator=generator) * 40).round() / 40


def decoded_rows(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows)[None]


@settings(deadline=None)
@given(
    count=st.sampled_from([0, 1, 2, 7, 60, BLOCK, BLOCK + 1, 3 * BLOCK - 5]),
    seed=st.integers(0, 2**31),
    iou_thres=st.sampled_from([0.0, 0.3, 0.45, 0.7, 1.0]),
    side=st.sampled_from([5.0, 100.0, 400.0]),
)
def test_equals_the_rule_written_out(count: int, seed: int, iou_thres: float, side: float) -> None:
    boxes, scores = random_boxes(count, seed, side=side)
    kept, by = greedy(boxes, scores, iou_thres)
    found = suppress(boxes, scores, iou_thres)
    assert found.kept.tolist() == kept
    assert found.by.tolist() == by
    assert nms(boxes, scores, iou_thres).tolist() == kept
    assert suppressed_by(boxes, scores, iou_thres).tolist() == by


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), limit=st.integers(0, 60))
def test_a_limit_keeps_the_first_ones_and_leaves_the_rest_undecided(seed: int, limit: int) -> None:
    boxes, scores = random_boxes(2 * BLOCK, seed)
    kept, by = greedy(boxes, scores, 0.3)
    found = suppress(boxes, scores, 0.3, limit)
    assert found.kept.tolist() == kept[:limit]
    for index, suppressor in enumerate(found.by.tolist()):
        assert suppressor in (by[index], UNDECIDED)
        assert (suppressor == KEPT) == (index in kept[:limit])
        assert suppressor < 0 or suppressor in kept[:limit]


def awkward_boxes(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Crowds, copies, boxes of no size, inside out, wider than the class offset, not finite, of many classes."""
    generator = torch.Generator().manual_seed(seed)
    boxes, scores = random_boxes(count, seed, extent=60, side=40)
    kind = torch.randint(0, 12, (count,), generator=generator)
    boxes[kind == 0] = boxes[0].clone()
    boxes[kind == 1, 2:] = boxes[kind == 1, :2]
    boxes[kind == 2] = boxes[kind == 2][:, [2, 1, 0, 3]]
    boxes[kind == 3, 2:] += 20_000.0
    boxes[kind == 4] = boxes[kind == 4].round()
    boxes = separate_classes(boxes, torch.randint(0, 1 + seed % 90, (count,), generator=generator))
    rare = torch.rand(count, generator=generator)
    boxes[rare < 0.01] *= 1e36
    boxes[rare > 0.99, 3] = torch.inf
    scores[(rare > 0.5) & (rare < 0.51)] = torch.nan
    return boxes, scores


@settings(deadline=None, max_examples=60)
@given(
    count=st.sampled_from([3, 100, 2 * SWEPT + 100]),
    seed=st.integers(0, 2**31),
    iou_thres=st.sampled_from([0.0, 1e-6, 0.3, 0.6, 0.999, 1.0]),
    limit=st.sampled_from([None, 0, 1, 300]),
)
def test_the_quick_form_keeps_what_the_readable_one_keeps(
    count: int, seed: int, iou_thres: float, limit: int | None
) -> None:
    boxes, scores = awkward_boxes(seed, count)
    assert torch.equal(nms(boxes, scores, iou_thres, limit), suppress(boxes, scores, iou_thres, limit).kept)


def test_overlaps_that_are_above_the_threshold_by_rounding_alone_count() -> None:
    """Boxes and the right third of each, far from 0; thresholds that one of these overlaps is just above."""
    generator = torch.Generator().manual_seed(0)
    left = torch.rand(200, generator=generator) * 600_000
    right = left + torch.rand(200, generator=generator) * 40 + 10
    top, bottom = torch.zeros(200), torch.full((200,), 9.7)
    whole = torch.stack((left, top, right, bottom), 1)
    third = torch.stack((right - (right - left) / 3, top, right, bottom), 1)
    boxes, scores = torch.cat((whole, third)), torch.rand(400, generator=generator)
    for iou in box_iou(whole, third).diagonal()[:40]:
        iou_thres = float(iou.nextafter(torch.zeros(())))
        assert torch.equal(nms(boxes, scores, iou_thres), suppress(boxes, scores, iou_thres).kept)


def test_memory_does_not_grow_with_the_pairs() -> None:
    boxes, scores = torch.tensor([[0.0, 0, 10, 10]]).repeat(8000, 1), torch.rand(8000)
    tracemalloc.start()
    try:
        assert len(nms(boxes, scores, 0.5)) == 1
        assert tracemalloc.get_traced_memory()[1] < 40e6  # a table of all pairs has 256 MB
    finally:
        tracemalloc.stop()


def test_an_overlap_equal_to_the_threshold_does_not_suppress() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5]])  # IoU is exactly 0.5
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.5).tolist() == [0, 1]
    assert nms(boxes, scores, 0.499).tolist() == [0]


def test_equal_scores_keep_their_order() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10]] * 5)
    assert nms(boxes, torch.full((5,), 0.5), 0.5).tolist() == [0]
    assert nms(boxes + torch.arange(5)[:, None] * 100, torch.full((5,), 0.5), 0.5).tolist() == [0, 1, 2, 3, 4]


def test_what_is_not_a_number_neither_wins_nor_suppresses() -> None:
    nan = float("nan")
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, nan, 10, 10]])
    found = suppress(boxes, torch.tensor([nan, 0.5, 0.9]), 0.5)
    assert found.kept.tolist() == [1]
    assert found.by.tolist() == [UNDECIDED, KEPT, UNDECIDED]
    rows = decoded_rows((5, 5, 4, 4, nan, 0.9, 0.1), (5, 5, 4, 4, 0.9, nan, nan), (50, 50, 4, 4, 0.9, 0.9, 0.1))
    for multi_label in (False, True):
        (detections,) = non_max_suppression(rows, multi_label=multi_label)
        assert detections[:, :4].tolist() == [[48, 48, 52, 52]]


def test_half_precision_is_computed_in_float32() -> None:
    boxes, scores = random_boxes(300, seed=3)
    half = nms(boxes.half(), scores.half(), 0.4)
    assert half.tolist() == greedy(boxes.half().float(), scores.half().float(), 0.4)[0]
    rows = torch.rand(2, 100, 8, generator=torch.Generator().manual_seed(0)).half()
    assert all(found.dtype == torch.float32 for found in non_max_suppression(rows))


def test_classes_do_not_suppress_one_another_unless_agnostic() -> None:
    rows = decoded_rows((50, 50, 20, 20, 1, 0.9, 0.1), (50, 50, 20, 20, 1, 0.1, 0.8))
    assert [int(row[5]) for row in non_max_suppression(rows)[0]] == [0, 1]
    assert [int(row[5]) for row in non_max_suppression(rows, agnostic=True)[0]] == [0]


def test_best_class_or_every_class() -> None:
    rows = decoded_rows((50, 50, 20, 20, 1, 0.9, 0.6))
    assert non_max_suppression(rows)[0][:, 4].tolist() == pytest.approx([0.9])
    assert non_max_suppression(rows, multi_label=True)[0][:, 4:].tolist() == [
        pytest.approx([0.9, 0]),
        pytest.approx([0.6, 1]),
    ]
    # The filter looks at the best class alone unless every class counts.
    assert len(non_max_suppression(rows, classes=[1])[0]) == 0
    assert len(non_max_suppression(rows, classes=[1], multi_label=True)[0]) == 1


def test_objectness_and_score_must_both_exceed_the_threshold() -> None:
    rows = decoded_rows((50, 50, 20, 20, 0.25, 1.0), (150, 50, 20, 20, 0.9, 0.2), (250, 50, 20, 20, 0.5, 0.6))
    (detections,) = non_max_suppression(rows)
    assert detections[:, 4].tolist() == pytest.approx([0.3])


def test_only_the_best_candidates_enter() -> None:
    rows = torch.tensor([[100.0 * i, 50, 20, 20, 0.3 + 0.05 * i, 1.0] for i in range(10)])[None]
    (detections,) = non_max_suppression(rows, max_candidates=4)
    assert detections[:, 0].tolist() == [890, 790, 690, 590]
    assert find_candidates(rows[0]).row.tolist() == list(range(9, -1, -1))


def test_images_of_a_batch_are_independent() -> None:
    rows = torch.rand(3, 200, 9, generator=torch.Generator().manual_seed(1)) * torch.tensor([300] * 4 + [1] * 5)
    rows[1, :, 4] = 0
    together = non_max_suppression(rows)
    assert [len(found) for found in together][1] == 0
    for image, found in zip(rows, together, strict=True):
        assert torch.equal(non_max_suppression(image[None])[0], found)


def test_nothing_in_nothing_out() -> None:
    assert non_max_suppression(torch.zeros(0, 10, 7)) == []
    for count in (0, 5):
        (detections,) = non_max_suppression(torch.zeros(1, count, 7))
        assert detections.shape == (0, 6)
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"conf_thres": 1.5}, "conf_thres must lie between 0 and 1, not 1.5"),
        ({"iou_thres": -0.1}, "iou_thres must lie between 0 and 1"),
        ({"iou_thres": float("nan")}, "iou_thres"),
        ({"classes": [0, 7]}, r"classes.* from 0 to 1.*\[0, 7\]"),
        ({"max_det": -1}, "max_det"),
    ],
)
def test_bad_settings_get_a_sentence(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        non_max_suppression(torch.zeros(1, 3, 7), **options)


def test_bad_shapes_get_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"\(N, n, 5 \+ C\)"):
        non_max_suppression(torch.zeros(3, 7))
    with pytest.raises(ValueError, match="scores"):
        nms(torch.zeros(3, 4), torch.zeros(2), 0.5)


@pytest.mark.parametrize("image", [0, 1, 2])
@pytest.mark.parametrize("setting", SETTINGS)
def test_equals_the_recorded_detections(shared, image: int, setting: str) -> None:
    """On the recorded rows, which are those of highest objectness: what they cannot decide is not compared."""
    recorded = np.load(shared / "golden" / "yolov5n_forward.npz")
    rows = torch.from_numpy(recorded[f"decoded{image}"])
    expected = torch.from_numpy(recorded[f"nms_{setting}{image}"])
    (found,) = non_max_suppression(rows[None], **SETTINGS[setting])
    unseen = rows[-1, 4]  # no row that is missing scores higher than this
    if unseen > SETTINGS[setting]["conf_thres"]:
        expected, found = expected[expected[:, 4] > unseen], found[found[:, 4] > unseen]
    assert len(found) == len(expected)
    assert torch.equal(found[:, 5], expected[:, 5])
    torch.testing.assert_close(found[:, :4], expected[:, :4], rtol=0, atol=1e-3)
    torch.testing.assert_close(found[:, 4], expected[:, 4], rtol=0, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="compares a GPU with the CPU, and there is no GPU here")
def test_a_gpu_finds_the_same() -> None:
    boxes, scores = random_boxes(5000, seed=0, extent=600)
    here, there = suppress(boxes, scores, 0.45), suppress(boxes.cuda(), scores.cuda(), 0.45)
    assert torch.equal(here.kept, there.kept.cpu())
    assert torch.equal(here.by, there.by.cpu())


def test_arrays_are_boxes_and_raw_maps_are_not() -> None:
    boxes = torch.tensor([[[50.0, 50, 20, 20, 0.9, 0.8, 0.1], [51, 50, 20, 20, 0.8, 0.8, 0.1]]])
    (expected,) = non_max_suppression(boxes)
    for array in (boxes.numpy(), boxes.double().numpy(), boxes.numpy()[:, ::-1]):
        assert torch.equal(non_max_suppression(array)[0], expected)
    assert torch.equal(non_max_suppression(boxes, classes=0)[0], expected)
    assert non_max_suppression(boxes, classes=1)[0].shape == (0, 6)
    maps = [torch.zeros(1, 3, side, side, 7) for side in (8, 4)]
    for raw in (maps, tuple(maps), maps[0], maps[0].numpy()):
        with pytest.raises(ValueError, match=r"model\.decode\(maps\)"):
            non_max_suppression(raw)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"boxes\[None\]"):
        non_max_suppression(boxes[0])
    with pytest.raises(ValueError, match="str"):
        non_max_suppression("boxes")  # type: ignore[arg-type]
