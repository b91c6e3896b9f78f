"""Yolo: a spec (YOLOv5-style YAML rows) becomes layers, and images become raw maps.

Shape letters: N batch, L levels, A anchors per level, C classes, H rows and W columns of an image or a grid.
"""

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from yolo_lite.coding import decode
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.loss import ComputeLoss
from yolo_lite.model.families import builder
from yolo_lite.model.head import Detect
from yolo_lite.model.layered import LayeredDetector, anchor_rows
from yolo_lite.model.registry import LayerKind, find_layer
from yolo_lite.model.spec import (
    IMAGE,
    Row,
    SpecError,
    in_stride_order,
    read_activation,
    read_anchors,
    read_names,
    read_rows,
    read_spec,
    whole_number,
)

TRACE_SIZE = 256  # pixels; a stride is this over the size of a level's grid, so no stride may be larger


class Yolo(LayeredDetector):
    """A network built from a spec (YOLOv5's YAML rows), a detector. Make one with ``create_model``.

    YOLOv5: ``DetectionModel``, ``Model``.

    Attributes:
        layers, rows, strides, names, num_classes, channels, metadata: as in ``LayeredDetector``.
        spec: the rows it was built from, as a dict that ``create_model`` accepts. anchors: (L, A, 2) pixels, a buffer.
    """

    def __init__(
        self, spec: Mapping[str, Any], names: Sequence[str] | Mapping[int, str] | None = None, where: str = "spec"
    ) -> None:
        num_classes = whole_number(spec.get("nc", 80), f"{where}: the number of classes, nc,")
        channels = whole_number(spec.get("ch", 3), f"{where}: the number of image channels, ch,")
        class_names = read_names(names, num_classes)
        *rows, detect = read_rows(spec, where)
        rows.append(detect._replace(arguments=()))  # classes and anchors are given apart from the rows
        layers, strides = _build_layers(rows, spec, num_classes, channels, where)
        if "activation" in spec:
            _replace_activations(layers, read_activation(spec["activation"], where))
        super().__init__(spec, rows, layers, strides, class_names, channels)
        self.spec |= {"nc": num_classes, "ch": channels, "anchors": self.anchors.flatten(1).tolist()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if "rows" not in self.__dict__:  # pickled by version 0.1.0
            *rows, detect = read_rows(self.spec, "spec")
            self.rows = (*rows, detect._replace(arguments=()))
            self.heads = (detect.index,)

    @property
    def detect(self) -> Detect:
        """The head, which is the last layer."""
        return cast(Detect, self.layers[-1])

    @property
    def anchors(self) -> Tensor:
        """(L, A, 2) width and height in pixels, level by level as in ``strides``."""
        return self.detect.anchors

    def set_anchors(self, anchors: Tensor | Sequence[Any]) -> None:
        """Replace the anchors by as many others, in the order of ``strides``; pixels, (L, A, 2) or (L, 2 A)."""
        values = read_anchors(anchors, self.strides)
        if values.shape != self.anchors.shape:
            raise SpecError(f"{values.shape[1]} anchors per level, but the head was built for {self.anchors.shape[1]}")
        self.anchors.copy_(values)
        self.spec["anchors"] = values.flatten(1).tolist()

    def class_outputs(self) -> dict[str, Tensor]:
        """Which outputs of the head belong to which class, see ``LayeredDetector``."""
        rows = anchor_rows(self.num_classes, self.anchors.shape[1])
        prefix = f"layers.{self.rows[-1].index}."
        return {f"{prefix}{name}": rows for name, _ in self.detect.named_parameters()}  # weights and biases

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Raw maps -> (N, sum of A * H * W, 5 + C): x, y, w, h in pixels, objectness, class scores. See ``decode``."""
        return decode(maps, self.anchors, self.strides)

    def criterion(self, hyp: Hyperparameters, img_size: int = 640, **options: Any) -> ComputeLoss:
        """The loss of this model, its gains scaled to the levels, the classes and the image size.

        Args:
            hyp: the gains before scaling. img_size: pixels, of the training images. options: of ``ComputeLoss``.
        """
        scaled = hyp.scaled(len(self.strides), self.num_classes, img_size)
        return ComputeLoss(self.anchors, self.strides, self.num_classes, scaled, **options)


def create_model(
    source: str | Path | Mapping[str, Any],
    num_classes: int | None = None,
    anchors: Tensor | Sequence[Any] | int | None = None,
    names: Sequence[str] | Mapping[int, str] | None = None,
    channels: int | None = None,
    seed: int = 0,
) -> LayeredDetector:
    """A new network with random weights.

    Args:
        source: "yolov5n" (n s m l x), "yolov5n6" (n6 .. x6), "yolov5-p2", "yolov5n-p2" ..., "yolov3", "yolov3-spp",
            "yolov3-tiny"; another generation (``families.NAMED``): "darknet-yolov3", "yolov4", "retinanet" ...; or the
            path of a YOLOv5-style YAML file or of a Darknet .cfg; or a ``spec``, such a YAML file's content as a dict,
            or {"family": "darknet", "cfg": text of a .cfg} (further entries: ``family.darknet.network.build``).
        num_classes: C; default: as many as ``names``, or the spec's nc (80).
        anchors: (L, A, 2) pixels, or a number A per level (see ``read_anchors``); default: the spec's. As in the
            reference, the levels are reversed where small anchors meet large strides.
        names: one per class, or {0: name ...}; default: the spec's, or class0, class1 ...
        channels: of the images; default: the spec's ch (3).
        seed: same seed, same weights; the global random state is neither read nor changed.
    Raises:
        SpecError (a ValueError): an unknown name, or a row that cannot be built, with its file and number.
        FileNotFoundError: a path without a file.

    >>> model = create_model("yolov5n", names=["cat", "dog"])
    >>> [tuple(raw.shape) for raw in model(torch.zeros(1, 3, 64, 96))]
    [(1, 3, 8, 12, 7), (1, 3, 4, 6, 7), (1, 3, 2, 3, 7)]
    """
    spec, where = read_spec(source)
    if "family" in spec:
        with seeded(seed):
            model: LayeredDetector = builder(spec["family"])(spec, where, num_classes, anchors, names, channels)
        return model
    own_names = spec.pop("names", None)
    own_classes = spec.get("nc", 80 if own_names is None else len(own_names))
    if num_classes is None:
        num_classes = own_classes if names is None else len(names)
    if names is None and num_classes == own_classes:
        names = own_names
    spec = {**spec, "nc": num_classes, "ch": spec.get("ch", 3) if channels is None else channels}
    if anchors is not None:
        spec["anchors"] = anchors
    with seeded(seed):
        return Yolo(spec, names, where)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, modules are made on the CPU from this seed; outside, the random state is as if nothing had happened."""
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPUs, and not undo it
        yield


def _build_layers(
    rows: Sequence[Row], spec: Mapping[str, Any], num_classes: int, channels: int, where: str
) -> tuple[nn.ModuleList, tuple[int, ...]]:
    """Modules, each tried on the output of those before it, which gives its input channels; and the strides."""
    image = torch.zeros(1, channels, TRACE_SIZE, TRACE_SIZE, device="meta")
    outputs: dict[int, Tensor] = {IMAGE: image}
    layers = nn.ModuleList()
    for row in rows[:-1]:
        inputs = [outputs[source] for source in row.inputs]
        layer = _build(row, [feature.shape[1] for feature in inputs])
        outputs[row.index] = _traced(layer, inputs, row)
        layers.append(layer)

    features = [outputs[source] for source in rows[-1].inputs]
    strides = tuple(_stride(feature, rows[-1]) for feature in features)
    anchors = spec.get("anchors")
    if anchors is None:
        raise SpecError(f"{where}: no anchors: give a list of sizes per level, or how many anchors a level has")
    anchors = in_stride_order(read_anchors(anchors, strides, where), strides)
    layers.append(Detect(num_classes, anchors, strides, [feature.shape[1] for feature in features]))
    return layers, strides


def _build(row: Row, in_channels: list[int]) -> nn.Module:
    """The module of one row: one instance, or as many as the row repeats in a Sequential."""
    kind = cast(LayerKind, find_layer(row.kind))  # read_rows has checked the name
    channels = in_channels if len(in_channels) > 1 else in_channels[0]
    try:
        if kind.takes == "none":
            modules = [kind.build(*row.arguments) for _ in range(row.number)]
        elif kind.takes == "in":
            modules = [kind.build(channels, *row.arguments) for _ in range(row.number)]
        elif kind.repeats:
            modules = [kind.build(channels, row.arguments[0], row.number, *row.arguments[1:])]
        else:  # the second and later are fed by the first
            starts = [channels] + [row.arguments[0]] * (row.number - 1)
            modules = [kind.build(start, *row.arguments) for start in starts]
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        arguments = ", ".join(map(str, row.arguments))
        raise SpecError(f"{row.where}: cannot be built with the arguments ({arguments}): {error}") from error
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


def _traced(layer: nn.Module, inputs: list[Tensor], row: Row) -> Tensor:
    """The layer's output for inputs on the meta device: shapes without numbers, and nothing learnt from them."""
    probe = copy.deepcopy(layer).to("meta").eval()
    try:
        with torch.no_grad():
            output = probe(inputs if row.takes_list else inputs[0])
    except (TypeError, ValueError, RuntimeError, IndexError, NotImplementedError) as error:
        shapes = ", ".join(str(tuple(feature.shape)) for feature in inputs)
        raise SpecError(f"{row.where}: fails on inputs of the shapes {shapes}: {error}") from error
    if not isinstance(output, Tensor) or output.dim() != 4:
        raise SpecError(f"{row.where}: must return a tensor of shape (N, C, H, W)")
    return output


def _stride(feature: Tensor, row: Row) -> int:
    rows, cols = feature.shape[2:]
    if rows == 0 or TRACE_SIZE % rows or rows != cols:
        grid = f"an image of {TRACE_SIZE} pixels gives a grid of {rows} x {cols}"
        raise SpecError(f"{row.where}: {grid}, so its stride is not a whole number")
    return TRACE_SIZE // rows


def _replace_activations(layers: nn.ModuleList, activation: nn.Module) -> None:
    """Another activation wherever a block has the default one."""
    for module in layers.modules():
        if isinstance(getattr(module, "act", None), nn.SiLU):
            module.act = copy.deepcopy(activation)
