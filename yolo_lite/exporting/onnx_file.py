"""A model as an ONNX file.

PyTorch has two exporters. The one used here traces with ``torch.export``, which follows the sizes of tensors as
symbols, so that one file serves all sizes; the older one is deprecated since PyTorch 2.9.
"""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from yolo_lite.exporting.network import (
    BOXES,
    INPUT,
    MAP,
    ExportedNetwork,
    Thresholds,
    description,
    example_images,
    is_dynamic,
)
from yolo_lite.exporting.onnx_nms import append_nms
from yolo_lite.model.layered import LayeredDetector

if TYPE_CHECKING:
    import onnx

SMALLEST_OPSET = 18  # of the exporter


def require_packages(check: bool = True) -> None:
    """Raises ModuleNotFoundError, in one sentence, where a package of the extra "export" is missing."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401

        if check:
            import onnxruntime  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"ONNX needs the package {error.name}: pip install 'yolo-lite[export]'", name=error.name
        ) from None


def write_onnx(
    model: LayeredDetector, path: Path, decode: bool, nms: Thresholds | None, opset: int = SMALLEST_OPSET
) -> None:
    """Writes a model that ``for_export`` made.

    Args:
        decode: boxes instead of raw maps. nms: detections instead of either; None: not.
        opset: version of ONNX's operators.
    Raises:
        ValueError: an opset that is too old.
    """
    import onnx

    if opset < SMALLEST_OPSET:
        raise ValueError(f"opset={opset}: PyTorch's exporter writes {SMALLEST_OPSET} and newer")
    made = to_onnx(model, decode or nms is not None, opset)
    if decode or nms is not None:
        del made.graph.output[1:]  # the raw maps, from which the boxes are made, stay inside
    if nms is not None:
        append_nms(made, model.num_classes, nms)
    onnx.helper.set_model_props(made, description(model, decode or nms is not None, nms is not None))
    onnx.checker.check_model(made)
    onnx.save(made, str(path))


def to_onnx(model: LayeredDetector, decode: bool, opset: int) -> "onnx.ModelProto":
    """The graph of the network: images -> map_0, map_1 ...; with decode boxes before them."""
    images, multiple = example_images(model), model.size_multiple
    sizes: dict[int, Any] = {0: torch.export.Dim("batch")}
    if is_dynamic(model):
        rows, cols = torch.export.Dim("rows"), torch.export.Dim("cols")  # of the coarsest common grid
        sizes |= {2: multiple * rows, 3: multiple * cols} if multiple > 1 else {2: rows, 3: cols}
    network = ExportedNetwork(with_plain_group_norms(model), decode)
    with torch.no_grad(), _quiet():
        maps = [MAP.format(level) for level in range(len(model(images)))]
        program = torch.onnx.export(
            network,
            (images,),
            input_names=[INPUT],
            output_names=[BOXES, *maps] if decode else maps,
            opset_version=opset,
            dynamic_shapes=(sizes,),
            dynamo=True,
            verbose=False,
        )
    if program is None:  # PyTorch's older exporter gives none
        raise RuntimeError("torch.onnx.export gave no program")
    return program.model_proto


class PlainGroupNorm(nn.Module):
    """GroupNorm from means, the rows first.

    onnxruntime's InstanceNormalization, which the exporter writes, is off by up to 6e-4 on a map of 160 x 160 cells
    with a flat region, means of rows by less than 1e-5.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        norm = self.norm
        grouped = x.unflatten(1, (norm.num_groups, -1))  # (N, G, C / G, H, W)
        centred = grouped - _mean(grouped)
        scaled = (centred * (_mean(centred * centred) + norm.eps).rsqrt()).flatten(1, 2)  # (N, C, H, W)
        out: Tensor = scaled * norm.weight[:, None, None] + norm.bias[:, None, None]
        return out


def _mean(grouped: Tensor) -> Tensor:
    """(N, G, c, H, W) -> (N, G, 1, 1, 1), of rows, then of those."""
    return grouped.mean(4, keepdim=True).mean(3, keepdim=True).mean(2, keepdim=True)


def with_plain_group_norms(model: LayeredDetector) -> LayeredDetector:
    """The model, or where it has GroupNorms a copy with plain ones."""
    if not any(isinstance(module, nn.GroupNorm) for module in model.modules()):
        return model
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, PlainGroupNorm(child))
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, the exporter does not speak about packages that are not there and its own future."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
