"""Of each kind of section: the shape of the layer's output, how many weights it has, and how to build it."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from torch import nn

from yolo_lite.family.darknet.cfg import Section
from yolo_lite.family.darknet.layers import (
    ACTIVATIONS,
    DarknetAvgPool,
    DarknetConnected,
    DarknetConv,
    DarknetCrop,
    DarknetFlat,
    DarknetLocal,
    DarknetMaps,
    DarknetMaxPool,
    DarknetReorg,
    DarknetRoute,
    DarknetShortcut,
    DarknetSoftmax,
    DarknetUpsample,
)
from yolo_lite.family.darknet.norm import Origin

SMALL_WINDOW = 64  # allowed on a map of any size: those of SPP, up to 13, are larger than the maps of small images


class Shape(NamedTuple):
    """Of one image's features."""

    channels: int
    rows: int
    cols: int

    @property
    def size(self) -> int:
        return self.channels * self.rows * self.cols

    def __str__(self) -> str:
        return f"{self.channels} x {self.rows} x {self.cols}"


class Layer(NamedTuple):
    """A layer that could be built."""

    shape: Shape  # of its output
    floats: int  # weights, biases, BatchNorm's statistics: as many as in a weight file
    build: Callable[[], nn.Module]
    arguments: tuple[object, ...]  # for people
    padding: int = 0  # numbers around its input, of which padding may make a copy

    @property
    def numbers(self) -> int:
        """All that it keeps in memory for an image."""
        return self.floats + self.shape.size + self.padding


def _padding(shape: Shape, both: int) -> int:
    """How many numbers a map has more with ``both`` rows and columns more, on both sides together."""
    return shape.channels * ((shape.rows + both) * (shape.cols + both) - shape.rows * shape.cols)


def _check_reach(section: Section, shape: Shape, reach: int) -> None:
    """Refuses a window that sees nothing but padding beyond the whole map, wherever it stands."""
    most = max(2 * max(shape.rows, shape.cols), SMALL_WINDOW)
    if reach > most:
        raise section.error(f"reaches over {reach} cells, but its input is {shape} (C x H x W): at most {most}", "size")


def _activation(section: Section, default: str) -> str:
    name = section.text("activation", default)
    if name not in ACTIVATIONS:
        raise section.error(f"unknown activation; known are {', '.join(ACTIVATIONS)}", "activation")
    return name


def _strides(section: Section) -> tuple[int, int]:
    """Of rows and of columns."""
    both = section.whole("stride", 1, 1)
    return section.whole("stride_y", both, 1), section.whole("stride_x", both, 1)


