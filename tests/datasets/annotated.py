"""Datasets in COCO's and VOC's formats, as tests need them: one small image, and what a test adds."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from yolo_lite.data.report import Report
from yolo_lite.datasets.convert import convert_coco

HEIGHT, WIDTH = 60, 100


def write_image(path: Path, height: int = HEIGHT, width: int = WIDTH) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 90, np.uint8))
    return path


def coco(**lists: Any) -> dict[str, Any]:
    """A COCO file with one image, to which tests add what they are about."""
    image = {"id": 7, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}
    return {"images": [image], "annotations": [], "categories": [{"id": 3, "name": "cat"}]} | lists


def annotation(number: int, bbox: Any = (10, 10, 20, 30), **fields: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 7, "category_id": 3, "bbox": bbox, **fields}


def converted(tmp_path: Path, content: Any, **options: Any) -> tuple[Report, Path]:
    """Converts one JSON file whose images are beside it."""
    write_image(tmp_path / "in" / "a.jpg")
    (tmp_path / "in" / "a.json").write_text(json.dumps(content))
    report = convert_coco(tmp_path / "in" / "a.json", tmp_path / "out", **options)
    return report, tmp_path / "out"


def rows(folder: Path, name: str = "a") -> list[list[float]]:
    return [[float(value) for value in line.split()] for line in (folder / f"labels/train/{name}.txt").open()]


def messages(report: Report, kind: str) -> list[str]:
    return [problem.message for problem in report.by_kind().get(kind, [])]


def voc_object(name: str, box: tuple[Any, ...], extra: str = "") -> str:
    xmin, ymin, xmax, ymax = box
    corners = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name>{extra}<bndbox>{corners}</bndbox></object>\n"


def voc(tmp_path: Path, files: dict[str, str], size: tuple[int, int] | None = (WIDTH, HEIGHT)) -> Path:
    """A VOC folder with images and these objects."""
    folder = tmp_path / "VOC"
    (folder / "Annotations").mkdir(parents=True)
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
    for stem, objects in files.items():
        write_image(folder / "JPEGImages" / f"{stem}.jpg")
        text = f"<annotation><filename>{stem}.jpg</filename>{stated}\n{objects}</annotation>"
        (folder / "Annotations" / f"{stem}.xml").write_text(text)
    return folder


def image_sets(folder: Path, **splits: str) -> None:
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    for split, lines in splits.items():
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(lines)
