"""The network in an official file of YOLOv8 or later, as its package builds it: a spec and tensors.

That is YOLOv8, YOLOv9, YOLO11, and YOLOv5 and YOLOv3 with the anchor-free head ("yolov5nu"). What such a file computes
is written in its ``yaml`` rows, except what the package decides while it builds: the kind of C3k2 and of the head's
class branch, the windows of a Bottleneck, a few widths. Here all of it is read from the recorded modules and written
into the rows of the spec.

Shape letters: L levels, C classes, R bins of a distance.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from yolo_lite.checkpoints.archive import Archive
from yolo_lite.checkpoints.contents import CheckpointContents
from yolo_lite.checkpoints.described import class_names, described_rows, noted_metadata
from yolo_lite.checkpoints.facts import recorded_facts
from yolo_lite.checkpoints.plain import MAX_INT, as_int, numpy_scalar
from yolo_lite.checkpoints.unpickle import CheckpointError, PickledObject, PickledTensor
from yolo_lite.checkpoints.walking import (
    MODERN,
    Seen,
    child,
    children,
    is_modern,
    is_recorded,
    numbers_of,
    tensors_below,
    whole_strides,
)
from yolo_lite.model.registry import find_layer
from yolo_lite.model.rows import Multiples, read_multiples

SPEC_KEYS = ("ch", "channels", "scales", "scale", "depth_multiple", "width_multiple", "backbone", "head")
# Other networks of the package: by the class of the network, or of its last layer.
NOT_READ: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("SegmentationModel", "Segment", "Segment26"), "an instance segmentation model")
    | dict.fromkeys(("PoseModel", "Pose", "Pose26"), "a pose (keypoint) model")
    | dict.fromkeys(("OBBModel", "OBB", "OBB26"), "a model of oriented bounding boxes (OBB)")
    | dict.fromkeys(("ClassificationModel", "Classify"), "an image classification model")
    | dict.fromkeys(("RTDETRDetectionModel", "RTDETRDecoder"), "an RT-DETR model, a transformer without cells")
    | dict.fromkeys(("WorldModel", "WorldDetect"), "a YOLO-World model, whose classes are texts")
    | dict.fromkeys(("YOLOEModel", "YOLOESegModel", "YOLOEDetect", "YOLOESegment"), "a YOLOE model of texts or prompts")
    | {"v10Detect": "a YOLOv10 model, whose head has a second, one-to-one branch"}
)
READS = "this library reads the detectors YOLOv5, YOLOv8, YOLOv9 and YOLO11"


def is_v8(value: Any) -> bool:
    """Whether it is the network of a detector of YOLOv8's package, by its class alone."""
    return is_recorded(value, "ultralytics.nn.tasks", "DetectionModel")


def what_kind(record: PickledObject) -> str:
    """A sentence on a model or head of the package that is not read.

    >>> class Pose(PickledObject):
    ...     module, name = "ultralytics.nn.tasks", "PoseModel"
    >>> what_kind(Pose())
    'it holds a pose (keypoint) model (ultralytics.nn.tasks.PoseModel), and this library reads the detectors ...'
    """
    kind = f"{record.module}.{record.name}"
    what = NOT_READ.get(record.name)
    return f"it holds {what} ({kind}), and {READS}" if what else f"it holds a {kind}, and {READS}"


def read_v8(archive: Archive, root: Any, model: PickledObject) -> CheckpointContents:
    """The contents of a file whose network is ``model``; ``root`` is all that the file holds.

    Raises:
        CheckpointError: a network that this library cannot build.
    """
    if "model" not in children(model):
        raise CheckpointError("it holds a DetectionModel as of YOLOv8, but without layers")
    network = child(model, "model")
    rows = list(children(network).values())
    head = _checked_head(rows)
    num_classes = _number_of_classes(head)
    spec = _whole_spec(described_rows(model, SPEC_KEYS), rows, num_classes)
    seen = Seen()
    records = dict(tensors_below(network, seen))
    activation = seen.activation()
    if activation is not None:
        spec["activation"] = activation
    bins = _bins(archive, records.get(f"{len(rows) - 1}.dfl.conv.weight"))
    strides = numbers_of(archive, head.state.get("stride"), "stride")  # (L,)
    return CheckpointContents(
        spec=spec | {"reg_max": bins},
        names=class_names(model.state.get("names"), num_classes),
        anchors=None,
        strides=whole_strides(strides),
        tensors={f"layers.{name}": archive.tensor(record) for name, record in records.items()},
        fused=seen.fused,
        metadata=noted_metadata(root, model),
        facts=recorded_facts(seen.modules, "layers."),
    )


def _checked_head(rows: list[Any]) -> PickledObject:
    """The last layer, if it is YOLOv8's Detect and no other."""
    head = rows[-1] if rows else None
    if not isinstance(head, PickledObject) or not is_modern(head):
        found = f"{head.module}.{head.name}" if isinstance(head, PickledObject) else "missing"
        raise CheckpointError(f"its last layer must be {MODERN}.head.Detect, and is {found}: {READS}")
    if head.name != "Detect":
        raise CheckpointError(what_kind(head))
    if head.state.get("end2end") or any(name.startswith("one2one") for name in children(head)):
        raise CheckpointError(
            f"it holds an end-to-end model, as YOLOv10 and YOLO26 are, whose head has a one-to-one branch, and {READS}"
        )
    return head


