"""A detector and pictures for it: what LossExplorer and GradientExplorer start from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from walkthrough.explorers.adjusting import ResultT
from walkthrough.explorers.controls import given
from walkthrough.explorers.copying import model_lines
from walkthrough.explorers.hyp import checked_hyp, hyp_settings, with_hyp
from walkthrough.explorers.inputs import opened_model
from walkthrough.explorers.pictures import (
    Annotations,
    PictureExplorer,
    PictureState,
    annotate,
    images_of,
    listed_names,
    pictured,
    targets_of,
)
from yolo_lite.data.dataset import Batch, YoloDataset
from yolo_lite.data.loader import collate
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.inference import size_multiple, trained_size
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.support.arguments import require_whole
from yolo_lite.support.known_names import coco_names

WEIGHTS, SCENES = "shapes-n", 4  # the bundled weights; how many of the scenes that they were trained on
SIZE = 320  # pixels of the default pictures, where the model does not say what it was trained at


@dataclass(frozen=True)
class DetectorState(PictureState):
    """Pictures, a detector, and the hyperparameters that no slider stands for."""

    model: Any = given()
    hyp: Hyperparameters = given(Hyperparameters())


DetectorStateT = TypeVar("DetectorStateT", bound=DetectorState)


class DetectorExplorer(PictureExplorer[DetectorStateT, ResultT]):
    """Base of explorers that show what a detector's loss makes of pictures with objects."""

    State = DetectorState

    @classmethod
    def prepare(  # type: ignore[override]  # each explorer has inputs of its own
        cls,
        images: Any = None,
        targets: Any = None,
        model: Any = None,
        hyp: Hyperparameters | None = None,
        names: Sequence[str] | Mapping[int, str] | None = None,
        img_size: int | None = None,
    ) -> dict[str, Any]:
        """The reader's or the default pictures, model and hyperparameters.

        Args:
            images, targets: see annotate; None: scenes of "shapes", or the tour's photographs for COCO's classes.
            model: a detector, or the name or path of weights; None: "shapes-n".
            names: of the classes, the model's where left out.
            hyp: None: the defaults. img_size: to letterbox listed images to; None: what the model was trained at.
        """
        model, hyp = checked_detector(model), checked_hyp(hyp)
        size = network_size(model, img_size)
        pictures = pictures_for(model, images, targets, size, getattr(model, "names", None) or ())
        if names is None:
            names = coco_names() if images is None and model.num_classes == 80 else getattr(model, "names", None) or ()
        inputs = pictured(pictures, listed_names(names)) | {"model": model, "hyp": hyp} | hyp_settings(hyp, cls.State)
        return inputs | cls.first_pass(inputs)

    @classmethod
    def first_pass(cls, inputs: dict[str, Any]) -> dict[str, Any]:
        """Further fields of State that the model's first look at the pictures gives: here, none."""
        return {}

    def settle(self, before: DetectorStateT, after: DetectorStateT) -> DetectorStateT:
        """A model or hyp set from Python is checked as at the start, and brings its class names or settings."""
        if after.model is None and after.pictures:
            raise ValueError(f"there is no model: make a new {type(self).__name__}")
        if after.model is not before.model:
            model = checked_detector(after.model)
            known = listed_names(getattr(model, "names", None) or ())
            after = replace(after, model=model, names=pictured(after.pictures, known or after.names)["names"])
        if after.hyp is not before.hyp:
            after = with_hyp(before, after)
        return super().settle(before, after)

    def cell_names(self) -> dict[str, str]:
        """The model, and a batch of the pictures."""
        return super().cell_names() | {"model": model_lines(self._given.get("model"), type(self).__name__, WEIGHTS)}


def up_to(name: str, high: float) -> Callable[[Any], float]:
    """The upper end of a slider: high, or twice what the reader's hyp starts from."""
    return lambda state: max(high, 2 * getattr(state.hyp, name))


