"""AugmentationLab: what training makes of images, step by step, by the settings of their augmentation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from walkthrough.explorers.album import Album
from walkthrough.explorers.augmentation_scene import scene_of
from walkthrough.explorers.base import Explorer
from walkthrough.explorers.controls import Boxes, boxes, choice, given, number, slider
from walkthrough.explorers.hyp import checked_hyp, hyp_code, hyp_of, hyp_settings, with_hyp
from walkthrough.explorers.inputs import is_dataset
from walkthrough.explorers.pictures import Annotated, annotate, checked_classes, listed_names
from walkthrough.scene import Scene, counted
from walkthrough.show import class_name
from yolo_lite.augment.box_filter import BoxFilter
from yolo_lite.augment.letterbox import resize_longest
from yolo_lite.augment.warp import WarpDraw, WarpMatrices, warp_matrices
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.rgb import to_rgb
from yolo_lite.data.samples import SampleDraw, Stage
from yolo_lite.data.source import ImageSource
from yolo_lite.hyperparameters import Hyperparameters

GRID = 8  # samples in a grid
LARGEST = 1600  # pixels of the longest side of an uploaded picture, so that dragging stays quick
SEED = 375  # one that shows four photographs and drops two boxes, for different reasons
VIEWS = {"stages": "stages", "one sample": "sample", "grid of samples": "grid"}


def _chance(name: str, group: str, help: str = "") -> Any:
    return slider(getattr(Hyperparameters, name), 0, 1, help=help or "probability", group=group)


def _range(name: str, high: float, step: float, group: str, help: str) -> Any:
    return slider(getattr(Hyperparameters, name), 0, high, step, help=help, group=group)


@dataclass(frozen=True)
class State:
    """What a sample depends on: image, seed, epoch, and the augmentation's hyperparameters under their own names."""

    view: str = choice("stages", VIEWS, linked=False)
    index: int = number(0, 0, lambda state: len(state.album) - 1 if state.album else 0, label="image")
    seed: int = number(SEED, help="with the epoch and the image, all that chance depends on")
    epoch: int = number(0, 0, 10_000)
    size: int = slider(384, 64, 1280, 32, unit="px", label="network input")
    mosaic: float = _chance("mosaic", "mixing")
    mixup: float = _chance("mixup", "mixing", "probability, where there is a mosaic")
    copy_paste: float = _chance("copy_paste", "mixing", "share of the outlined objects that are tried")
    degrees: float = _range("degrees", 180, 1, "geometry", "rotation, +- degrees")
    translate: float = _range("translate", 0.9, 0.01, "geometry", "shift, +- share of the side")
    scale: float = _range("scale", 0.95, 0.01, "geometry", "zoom, 1 +- share")
    shear: float = _range("shear", 45, 0.5, "geometry", "+- degrees")
    perspective: float = _range("perspective", 0.002, 0.00005, "geometry", "+- share, usually up to 0.001")
    flipud: float = _chance("flipud", "geometry")
    fliplr: float = _chance("fliplr", "geometry")
    random_resized_crop: float = _chance("random_resized_crop", "geometry")
    hsv_h: float = _range("hsv_h", 0.5, 0.005, "colour", "largest change of hue, a share")
    hsv_s: float = _range("hsv_s", 1, 0.01, "colour", "largest change of saturation, a share")
    hsv_v: float = _range("hsv_v", 1, 0.01, "colour", "largest change of brightness, a share")
    blur: float = _chance("blur", "colour")
    median_blur: float = _chance("median_blur", "colour")
    to_gray: float = _chance("to_gray", "colour")
    clahe: float = _chance("clahe", "colour")
    brightness_contrast: float = _chance("brightness_contrast", "colour")
    gamma: float = _chance("gamma", "colour")
    jpeg: float = _chance("jpeg", "colour")
    new_class: int = choice(
        0,
        lambda state: {class_name(cls, state.names): cls for cls in range(max(len(state.names), 1))},
        label="class of a drawn box",
        linked=False,
    )
    objects: Boxes = boxes(help="of the image itself: drag a box or its corners, draw a new one, delete with Del")
    album: Album | None = given()
    hyp: Hyperparameters = given(Hyperparameters())  # what no slider stands for
    source: str = given("source")  # how code names the images: "source" where they are none that code can open

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes."""
        return self.album.names if self.album else ()

    @property
    def dataset(self) -> YoloDataset:
        """The dataset that makes these samples."""
        return YoloDataset(self.album, self.size, hyp_of(self, self.hyp), augment=True, seed=self.seed)


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


class AugmentationLab(Explorer):
    """Every augmentation with its settings, on photographs: stages, boxes that follow, boxes that are dropped and why.

    Args:
        images, targets: pictures of any sizes with targets (n, 6), image class xc yc w h normalised; left out: the
            dataset "photos", whose objects have outlines.
        dataset: a YoloDataset, whose hyperparameters, size and seed are taken too; or whatever it takes as a source.
        hyp: hyperparameters to start from. size: of the network input, a multiple of 32. names: class names.

    >>> lab = AugmentationLab(size=160, degrees=30)
    >>> lab.result.image.shape
    (160, 160, 3)
    >>> print(lab.as_code().splitlines()[0])
    hyp = yl.Hyperparameters(degrees=30)
    """

    State = State
    title = "Augmentation lab"
    uploads = True

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
        if after.hyp is not before.hyp:
            after = with_hyp(before, after)
        index, is_given = min(after.index, len(after.album) - 1), after.objects != before.objects
        if not is_given and (after.album is not before.album or index != before.index):
            return replace(after, index=index, objects=after.album.objects(index))
        after = replace(after, index=index)
        if is_given:
            objects = _inside(checked_classes(after.objects), after.album.sizes[index])
            album = after.album.with_objects(index, objects)
            return replace(after, album=album, objects=album.objects(index), source="source")
        return after

    def add_picture(self, pixels: Any, name: str = "my picture") -> None:
        """Add a picture, without objects, and show it: boxes can then be drawn on it. A huge one is made smaller."""
        try:
            pixels = to_rgb(pixels)
        except (ValueError, OSError) as problem:
            return self.tell(problem)
        if max(pixels.shape[:2]) > LARGEST:
            pixels = resize_longest(pixels, LARGEST, augment=False).image
        album = (self.state.album or Album()).with_pictures((Annotated(pixels, (), Path(name).name),))
        return self.set(album=album, index=len(album) - 1, source="source")

    @staticmethod
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

    @staticmethod
    def scene(result: Result) -> Scene:
        """The stages, one sample large, or a grid; what was dropped, and the matrix."""
        return scene_of(result)

    def words(self) -> str:
        """The steps, and what became of the boxes."""
        made: Made = self.result.samples[0]
        steps = ", ".join(stage.name for stage in made.stages)
        kept = counted(made.stages[-1].objects.num_objects, "box", "boxes")
        drops = [f"{class_name(drop.cls, self.result.names)} {drop.reason}" for drop in made.drops]
        return f"{self.result.original.name}: {steps}; {kept} kept, {len(drops)} dropped" + "".join(
            f"\n  dropped: {drop}" for drop in drops
        )

    def as_code(self) -> str:
        """The hyperparameters, and how to get the same sample from a dataset."""
        state: State = self.state
        made = f"yl.YoloDataset({state.source}, img_size={state.size}, hyp=hyp, augment=True, seed={state.seed})"
        sample = f"dataset.sample({state.index}, epoch={state.epoch})"
        return f"{hyp_code(hyp_of(state, state.hyp))}\ndataset = {made}\nsample = {sample}"


def _opened(dataset: Any, names: Sequence[str] | None) -> Album:
    """An album of what the reader gave as dataset=."""
    if isinstance(dataset, YoloDataset):
        if dataset.rect:
            raise ValueError("a dataset of rectangles makes no mosaics: give one with rect=False")
        return Album(dataset)
    if not isinstance(dataset, str | Path | Sequence | ImageSource | None):
        raise ValueError(f"dataset is a YoloDataset or its source: a path, 'shapes' ..., not {type(dataset).__name__}")
    try:
        return Album(YoloDataset("photos" if dataset is None else dataset, names=names))
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
