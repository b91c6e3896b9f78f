"""Summary: input, output, parameters and cost of each layer of a model.

Shapes and costs come from a pass over the meta device, which computes shapes and no numbers.
"""

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

Shape = tuple[int, ...]
COLUMNS = ("layer", "from", "kind", "arguments", "parameters", "MFLOPs", "output")
GIVEN: Mapping[int, str] = MappingProxyType({-1: "image", -2: "texts"})  # what layers read and no layer makes


class DescribedLayer(Protocol):
    """What ``summarise`` asks of the row of a layer: ``yolo_lite.model.rows.Row``, for example."""

    @property
    def index(self) -> int: ...

    @property
    def inputs(self) -> tuple[int, ...]: ...

    @property
    def kind(self) -> str: ...

    @property
    def arguments(self) -> tuple[Any, ...]: ...


class LayeredModel(Protocol):
    """What ``summarise`` asks of a model: a ``Yolo``, for example."""

    channels: int
    layers: nn.ModuleList

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def to(self, device: str) -> Self: ...

    def eval(self) -> Self: ...

    def given(self, images: Tensor) -> Mapping[int, Any]: ...

    def forward_layers(self, images: Tensor) -> Iterator[tuple[DescribedLayer, Tensor | list[Tensor]]]: ...


class LayerSummary(NamedTuple):
    """One layer, for one image."""

    index: int  # type: ignore[assignment] # hides tuple.index, which is not of use for a layer
    inputs: tuple[int, ...]  # indices of layers; -1 is the image
    kind: str
    arguments: tuple[Any, ...]
    parameters: int
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]  # one, except for the head
    flops: int  # 2 per multiply-and-add of convolutions, matrix products and norms; activations, pools left out


class Summary(NamedTuple):
    """All layers; ``print`` it for a table.

    >>> from yolo_lite.model.yolo import create_model
    >>> summary = create_model("yolov5n").summary()
    >>> summary.parameters, round(summary.flops / 1e9, 1)
    (1872157, 4.5)
    """

    rows: tuple[LayerSummary, ...]
    img_size: tuple[int, int]  # height, width

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.rows)

    @property
    def flops(self) -> int:
        return sum(row.flops for row in self.rows)

    def __str__(self) -> str:
        cells = [COLUMNS, *(_cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        right = {"layer", "parameters", "MFLOPs"}
        lines = [
            "  ".join(
                cell.rjust(width) if name in right else cell.ljust(width)
                for name, cell, width in zip(COLUMNS, row, widths, strict=True)
            ).rstrip()
            for row in cells
        ]
        height, width = self.img_size
        totals = f"{len(self.rows)} layers, {self.parameters:,} parameters, {self.flops / 1e9:.1f} GFLOPs"
        return "\n".join([*lines, f"{totals} at {height} x {width}"])


def summarise(model: LayeredModel, img_size: int | tuple[int, int] = 640) -> Summary:
    """The summary of a model for one image; see ``Yolo.summary``. YOLOv5: ``model.info()``."""
    height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
    probe = copy.deepcopy(model).to("meta").eval()
    image = torch.zeros(1, model.channels, height, width, device="meta", dtype=next(model.parameters()).dtype)
    shapes: dict[int, tuple[Shape, ...]] = {-1: (tuple(image.shape),)}
    shapes |= {source: _shapes(value) for source, value in probe.given(image).items()}
    rows, counted = [], 0
    with torch.no_grad(), flop_counter() as counter:
        for row, output in probe.forward_layers(image):
            shapes[row.index] = _shapes(output)
            total = counter.get_total_flops()
            rows.append(
                LayerSummary(
                    *(row.index, row.inputs, row.kind, row.arguments),
                    parameters=_count(probe.layers[row.index]),
                    input_shapes=tuple(shape for source in row.inputs for shape in shapes[source]),
                    output_shapes=shapes[row.index],
                    flops=total - counted,
                )
            )
            counted = total
    return Summary(tuple(rows), (height, width))


def flop_counter() -> FlopCounterMode:
    """Counts the FLOPs of what runs inside it, 2 per multiply-and-add, in ``get_total_flops()``.

    >>> with flop_counter() as counter:
    ...     _ = torch.nn.functional.conv2d(torch.zeros(1, 3, 8, 8), torch.zeros(4, 3, 1, 1))
    >>> counter.get_total_flops()  # 2 * 4 * 3 * 8 * 8
    1536
    """
    return FlopCounterMode(display=False, custom_mapping=_FLOPS)


def _norm_flops(x: Shape, *unused: Any, **unused_too: Any) -> int:
    return 2 * math.prod(x)  # each element times a scale, plus a shift


def _scaled_dot_product_flops(query: Shape, key: Shape, value: Shape, *unused: Any, **unused_too: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_flops(query: Shape, key: Shape, value: Shape, *unused: Any, **unused_too: Any) -> int:
    """PyTorch's fused multi-head attention: three projections, scores, weighted sums, and the projection back."""
    batch, tokens, channels = query
    return 2 * batch * tokens * channels * (4 * channels + 2 * tokens)


_FLOPS = {
    torch.ops.aten.native_batch_norm: _norm_flops,
    torch.ops.aten._native_batch_norm_legit_no_training: _norm_flops,  # what it becomes in evaluation mode
    torch.ops.aten.cudnn_batch_norm: _norm_flops,
    torch.ops.aten.native_group_norm: _norm_flops,
    # attention on the CPU, for which PyTorch has no rule of its own
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _scaled_dot_product_flops,
    torch.ops.aten._native_multi_head_attention: _attention_flops,
}


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _shapes(output: Tensor | Iterable[Tensor]) -> tuple[Shape, ...]:
    return (tuple(output.shape),) if isinstance(output, Tensor) else tuple(tuple(part.shape) for part in output)


def _cells(row: LayerSummary) -> tuple[str, ...]:
    return (
        str(row.index),
        ", ".join(GIVEN.get(source, str(source)) for source in row.inputs),
        row.kind,
        ", ".join(map(str, row.arguments)),
        f"{row.parameters:,}",
        f"{row.flops / 1e6:,.1f}",
        "  ".join(" x ".join(map(str, shape[1:])) for shape in row.output_shapes),
    )
