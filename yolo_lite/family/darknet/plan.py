"""Sections of a .cfg -> what each layer reads, gives and costs, in numbers alone: nothing is allocated.

A file that asks for absurd memory is refused by these numbers before a single layer is built.
"""

import sys
from collections.abc import Sequence
from typing import NamedTuple

from yolo_lite.family.darknet.cfg import Cfg, Section
from yolo_lite.family.darknet.norm import Origin
from yolo_lite.family.darknet.options import ALEXEYAB_ACTIVATIONS, ALEXEYAB_OPTIONS
from yolo_lite.family.darknet.sections import LAYERS, Layer, Shape
from yolo_lite.model.rows import IMAGE, Row
from yolo_lite.model.spec import SpecError

MAX_FLOATS = 1_000_000_000  # weights and one image's features, 4 GB; the paper's YOLOv1, the largest, has 280 million
HEADS = ("detection", "region", "yolo")
FIXED = ("crop", "local", "connected", "detection")  # made for one image size


class Plan(NamedTuple):
    """A whole network that could be built: ``rows[i]`` describes ``layers[i]``."""

    rows: tuple[Row, ...]
    layers: tuple[Layer, ...]
    image: Shape
    heads: tuple[int, ...]

    @property
    def floats(self) -> int:
        return sum(layer.floats for layer in self.layers)

    @property
    def is_fixed(self) -> bool:
        """Whether it has a layer that takes one image size only."""
        return any(row.kind in FIXED for row in self.rows)

    def stride(self, index: int) -> int | None:
        """Pixels per cell of a layer's output; None where that is not one whole number."""
        rows, cols = self.layers[index].shape[1:]
        whole = self.image.rows % rows == 0 and self.image.cols % cols == 0
        return self.image.rows // rows if whole and self.image.rows * cols == self.image.cols * rows else None


def find_origin(cfg: Cfg) -> Origin:
    """Whose Darknet a file was written for: AlexeyAB's where it uses an option, an activation or several ``from`` that
    only his knows, else pjreddie's.

    Options only AlexeyAB's knows: ``options.ALEXEYAB_OPTIONS``, for example scale_x_y, iou_loss, new_coords, groups of
    a route, mosaic; activations mish, swish.
    """
    used = [(section.kind, name) for section in (cfg.net, *cfg.layers) for name in section.options]
    used += [(entry.section, entry.option.name) for entry in cfg.left_out]
    named = any(name in ALEXEYAB_OPTIONS.get(kind, ()) for kind, name in used)
    several = any(section.kind == "shortcut" and "," in section.text("from") for section in cfg.layers)
    activated = any(section.text("activation") in ALEXEYAB_ACTIVATIONS for section in cfg.layers)
    return "alexeyab" if named or several or activated else "pjreddie"


def plan_network(cfg: Cfg, origin: Origin, max_floats: int = MAX_FLOATS) -> Plan:
    """Every layer of a .cfg, checked and counted.

    Raises:
        SpecError: a layer that does not fit those before it; more than ``max_floats`` numbers.
    """
    for side in ("height", "width"):
        if side not in cfg.net:
            raise cfg.net.error("give the size of the images in pixels", side)
    image = Shape(*(cfg.net.whole(name, 3, 1) for name in ("channels", "height", "width")))
    shapes: dict[int, Shape] = {IMAGE: image}
    rows: list[Row] = []
    layers: list[Layer] = []
    heads: list[int] = []
    total = 0
    for index, section in enumerate(cfg.layers):
        inputs = _inputs(section, index)
        for source in inputs:
            if source in heads:
                raise section.error(f"reads layer {source}, a [{rows[source].kind}]: nothing can read boxes")
        read = [shapes[source] for source in inputs]
        layer = LAYERS[section.kind](section, read, origin)
        if min(layer.shape) < 1:
            raise section.error(f"gives an output of {layer.shape} for {read[0]}: nothing is left of the image")
        total += layer.numbers
        if total > max_floats:
            raise section.error(_too_much(layer, total, max_floats))
        if section.kind in HEADS:
            heads.append(index)
        shapes[index] = layer.shape
        takes_list = section.kind in ("route", "shortcut")
        rows.append(Row(index, inputs, takes_list, 1, section.kind, layer.arguments, section.place))
        layers.append(layer)
    if not heads:
        raise SpecError(f"{cfg.net.where}: no detector: it has no [detection], [region] or [yolo]")
    return Plan(tuple(rows), tuple(layers), image, tuple(heads))


def follows_image(cfg: Cfg, plan: Plan, origin: Origin, strides: Sequence[int]) -> bool:
    """Whether the network takes images of other sizes: its grids grow with the image, so that strides stay.

    They do not behind [avgpool], for example, which has one cell for any image.
    """
    if plan.is_fixed:
        return False
    larger = cfg.net
    for name, side in (("height", plan.image.rows), ("width", plan.image.cols)):
        larger = larger.with_option(name, side + max(strides))
    try:
        other = plan_network(cfg._replace(net=larger), origin, sys.maxsize)
    except SpecError:
        return False
    grids = [layer.shape[1:] for layer in (other.layers[index] for index in plan.heads)]
    return all(
        (rows * stride, cols * stride) == other.image[1:] for (rows, cols), stride in zip(grids, strides, strict=True)
    )


def _too_much(layer: Layer, total: int, max_floats: int) -> str:
    padding = f", {layer.padding:,} of padding" if layer.padding else ""
    return (
        f"needs {layer.floats:,} weights and {layer.shape.size:,} numbers of output{padding}, {total:,} with the "
        f"layers before it; the limit is {max_floats:,} in all. If the file is meant so, raise it in Python: "
        'create_model({"family": "darknet", "cfg": the text of the file, "max_floats": a larger limit}). '
        "A checkpoint cannot raise it: make such a network first, then load its weights by load_state_dict"
    )


def _inputs(section: Section, index: int) -> tuple[int, ...]:
    if section.kind not in ("route", "shortcut"):
        return (index - 1,)  # of the first layer: IMAGE
    name = "layers" if section.kind == "route" else "from"
    sources = section.wholes(name)
    if not sources:
        raise section.error(f"has no {name}: say which layers it reads")
    found = tuple(index + source if source < 0 else source for source in sources)
    for source, layer in zip(sources, found, strict=True):
        if not 0 <= layer < index:
            wrong = f"{-source} back" if source < 0 else f"{layer}"
            raise section.error(f"there is no layer {wrong}: {_before(index)}", name)
    return found if section.kind == "route" else (index - 1, *found)


def _before(index: int) -> str:
    if index < 2:
        return "only layer 0 comes before this one" if index else "this layer is the first"
    return f"only layers 0 to {index - 1} come before this one"
