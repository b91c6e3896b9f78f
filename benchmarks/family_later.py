"""The small networks of benchmarks/family.py, YOLOv7 to YOLO-World, as family_networks.py for the generations before.

Two rows have the backbone of YOLOv1 to YOLOv5 there: YOLOv7's loss on the very network of YOLOv5, and YOLOv8's head and
loss on its backbone and neck. All others keep the layers of their generation, made narrower (YOLOv9-T: times 0.875), to
1.5 to 2 M parameters. YOLO-World learns embeddings of the six names along with the detector.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from family_networks import NINE_ANCHORS, P3, P4, Generation, Published, yolov5_rows

from yolo_lite.family.building import narrower
from yolo_lite.family.yolo_world.network import named_spec as world_spec
from yolo_lite.family.yolov8.network import named_spec
from yolo_lite.family.yolov9.auxiliary import with_auxiliary
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.yolo import create_model

Create = Callable[[Sequence[str], int, int, int], LayeredDetector]
YOLOV7_WIDTH = 0.2  # of all channels
YOLOV8_WIDTH, YOLO11_WIDTH = 0.1667, 0.1875  # where YOLOv8-N and YOLO11-N have 0.25
YOLOV9_WIDTH = 0.875  # times YOLOv9-T
WORLD_WIDTH, TEXT_WIDTH = 0.1875, 64  # where YOLO-World-S has 0.5 and CLIP's 512


def anchors_of(size: int) -> list[list[float]]:
    """The nine anchors in pixels, three for each level."""
    return [[side * size for anchor in NINE_ANCHORS[at : at + 3] for side in anchor] for at in (0, 3, 6)]


def yolov7_loss(names: Sequence[str], size: int, batch: int, seed: int) -> LayeredDetector:
    """YOLOv7's loss on the network of YOLOv5."""
    backbone, head = yolov5_rows()
    spec = {"family": "yolov7", "anchors": anchors_of(size), "backbone": backbone, "head": head}
    return create_model(spec | {"activation": "nn.LeakyReLU(0.1)"}, names=names, seed=seed)


def yolov8_loss(names: Sequence[str], size: int, batch: int, seed: int) -> LayeredDetector:
    """YOLOv8's head on YOLOv5's backbone and neck, without the three convolutions before YOLOv5's head."""
    backbone, _ = yolov5_rows()
    last = len(backbone) - 1  # a 3x3 convolution that only YOLOv5's head reads
    head: list[list[Any]] = [[-1, 1, "Conv", [64, 1, 1]], [-1, 1, "nn.Upsample", [None, 2, "nearest"]]]
    head += [[[-1, P4], 1, "Concat", [1]], [-1, 1, "Conv", [64, 1, 1]]]
    head += [[-1, 1, "Conv", [32, 1, 1]], [-1, 1, "nn.Upsample", [None, 2, "nearest"]]]
    head += [[[-1, P3], 1, "Concat", [1]], [-1, 1, "Conv", [64, 1, 1]]]
    head += [[[last + 7, last + 3, last - 1], 1, "Detect", ["nc"]]]
    spec = {"family": "yolov8", "backbone": backbone[:-1], "head": head, "activation": "nn.LeakyReLU(0.1)"}
    return create_model(spec, names=names, seed=seed)


def yolov7(names: Sequence[str], size: int, batch: int, seed: int) -> LayeredDetector:
    """ELAN and RepConv."""
    spec = {"family": "yolov7", "width": YOLOV7_WIDTH, "anchors": anchors_of(size)}
    return create_model(spec, names=names, seed=seed)


def multiplied(name: str, width: float) -> Create:
    """A network of YOLOv8 or YOLO11 with another width multiple."""

    def create(names: Sequence[str], size: int, batch: int, seed: int) -> LayeredDetector:
        spec = named_spec(name)
        depth, _, most = spec["scales"][spec["scale"]]
        spec = {key: value for key, value in spec.items() if key not in ("scales", "scale")}
        spec |= {"family": "yolov8", "depth_multiple": depth, "width_multiple": width, "max_channels": most}
        return create_model(spec, names=names, seed=seed)

    return create


def yolov9(has_branch: bool) -> Create:
    """GELAN; with the auxiliary branch of programmable gradient information, or without."""

    def create(names: Sequence[str], size: int, batch: int, seed: int) -> LayeredDetector:
        spec = named_spec("yolov9t")
        spec |= {"family": "yolov8"} | {
            part: [narrower(row, YOLOV9_WIDTH) for row in spec[part]] for part in ("backbone", "head")
        }
        return create_model(with_auxiliary(spec) if has_branch else spec, names=names, seed=seed)

    return create


def yolo_world(names: Sequence[str], size: int, batch: int, seed: int) -> LayeredDetector:
    """YOLO-World's second version, with a text encoder of this library: a vector for each of the names."""
    spec = world_spec("yolov8s-worldv2")
    depth, _, most = spec["scales"][spec["scale"]]
    spec = {key: value for key, value in spec.items() if key not in ("scales", "scale")}
    sources, number, kind, (classes, _, with_norm) = spec["head"][-1]
    spec |= {"head": [*spec["head"][:-1], [sources, number, kind, [classes, TEXT_WIDTH, with_norm]]], "words": []}
    spec |= {"family": "yolo-world", "depth_multiple": depth, "width_multiple": WORLD_WIDTH, "max_channels": most}
    return create_model(spec, names=names, seed=seed)


GENERATIONS: Mapping[str, Generation] = MappingProxyType(
    {
        "v7-loss": Generation("YOLOv7's loss, YOLOv5's network", yolov7_loss),
        "v8-loss": Generation("YOLOv8's head, YOLOv5's backbone", yolov8_loss),
        "v7": Generation("YOLOv7", yolov7, "v7"),
        "v8": Generation("YOLOv8", multiplied("yolov8n", YOLOV8_WIDTH), "v8"),
        "v9": Generation("YOLOv9, without PGI", yolov9(has_branch=False)),
        "v9-pgi": Generation("YOLOv9, with PGI", yolov9(has_branch=True), "v9"),
        "v11": Generation("YOLO11", multiplied("yolo11n", YOLO11_WIDTH), "v11"),
        "world": Generation("YOLO-World, six words", yolo_world, "world"),
    }
)
PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {
        "v7": Published("51.2", "YOLOv7, 640 px, COCO val2017; 51.4 test-dev", "arXiv 2207.02696, table 2"),
        "v8": Published("37.3 to 53.9", "n to x, 640 px, COCO val2017", "YOLOv8's own table; no paper"),
        "v9": Published("38.3 to 55.6", "t to e, 640 px, COCO val2017", "YOLOv9's own table; arXiv 2402.13616"),
        "v11": Published("39.5 to 54.7", "n to x, 640 px, COCO val2017", "YOLO11's own table; no paper"),
        "world": Published("35.4 LVIS AP", "YOLO-World-L, zero-shot, LVIS minival", "arXiv 2401.17270, table 2"),
    }
)
