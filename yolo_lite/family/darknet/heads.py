"""The heads of Darknet's networks, [detection], [region] and [yolo]: checked against the layers before them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yolo_lite.coding import AnchorCoding
from yolo_lite.family.darknet.cfg import Cfg, Section
from yolo_lite.family.darknet.plan import Plan
from yolo_lite.model.layered import anchor_rows
from yolo_lite.model.spec import SpecError

SMALLEST_ANCHOR, LARGEST_ANCHOR = 0.001, 1_000_000  # pixels; far beyond any image


@dataclass(frozen=True)
class Head:
    """One head."""

    section: Section
    index: int  # of its layer
    num_classes: int  # C
    stride: int  # pixels per cell
    mask: tuple[int, ...]  # which of ``anchors`` it has; of a [detection], as many numbers as boxes
    anchors: tuple[tuple[float, float], ...]  # pixels, those of other heads too; none in a [detection]
    coding: AnchorCoding

    @property
    def outputs(self) -> int:
        """How many numbers of output the layer before it must have: filters, or of a [detection] all of them."""
        return self.needed(self.num_classes)

    def class_rows(self) -> Tensor:
        """(outputs,) int64: the class that each output belongs to, or -1."""
        if self.section.kind != "detection":
            return anchor_rows(self.num_classes, len(self.mask))
        cells = self.section.whole("side", 7, 1) ** 2  # a [detection] begins with the classes of every cell
        rest = torch.full((self.outputs - cells * self.num_classes,), -1)
        return torch.cat((torch.arange(self.num_classes).repeat(cells), rest))

    def needed(self, num_classes: int) -> int:
        boxes = len(self.mask)
        if self.section.kind == "detection":
            return self.section.whole("side", 7, 1) ** 2 * (5 * boxes + num_classes)
        return boxes * (5 + num_classes)


def read_heads(cfg: Cfg, plan: Plan) -> tuple[Head, ...]:
    """The heads of a planned network, in the order of its layers.

    Raises:
        SpecError: heads of several kinds, several [detection] or [region], other anchors or classes in another head,
            a layer before a head that does not fit.
    """
    heads = tuple(_read(cfg, plan, index) for index in plan.heads)
    first = heads[0]
    for head in heads[1:]:
        if head.section.kind != first.section.kind or first.section.kind != "yolo":
            raise head.section.error(f"stands beside {_line(first)}; only several [yolo] may stand in one network")
        if head.num_classes != first.num_classes:
            raise head.section.error(f"{_line(first)} has {first.num_classes} classes", "classes")
        if head.anchors != first.anchors:
            raise head.section.error(f"{_line(first)} has other anchors; each lists those of all heads", "anchors")
    return heads


def _line(head: Head) -> str:
    return f"[{head.section.kind}] of line {head.section.line}"


def _read(cfg: Cfg, plan: Plan, index: int) -> Head:
    section = cfg.layers[index]
    stride = plan.stride(index)
    if section.kind == "detection":
        side = section.whole("side", 7, 1)
        if plan.image.rows % side or plan.image.cols % side:
            size = f"{plan.image.rows} x {plan.image.cols}"
            raise section.error(f"a grid of {side} x {side} does not divide the image of {size} pixels", "side")
        stride = max(plan.image.rows, plan.image.cols) // side
    if stride is None:
        rows, cols = plan.layers[index].shape[1:]
        found = f"an image of {plan.image.rows} x {plan.image.cols} pixels gives a grid of {rows} x {cols}"
        raise section.error(f"{found}, so its stride is not one whole number")
    if section.kind != "yolo" and section.whole("coords", 1 if section.kind == "detection" else 4) != 4:
        raise section.error("boxes have four coordinates: coords=4", "coords")
    default_classes = 1 if section.kind == "detection" else 20
    anchors = () if section.kind == "detection" else _anchors(section, stride)
    head = Head(
        section,
        index,
        section.whole("classes", default_classes, 1),
        stride,
        _mask(section, len(anchors)),
        anchors,
        _coding(section),
    )
    _check_before(cfg, plan, head)
    return head


def _anchors(section: Section, stride: int) -> tuple[tuple[float, float], ...]:
    number = section.whole("num", 1, 1)
    values = section.numbers("anchors")
    if len(values) != 2 * number:
        hint = "" if len(values) > 2 * number else "; commas stand between them, blanks have no meaning"
        found = f"num={number} anchors are {2 * number} numbers, but {len(values)} are listed"
        raise section.error(f"{found}: a width and a height for each anchor{hint}", "anchors")
    scale = stride if section.kind == "region" else 1  # the anchors of a [region] are in cells
    values = tuple(value * scale for value in values)
    if not all(SMALLEST_ANCHOR <= value <= LARGEST_ANCHOR for value in values):
        wrong = next(value for value in values if not SMALLEST_ANCHOR <= value <= LARGEST_ANCHOR)
        raise section.error(
            f"sizes must be from {SMALLEST_ANCHOR:g} to {LARGEST_ANCHOR:,} pixels, not {wrong:g}", "anchors"
        )
    return tuple((values[2 * k], values[2 * k + 1]) for k in range(number))


def _mask(section: Section, number: int) -> tuple[int, ...]:
    if section.kind != "yolo" or "mask" not in section:
        return tuple(range(section.whole("num", 1, 1)))
    mask = section.wholes("mask")
    if not mask or not all(0 <= anchor < number for anchor in mask) or len(set(mask)) < len(mask):
        raise section.error(f"must name some of the {number} anchors, each once, from 0 to {number - 1}", "mask")
    return mask


def _coding(section: Section) -> AnchorCoding:
    if section.kind != "yolo":
        return AnchorCoding()
    sensitivity = section.number("scale_x_y", 1)
    if sensitivity < 1:
        raise section.error("must be at least 1", "scale_x_y")
    return AnchorCoding(sensitivity, "square" if section.flag("new_coords") else "exponential")


def _check_before(cfg: Cfg, plan: Plan, head: Head) -> None:
    """The layer before a head has as many outputs as it needs, and gives logits to one that wants them activated."""
    section, before = head.section, head.index - 1
    if before < 0:
        raise section.error("is the first layer: no layer gives it predictions")
    shape, layer = plan.layers[before].shape, cfg.layers[before]
    if section.kind == "detection":
        side, boxes = section.whole("side", 7, 1), len(head.mask)
        needed = f"{side} * {side} * ({boxes} * 5 + {head.num_classes}) = {head.outputs}"
        if shape.size != head.outputs:
            raise _unfit(head, f"{needed} outputs", layer, shape.size)
    elif shape.channels != head.outputs:
        needed = f"{len(head.mask)} * (5 + {head.num_classes}) = {head.outputs}"
        raise _unfit(head, f"{needed} filters", layer, shape.channels)
    if not section.flag("new_coords") or section.kind != "yolo":
        return
    activation = layer.text("activation", "logistic" if layer.kind == "convolutional" else "linear")
    if layer.kind != "convolutional" or activation != "logistic":
        raise section.error(
            f"needs a convolution with activation=logistic before it; [{layer.kind}] of line {layer.line} has "
            f"{activation}",
            "new_coords",
        )
    others = [row.index for row in plan.rows if before in row.inputs and row.index != head.index]
    if others:
        raise section.error(f"is not alone in reading layer {before}: layer {others[0]} does too", "new_coords")


def _unfit(head: Head, needed: str, layer: Section, found: int) -> SpecError:
    kind = "convolution" if layer.kind == "convolutional" else f"[{layer.kind}]"
    where, section = head.section.where, head.section
    return SpecError(
        f"{where}, line {section.line}: [{section.kind}] of line {section.line} needs {needed} in the {kind} before "
        f"it (line {layer.line}), which has {found}"
    )


def with_raw_maps(cfg: Cfg, heads: Sequence[Head]) -> Cfg:
    """The same network, but no logistic activation before a new_coords head: loss and decode apply it."""
    layers = list(cfg.layers)
    for head in heads:
        if head.section.kind == "yolo" and head.section.flag("new_coords"):
            layers[head.index - 1] = layers[head.index - 1].with_option("activation", "linear")
    return cfg._replace(layers=tuple(layers))


def with_classes(cfg: Cfg, heads: Sequence[Head], num_classes: int) -> Cfg:
    """The same network for another number of classes: the layers before the heads get as many outputs as they need.

    Raises:
        SpecError: a layer before a head that has no outputs of its own to change.
    """
    layers = list(cfg.layers)
    for head in heads:
        before = layers[head.index - 1]
        option = {"convolutional": "filters", "connected": "output"}.get(before.kind)
        outputs = head.needed(num_classes)
        if option is None or (head.section.kind == "detection" and option == "filters"):
            raise before.error(f"before [{head.section.kind}] cannot be made for {num_classes} classes")
        layers[head.index - 1] = before.with_option(option, outputs)
        layers[head.index] = head.section.with_option("classes", num_classes)
    return cfg._replace(layers=tuple(layers))


def all_anchors(heads: Sequence[Head]) -> Tensor:
    """(K, 2) pixels, of all heads; (0, 2) for YOLOv1."""
    return torch.tensor(heads[0].anchors, device="cpu").reshape(-1, 2)
