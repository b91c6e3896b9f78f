"""The drawn scenes: labels that fit the pixels, an exam without short cuts, the same scenes everywhere."""

import math

import cv2
import numpy as np
import pytest
import torch

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.source import ImageSource, open_source
from yolo_lite.datasets.shapes import Shapes, draw_scene, export_shapes
from yolo_lite.datasets.shapes.drawing import paint
from yolo_lite.datasets.shapes.layout import FILLS, FINISHES, PATTERNS, Layout
from yolo_lite.datasets.shapes.outlines import KINDS, fitted_outline, keyhole
from yolo_lite.datasets.shapes.palettes import colour_distance
from yolo_lite.loss.targets import build_targets

ANCHORS = torch.tensor(
    [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119], [116, 90, 156, 198, 373, 326]], dtype=torch.float32
).view(3, 3, 2)


@pytest.fixture(scope="module")
def shapes() -> Shapes:
    return Shapes()


@pytest.fixture(scope="module")
def layouts(shapes: Shapes) -> list[Layout]:
    return [shapes.layout(index) for index in range(len(shapes))]


def visible_mask(layout: Layout, index: int, size: int) -> np.ndarray:
    """Where an object can be seen, found by painting it white and all else black: no label is used."""
    white, black = np.full(3, 255, np.float32), np.zeros(3, np.float32)
    painted = tuple(
        shape._replace(fill=shape.fill._replace(ink=white if place == index else black, texture="flat"))
        for place, shape in enumerate(layout.shapes)
    )
    background = layout.background._replace(colours=np.zeros((4, 3), np.float32))
    picture = paint(layout._replace(shapes=painted, background=background, finish="plain"), size)
    mask = (picture[..., 0] > 25).astype(np.uint8)  # more than the grain
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    specks = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] <= 2)  # a hidden tip shines through where two edges coincide
    return (mask > 0) & ~np.isin(pieces, specks)