def _number_of_classes(head: PickledObject) -> int:
    """C, as the head notes it."""
    found = head.state.get("nc")
    found = numpy_scalar(found) if isinstance(found, PickledObject) else found
    if as_int(found) < 1 or as_int(found) != found:
        raise CheckpointError(
            f"its head's number of classes, nc, must be a whole number from 1 to {MAX_INT}, not {found!r:.80}"
        )
    return as_int(found)


def _bins(archive: Archive, record: PickledTensor | None) -> int:
    """R. The last convolution of the head multiplies the probabilities of the bins by their numbers 0 to R - 1."""
    if record is None:
        raise CheckpointError(f"its head predicts no distribution of distances (DFL), and {READS}")
    weight = numbers_of(archive, record, "dfl").flatten()  # (R,)
    if not torch.equal(weight, torch.arange(len(weight), dtype=torch.float32)):
        raise CheckpointError("its head's dfl.conv.weight must be the numbers 0, 1, 2 ..., which no training changes")
    return len(weight)


# ---- rows that say everything ---------------------------------------------------------------------------------------


def _whole_spec(found: Mapping[str, Any], rows: list[Any], num_classes: int) -> dict[str, Any]:
    """The spec of family "yolov8", with what the package decided while it built the modules of ``rows``."""
    backbone, head = (_list_of_rows(found, part) for part in ("backbone", "head"))
    if len(backbone) + len(head) != len(rows):
        raise CheckpointError(f"its yaml has {len(backbone) + len(head)} rows, its network {len(rows)} layers")
    whole = [_whole_row(row, module) for row, module in zip(backbone + head, rows, strict=True)]
    whole[-1] = [*whole[-1][:3], ["nc"]]
    multiples = read_multiples({**found, "scales": found.get("scales") or None}, "its yaml")
    if any(_has_width_of_classes(row, num_classes) for row in whole):
        whole = [_with_width(row, multiples, num_classes) for row in whole]
        multiples = Multiples(multiples.depth, 1.0, math.inf)
    named = zip(("depth_multiple", "width_multiple", "max_channels"), multiples, strict=True)
    return {
        "family": "yolov8",
        "nc": num_classes,
        "ch": found.get("ch", found.get("channels", 3)),
        **{key: value for key, value in named if value != math.inf},
        "backbone": whole[: len(backbone)],
        "head": whole[len(backbone) :],
        "depthwise": _is_depthwise(rows[-1]),
    }


def _list_of_rows(found: Mapping[str, Any], part: str) -> list[Any]:
    rows = found.get(part)
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 4 for row in rows):
        raise CheckpointError(f"its yaml needs rows [from, number, layer, arguments] under {part}")
    if not all(isinstance(row[2], str) and isinstance(row[3], list) for row in rows):
        raise CheckpointError(f"its yaml has a row without a layer's name or arguments under {part}")
    return rows


def _whole_row(row: list[Any], module: Any) -> list[Any]:
    """A row with the arguments that the package chose by itself, as the module shows them."""
    source, number, name, arguments = row
    if name == "C3k2":
        links = children(child(module, "m")).values()
        inner = any(isinstance(link, PickledObject) and link.name == "C3k" for link in links)
        arguments = [*arguments[:1], inner, *arguments[2:]]
    elif name == "Bottleneck":  # YOLOv5 has windows of 1 and 3, YOLOv8's package 3 and 3
        first = module if "cv1" in children(module) else child(module, "0")
        kernels = [_kernel(child(first, part)) for part in ("cv1", "cv2")]
        arguments = [*arguments, *(True, 1, 0.5)[len(arguments) - 1 :], kernels]
    return [source, number, name, arguments]


def _kernel(block: PickledObject) -> Any:
    """Side of the windows of a recorded Conv."""
    sides = child(block, "conv").state.get("kernel_size")
    return sides[0] if isinstance(sides, tuple) and sides and isinstance(sides[0], int) else None


def _is_depthwise(head: PickledObject) -> bool:
    """Whether the class branch has depthwise convolutions, each with a 1x1 in a Sequential, as YOLO11's."""
    return child(child(child(head, "cv3"), "0"), "0").name == "Sequential"


def _has_width_of_classes(row: list[Any], num_classes: int) -> bool:
    """Whether it has as many channels as there are classes: the package leaves such a width as it is, by oversight."""
    kind = find_layer(row[2])
    return bool(kind is not None and kind.takes == "in_out" and row[3][:1] == [num_classes])


def _with_width(row: list[Any], multiples: Multiples, num_classes: int) -> list[Any]:
    """The row with the channels that it comes to."""
    source, number, name, arguments = row
    kind = find_layer(name)
    out = arguments[0] if arguments else None
    if kind is not None and kind.takes == "in_out" and isinstance(out, int) and out != num_classes:
        arguments = [multiples.channels(out), *arguments[1:]]
    return [source, number, name, arguments]