def _convolutional(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    channels, rows, cols = inputs[0]
    filters, size = section.whole("filters", 1, 1), section.whole("size", 1, 1)
    strides, groups, dilation = _strides(section), section.whole("groups", 1, 1), section.whole("dilation", 1, 1)
    padding = size // 2 if section.flag("pad") else section.whole("padding", 0)
    if channels % groups or filters % groups:
        raise section.error(f"{channels} channels and {filters} filters do not divide into {groups} groups", "groups")
    norm = origin if section.flag("batch_normalize") else None
    activation = _activation(section, "logistic")
    reach = dilation * (size - 1) + 1
    _check_reach(section, inputs[0], reach)
    reach -= 2 * padding * dilation
    shape = Shape(filters, *((side - reach) // stride + 1 for side, stride in zip((rows, cols), strides, strict=True)))
    floats = filters * (channels // groups) * size * size + filters * (1 if norm is None else 4)
    return Layer(
        shape,
        floats,
        lambda: DarknetConv(channels, filters, size, strides, padding, groups, dilation, norm, activation),
        (filters, size, strides[0], activation, *([f"groups {groups}"] if groups > 1 else [])),
        _padding(inputs[0], 2 * padding * dilation),
    )


def _maxpool(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    channels, rows, cols = inputs[0]
    strides = _strides(section)
    size = section.whole("size", strides[1], 1)
    _check_reach(section, inputs[0], size)
    padding = section.whole("padding", size - 1)
    if padding - padding // 2 >= max(size, 2):
        raise section.error(f"a padding of {padding} is too much for a size of {size}", "padding")
    sides = zip((rows, cols), strides, strict=True)
    shape = Shape(channels, *((side + padding - size) // stride + 1 for side, stride in sides))
    build = lambda: DarknetMaxPool(size, strides, padding)  # noqa: E731
    return Layer(shape, 0, build, (size, strides[0]), _padding(inputs[0], padding))


def _avgpool(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    return Layer(Shape(inputs[0].channels, 1, 1), 0, DarknetAvgPool, ())


def _route(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    groups = section.whole("groups", 1, 1)
    group = section.whole("group_id", 0, 0, groups - 1)
    for shape in inputs:
        if shape[1:] != inputs[0][1:]:
            raise section.error(f"joins layers of other sizes: {inputs[0]} and {shape} (C x H x W)", "layers")
        if shape.channels % groups:
            raise section.error(f"{shape.channels} channels do not divide into {groups} groups", "groups")
    channels = sum(shape.channels // groups for shape in inputs)
    return Layer(
        Shape(channels, *inputs[0][1:]),
        0,
        lambda: DarknetRoute(groups, group),
        (f"part {group} of {groups}",) if groups > 1 else (),
    )


def _shortcut(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    for shape in inputs:
        if shape != inputs[0]:
            raise section.error(f"adds layers of other shapes: {inputs[0]} and {shape} (C x H x W)", "from")
    activation = _activation(section, "linear")
    return Layer(inputs[0], 0, lambda: DarknetShortcut(activation), (activation,))


def _upsample(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    stride, scale = section.whole("stride", 2, 1), section.number("scale", 1)
    channels, rows, cols = inputs[0]
    return Layer(Shape(channels, rows * stride, cols * stride), 0, lambda: DarknetUpsample(stride, scale), (stride,))


def _reorg(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    stride, reverse = section.whole("stride", 1, 1), section.flag("reverse")
    channels, rows, cols = inputs[0]
    if channels % stride**2 or (not reverse and (rows % stride or cols % stride)):
        raise section.error(f"{inputs[0]} (C x H x W) does not divide into squares of {stride} x {stride}", "stride")
    few = channels // stride**2
    shape = (
        Shape(few, rows * stride, cols * stride)
        if reverse
        else Shape(channels * stride**2, rows // stride, cols // stride)
    )
    return Layer(shape, 0, lambda: DarknetReorg(stride, reverse), (stride, *(["reverse"] if reverse else [])))


def _local(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    channels, rows, cols = inputs[0]
    filters, size, stride = (section.whole(name, 1, 1) for name in ("filters", "size", "stride"))
    padding = int(section.flag("pad"))
    if padding and size != 3:
        raise section.error(f"is defined for a size of 3 alone, not {size}: Darknet's sizes disagree there", "pad")
    grid = ((rows + 2 * padding - size) // stride + 1, (cols + 2 * padding - size) // stride + 1)
    activation = _activation(section, "logistic")
    places = max(grid[0], 0) * max(grid[1], 0)
    return Layer(
        Shape(filters, *grid),
        places * filters * (channels * size * size + 1),
        lambda: DarknetLocal(channels, filters, size, stride, padding, grid, activation),
        (filters, size, stride, activation),
    )


def _connected(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    read, outputs = inputs[0].size, section.whole("output", 1, 1)
    norm = origin if section.flag("batch_normalize") else None
    activation = _activation(section, "logistic")
    floats = outputs * (read + (1 if norm is None else 4))
    build = lambda: DarknetConnected(read, outputs, norm, activation)  # noqa: E731
    return Layer(Shape(outputs, 1, 1), floats, build, (outputs, activation))


def _dropout(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    probability = section.number("probability", 0.5)
    if not 0 <= probability < 1:
        raise section.error("must be at least 0 and below 1", "probability")
    return Layer(inputs[0], 0, lambda: nn.Dropout(probability), (probability,))


def _softmax(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    groups, temperature = section.whole("groups", 1, 1), section.number("temperature", 1)
    if inputs[0].size % groups:
        raise section.error(f"{inputs[0].size} numbers do not divide into {groups} groups", "groups")
    if temperature <= 0:
        raise section.error("must be above 0", "temperature")
    return Layer(inputs[0], 0, lambda: DarknetSoftmax(groups, temperature), (groups,))


def _cost(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    return Layer(inputs[0], 0, nn.Identity, ())


def _crop(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    height, width = section.whole("crop_height", 1, 1), section.whole("crop_width", 1, 1)
    if height > inputs[0].rows or width > inputs[0].cols:
        raise section.error(f"of {height} x {width} is larger than its input, {inputs[0]} (C x H x W)")
    adjust = not section.flag("noadjust")
    return Layer(
        Shape(inputs[0].channels, height, width), 0, lambda: DarknetCrop(height, width, adjust), (height, width)
    )


def _flat(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    return Layer(inputs[0], 0, DarknetFlat, ())


def _maps(section: Section, inputs: Sequence[Shape], origin: Origin) -> Layer:
    anchors = len(section.wholes("mask")) if section.kind == "yolo" and "mask" in section else None
    number = section.whole("num", 1, 1) if anchors is None else anchors
    if inputs[0].channels % number:
        raise section.error(f"the {inputs[0].channels} channels before it do not divide among {number} anchors")
    return Layer(inputs[0], 0, lambda: DarknetMaps(number), (f"{number} anchors",))


LAYERS: Mapping[str, Callable[[Section, Sequence[Shape], Origin], Layer]] = MappingProxyType(
    {
        "convolutional": _convolutional,
        "maxpool": _maxpool,
        "avgpool": _avgpool,
        "route": _route,
        "shortcut": _shortcut,
        "upsample": _upsample,
        "reorg": _reorg,
        "local": _local,
        "connected": _connected,
        "dropout": _dropout,
        "softmax": _softmax,
        "cost": _cost,
        "crop": _crop,
        "detection": _flat,
        "region": _maps,
        "yolo": _maps,
    }
)