def extent(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def is_independent(classes: np.ndarray, bins: np.ndarray) -> bool:
    """Pearson's chi-square test at 0.1 %; the quantile by Wilson and Hilferty."""
    table = np.zeros((classes.max() + 1, bins.max() + 1))
    np.add.at(table, (classes, bins), 1)
    table = table[:, table.sum(axis=0) > 0]
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    degrees = (table.shape[0] - 1) * (table.shape[1] - 1)
    quantile = degrees * (1 - 2 / (9 * degrees) + 3.09 * math.sqrt(2 / (9 * degrees))) ** 3
    return float(((table - expected) ** 2 / expected).sum()) < quantile


def binned(values: np.ndarray, count: int = 6) -> np.ndarray:
    return np.searchsorted(np.quantile(values, np.linspace(0, 1, count + 1)[1:-1]), values)


# Labels and pixels


@pytest.mark.parametrize("size", [160, 320, 640])
def test_boxes_are_tight_around_what_can_be_seen(layouts: list[Layout], size: int) -> None:
    errors: dict[bool, list[float]] = {False: [], True: []}
    for layout in layouts[: 60 if size < 640 else 15]:
        for index, shape in enumerate(layout.shapes):
            box = np.concatenate([shape.polygon.min(axis=0), shape.polygon.max(axis=0)]) * size
            error = np.abs(box - extent(visible_mask(layout, index, size))).max()
            errors[shape.hidden > 0 or shape.cut > 0].append(float(error))
    assert max(errors[False]) <= 1
    assert max(errors[True]) <= 2  # the end of a thin tip that is left over is a matter of taste


def test_polygons_cover_what_can_be_seen(layouts: list[Layout]) -> None:
    for layout in layouts[:60]:
        for index, shape in enumerate(layout.shapes):
            seen = visible_mask(layout, index, 320)
            filled = np.zeros((320, 320), np.uint8)
            cv2.fillPoly(filled, [np.round((shape.polygon * 320 - 0.5) * 16).astype(np.int32)], 1, shift=4)
            border = (
                2 * (np.ptp(shape.polygon, axis=0) * 320).sum()
            )  # pixels along the outline, where either may be right
            assert (seen != (filled > 0)).sum() <= 1.5 * border


def test_labels_agree_with_the_scene(shapes: Shapes) -> None:
    scene, labels = shapes.scene(5), shapes.labels.of(5)
    assert np.array_equal(scene.image, shapes.read(5))
    assert np.array_equal(scene.cls, labels.cls)
    assert np.allclose(scene.boxes[:, 2:] - scene.boxes[:, :2], labels.boxes[:, 2:] * 320, atol=1e-3)
    for box, polygon in zip(scene.boxes, scene.polygons, strict=True):
        assert np.allclose(np.concatenate([polygon.min(axis=0), polygon.max(axis=0)]), box, atol=1e-3)
    for values in (labels.boxes, *labels.polygons):
        assert values.dtype == np.float32
        assert values.min() >= 0
        assert values.max() <= 1


@pytest.mark.parametrize("cls", range(len(KINDS)))
@pytest.mark.parametrize("turn", [-25, 0, 25])
def test_every_silhouette_fills_its_box(cls: int, turn: float) -> None:
    outline, *holes = fitted_outline(cls, turn, mirrored=turn > 0)
    assert np.allclose([outline.min(axis=0), outline.max(axis=0)], [[-0.5, -0.5], [0.5, 0.5]])
    area = cv2.contourArea(outline.astype(np.float32)) - sum(cv2.contourArea(hole.astype(np.float32)) for hole in holes)
    assert math.isclose(cv2.contourArea(keyhole((outline, *holes)).astype(np.float32)), area, rel_tol=1e-4)


def test_silhouettes_differ() -> None:
    """Two classes never cover the same pixels by more than 85 %, even at 16 px and whatever way they are turned."""
    masks: list[list[np.ndarray]] = []
    for cls in range(len(KINDS)):
        masks.append([])
        for turn in (-25, -12, 0, 12, 25):
            for mirrored in (False, True):
                mask = np.zeros((64, 64), np.uint8)
                contours = [
                    ((line + 0.5) * 63).round().astype(np.int32) for line in fitted_outline(cls, turn, mirrored)
                ]
                cv2.fillPoly(mask, contours, 255)
                masks[-1].append(cv2.resize(mask, (16, 16), interpolation=cv2.INTER_AREA) / 255)
    for first in range(len(KINDS)):
        for second in range(first):
            overlaps = [np.minimum(a, b).sum() / np.maximum(a, b).sum() for a in masks[first] for b in masks[second]]
            assert max(overlaps) < 0.85, (KINDS[first], KINDS[second])


# An exam without short cuts


def test_only_the_silhouette_tells_the_class(shapes: Shapes, layouts: list[Layout]) -> None:
    objects = [shape for layout in layouts for shape in layout.shapes]
    classes, boxes = shapes.labels.cls.numpy(), shapes.labels.boxes.numpy()
    inks = np.array([shape.fill.ink for shape in objects])
    owners = [layout for layout in layouts for _ in layout.shapes]
    properties = {
        "red": binned(inks[:, 0]),
        "green": binned(inks[:, 1]),
        "blue": binned(inks[:, 2]),
        "lightness": binned(inks.sum(axis=1)),
        "tone": binned(np.array([shape.fill.tone.sum() for shape in objects])),
        "size": binned(np.sqrt(boxes[:, 2] * boxes[:, 3])),
        "aspect": binned(boxes[:, 2] / boxes[:, 3]),
        "x": binned(boxes[:, 0]),
        "y": binned(boxes[:, 1]),
        "texture": np.array([FILLS.index(shape.fill.texture) for shape in objects]),
        "pattern behind": np.array([PATTERNS.index(layout.background.pattern) for layout in owners]),
        "finish": np.array([FINISHES.index(layout.finish) for layout in owners]),
        "neighbours": np.array([len(layout.shapes) for layout in owners]),
    }
    assert [name for name, bins in properties.items() if not is_independent(classes, bins)] == []
    assert not is_independent(classes, binned(classes + 3 * np.random.default_rng(0).standard_normal(len(classes))))


def test_the_nearest_colour_is_no_better_than_chance(layouts: list[Layout]) -> None:
    objects = [shape for layout in layouts for shape in layout.shapes]
    features = np.array([np.concatenate([shape.fill.ink, shape.fill.tone]) for shape in objects])
    classes = np.array([shape.cls for shape in objects])
    known, asked = slice(0, 6000), slice(6000, 8000)
    distance = ((features[asked, None] - features[None, known]) ** 2).sum(axis=-1)
    correct = (classes[known][distance.argmin(axis=1)] == classes[asked]).mean()
    assert abs(correct - 1 / len(KINDS)) < 0.03


def test_classes_are_equally_frequent(shapes: Shapes) -> None:
    shares = np.bincount(shapes.labels.cls.numpy()) / shapes.labels.num_objects
    assert len(shares) == len(KINDS) >= 6
    assert np.abs(shares - 1 / len(KINDS)).max() < 0.015


def test_objects_stand_out_from_their_surroundings(layouts: list[Layout]) -> None:
    """Measured in the picture: the colours just inside an object against those just outside it, on bare paper."""
    kernel = np.ones((3, 3), np.uint8)
    for layout in layouts[:80]:
        picture = paint(layout._replace(finish="plain"), 320)
        masks = [visible_mask(layout, index, 320).astype(np.uint8) for index in range(len(layout.shapes))]
        paper = cv2.dilate(np.maximum.reduce(masks), kernel, iterations=2) == 0
        for mask in masks:
            inside = cv2.erode(mask, kernel, iterations=2) > 0
            outside = (cv2.dilate(mask, kernel, iterations=6) > 0) & paper
            if inside.sum() > 8 and outside.sum() > 8:
                colours = [np.median(picture[place], axis=0)[None] for place in (inside, outside)]
                assert colour_distance(*colours)[0, 0] > 22
    assert min(len(layout.shapes) for layout in layouts) >= 1


# What the scenes are made of; the bounds are what was measured when they were designed


def test_sizes_and_numbers(shapes: Shapes) -> None:
    boxes, counts = shapes.labels.boxes.numpy(), shapes.labels.objects_per_image
    side = np.sqrt(boxes[:, 2] * boxes[:, 3])
    assert np.allclose(np.quantile(side, [0.05, 0.25, 0.5, 0.75, 0.95]), [0.087, 0.125, 0.19, 0.30, 0.44], rtol=0.08)
    assert boxes[:, 2:].min() > 0.03
    assert boxes[:, 2:].max() < 0.75
    ratio = boxes[:, 2] / boxes[:, 3]
    assert np.allclose(np.quantile(ratio, [0.05, 0.5, 0.95]), [0.62, 1, 1.62], rtol=0.06)
    assert (counts.min(), counts.max()) == (1, 12)
    assert 4.3 < counts.mean() < 4.7
    assert 0.55 < ((counts >= 3) & (counts <= 6)).mean() < 0.7


def test_overlap_and_truncation(layouts: list[Layout]) -> None:
    hidden = np.array([shape.hidden for layout in layouts for shape in layout.shapes])
    cut = np.array([shape.cut for layout in layouts for shape in layout.shapes])
    assert 0.14 < (hidden > 0.02).mean() < 0.20
    assert 0.06 < (cut > 0.02).mean() < 0.10
    assert hidden.max() <= 0.5
    assert cut.max() <= 0.4
    for layout in layouts[:40]:  # the shares are those of the pixels
        for index, shape in enumerate(layout.shapes):
            alone = visible_mask(layout._replace(shapes=(shape,)), 0, 320).sum()
            assert abs(1 - visible_mask(layout, index, 320).sum() / alone - shape.hidden) < 0.06


def test_all_levels_get_work_at_640(shapes: Shapes) -> None:
    images = np.repeat(np.arange(len(shapes)), shapes.labels.objects_per_image)[:, None]
    targets = np.concatenate([images, shapes.labels.cls.numpy()[:, None], shapes.labels.boxes.numpy()], axis=1)
    strides = [8, 16, 32]
    grids = [(640 // stride, 640 // stride) for stride in strides]
    matches = build_targets(torch.tensor(targets, dtype=torch.float32), grids, ANCHORS, strides)
    shares = np.array([len(level.image) for level in matches], float)
    shares /= shares.sum()
    assert np.allclose(shares, [0.09, 0.40, 0.51], atol=0.02)
    pairs = [len(torch.unique(torch.stack([level.image, level.target]), dim=1).T) for level in matches]
    assert np.allclose(np.array(pairs) / len(shapes), [1.50, 3.89, 4.50], atol=0.1)  # objects of a scene matched there


# The same scenes everywhere


def test_a_scene_is_a_function_of_seed_split_and_index(shapes: Shapes) -> None:
    few = Shapes(count=4)
    assert len(few) == 4
    for index in (3, 0, 3):
        assert np.array_equal(few.read(index), shapes.read(index))
    assert np.array_equal(few.labels.of(2).boxes, shapes.labels.of(2).boxes)
    assert np.array_equal(few.read(-1), few.read(3))
    with pytest.raises(IndexError):
        few.read(4)


def test_splits_and_seeds_share_no_scene() -> None:
    parts = [Shapes(split, count=200, seed=seed) for split in ("train", "val", "test") for seed in (0, 1)]
    scenes = {part.labels.of(index).boxes.tobytes() for part in parts for index in range(200)}
    assert len(scenes) == 6 * 200
    assert not np.array_equal(parts[0].read(0), parts[2].read(0))


def test_another_size_is_the_same_scene(shapes: Shapes) -> None:
    small, large = Shapes(size=160, count=6), Shapes(size=640, count=6)
    for index in range(6):
        reduced = cv2.resize(large.read(index), (160, 160), interpolation=cv2.INTER_AREA)
        assert np.abs(reduced.astype(float) - small.read(index)).mean() < 4
        assert np.array_equal(small.labels.of(index).boxes, shapes.labels.of(index).boxes)
        assert np.allclose(large.scene(index).boxes, 4 * small.scene(index).boxes)


def test_the_global_generators_are_left_alone() -> None:
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    draw_scene(np.random.default_rng(0), 64)
    Shapes(count=2).read(0)
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(torch_state, torch.get_rng_state())


def test_it_is_an_image_source(shapes: Shapes) -> None:
    assert isinstance(shapes, ImageSource)
    assert shapes.names == KINDS
    assert shapes.paths[12] == "shapes/train/000012"
    assert shapes.sizes.shape == (2000, 2)
    assert (shapes.report.images, shapes.report.objects) == (2000, shapes.labels.num_objects)
    assert not shapes.report
    assert repr(shapes) == "Shapes('train', size=320, count=2000, seed=0)"
    image = shapes.read(0)
    assert (image.shape, image.dtype) == ((320, 320, 3), np.uint8)
    assert len(open_source("shapes", "val")) == 400


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"split": "trian"}, "train, val, test.*'trian'"),
        ({"size": 16}, r"size.*\b32\b.*\b16\b"),
        ({"size": 320.5}, r"size.*\b320\.5\b"),
        ({"count": 0}, r"count.*\b1\b.*\b0\b"),
        ({"seed": -1}, r"seed.*-1\b"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Shapes(**arguments)


# Export


def test_an_export_reads_back_with_the_same_labels(tmp_path) -> None:
    folder = tmp_path / "drawn"
    assert export_shapes(folder, size=96, count=5, seed=3) == 10
    for split in ("train", "val"):
        drawn, read = Shapes(split, 96, 5, 3), open_source(folder / "data.yaml", split)
        assert read.names == KINDS
        assert not read.report, str(read.report)
        for index in range(5):
            expected, found = drawn.labels.of(index), read.labels.of(index)
            assert np.array_equal(found.cls, expected.cls)
            assert np.allclose(found.boxes, expected.boxes, atol=2e-6)
            for one, other in zip(found.polygons, expected.polygons, strict=True):
                assert np.allclose(one, other, atol=1e-6)
            assert np.abs(read.read(index).astype(float) - drawn.read(index)).mean() < 4  # JPEG
    inputs = [YoloDataset(source, img_size=96, split="val")[2] for source in (folder / "data.yaml", drawn)]
    assert torch.allclose(inputs[0].labels, inputs[1].labels, atol=2e-6)


def test_an_export_is_completed_but_nothing_else_is_touched(tmp_path) -> None:
    folder = tmp_path / "drawn"
    export_shapes(folder, ("train",), size=64, count=3)
    (folder / "images" / "train" / "000001.jpg").unlink()
    assert export_shapes(folder, "train", size=64, count=3) == 3
    assert (folder / "images" / "train" / "000001.jpg").is_file()
    with pytest.raises(FileExistsError, match=r"shapes\.json"):
        export_shapes(folder, ("train",), size=64, count=3, seed=1)
    other = tmp_path / "mine"
    other.mkdir()
    (other / "notes.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="empty"):
        export_shapes(other, count=1)
    assert [path.name for path in other.iterdir()] == ["notes.txt"]
    with pytest.raises(FileExistsError, match="file"):
        export_shapes(other / "notes.txt", count=1)
