"""Effective receptive fields: which pixels of its receptive field change a cell much, by the gradient."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from walkthrough.layers.follow import tensors_in
from walkthrough.layers.hooks import listening, untouched
from walkthrough.layers.record import LayerRecord
from yolo_lite._moved import renamed_field

THRESHOLD = 1 - 0.9545  # of the largest gradient; Luo et al., section 3.2


class EffectiveField(NamedTuple):
    """Of one cell. Source: Luo et al. 2016, "Understanding the Effective Receptive Field" (arXiv 1701.04128)."""

    gradient: Tensor  # (H, W), >= 0: |d cell / d pixel|, summed over the image's channels

    @property
    def mask(self) -> Tensor:
        """(H, W) bool: pixels with more than 4.55 % of the largest gradient."""
        return self.gradient > THRESHOLD * self.gradient.max()

    @property
    def heard(self) -> Tensor:
        """``mask``, by its old name."""
        found: Tensor = renamed_field(self, "heard", "mask")
        return found

    @property
    def size(self) -> float:
        """Side in pixels of a square of as many pixels as the mask has."""
        return float(self.mask.sum()) ** 0.5

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 around the pixels with any gradient at all; zeros where there is none."""
        rows, cols = ((self.gradient > 0).any(dim).nonzero().flatten().tolist() for dim in (1, 0))
        return (cols[0], rows[0], cols[-1] + 1, rows[-1] + 1) if rows else (0, 0, 0, 0)


class CellGradients:
    """A forward pass up to one layer, kept with its graph of gradients: one cell after another is quick.

    Args:
        record: of the layer, from record_layers(model, images).
        images: (N, C, H, W), as they were recorded. output: which, of a layer with several.
    Raises:
        ValueError: the forward pass does not reach the layer, or no gradient leads from it to the image.

    The field of a layer of parameters alone, which does not read the image, is empty.
    """

    def __init__(self, model: nn.Module, images: Tensor, record: LayerRecord, output: int = 0) -> None:
        if not images.is_floating_point():
            raise ValueError(f"gradients are taken of images of floats, not {images.dtype}: convert them with .float()")
        record.check_output(output)
        self.record, self.field = record, record.receptive_fields[output]
        with untouched(model), torch.inference_mode(False), torch.enable_grad():
            self.images = images.detach().clone().requires_grad_()
            made = _output_of(model, self.images.clone(), record)  # a clone can be written into
        self.output = _checked_output(list(tensors_in(made)), output, record.name or "the model")

    @torch.inference_mode(False)
    @torch.enable_grad()
    def of(self, row: int = 0, col: int = 0, channel: int | None = None, image: int = 0) -> EffectiveField:
        """The effective field of the cell at (row, col), of all its channels' sum or of one channel.

        Where rows and columns were flattened away, the cell is the whole output of the image.
        """
        outputs, dims = self._by_image()
        if not 0 <= image < min(len(outputs), len(self.images)):
            raise ValueError(f"there is no image {image} in {len(self.images)} images and {len(outputs)} outputs")
        cell = outputs[image]  # the output without its first dimension
        if dims is not None:
            rows, cols = self.field.grid
            if not (0 <= row < rows and 0 <= col < cols):
                raise ValueError(f"there is no cell ({row}, {col}) in {rows} rows and {cols} columns")
            first, second = (dim - 1 for dim in dims)
            cell = cell.select(first, row).select(second - (second > first), col)
        values = cell.flatten()
        if channel is not None and not 0 <= channel < len(values):
            raise ValueError(f"there is no channel {channel} among the {len(values)} of {self.record.name}")
        value = values.sum() if channel is None else values[channel]
        (gradient,) = torch.autograd.grad(value, self.images, retain_graph=True, allow_unused=True)
        gradient = torch.zeros_like(self.images) if gradient is None else gradient
        return EffectiveField(gradient[image].abs().sum(0))

    def _by_image(self) -> tuple[Tensor, tuple[int, int] | None]:
        """The output with images first and rows and columns apart, and where those are then."""
        dims = self.field.dims
        if dims is None or dims[0] != dims[1]:
            return self.output, dims
        dim = dims[0]
        parts = self.output.unflatten(dim, (-1, *self.field.grid))  # what stands before the cells, rows, columns
        return parts, (dim + 1, dim + 2)  # before all others: the images


def effective_field(
    model: nn.Module,
    images: Tensor,
    record: LayerRecord,
    row: int,
    col: int,
    channel: int | None = None,
    output: int = 0,
    image: int = 0,
) -> EffectiveField:
    """The effective receptive field of one cell of a layer; see CellGradients for many cells.

    Args:
        channel: of the cell; None: the sum of all. output: which, of a layer with several. image: of the batch.

    >>> from walkthrough import record_layers
    >>> model, images = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1)), torch.rand(1, 3, 32, 32)
    >>> record = record_layers(model, images)[1]
    >>> effective_field(model, images, record, 10, 20).box, record.receptive_field.of(10, 20)
    ((18, 8, 23, 13), (18, 8, 23, 13))
    """
    return CellGradients(model, images, record, output).of(row, col, channel, image)


def _checked_output(made: list[Tensor], number: int, name: str) -> Tensor:
    """The output to take gradients of."""
    if number >= len(made):
        raise ValueError(f"{name} gave {len(made)} tensors this time, and none of number {number}: record it again")
    output = made[number]
    if output.ndim == 0 or output.layout is not torch.strided or output.is_complex():
        kind = "sparse" if output.layout is not torch.strided else output.dtype
        raise ValueError(
            f"{name} gave a {kind} tensor of shape {tuple(output.shape)}: it has no cells to take gradients of"
        )
    if not output.requires_grad:
        raise ValueError(f"no gradient leads from the output of {name} back to the image")
    return output


class _Reached(BaseException):
    """Ends the pass at the layer that was asked for."""


class _Waiter:
    def __init__(self, module: nn.Module, calls_before: int) -> None:
        self.module, self.left, self.output = module, calls_before, None

    def enter(self, module: nn.Module, given: Any) -> None:
        pass

    def leave(self, module: nn.Module, made: Any, failed: bool) -> None:
        if module is self.module and not failed:
            if self.left == 0:
                self.output = made
                raise _Reached
            self.left -= 1


def _output_of(model: nn.Module, images: Tensor, record: LayerRecord) -> Any:
    waiter = _Waiter(model.get_submodule(record.name), record.call)
    try:
        with listening(model, waiter):
            model(images)
    except _Reached:
        return waiter.output
    raise ValueError(f"the pass of these images does not reach {record.name or 'the model'}: record them again")
