"""export: a model becomes a file that runs without this library."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from yolo_lite.exporting.check import Check, check_onnx, check_torchscript
from yolo_lite.exporting.network import Thresholds, for_export, is_dynamic
from yolo_lite.exporting.onnx_file import SMALLEST_OPSET, require_packages, write_onnx
from yolo_lite.exporting.torchscript_file import write_torchscript
from yolo_lite.model.layered import LayeredDetector

Format = Literal["onnx", "torchscript"]
SUFFIXES: dict[str, Format] = {".onnx": "onnx", ".torchscript": "torchscript"}


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    format: Format
    dynamic_size: bool  # whether it takes images of several sizes; batches of any size it always takes
    check: Check | None  # None where it was not asked for

    def __str__(self) -> str:
        return f"{self.path}\n{self.check or 'not checked'}"


def export(
    model: LayeredDetector,
    path: str | os.PathLike[str],
    format: Format | None = None,
    decode: bool = False,
    nms: bool = False,
    conf_thres: float = 0.25,
    iou_thres: float = 0.45,
    max_det: int = 300,
    opset: int = SMALLEST_OPSET,
    check: bool = True,
) -> Exported:
    """Writes a model as a file that runs without this library. The model stays as it is.

    What is written is ``model.fuse()``: BatchNorm folded in, RepConv as one convolution, without what only training
    has; a YOLO-World with its vocabulary as weights (``fixed``).
    Batches of any size; images of any size that is a multiple of ``model.size_multiple``, but for networks of one
    ``fixed_size``: YOLOv1, whose fully connected layers have a weight for each cell, and SSD, whose default boxes are
    made for one size. The file holds its classes, strides, sizes and outputs: ``metadata_props`` of an ONNX file,
    ``description.json`` in a TorchScript file. YOLOv5: ``export.py``.

    Outputs, of images (N, 3, H, W), RGB in [0, 1]:
        without options: the raw maps, ``map_0`` and so on. decode: ``boxes`` (N, n, 5 + C), as ``model.decode``.
        nms: ``detections`` (k, 7) of all images: image, left, top, right, bottom in pixels, confidence, class; as
        ``non_max_suppression`` without ``multi_label``. Whoever runs the file may give other ``conf_thres``,
        ``iou_thres``, ``max_det``: inputs with defaults, by name in ONNX; in TorchScript ``network(images, 0.4)``, or
        by name as ``network(images, iou_thres=0.5)``.

    Args:
        path: created or replaced. format: None: as the ending says, .onnx or .torchscript.
        decode, nms: what the file does beside the network; nms decodes first.
        conf_thres, iou_thres, max_det: defaults of the file with nms. opset: version of ONNX's operators, 18 or newer.
        check: run the file and compare it with the model: raw maps within 1e-4 (1 + abs(x)), boxes within .01 pixels,
            the same detections; for ONNX with onnxruntime.
    Raises:
        ValueError: another format, ending, opset or threshold; not a network of this library. FileNotFoundError: no
        such folder.
        ModuleNotFoundError: a package of the extra "export" is missing.
        ExportError: the file does not compute what the model computes; it is removed.

    >>> import tempfile
    >>> from yolo_lite.model.yolo import create_model
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = export(create_model("yolov5n"), f"{folder}/n.torchscript", nms=True)
    >>> written.dynamic_size, written.check.sizes
    (True, ((1, 96, 96), (3, 96, 32)))
    """
    path = Path(path)
    chosen = _format(path, format)
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {Path(path).parent}")
    thresholds = _thresholds(conf_thres, iou_thres, max_det) if nms else None
    if chosen == "onnx":
        require_packages(check)
    fused = for_export(model)
    part = path.with_name(f"{path.name}.part")  # a file that is not checked never has the name
    try:
        if chosen == "onnx":
            write_onnx(fused, part, decode, thresholds, opset)
        else:
            write_torchscript(fused, part, decode, thresholds)
        checked = None
        if check:
            checked = (check_onnx if chosen == "onnx" else check_torchscript)(fused, part, decode, thresholds)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return Exported(path, chosen, is_dynamic(model), checked)


def _format(path: Path, given: str | None) -> Format:
    formats = get_args(Format)
    if given is not None and given not in formats:
        raise ValueError(f"format must be one of {', '.join(formats)}, not {given!r}")
    ending = SUFFIXES.get(path.suffix.lower())
    if given is None and ending is None:
        raise ValueError(f"{path}: give the file the ending {' or '.join(SUFFIXES)}, or say the format")
    if given is not None and ending is not None and given != ending:
        raise ValueError(f"{path}: the ending is that of {ending}, but the format is {given}")
    return "onnx" if (given or ending) == "onnx" else "torchscript"


def _thresholds(conf_thres: float, iou_thres: float, max_det: int) -> Thresholds:
    for name, value in (("conf_thres", conf_thres), ("iou_thres", iou_thres)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie between 0 and 1, not {value!r}")
    if max_det < 1:
        raise ValueError(f"max_det must be 1 or more, not {max_det!r}")
    return Thresholds(float(conf_thres), float(iou_thres), int(max_det))
