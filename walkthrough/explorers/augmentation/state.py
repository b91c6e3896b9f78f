"""What AugmentationLab computes: samples of a dataset with all their stages, and the boxes dropped on the way."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from walkthrough.explorers.augmentation.album import Album
from walkthrough.explorers.controls import Boxes, boxes, choice, given, number, slider
from walkthrough.explorers.hyp import hyp_of
from walkthrough.explorers.pictures import CLASS_OF_DRAWN, HOW_TO_DRAW, Annotated
from walkthrough.show import class_name
from yolo_lite.augment.box_filter import BoxFilter
from yolo_lite.augment.warp import WarpDraw, WarpMatrices, warp_matrices
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.samples import SampleDraw, Stage
from yolo_lite.data.source import ImageSource
from yolo_lite.hyperparameters import Hyperparameters

GRID = 8  # samples in a grid
SEED = 375  # one that shows four photographs and drops two boxes, for different reasons
VIEWS = {"stages": "stages", "one sample": "sample", "grid of samples": "grid"}


def _chance(name: str, group: str, help: str) -> Any:
    return slider(getattr(Hyperparameters, name), 0, 1, help=help, group=group)


def _range(name: str, high: float, step: float, group: str, help: str) -> Any:
    return slider(getattr(Hyperparameters, name), 0, high, step, help=help, group=group)


@dataclass(frozen=True)
class State:
    """What a sample depends on: image, seed, epoch, and the augmentation's hyperparameters under their own names."""

    view: str = choice(
        "stages",
        VIEWS,
        help="one sample after each step, one sample large, or eight samples beside each other",
        linked=False,
    )
    index: int = number(
        0,
        0,
        lambda state: len(state.album) - 1 if state.album else 0,
        label="image",
        help="which image is augmented; a mosaic adds three others",
    )
    seed: int = number(SEED, help="another seed, another sample; seed, epoch and image are all that chance depends on")
    epoch: int = number(0, 0, 10_000, help="the same image is changed in another way in each epoch of training")
    size: int = slider(
        384, 64, 1280, 32, unit="px", label="network input", help="the side of the square that the network is given"
    )
    mosaic: float = _chance(
        "mosaic", "mixing", "probability that four images become one: objects get smaller and stand together"
    )
    mixup: float = _chance(
        "mixup", "mixing", "probability that a second mosaic shines through the first; both keep their boxes"
    )
    copy_paste: float = _chance(
        "copy_paste",
        "mixing",
        "fraction of the outlined objects that are mirrored and pasted into the same image once more",
    )
    degrees: float = _range(
        "degrees",
        180,
        1,
        "geometry",
        "turns the image by up to this many degrees, either way; boxes grow to hold turned objects",
    )
    translate: float = _range(
        "translate",
        0.9,
        0.01,
        "geometry",
        "moves the image by up to this fraction of its side, either way; what leaves it is cut",
    )
    scale: float = _range(
        "scale",
        0.95,
        0.01,
        "geometry",
        "makes the image larger or smaller, by a factor between 1 - scale and 1 + scale",
    )
    shear: float = _range("shear", 45, 0.5, "geometry", "slants the image by up to this many degrees, either way")
    perspective: float = _range(
        "perspective", 0.002, 0.00005, "geometry", "tilts the image into depth: up to 0.001 as a rule, 0.002 is strong"
    )
    flipud: float = _chance(
        "flipud", "geometry", "probability that the image is turned upside down: for pictures taken from above"
    )
    fliplr: float = _chance(
        "fliplr", "geometry", "probability that left and right change places: not for letters and signs"
    )
    random_resized_crop: float = _chance(
        "random_resized_crop", "geometry", "probability that 80 to 100 % of the area are cut out and enlarged"
    )
    hsv_h: float = _range(
        "hsv_h", 0.5, 0.005, "colour", "changes hues: each is multiplied by a factor between 1 - hsv_h and 1 + hsv_h"
    )
    hsv_s: float = _range(
        "hsv_s", 1, 0.01, "colour", "makes colours greyer or stronger, by a factor between 1 - hsv_s and 1 + hsv_s"
    )
    hsv_v: float = _range(
        "hsv_v", 1, 0.01, "colour", "makes the image darker or lighter, by a factor between 1 - hsv_v and 1 + hsv_v"
    )
    blur: float = _chance(
        "blur", "colour", "probability that each pixel becomes the mean of its neighbours: as out of focus"
    )
    median_blur: float = _chance(
        "median_blur", "colour", "probability that each pixel becomes the median of its neighbours: edges stay"
    )
    to_gray: float = _chance(
        "to_gray", "colour", "probability that all colour is taken away: shapes alone are left to learn from"
    )
    clahe: float = _chance(
        "clahe", "colour", "probability that dark and light parts are stretched apart, region by region"
    )
    brightness_contrast: float = _chance(
        "brightness_contrast", "colour", "probability that the whole image gets lighter or darker, flatter or harder"
    )
    gamma: float = _chance(
        "gamma", "colour", "probability that middle tones get lighter or darker, while black and white stay"
    )
    jpeg: float = _chance(
        "jpeg", "colour", "probability that the image is saved as a poor JPEG: blocks and rims as in photographs online"
    )
    new_class: int = choice(
        0,
        lambda state: {class_name(cls, state.names): cls for cls in range(max(len(state.names), 1))},
        label="class of a drawn box",
        help=CLASS_OF_DRAWN,
        linked=False,
    )
    objects: Boxes = boxes(help=f"boxes of the image itself: {HOW_TO_DRAW}")
    album: Album | None = given()
    hyp: Hyperparameters = given(Hyperparameters())  # what no slider stands for
    source: str = given("source")  # how code names the images: "source" where they are none that code can open

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes."""
        return self.album.names if self.album else ()

    @property
    def dataset(self) -> YoloDataset:
        """The dataset that makes these samples, with the steps of the one that was given: its transform, its class."""
        source = cast(ImageSource, self.album or Album())  # AlbumLabels has all that a dataset asks of labels
        own = self.album.dataset if self.album else None
        transform = None if own is None else own.transform
        made = YoloDataset(source, self.size, hyp_of(self, self.hyp), True, self.seed, transform=transform)
        if own is None or type(own) is YoloDataset:
            return made
        dataset = copy.copy(own)  # a subclass may have other stages
        vars(dataset).update(vars(made))
        return dataset


class Drop(NamedTuple):
    """An object of which a step left too little."""

    step: str  # warp, second mosaic or crop
    cls: int
    reason: str


class Made(NamedTuple):
    """A sample: what chance decided, and what followed, step by step."""

    seed: int
    draw: SampleDraw
    stages: tuple[Stage, ...]  # the last is the finished sample

    @property
    def drops(self) -> tuple[Drop, ...]:
        """The objects that were lost on the way, with the reason."""
        found = []
        for stage in self.stages:
            step, result = stage.name, stage.result
            if isinstance(result, Stage):  # of mixup: the other mosaic
                step, result = "second mosaic", result.result
            box_filter = getattr(result, "box_filter", None)
            if isinstance(box_filter, BoxFilter):
                found += [
                    Drop(step, int(cls), reason)
                    for cls, reason in zip(result.before.cls, box_filter.reasons, strict=True)
                    if reason
                ]
        return tuple(found)

    @property
    def warp(self) -> WarpDraw | None:
        """What was drawn for the warp."""
        return self.draw.warp if self.draw.mosaic is None else self.draw.mosaic.warp

    @property
    def matrices(self) -> WarpMatrices | None:
        """The factors of the warp's matrix."""
        warped = next((number for number, stage in enumerate(self.stages) if stage.name == "warp"), None)
        if warped is None or self.warp is None:
            return None
        size = self.stages[warped].image.shape[:2]
        return warp_matrices(self.warp, self.stages[warped - 1].image.shape[:2], size)


class Result(NamedTuple):
    """The samples, of which the first is the one that is looked at; a grid has more."""

    samples: tuple[Made, ...]
    names: tuple[str, ...]
    original: Annotated
    new_class: int
    view: str

    @property
    def image(self) -> np.ndarray:
        """The finished sample, (H, W, 3) uint8 RGB."""
        return self.samples[0].stages[-1].image


def compute(state: State) -> Result:
    """dataset.draw and dataset.stages, for one seed or for a grid of them."""
    if not state.album:
        raise ValueError("there is no image")
    seeds = range(state.seed, state.seed + (GRID if state.view == "grid" else 1))
    samples = []
    for seed in seeds:
        dataset = replace(state, seed=seed).dataset
        draw = dataset.draw(state.index, state.epoch)
        samples.append(Made(seed, draw, tuple(dataset.stages(draw))))
    name = Path(state.album.paths[state.index]).stem
    original = Annotated(state.album.read(state.index), state.objects, name)
    return Result(tuple(samples), state.album.names, original, state.new_class, state.view)
