"""Does a written file compute what the library computes? It is run once more on images of noise, by its own runtime.

Shape letters: N batch, H rows and W columns of the images, n boxes, C classes, k detections.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from yolo_lite.detect.nms import non_max_suppression
from yolo_lite.exporting.network import BOXES, DETECTIONS, INPUT, MAP, Thresholds, example_images, is_dynamic
from yolo_lite.exporting.torchscript_file import read_torchscript
from yolo_lite.model.layered import LayeredDetector

MAP_TOLERANCE = 1e-4  # of a raw number x: this times 1 + |x|
PIXEL_TOLERANCE = 0.01  # of numbers up to the image's side; of larger ones in proportion
SCORE_TOLERANCE = 1e-4
LARGE = 384  # pixels, of a picture for a network with GroupNorm
CANDIDATES = 100  # of an image: this many boxes reach the confidence threshold of the check

Run = Callable[[Tensor, Thresholds], dict[str, Tensor]]  # images -> detections, boxes and raw maps by name


class ExportError(ValueError):
    """A written file does not compute what the library computes."""


class Check(NamedTuple):
    """How a file and the library differ at most, over all images that were tried."""

    sizes: tuple[tuple[int, ...], ...]  # (N, H, W) of each try
    maps: float  # largest |difference| / (1 + |x|) of the raw maps
    pixels: float | None = None  # of decoded boxes; None where the file does not decode
    scores: float | None = None
    detections: int | None = None  # how many were compared, all of them equal

    def __str__(self) -> str:
        parts = [f"raw maps differ by {self.maps:.1e} (1 + |x|) at most"]
        if self.pixels is not None:
            parts.append(f"boxes by {self.pixels:.1e} px and scores by {self.scores:.1e}")
        if self.detections is not None:
            same = f"the same {self.detections} detections after NMS"
            parts.append(same if self.detections else "no detections after NMS, so that none were compared")
        sizes = ", ".join(" x ".join(map(str, size)) for size in self.sizes)
        return f"checked against the library (N x H x W: {sizes}): {', '.join(parts)}"


def check_onnx(model: LayeredDetector, path: Path, decode: bool, nms: Thresholds | None) -> Check:
    """Compares an ONNX file with the model it was made of, as ``for_export`` gives it.

    Raises:
        ExportError: they differ by more than the tolerances.
    """
    import onnx
    import onnxruntime

    graph = onnx.load(str(path))
    inside = [MAP.format(level) for level in range(len(model.strides))] if decode or nms else []
    for name in [*inside, *[BOXES] * (nms is not None)]:  # what the outputs are made of
        graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    names = [output.name for output in graph.graph.output]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; not that thresholds may be given
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(images: Tensor, thresholds: Thresholds) -> dict[str, Tensor]:
        feed = {INPUT: images.numpy()}
        if nms is not None:
            conf_thres, iou_thres = (torch.tensor([value]).numpy() for value in thresholds[:2])
            feed |= {"conf_thres": conf_thres, "iou_thres": iou_thres}
            feed["max_det"] = torch.tensor([thresholds.max_det]).numpy()
        return {name: torch.from_numpy(each) for name, each in zip(names, session.run(names, feed), strict=True)}

    return _compare(model, run, decode, nms)


def check_torchscript(model: LayeredDetector, path: Path, decode: bool, nms: Thresholds | None) -> Check:
    """The same for a TorchScript file."""
    module = read_torchscript(path)

    def run(images: Tensor, thresholds: Thresholds) -> dict[str, Tensor]:
        with torch.inference_mode():
            outputs = {DETECTIONS: module(images, *thresholds)} if nms is not None else {}
            inside = list(module.network(images) if decode or nms else module(images))
        if decode or nms:
            outputs[BOXES] = inside.pop(0)
        return outputs | {MAP.format(level): raw for level, raw in enumerate(inside)}

    return _compare(model, run, decode, nms)


def _compare(model: LayeredDetector, run: Run, decode: bool, nms: Thresholds | None) -> Check:
    tries = tuple(_images(model))
    of_maps, of_pixels, of_scores, detections = [0.0], [0.0], [0.0], 0
    for images in tries:
        with torch.inference_mode():
            raw = model(images)
            expected = model.decode(raw)
        if not expected.isfinite().all():
            raise ExportError("the model's own boxes or scores are not finite, so there is nothing to compare with")
        thresholds = (nms or Thresholds())._replace(conf_thres=_threshold(expected))
        outputs = run(images, thresholds)
        for level, one in enumerate(raw):
            difference = _difference(outputs[MAP.format(level)], one) / (1 + one.abs())
            of_maps.append(float(difference.max()))
        if decode or nms:
            difference = _difference(outputs[BOXES], expected)  # (N, n, 5 + C)
            # far larger boxes than the image, as an untrained YOLOv1 gives, have fewer digits after the point
            images_long = (expected[..., :4].abs() / max(images.shape[2:])).clamp(min=1)
            of_pixels.append(float((difference[..., :4] / images_long).max()))
            of_scores.append(float(difference[..., 4:].max()))
        if nms is not None:
            detections += _same_detections(outputs[DETECTIONS], outputs[BOXES], thresholds)
    # max of Python may pass over what is not a number
    maps, pixels, scores = (float(torch.tensor(values).max()) for values in (of_maps, of_pixels, of_scores))
    _require("raw maps", maps, MAP_TOLERANCE, " (1 + |x|)")
    _require("boxes", pixels, PIXEL_TOLERANCE, " px")
    _require("scores", scores, SCORE_TOLERANCE, "")
    sizes = tuple((len(images), *images.shape[2:]) for images in tries)
    if not (decode or nms):
        return Check(sizes, maps)
    return Check(sizes, maps, pixels, scores, None if nms is None else detections)


def _images(model: LayeredDetector) -> list[Tensor]:
    """Two batches of two sizes, neither of them the example's where there is a choice.

    With GroupNorm, whose sums grow with the map, also a large picture, half of it of one colour.
    """
    example = example_images(model)
    rows, cols = example.shape[2:]
    sizes = [(rows, cols)] * 2 if not is_dynamic(model) else [(rows + model.size_multiple, cols), (cols, rows // 2)]
    generator = torch.Generator().manual_seed(1)
    images = [
        torch.rand(batch, model.channels, *size, generator=generator) for batch, size in zip((1, 3), sizes, strict=True)
    ]
    if is_dynamic(model) and any(isinstance(module, nn.GroupNorm) for module in model.modules()):
        side = math.ceil(LARGE / model.size_multiple) * model.size_multiple
        images.append(torch.rand(1, model.channels, side, side, generator=generator))
        images[-1][:, :, : side // 2] = 0.447
    return images


def _threshold(boxes: Tensor) -> float:
    """A confidence between the scores of two boxes that are far apart: of noise, few reach the usual one."""
    scores = torch.minimum(boxes[..., 4], (boxes[..., 4:5] * boxes[..., 5:]).amax(-1)).flatten()  # (N * n,)
    best = scores.sort(descending=True).values[: CANDIDATES * len(boxes)].clamp(0, 1)
    gap = best[:-1] - best[1:]
    place = int(gap[len(gap) // 2 :].argmax()) + len(gap) // 2
    return float((best[place] + best[place + 1]) / 2)


def _same_detections(found: Tensor, boxes: Tensor, thresholds: Thresholds) -> int:
    """How many there are; ExportError where they are not those that the library finds among the same boxes."""
    expected = [
        torch.cat((torch.full_like(rows[:, :1], image), rows), 1)
        for image, rows in enumerate(non_max_suppression(boxes, *thresholds[:2], max_det=thresholds.max_det))
    ]
    library = torch.cat(expected)  # (k, 7)
    if found.shape != library.shape or not torch.allclose(found, library, rtol=0, atol=1e-3):  # corners differ by bits
        raise ExportError(f"{len(found)} detections are not the {len(library)} that the library finds")
    return len(library)


def _difference(found: Tensor, expected: Tensor) -> Tensor:
    """Absolute differences; not a number, which no tolerance allows, where one of them is not a number."""
    if found.shape != expected.shape:
        raise ExportError(f"the file gives {tuple(found.shape)} where the library gives {tuple(expected.shape)}")
    return (found - expected).abs()


def _require(what: str, difference: float, tolerance: float, unit: str) -> None:
    if not difference <= tolerance:  # nan, too
        raise ExportError(f"{what} differ by {difference:.2g}{unit} from the library's, more than {tolerance:g}{unit}")
