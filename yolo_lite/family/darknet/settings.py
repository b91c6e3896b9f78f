"""Options of the heads -> the settings and the loss of their generation."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, get_args

from torch import Tensor

from yolo_lite.coding import AnchorCoding
from yolo_lite.family.darknet.cfg import Section
from yolo_lite.family.darknet.heads import Head
from yolo_lite.family.darknet.norm import Origin
from yolo_lite.family.yolov1 import Yolov1Loss, Yolov1Settings
from yolo_lite.family.yolov2 import Yolov2Loss, Yolov2Settings
from yolo_lite.family.yolov3 import Yolov3Loss, Yolov3Settings
from yolo_lite.family.yolov4 import Yolov4Loss, Yolov4Settings
from yolo_lite.family.yolov4.settings import BoxLoss
from yolo_lite.loss.criterion import Criterion, Faithful
from yolo_lite.model.spec import SpecError

Made = TypeVar("Made")
Settings = Yolov1Settings | Yolov2Settings | Yolov3Settings | Sequence[Yolov4Settings]


def settings_of(heads: Sequence[Head], origin: Origin) -> Settings:
    """What the options of the heads say, Darknet's own defaults where they are silent.

    Returns:
        A Yolov1Settings ([detection]), a Yolov2Settings ([region]), a Yolov3Settings ([yolo] of pjreddie) or one
        Yolov4Settings for each head ([yolo] of AlexeyAB).
    Raises:
        SpecError: a number outside its range.
    """
    sections = [head.section for head in heads]
    if sections[0].kind == "detection":
        return _made(_v1, sections[0])
    if sections[0].kind == "region":
        return _made(_v2(origin), sections[0])
    if origin == "alexeyab":
        return [_made(_v4, section) for section in sections]
    for head in heads:
        if head.coding != AnchorCoding():
            raise head.section.error("scale_x_y and new_coords are AlexeyAB's: choose the origin alexeyab")
    each = [_made(_v3, section) for section in sections]
    if any(settings != each[0] for settings in each):
        raise sections[-1].error("has other thresholds than the heads before it: YOLOv3 has the same at all levels")
    return each[0]


def _made(make: Callable[[Section], Made], section: Section) -> Made:
    """The settings; an error names the option, which is the one that is refused also where it stands alone."""
    try:
        return make(section)
    except SpecError:
        raise
    except ValueError as error:
        for name, option in section.options.items():
            try:
                make(replace(section, options={name: option}))
            except ValueError as alone:
                _, must, rest = str(alone).partition(" must be ")
                raise section.error(f"must be {rest}" if must else str(alone), name) from None
        raise section.error(str(error)) from None


def _scales(section: Section) -> dict[str, Any]:
    return {name: section.number(name, 1) for name in ("object_scale", "noobject_scale", "class_scale", "coord_scale")}


def _v1(section: Section) -> Yolov1Settings:
    return Yolov1Settings(
        grid=section.whole("side", 7, 1),
        boxes=section.whole("num", 1, 1),
        square_root=section.flag("sqrt"),
        rescore=section.flag("rescore"),
        softmax=section.flag("softmax"),
        **_scales(section),
    )


def _v2(origin: Origin) -> Callable[[Section], Yolov2Settings]:
    def make(section: Section) -> Yolov2Settings:
        return Yolov2Settings(
            thresh=section.number("thresh", 0.5),
            rescore=section.flag("rescore"),
            bias_match=section.flag("bias_match"),
            softmax=section.flag("softmax"),
            origin=origin,
            max_boxes=section.whole("max", 30, 1),
            **_scales(section),
        )

    return make


def _v3(section: Section) -> Yolov3Settings:
    return Yolov3Settings(
        ignore_thresh=section.number("ignore_thresh", 0.5),
        truth_thresh=section.number("truth_thresh", 1),
        max_boxes=section.whole("max", 90, 1),
    )


def _v4(section: Section) -> Yolov4Settings:
    if section.number("delta_normalizer", 1) != 1:
        raise section.error("only 1 is supported", "delta_normalizer")
    kind: Any = section.text("iou_loss", "mse")
    if kind not in get_args(BoxLoss):
        raise section.error(f"unknown iou_loss {kind!r}: choose one of {', '.join(get_args(BoxLoss))}", "iou_loss")
    return Yolov4Settings(
        iou_kind=kind,
        iou_normalizer=section.number("iou_normalizer", 0.75),
        obj_normalizer=section.number("obj_normalizer", 1),
        cls_normalizer=section.number("cls_normalizer", 1),
        iou_thresh=section.number("iou_thresh", 1),
        ignore_thresh=section.number("ignore_thresh", 0.5),
        truth_thresh=section.number("truth_thresh", 1),
        label_smooth_eps=section.number("label_smooth_eps", 0),
        focal=section.flag("focal_loss"),
        max_delta=section.number("max_delta", 0) if "max_delta" in section else None,
        scale_x_y=section.number("scale_x_y", 1),
        new_coords=section.flag("new_coords"),
        objectness_smooth=section.flag("objectness_smooth"),
        max_boxes=section.whole("max", 200, 1),
    )


def make_loss(
    heads: Sequence[Head], anchors: Tensor, settings: Any, num_classes: int, gain: float, faithful: Faithful
) -> Criterion:
    """The loss of the heads' generation.

    Args:
        anchors: (K, 2) pixels, all of them. settings: as ``settings_of`` returns.
    Raises:
        ValueError: settings of another generation.
    """
    if faithful not in ("darknet", "paper"):
        raise ValueError(f"faithful must be 'darknet' or 'paper', not {faithful!r}")
    if faithful == "paper" and heads[0].section.kind != "yolo":
        raise ValueError(f"faithful='paper': the loss of a [{heads[0].section.kind}] has one form only: leave it out")
    masks, strides = [head.mask for head in heads], [head.stride for head in heads]
    kind = heads[0].section.kind
    if kind == "detection" and isinstance(settings, Yolov1Settings):
        return Yolov1Loss(num_classes, settings, gain)
    if kind == "region" and isinstance(settings, Yolov2Settings):
        return Yolov2Loss(anchors, strides[0], num_classes, settings, gain)
    if kind == "yolo" and isinstance(settings, Yolov3Settings):
        return Yolov3Loss(anchors, masks, strides, num_classes, settings, gain, faithful)
    many = isinstance(settings, Sequence) and all(isinstance(each, Yolov4Settings) for each in settings)
    if kind == "yolo" and (many or isinstance(settings, Yolov4Settings)):
        return Yolov4Loss(anchors, masks, strides, num_classes, settings, gain, faithful)
    found = type(settings).__name__
    raise ValueError(f"settings of a [{kind}] cannot be a {found}: give those of its generation")