def checked_detector(model: Any) -> Any:
    """A detector as it is, one of a name or path loaded; a ValueError for anything else."""
    model = opened_model(WEIGHTS if model is None else model)
    for name in ("criterion", "decode", "strides", "num_classes"):
        if not callable(model) or not hasattr(model, name):
            raise ValueError(
                f"a detector has model(images), decode(maps), criterion(hyp, img_size), names, num_classes and strides "
                f"(yolo_lite.model.protocol.Detector); {type(model).__name__} has no "
                f"{name if callable(model) else 'model(images)'}"
            )
    return model


def check_maps(model: Any, maps: Sequence[Any]) -> None:
    """A ValueError for maps of a branch that only training has: no place in a picture of the levels."""
    if len(maps) > len(model.strides):
        raise ValueError(
            f"{type(model).__name__} gives {len(maps)} maps for {len(model.strides)} levels, in training mode those of "
            "its auxiliary branch, too: put it into evaluation mode with model.eval()"
        )


def network_size(model: Any, img_size: int | None = None, default: int = SIZE) -> int | tuple[int, int]:
    """What pictures are letterboxed to: what is asked for, the only size that the model takes, or one that fits it."""
    fixed = getattr(model, "fixed_size", None)
    if fixed is not None and img_size is None:
        return fixed[0] if fixed[0] == fixed[1] else tuple(fixed)
    return img_size or fitting_size(model, trained_size(model) or default)


def fitting_size(model: Any, size: int = SIZE) -> int:
    """The least side that the model takes and that is not below size."""
    multiple = size_multiple(model) if hasattr(model, "strides") else 1
    return -(-size // multiple) * multiple


def pictures_for(
    model: Any, images: Any, targets: Any, size: int | tuple[int, int], names: Sequence[str] = ()
) -> Annotations:
    """The reader's pictures, or the default ones for a model, with the reader's targets where there are any.

    Args:
        images, targets, size, names: see annotate; names are the model's.
    """
    if images is not None:
        return annotate(images, targets, size, names)
    pictures = default_pictures(model, size)
    return pictures if targets is None else annotate(images_of(pictures), targets)


def drawn_scenes(indices: Sequence[int], model: Any, size: int | tuple[int, int]) -> Batch:
    """Scenes of the validation images of "shapes", as large as the model takes them."""
    side = max(size) if isinstance(size, tuple) else size
    require_whole(img_size=side)
    stride = 1 if getattr(model, "fixed_size", None) is not None else size_multiple(model)
    dataset = YoloDataset(Shapes("val", side, max(indices) + 1), side, stride=stride)
    return collate([dataset[index] for index in indices])


def default_pictures(model: Any, size: int | tuple[int, int]) -> Annotations:
    """Drawn scenes, or for a model with COCO's 80 classes the tour's photographs.

    Classes beyond the model's are counted on from its first: a scene is then labelled with names that mean nothing in
    it, but every object stays one.
    """
    if model.num_classes == 80:
        from yolo_lite.datasets.photos import tour_batch

        return fit_pictures(annotate(tour_batch(max(size) if isinstance(size, tuple) else size)), size)
    pictures = fit_pictures(annotate(drawn_scenes(range(SCENES), model, size)), size)
    return tuple(
        replace(picture, boxes=tuple((*box[:4], int(box[4]) % model.num_classes) for box in picture.boxes))
        for picture in pictures
    )


def fit_pictures(pictures: Annotations, size: int | tuple[int, int]) -> Annotations:
    """The pictures and their objects letterboxed to a size (side, or height and width); as they are where they fit."""
    wanted = (size, size) if isinstance(size, int) else size
    if all(picture.size == wanted for picture in pictures):
        return pictures
    fitted = annotate([picture.pixels for picture in pictures], targets_of(pictures), size)
    return tuple(replace(new, name=old.name) for new, old in zip(fitted, pictures, strict=True))


def same_pixels(before: Annotations, after: Annotations) -> bool:
    """Whether the pictures are the same ones, whatever boxes are drawn on them."""
    return len(before) == len(after) and all(a.pixels is b.pixels for a, b in zip(before, after, strict=True))


def training_size(pictures: Annotations) -> int:
    """The img_size that training on these pictures would scale its gains to."""
    return max(max(picture.size) for picture in pictures)
