"""Pictures with objects in them, for explorers: the tour's, the reader's own, uploads with drawn boxes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from walkthrough.explorers.adjusting import ResultT
from walkthrough.explorers.advice import advice_on, are_drawn, fetched_weights, knows_shapes_alone
from walkthrough.explorers.base import Explorer
from walkthrough.explorers.controls import Boxes, boxes, checked_boxes, choice, given
from walkthrough.explorers.copying import target_lines
from walkthrough.explorers.inputs import first_pictures, is_dataset, opened_dataset, require_pictures, with_classes
from walkthrough.images import to_numpy
from walkthrough.scene import counted
from walkthrough.show import class_name
from yolo_lite.augment.letterbox import letterbox
from yolo_lite.boxes import xywh_to_xyxy
from yolo_lite.datasets.photos import tour_batch
from yolo_lite.detect.inference import image_channels
from yolo_lite.images.bands import as_channels
from yolo_lite.images.rgb import each_image, to_rgb
from yolo_lite.support.class_names import class_order
from yolo_lite.support.known_names import coco_names

IMAGE_SIZE = 640
MOST_CLASSES = 10**6
WHICH_PICTURE = "which of the pictures is shown; an uploaded one comes last"
CLASS_OF_DRAWN = "the class that the next box gets which you draw; that of a box that is there changes at the box"
HOW_TO_DRAW = (
    "drag on free ground to draw a box, with Shift inside another one; drag a box or a corner to move it; "
    "a click on it shows its class, to be changed there or with C; Del removes it"
)


@dataclass(frozen=True, eq=False)
class Annotated:
    """A picture at the size of the network input, and its objects in pixels of it."""

    pixels: np.ndarray  # (H, W, 3) uint8 RGB
    boxes: Boxes  # x1 y1 x2 y2 class, each
    name: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.pixels.shape[0], self.pixels.shape[1]


Annotations = tuple[Annotated, ...]


def annotate(
    images: Any = None,
    targets: Any = None,
    size: int | tuple[int, int] | None = IMAGE_SIZE,
    names: Sequence[str] = (),
    left_out: list[str] | None = None,
    start: int = 0,
) -> Annotations:
    """Whatever the reader has, as pictures of one size.

    Args:
        images: a Batch (its own targets are used), a tensor (N, 3, H, W), one image, or a list of images or paths of
            any size, which are letterboxed to size, or with size=None stay as they are; a dataset, or the path of one
            (data.yaml, a folder), whose first 16 pictures and targets are shown; None: the tour batch.
        names: of a model's classes: those of a dataset are matched with them by name.
        targets: (n, 6) rows image class xc yc w h, normalised to the images as they were given.
        left_out: where given, a dataset whose classes are not the model's comes without its labels, and a sentence
            that says so is added here.
        start: of a dataset, which image is the first of the 16.
    Raises:
        ValueError: a dataset whose classes are not the model's, where there is no left_out; targets that are not of
            that form, or that name an image that is not there.

    >>> [picture.size for picture in annotate(np.zeros((48, 64, 3), np.uint8), [[0, 1, .5, .5, .2, .2]], size=32)]
    [(32, 32)]
    """
    require_pictures(images)
    order, titles = None, list[str]()
    if images is None:
        batch = tour_batch(size if isinstance(size, int) else IMAGE_SIZE)
        images = batch if targets is None else batch.images
    if is_dataset(images):
        dataset = opened_dataset(images)
        images, own, titles = first_pictures(dataset, start)
        if targets is None:
            targets, order = _matched(own, names, dataset.names, left_out)
    if hasattr(images, "images"):  # a Batch
        targets = images.targets if targets is None else targets
        titles = [Path(str(path)).stem for path in images.paths]
        images = images.images
    listed = _listed(images)
    if not titles:
        titles = [Path(image).name if isinstance(image, str | Path) else "" for image in listed]
    rows = checked_targets(targets, len(listed))
    fit = not (isinstance(images, Tensor | np.ndarray) and np.ndim(images) == 4)
    pictures = [
        _annotated(to_rgb(image), rows[rows[:, 0] == index], size if fit else None, f"{start + index} {name}".strip())
        for index, (image, name) in enumerate(zip(listed, titles, strict=True))
    ]
    return tuple(replace(picture, boxes=with_classes(picture.boxes, order)) for picture in pictures)


def _matched(
    rows: np.ndarray, names: Sequence[str], own_names: Sequence[str], left_out: list[str] | None
) -> tuple[np.ndarray, tuple[int, ...] | None]:
    """A dataset's targets and the model's class for each class of them; none of them where classes do not agree."""
    if not names or not len(rows):
        return rows, None
    try:
        return rows, class_order(names, own_names).order
    except ValueError as problem:
        if left_out is None:
            raise ValueError(f"{problem}. Labels are needed here: pass a model of these classes as model=") from None
        left_out.append(f"left out: {counted(len(rows), 'label')} of these pictures; {problem}")
        return rows[:0], None


def _listed(images: Any) -> list[Any]:
    """The single images of a batch, a list or one image."""
    listed = list(each_image(images))
    if not listed:
        raise ValueError("there is no image: images is empty")
    return listed


def checked_targets(targets: Any, count: int) -> np.ndarray:
    """Targets (n, 6) as an array, or a ValueError with a sentence."""
    if targets is None:
        return np.zeros((0, 6))
    if isinstance(targets, str | Path):
        raise ValueError(f"targets are rows of image, class, xc, yc, w, h, not a path: {str(targets)!r}")
    rows = to_numpy(targets).astype(np.float64)
    if rows.size == 0:
        return np.zeros((0, 6))
    if rows.ndim != 2 or rows.shape[1] != 6:
        raise ValueError(f"targets are rows of image, class, xc, yc, w, h: (n, 6), got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"target {int(np.flatnonzero(~np.isfinite(rows).all(1))[0])} holds a value that is not finite")
    strange = np.flatnonzero((rows[:, 0] < 0) | (rows[:, 0] >= count) | (rows[:, 0] % 1 != 0))
    if strange.size:
        row = int(strange[0])
        raise ValueError(f"target {row} belongs to image {rows[row, 0]:g}, but there are images 0 to {count - 1}")
    unnamed = np.flatnonzero((rows[:, 1] < 0) | (rows[:, 1] % 1 != 0))
    if unnamed.size:
        row = int(unnamed[0])
        raise ValueError(f"target {row} has the class {rows[row, 1]:g}: classes are whole numbers from 0 on")
    outside = np.flatnonzero((rows[:, 2:] < -1e-6).any(1) | (rows[:, 2:] > 1 + 1e-6).any(1))
    if outside.size:
        row = int(outside[0])
        words = ", ".join(f"{value:g}" for value in rows[row, 2:])
        raise ValueError(
            f"target {row} has xc, yc, w, h = {words}: they are normalised by the image's size and lie in [0, 1]"
        )
    return rows


def _annotated(pixels: np.ndarray, rows: np.ndarray, size: int | tuple[int, int] | None, name: str) -> Annotated:
    height, width = pixels.shape[:2]
    xyxy = xywh_to_xyxy(rows[:, 2:6]) * (width, height, width, height)  # (n, 4) pixels
    if size is not None:
        fitted = letterbox(pixels, size, auto=False)
        pixels, xyxy = fitted.image, xyxy * fitted.ratio + (*fitted.pad, *fitted.pad)
    found = tuple((*map(float, box), int(cls)) for box, cls in zip(xyxy, rows[:, 1], strict=True))
    return Annotated(pixels, found, name or "picture")


def images_of(pictures: Annotations, model: Any = None) -> Tensor:
    """The network's input: (N, 3, H, W) float in [0, 1], laid out in memory as training's is; gray for a model of that.

    Where channels come last in memory, BatchNorm in training mode sums less precisely on a CPU: raw maps of the tour
    batch move by up to 0.08.
    """
    channels = image_channels(model) or 3
    stacked = np.stack([as_channels(picture.pixels, channels, picture.name) for picture in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous().float() / 255


def targets_of(pictures: Annotations) -> Tensor:
    """The targets of a batch of these pictures: (n, 6) image class xc yc w h, normalised, as training gets them."""
    rows = []
    for index, picture in enumerate(pictures):
        height, width = picture.size
        for x1, y1, x2, y2, *rest in picture.boxes:
            cls = rest[0] if rest else 0
            rows.append(
                (index, cls, (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
            )
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)


@dataclass(frozen=True)
class PictureState:
    """The part of a state that all explorers with pictures share."""

    pictures: Annotations = given(())
    names: tuple[str, ...] = given(())
    picture: int = choice(
        0,
        lambda state: {picture.name: index for index, picture in enumerate(state.pictures)},
        help=WHICH_PICTURE,
        linked=False,
    )
    new_class: int = choice(
        0,
        lambda state: {class_name(cls, state.names): cls for cls in range(max(len(state.names), 1))},
        label="class of a drawn box",
        help=CLASS_OF_DRAWN,
        linked=False,
    )
    objects: Boxes = boxes(help=HOW_TO_DRAW)
    left_out: str = given("")  # what the message says of labels that are not shown

    @property
    def shown(self) -> Annotated:
        """The chosen picture."""
        return self.pictures[self.picture]


PictureStateT = TypeVar("PictureStateT", bound=PictureState)


class PictureExplorer(Explorer[PictureStateT, ResultT]):
    """Base of explorers with pictures: upload one, draw, drag and delete boxes; targets follow."""

    uploads = True
    brought = ("pictures", "picture", "objects")

    @classmethod
    def prepare(
        cls,
        images: Any = None,
        targets: Any = None,
        names: Sequence[str] | Mapping[int, str] | None = None,
        size: int | tuple[int, int] = IMAGE_SIZE,
        **inputs: Any,
    ) -> dict[str, Any]:
        """images, targets: see annotate; names: class names, a dataset's own, COCO's for the tour batch."""
        images = opened_dataset(images) if is_dataset(images) else images
        pictures = annotate(images, targets, size)
        if names is None:
            names = coco_names() if images is None else getattr(images, "names", None) or ()
        names = listed_names(names)
        return inputs | pictured(pictures, names)

    def settle(self, before: PictureStateT, after: PictureStateT) -> PictureStateT:
        """Another picture brings its own objects; moved objects change their picture and so the targets."""
        if not after.pictures:
            return after
        is_given = after.objects != before.objects
        if after.pictures is not before.pictures or after.picture != before.picture:
            index = min(after.picture, len(after.pictures) - 1)
            after = replace(after, picture=index, objects=after.objects if is_given else after.pictures[index].boxes)
        if is_given:
            changed = with_objects(after.shown, after.objects)
            pictures = (*after.pictures[: after.picture], changed, *after.pictures[after.picture + 1 :])
            return replace(after, pictures=pictures, objects=changed.boxes)
        return after

    def note(self, state: PictureStateT) -> str:
        """What is not shown of what was given."""
        return state.left_out

    def add_picture(self, pixels: Any, name: str = "my picture") -> None:
        """Add a picture of any size, without objects, and show it: boxes can then be drawn on it."""
        size = self.state.pictures[0].size if self.state.pictures else (IMAGE_SIZE, IMAGE_SIZE)
        try:
            added = fitted(pixels, size, f"{len(self.state.pictures)} {Path(name).name}")
        except (ValueError, OSError) as problem:
            return self.notify(problem)
        return self.set(pictures=(*self.state.pictures, added), picture=len(self.state.pictures))

    def network(self) -> Any:
        """The network that looks at the pictures; None where there is none."""
        return getattr(self.state, "model", None)

    def page_advice(self) -> dict[str, Any]:
        """That a network of drawn shapes finds nothing in the reader's photograph."""
        is_own = bool(self.state.pictures) and self.state.shown in self.own_pictures()
        return advice_on(type(self).__name__) if is_own and knows_shapes_alone(self.network()) else {}

    def use(self, name: str) -> None:
        """Look at the reader's own pictures with official weights that were fetched; drawn scenes go."""
        own = self.own_pictures()
        self.set(pictures=own, picture=own.index(self.state.shown), model=str(fetched_weights()[name]))

    def own_pictures(self) -> Annotations:
        """Those that are not of the drawn scenes of the beginning."""
        start = self._start.pictures if are_drawn(self._given.get("images")) else ()
        drawn = {id(picture.pixels) for picture in start}
        return tuple(picture for picture in self.state.pictures if id(picture.pixels) not in drawn)

    def cell_names(self) -> dict[str, str]:
        """The batch that the code is about: the explorer's pictures and their objects."""
        pictures = self.cell_pictures()
        start = {id(picture.pixels): place for place, picture in enumerate(self._start.pictures)}
        places = [start.get(id(picture.pixels)) for picture in pictures]
        name = type(self).__name__
        names = super().cell_names()
        source = "explorer"
        if self._given.keys() & {"images", "dataset"} or None in places:
            names["explorer"] = f"# explorer: this {name}; it holds the pictures that were given to it or uploaded"
            places = [self.state.pictures.index(picture) for picture in pictures]
        else:
            source = f"{name}()"
        is_whole = places == list(range(len(self.state.pictures)))
        batch = "pictures" if is_whole else f"[{', '.join(f'pictures[{place}]' for place in places)}]"
        names["pictures"] = f"pictures = {source}.pictures"
        names["images"] = f"images = images_of({batch})"
        names["targets"] = target_lines(targets_of(pictures), lambda: f"targets = targets_of({batch})")
        return names

    def cell_pictures(self) -> Annotations:
        """The pictures that the code is about: here, all of them."""
        return self.state.pictures


