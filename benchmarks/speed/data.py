"""The pictures that both sides read: JPEG files with YOLO labels, the same files for both."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from yolo_lite.augment.objects import Objects
from yolo_lite.boxes import xyxy_to_xywh
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.datasets.yolo_folder import label_row, write_data_yaml

IMAGES = {"train": 256, "val": 64}
HEIGHT, WIDTH = 480, 640
NOISE = 6.0  # standard deviation in gray levels, as a camera's: without it a JPEG is decoded sooner than a photograph
QUALITY = 90


def prepare(source: str | None, folder: Path, images: dict[str, int] | None = None) -> Path:
    """Writes images/SPLIT, labels/SPLIT and data.yaml below ``folder``, unless they are there; returns the folder.

    Args:
        source: anything that YoloDataset opens, of which the first images are copied (again and again, where there
            are too few); None: drawn scenes of 640 x 480 pixels with noise.
        images: how many of each split.
    """
    wanted = images or IMAGES
    stamp = {"source": source and str(Path(source).resolve()), "images": wanted}
    made = folder / "made_of.json"
    if made.is_file() and json.loads(made.read_text(encoding="utf-8")) == stamp:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    for split, count in wanted.items():
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        names = _draw(folder, split, count) if source is None else _copy(source, folder, split, count)
    write_data_yaml(folder, names, {split: f"images/{split}" for split in wanted})
    made.write_text(json.dumps(stamp), encoding="utf-8")
    return folder


def _draw(folder: Path, split: str, count: int) -> tuple[str, ...]:
    """Square scenes, cut to 4:3; objects of which less than half would be left are not labelled."""
    shapes, noise = Shapes(split, WIDTH, count), np.random.default_rng(0)
    top = (WIDTH - HEIGHT) // 2
    for index in range(count):
        scene = shapes.scene(index)
        boxes = scene.boxes - np.array([0, top, 0, top], np.float32)
        inside = boxes.clip(0, (WIDTH, HEIGHT, WIDTH, HEIGHT))
        kept = (inside[:, 3] - inside[:, 1]) > 0.5 * (boxes[:, 3] - boxes[:, 1])
        pixels = scene.image[top : top + HEIGHT] + noise.normal(0, NOISE, (HEIGHT, WIDTH, 3))
        picture = cv2.cvtColor(pixels.clip(0, 255).astype(np.uint8), cv2.COLOR_RGB2BGR)
        encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        (folder / "images" / split / f"{index:04}.jpg").write_bytes(encoded.tobytes())
        _write_labels(folder, split, index, scene.cls[kept], inside[kept] / (WIDTH, HEIGHT, WIDTH, HEIGHT))
    return Shapes.names


def _copy(source: str, folder: Path, split: str, count: int) -> tuple[str, ...]:
    """The first images of a split and their boxes."""
    dataset = YoloDataset(source, split=split)
    for index in range(count):
        place = index % len(dataset)
        path, objects = Path(dataset.paths[place]), dataset.objects(place)
        if not path.is_file():
            raise ValueError(f"DATA={source}: its images are not files; give a folder or a data.yaml")
        shutil.copyfile(path, folder / "images" / split / f"{index:04}{path.suffix.lower()}")
        _write_objects(folder, split, index, objects, dataset.image(place).shape[:2])
    return dataset.names


def _write_objects(folder: Path, split: str, index: int, objects: Objects, size: tuple[int, ...]) -> None:
    height, width = size
    _write_labels(folder, split, index, objects.cls, objects.boxes / (width, height, width, height))


def _write_labels(folder: Path, split: str, index: int, cls: np.ndarray, boxes: np.ndarray) -> None:
    """boxes: (n, 4) xyxy, fractions of the image."""
    rows = [label_row(int(number), row) for number, row in zip(cls, xyxy_to_xywh(boxes), strict=True)]
    (folder / "labels" / split / f"{index:04}.txt").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
