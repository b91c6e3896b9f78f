"""The dataset "photos": free photographs that come with scikit-image, labelled here with COCO's classes.

The files are read where scikit-image is installed; nothing is downloaded, and scikit-image itself is not imported.
The labels, and the photographers, are in photos.json beside this module: outlines drawn by hand, in pixels.
"""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from yolo_lite.augment.objects import Image
from yolo_lite.boxes import xyxy_to_xywh
from yolo_lite.data.dataset import Batch, YoloDataset
from yolo_lite.data.labels import ImageLabels, LabelStore
from yolo_lite.data.loader import collate
from yolo_lite.data.report import Report
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.images.reading import read_image
from yolo_lite.support.known_names import coco_names

# Mosaics as in training, but turned a little and with calmer colours.
TOUR_HYP = Hyperparameters(mosaic=1.0, degrees=3.0, scale=0.5, translate=0.05, hsv_s=0.4, hsv_v=0.3)
TOUR_SEED = 74  # one of 1500 with all classes, work for all three levels and little gray


class Photo(NamedTuple):
    """One photograph and its labels."""

    file: str
    about: str
    credit: str  # whose it is, and on what terms
    size: tuple[int, int]  # (height, width)
    labels: ImageLabels


class Photos:
    """Six photographs, an ImageSource. There is but one split: training and validation see the same pictures.

    One of them, the rocket, shows nothing that COCO has a class for: a background image.

    Raises:
        ModuleNotFoundError: scikit-image is not installed. FileNotFoundError: it came without a photograph.

    >>> photos = Photos()
    >>> photos.paths[0], photos.read(0).shape, [photos.names[cls] for cls in photos.labels.of(0).cls]
    ('photos/coffee.png', (400, 600, 3), ['cup', 'spoon', 'dining table'])
    """

    def __init__(self) -> None:
        self._folder = _photo_folder()
        self.names = coco_names()
        self.photos = _read_photos(self.names)
        for photo in self.photos:
            if not (self._folder / photo.file).is_file():
                raise FileNotFoundError(
                    f"{self._folder / photo.file}: no such file, although it belongs to scikit-image; "
                    "install scikit-image again from its wheel: pip install --force-reinstall scikit-image"
                )
        self.paths: Sequence[str] = tuple(f"photos/{photo.file}" for photo in self.photos)
        self.sizes = np.array([photo.size for photo in self.photos], np.int64)
        self.labels = LabelStore.build([photo.labels for photo in self.photos])
        self.report = Report.of(self.labels.objects_per_image)

    def __len__(self) -> int:
        return len(self.photos)

    def __repr__(self) -> str:
        return f"Photos({len(self)} photographs, {self.labels.num_objects} objects)"

    def read(self, index: int) -> Image:
        """A photograph, (H, W, 3) uint8 RGB."""
        photo = self.photos[index]
        image = read_image(self._folder / photo.file)
        if image.shape[:2] != photo.size:
            found, expected = "x".join(map(str, image.shape[1::-1])), "x".join(map(str, photo.size[::-1]))
            raise ValueError(f"{self._folder / photo.file} is {found} px, but its labels were made for {expected} px")
        return image


def open_photos(
    source: str, split: str = "train", names: Sequence[str] | None = None, progress: bool = False, draw_size: int = 0
) -> Photos:
    """What ``open_source("photos")`` opens: they have one split, names and sizes of their own."""
    return Photos()


def tour_batch(size: int = 640, batch: int = 4, seed: int = TOUR_SEED) -> Batch:
    """The small fixed batch that the tour is about: mosaics of the photographs, as training would see them.

    Args:
        size: side of the images in pixels, a multiple of 32. batch: number of images. seed: another seed, others.
    Returns:
        images (N, 3, size, size) uint8, targets (n, 6): image, class, xc, yc, w, h normalised.

    >>> tour_batch(size=64, batch=2).images.shape
    torch.Size([2, 3, 64, 64])
    """
    if batch < 1:
        raise ValueError(f"batch must be 1 or more, not {batch}")
    dataset = YoloDataset(Photos(), img_size=size, hyp=TOUR_HYP, augment=True, seed=seed)
    keys = [
        divmod(place, len(dataset)) for place in range(batch)
    ]  # (epoch, index): after the last photo, the next epoch
    return collate([dataset[key] for key in keys])


def _photo_folder() -> Path:
    """Where scikit-image keeps its pictures, found without importing it."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "the dataset \"photos\" is read from scikit-image, which is not installed: pip install 'yolo-lite[lab]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _read_photos(names: Sequence[str]) -> tuple[Photo, ...]:
    entries = json.loads((Path(__file__).parent / "photos.json").read_text(encoding="utf-8"))
    return tuple(_read_photo(entry, names) for entry in entries)


def _read_photo(entry: dict[str, Any], names: Sequence[str]) -> Photo:
    height, width = entry["size"]
    classes = [names.index(thing["name"]) for thing in entry["objects"]]
    outlines = [
        np.array(thing["polygon"], np.float32) / np.array([width, height], np.float32) for thing in entry["objects"]
    ]
    boxes = np.array([(*outline.min(axis=0), *outline.max(axis=0)) for outline in outlines], np.float32).reshape(-1, 4)
    labels = ImageLabels(np.array(classes, np.int64), xyxy_to_xywh(boxes), tuple(outlines))
    return Photo(entry["file"], entry["about"], entry["credit"], (height, width), labels)