def listed_names(names: Sequence[str] | Mapping[int, str]) -> tuple[str, ...]:
    """Class names as a data.yaml may hold them, a list or {0: name}, in order.

    >>> listed_names({0: "cat", 2: "dog"})
    ('cat', 'class 1', 'dog')
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        what = f"the text {names!r}" if isinstance(names, str) else repr(names)
        raise ValueError(f"names is a list of class names, or {{0: name, 1: ...}}, not {what}")
    if isinstance(names, Mapping):
        return tuple(class_name(cls, names) for cls in range(max(names, default=-1) + 1))
    return tuple(map(str, names))


def pictured(pictures: Annotations, names: Sequence[str]) -> dict[str, Any]:
    """The fields of a PictureState for these pictures; class names are made up where there are too few."""
    highest = max((int(box[4]) for picture in pictures for box in picture.boxes), default=0)
    known = tuple(class_name(cls, names) for cls in range(max(len(names), highest + 1)))
    return {"pictures": pictures, "names": known, "objects": pictures[0].boxes}


def with_objects(picture: Annotated, objects: Boxes) -> Annotated:
    """The picture with other objects; those that moved or are new are clipped to it, and have a class."""
    objects = checked_classes(checked_boxes("objects", objects))
    return replace(picture, boxes=_inside(objects, picture.size, picture.boxes))


def checked_classes(objects: Boxes) -> Boxes:
    """The objects as they are, or a ValueError with a sentence about their classes."""
    for box in objects:
        if len(box) > 4 and (box[4] != int(box[4]) or not 0 <= box[4] < MOST_CLASSES):
            raise ValueError(f"objects: a class is a whole number from 0 on, not {box[4]:g}")
    return objects


@contextmanager
def taking(picture: Annotated) -> Iterator[None]:
    """Around a pass through a model: it is the reader's, and whatever it raises becomes a sentence."""
    try:
        yield
    except ValueError:
        raise
    except Exception as problem:
        height, width = picture.size
        words = str(problem).split("\n")[0]
        raise ValueError(f"the model does not accept a picture of {width} x {height} pixels: {words}") from problem


def fitted(pixels: Any, size: tuple[int, int], name: str) -> Annotated:
    """A picture of any size, letterboxed to one, without objects."""
    return Annotated(letterbox(to_rgb(pixels), size, auto=False).image, (), name)


def _inside(found: Boxes, size: tuple[int, int], known: Boxes, smallest: float = 1.0) -> Boxes:
    """Boxes clipped to the picture, each at least a pixel in both directions, each with a class; known ones as is."""
    height, width = size
    kept = []
    for box in found:
        x1, y1, x2, y2, *rest = box
        left, top = min(max(x1, 0.0), width - smallest), min(max(y1, 0.0), height - smallest)
        right, bottom = max(min(x2, width), left + smallest), max(min(y2, height), top + smallest)
        kept.append(box if box in known else (left, top, right, bottom, int(rest[0]) if rest else 0))
    return tuple(kept)
