"""AugmentationLab: what training makes of images, step by step, by the settings of their augmentation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from walkthrough._moved import moved_name
from walkthrough.explorers.augmentation.album import Album
from walkthrough.explorers.augmentation.scene import scene_of, takeaway_of
from walkthrough.explorers.augmentation.state import Result, State, compute
from walkthrough.explorers.base import Explorer
from walkthrough.explorers.controls import Boxes
from walkthrough.explorers.hyp import checked_hyp, hyp_code, hyp_of, hyp_settings, with_hyp
from walkthrough.explorers.inputs import is_dataset, refuse_address
from walkthrough.explorers.pictures import Annotated, annotate, checked_classes, listed_names
from walkthrough.explorers.stage import Story
from walkthrough.scene import counted
from walkthrough.seen import names_in_words
from walkthrough.show import class_name
from yolo_lite.augment.letterbox import resize_longest
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.source import ImageSource
from yolo_lite.data.transform import transform_name
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.images.rgb import to_rgb

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # names of 0.1.0

LARGEST = 1600  # pixels of the longest side of an uploaded picture, so that dragging stays quick


class AugmentationLab(Explorer[State, Result]):
    """Every augmentation with its settings, on photographs: stages, boxes that follow, boxes that are dropped and why.

    Args:
        images, targets: pictures of any sizes with targets (n, 6), image class xc yc w h normalised; left out: the
            dataset "photos", whose objects have outlines.
        dataset: a YoloDataset, whose hyperparameters, size, seed and transform (the last stage) are used too; or any
            source of one.
        hyp: hyperparameters to start from. size: of the network input, a multiple of 32. names: class names.

    >>> lab = AugmentationLab(size=160, degrees=30)
    >>> lab.result.image.shape
    (160, 160, 3)
    >>> print(lab.as_code().splitlines()[0])
    hyp = yl.Hyperparameters(degrees=30)
    """

    compute = staticmethod(compute)
    scene = staticmethod(scene_of)
    takeaway = staticmethod(takeaway_of)
    title = "Augmentation lab"
    part_of = "photograph"
    primary = ("view", "seed")
    stories = (
        Story(
            "as usual",
            {"mosaic": 1.0, "translate": 0.1, "scale": 0.5},
            "four photographs in one, then a window cut out.",
        ),
        Story(
            "none",
            {"mosaic": 0.0, "translate": 0.0, "scale": 0.0, "fliplr": 0.0},
            "the image is only fitted and recoloured.",
        ),
        Story(
            "strong",
            {"degrees": 20.0, "shear": 8.0, "mixup": 1.0},
            "boxes get larger than their objects as these turn.",
        ),
        Story(
            "break it",
            {"degrees": 90.0, "scale": 0.95, "shear": 40.0},
            "what is dropped, and boxes around nearly nothing.",
        ),
    )
    uploads = True
    brought = ("album", "index", "source", "objects")

    @classmethod
    def prepare(
        cls,
        images: Any = None,
        targets: Any = None,
        dataset: Any = None,
        hyp: Hyperparameters | None = None,
        names: Sequence[str] | Mapping[int, str] | None = None,
    ) -> dict[str, Any]:
        """See the class."""
        if dataset is None and is_dataset(images):
            dataset, images = images, None
        hyp = checked_hyp(hyp if hyp is not None else getattr(dataset, "hyp", None))
        start = {"hyp": hyp, **hyp_settings(hyp, State), "source": "source"}
        if images is not None and dataset is not None:
            raise ValueError("give images= or dataset=, not both")
        if images is not None:
            pictures = annotate(images, targets, size=None)
            album = Album(names=listed_names(names or ())).with_pictures(pictures)
        else:
            album = _opened(dataset, names)
            named = "photos" if dataset is None else dataset
            start |= {"source": repr(named)} if isinstance(named, str) else {}
            start |= {"size": dataset.img_size, "seed": dataset.seed} if isinstance(dataset, YoloDataset) else {}
        return {**start, "album": album, "objects": album.objects(0)}

    def settle(self, before: State, after: State) -> State:
        """Another image brings its own objects; moved objects change the album."""
        if not after.album:
            return after
        album = after.album
        if after.hyp is not before.hyp:
            after = with_hyp(before, after)
        index, is_given = min(after.index, len(album) - 1), after.objects != before.objects
        if not is_given and (after.album is not before.album or index != before.index):
            return replace(after, index=index, objects=album.objects(index))
        after = replace(after, index=index)
        if is_given:
            objects = _inside(checked_classes(after.objects), album.sizes[index])
            album = album.with_objects(index, objects)
            return replace(after, album=album, objects=album.objects(index), source="source")
        return after

    def add_picture(self, pixels: Any, name: str = "my picture") -> None:
        """Add a picture, without objects, and show it: boxes can then be drawn on it. A huge one is made smaller."""
        try:
            pixels = to_rgb(pixels)
        except (ValueError, OSError) as problem:
            return self.notify(problem)
        if max(pixels.shape[:2]) > LARGEST:
            pixels = resize_longest(pixels, LARGEST, augment=False).image
        album = (self.state.album or Album()).with_pictures((Annotated(pixels, (), Path(name).name),))
        return self.set(album=album, index=len(album) - 1, source="source")

    def words(self) -> str:
        """The steps, and what became of the boxes."""
        result = self.require()
        made = result.samples[0]
        steps = ", ".join(stage.name for stage in made.stages)
        last = made.stages[-1].objects
        names = f" ({names_in_words(class_name(int(cls), result.names) for cls in last.cls)})" if len(last.cls) else ""
        kept = f"{counted(last.num_objects, 'box', 'boxes')}{names}"
        drops = [f"{class_name(drop.cls, result.names)} {drop.reason}" for drop in made.drops]
        return f"{result.original.name}: {steps}; {kept} kept, {len(drops)} dropped" + "".join(
            f"\n  dropped: {drop}" for drop in drops
        )

    def cell_names(self) -> dict[str, str]:
        """The pictures and boxes, where code cannot name them."""
        album = self.state.album
        own = transform_name(album.dataset.transform) if album and album.dataset else ""
        explained = f"# explorer: this {type(self).__name__}; it holds the pictures and boxes that it was given"
        names = super().cell_names() | {"explorer": explained, "source": "source = explorer.state.album"}
        return names | ({own: f"# {own}: the transform of the dataset that was given"} if own else {})

    def as_code(self) -> str:
        """The hyperparameters, and how to get the same sample from a dataset."""
        state: State = self.state
        own = transform_name(state.album.dataset.transform) if state.album and state.album.dataset else None
        options = f"hyp=hyp, augment=True, seed={state.seed}{f', transform={own}' if own else ''}"
        made = f"yl.YoloDataset({state.source}, img_size={state.size}, {options})"
        sample = f"dataset.sample({state.index}, epoch={state.epoch})"
        return f"{hyp_code(hyp_of(state, state.hyp))}\ndataset = {made}\nsample = {sample}"


def _opened(dataset: Any, names: Sequence[str] | Mapping[int, str] | None) -> Album:
    """An album of what the reader gave as dataset=."""
    refuse_address("dataset", dataset)
    if isinstance(dataset, YoloDataset):
        if dataset.rect:
            raise ValueError("a dataset of rectangles makes no mosaics: give one with rect=False")
        return Album(dataset)
    if not isinstance(dataset, str | Path | Sequence | ImageSource | None):
        raise ValueError(f"dataset is a YoloDataset or its source: a path, 'shapes' ..., not {type(dataset).__name__}")
    try:
        known = None if names is None else listed_names(names)
        return Album(YoloDataset("photos" if dataset is None else dataset, names=known))
    except (FileNotFoundError, ModuleNotFoundError) as problem:
        raise ValueError(str(problem)) from None


def _inside(objects: Boxes, size: np.ndarray) -> Boxes:
    """Boxes clipped to an image (height, width), without those of which nothing is left; each with a class."""
    height, width = (float(side) for side in size)
    clipped = [
        (max(x1, 0.0), max(y1, 0.0), min(x2, width), min(y2, height), int(rest[0]) if rest else 0)
        for x1, y1, x2, y2, *rest in objects
    ]
    return tuple(box for box in clipped if box[2] - box[0] >= 1 and box[3] - box[1] >= 1)
