"""The embedded dataset "shapes": drawn scenes, generated in memory from a seed.

Rings, tiles, triangles, stars, hearts and moons on printed paper. A scene is a function of (seed, split, index) alone:
the same one on every machine and at every size, drawn anew whenever it is read. Its labels are known without drawing.
How a scene comes about: layout.py (what chance decides), drawing.py (the pixels).
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from yolo_lite.augment.objects import Image
from yolo_lite.boxes import xyxy_to_xywh
from yolo_lite.data.labels import ImageLabels, LabelStore
from yolo_lite.data.report import Report
from yolo_lite.data.source import PathStore
from yolo_lite.datasets.shapes.drawing import paint
from yolo_lite.datasets.shapes.layout import Layout, draw_layout
from yolo_lite.datasets.shapes.outlines import KINDS
from yolo_lite.datasets.yolo_folder import label_row, write_data_yaml

SPLITS = {"train": 2000, "val": 400, "test": 400}  # and how many scenes each has by default
SCENES = 3  # sets these draws apart from those of samples, orders and batch sizes
SMALLEST_SIZE = 32  # pixels; below that not even the large objects can be recognised
SETTINGS_FILE = "shapes.json"  # in an exported folder: what it was made with
# Full colour resolution: the usual halving would blur the edges between inks of equal lightness.
JPEG_SETTINGS = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


class Scene(NamedTuple):
    """A drawn scene with everything that is known of it."""

    image: Image  # (S, S, 3) uint8 RGB
    cls: np.ndarray  # (n,) int64, indices into Shapes.names
    boxes: np.ndarray  # (n, 4) float32 xyxy, pixels: as far as the object can be seen
    polygons: tuple[np.ndarray, ...]  # each (k, 2) float32 xy, pixels; a hole hangs on a seam of no width


class Shapes:
    """The scenes of one split, an ImageSource.

    Args:
        split: "train", "val" or "test"; they share no scene.
        size: side of the square images in pixels. Another size shows the same scenes.
        count: number of scenes; by default 2000, 400 and 400. The first ones stay the same, whatever the count.
        seed: another seed, other scenes.
    Raises:
        ValueError: an unknown split; a size below 32, a count below 1 or a seed below 0.

    >>> source = Shapes("val", size=160, count=3)
    >>> source.read(0).shape, source.labels.of(0).cls.size == len(source.scene(0).boxes)
    ((160, 160, 3), True)
    """

    names: tuple[str, ...] = KINDS

    def __init__(self, split: str = "train", size: int = 320, count: int | None = None, seed: int = 0) -> None:
        if split not in SPLITS:
            raise ValueError(f'the dataset "shapes" has the splits {", ".join(SPLITS)}, not {split!r}')
        self.split, self.seed = split, _checked("seed", seed, 0)
        self.size = _checked("size", size, SMALLEST_SIZE)
        number = _checked("count", SPLITS[split] if count is None else count, 1)
        self.paths: Sequence[str] = PathStore(f"shapes/{split}/{index:06d}" for index in range(number))
        self.sizes = np.full((number, 2), self.size, np.int64)
        self.labels = _label_store(split, number, self.seed)
        self.report = Report.of(self.labels.objects_per_image)

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"Shapes({self.split!r}, size={self.size}, count={len(self)}, seed={self.seed})"

    def layout(self, index: int) -> Layout:
        """All that chance decided about a scene."""
        place = range(len(self))[index]  # negative ones count from the end, others raise IndexError
        return _layout(self.split, place, self.seed)

    def read(self, index: int) -> Image:
        """The image of a scene, (size, size, 3) uint8 RGB."""
        return paint(self.layout(index), self.size)

    def scene(self, index: int) -> Scene:
        """A scene with its labels in pixels."""
        return _scene(self.layout(index), self.size)


def open_shapes(
    source: str, split: str = "train", names: Sequence[str] | None = None, progress: bool = False, draw_size: int = 320
) -> Shapes:
    """What ``open_source("shapes")`` opens: scenes have names of their own, and nothing to check."""
    return Shapes(split, draw_size)


def draw_scene(generator: np.random.Generator, size: int = 320) -> Scene:
    """A scene of its own, from any generator.

    >>> draw_scene(np.random.default_rng(7), size=160).image.shape
    (160, 160, 3)
    """
    return _scene(draw_layout(generator), _checked("size", size, SMALLEST_SIZE))


def export_shapes(
    folder: str | Path,
    splits: Sequence[str] = ("train", "val"),
    size: int = 320,
    count: int | None = None,
    seed: int = 0,
) -> int:
    """Writes the scenes as a YOLO folder: images/train/000000.jpg, labels/train/000000.txt, ..., data.yaml.

    A folder that holds an export with the same settings, finished or not, is completed.

    Args:
        folder: created where it does not exist. The others: see Shapes; count is per split.
    Returns:
        The number of images.
    Raises:
        FileExistsError: the folder holds something else; nothing is written then.
    """
    folder = Path(folder)
    if isinstance(splits, str):
        splits = (splits,)
    sources = [Shapes(split, size, count, seed) for split in splits]
    settings = {"splits": {source.split: len(source) for source in sources}, "size": size, "seed": seed}
    _claim(folder, settings)
    for source in sources:
        images, labels = folder / "images" / source.split, folder / "labels" / source.split
        images.mkdir(parents=True, exist_ok=True)
        labels.mkdir(parents=True, exist_ok=True)
        for index in range(len(source)):
            _write_image(images / f"{index:06d}.jpg", source.read(index))
            objects = source.labels.of(index)
            outlines = [outline for outline in objects.polygons if outline is not None]  # which is all of them
            rows = [label_row(int(cls), line.ravel()) for cls, line in zip(objects.cls, outlines, strict=True)]
            (labels / f"{index:06d}.txt").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    write_data_yaml(folder, KINDS, {source.split: f"images/{source.split}" for source in sources})
    return sum(len(source) for source in sources)


def _layout(split: str, index: int, seed: int) -> Layout:
    place = [seed, list(SPLITS).index(split), index]
    return draw_layout(np.random.default_rng(np.random.SeedSequence(place, spawn_key=(SCENES,))))


@lru_cache(maxsize=8)  # they take a millisecond a scene, and are the same at every size
def _label_store(split: str, count: int, seed: int) -> LabelStore:
    return LabelStore.build([labels_of_layout(_layout(split, index, seed)) for index in range(count)])


def _claim(folder: Path, settings: dict[str, object]) -> None:
    """Makes sure that the folder is ours to write to, and marks it."""
    marker = folder / SETTINGS_FILE
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: give the name of a new or empty folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not marker.is_file():
            raise FileExistsError(f"{folder} is not empty and holds no export of shapes: give a new or empty folder")
        if json.loads(marker.read_text(encoding="utf-8")) != settings:
            raise FileExistsError(f"{folder} holds shapes with other settings (see {marker}): give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps(settings) + "\n", encoding="utf-8")


def _write_image(path: Path, image: Image) -> None:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode(".jpg", bgr, JPEG_SETTINGS)[1].tobytes())


def _checked(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be a whole number from {least} on, not {value!r}")
    return int(value)


def _boxes(layout: Layout) -> np.ndarray:
    """(n, 4) float32 xyxy, 0 to 1: the extent of what can be seen."""
    extents = [np.concatenate([shape.polygon.min(axis=0), shape.polygon.max(axis=0)]) for shape in layout.shapes]
    return np.array(extents, np.float32).reshape(-1, 4)


def labels_of_layout(layout: Layout) -> ImageLabels:
    """Classes, boxes and outlines of a scene, normalised."""
    cls = np.array([shape.cls for shape in layout.shapes], np.int64)
    return ImageLabels(cls, xyxy_to_xywh(_boxes(layout)), tuple(shape.polygon for shape in layout.shapes))


def _scene(layout: Layout, size: int) -> Scene:
    labels = labels_of_layout(layout)
    polygons = tuple(polygon * size for polygon in labels.polygons if polygon is not None)
    return Scene(paint(layout, size), labels.cls, _boxes(layout) * size, polygons)
