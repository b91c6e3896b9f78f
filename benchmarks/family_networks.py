"""The small networks of benchmarks/family.py, YOLOv1 to FCOS: what each generation trains there.

YOLOv1 to YOLOv5 have one backbone, ``BACKBONE``, leaky ReLUs everywhere, and YOLOv3 to YOLOv5 one network altogether:
what differs between them is the loss and how boxes are written. SSD, RetinaNet and FCOS keep the backbones of their
papers, VGG and ResNet, made as narrow.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.yolo import create_model

# Channels, side and stride of each convolution. Layers 3, 5 and 8 have strides 8, 16 and 32.
BACKBONE = (
    *((16, 3, 2), (32, 3, 2), (64, 3, 2), (64, 3, 1)),
    *((128, 3, 2), (128, 3, 1), (256, 3, 2), (128, 1, 1), (256, 3, 1)),
)
P3, P4 = 3, 5  # layers of the backbone
COARSEST = 6  # layer whose stride YOLOv1 and v2 leave out: their only grid is that of stride 16
# Medians of k-means with 1 - IoU on the objects of the 2000 training scenes; width, height, fractions of the image.
# Mean IoU of an object with the best of five .76, of nine .80.
FIVE_ANCHORS = ((0.095, 0.098), (0.142, 0.139), (0.195, 0.205), (0.292, 0.281), (0.400, 0.409))
NINE_ANCHORS = (
    *((0.090, 0.095), (0.131, 0.106), (0.119, 0.145)),
    *((0.175, 0.161), (0.181, 0.239), (0.249, 0.214)),
    *((0.277, 0.347), (0.367, 0.292), (0.414, 0.430)),
)
STRIDES = (8, 16, 32)
GRID_STRIDE = 16  # of YOLOv1 and v2

# Options of [yolo], as published; those of YOLOv4 in the order of strides 8, 16, 32
YOLOV3 = {"ignore_thresh": 0.7, "truth_thresh": 1}
YOLOV3_PAPER = {"ignore_thresh": 0.5, "truth_thresh": 1}
YOLOV4_MATCHING = {"iou_thresh": 0.213, "ignore_thresh": 0.7, "truth_thresh": 1}
YOLOV4_MSE = [YOLOV4_MATCHING | {"scale_x_y": scale, "iou_loss": "mse"} for scale in (1.2, 1.1, 1.05)]
YOLOV4 = [
    YOLOV4_MATCHING | {"scale_x_y": scale, "iou_loss": "ciou", "iou_normalizer": 0.07, "max_delta": 5}
    for scale in (1.2, 1.1, 1.05)
]
YOLOV4_CSP = [
    YOLOV4_MATCHING
    | {"new_coords": 1, "scale_x_y": 2, "iou_loss": "ciou", "iou_thresh": 0.2, "iou_normalizer": 0.05}
    | {"obj_normalizer": obj, "max_delta": delta, "objectness_smooth": smooth}
    for obj, delta, smooth in ((4, 5, 0), (1, 5, 1), (0.4, 2, 1))
]


class Published(NamedTuple):
    """What the authors measured, on other data, with other networks, over days."""

    ap: str
    of_what: str
    source: str


class Generation(NamedTuple):
    """A row of the table."""

    title: str
    create: Callable[[Sequence[str], int, int, int], LayeredDetector]  # class names, image size, batch size, seed
    published: str = ""  # key of PUBLISHED
    options: Mapping[str, Any] = MappingProxyType({})  # of TrainOptions


# Darknet: descriptions are written here, so that all have one backbone


def section(kind: str, **options: Any) -> str:
    """One section of a .cfg."""
    return "\n".join([f"[{kind}]", *(f"{name}={value}" for name, value in options.items()), ""])


def conv(filters: int, size: int, stride: int = 1) -> str:
    """A convolution of the backbone or the neck."""
    names = {"filters": filters, "size": size, "stride": stride, "pad": 1, "activation": "leaky"}
    return section("convolutional", batch_normalize=1, **names)


def before_head(filters: int, activation: str = "linear") -> str:
    """The convolution that a head reads."""
    return section("convolutional", filters=filters, size=1, stride=1, pad=1, activation=activation)


def backbone(size: int, batch: int, one_grid: bool = False) -> list[str]:
    """[net] and BACKBONE."""
    strides = [1 if one_grid and index == COARSEST else stride for index, (_, _, stride) in enumerate(BACKBONE)]
    layers = [conv(filters, side, stride) for (filters, side, _), stride in zip(BACKBONE, strides, strict=True)]
    return [section("net", batch=batch, width=size, height=size, channels=3), *layers]


def yolov1(names: Sequence[str], size: int, batch: int, seed: int) -> LayeredDetector:
    """A cell has 16 pixels, one object and two boxes; all cells see all of the picture."""
    side = size // GRID_STRIDE
    scales = {"object_scale": 1, "noobject_scale": 0.5, "class_scale": 1, "coord_scale": 5}
    head = {"classes": len(names), "coords": 4, "side": side, "num": 2, "sqrt": 1, "rescore": 1, "softmax": 0}
    connected = section("connected", output=side**2 * (2 * 5 + len(names)), activation="linear")
    layers = [*backbone(size, batch, one_grid=True), conv(16, 1), connected, section("detection", **head, **scales)]
    return create_model({"family": "darknet", "cfg": "\n".join(layers)}, names=names, seed=seed)


def yolov2(names: Sequence[str], size: int, batch: int, seed: int) -> LayeredDetector:
    """Five anchors on a grid of stride 16, with the passthrough from stride 8."""
    cells = size / GRID_STRIDE
    anchors = ",".join(f"{side * cells:.4f}" for anchor in FIVE_ANCHORS for side in anchor)
    head = {"anchors": anchors, "num": 5, "classes": len(names), "coords": 4, "bias_match": 1, "softmax": 1}
    scales = {"object_scale": 5, "noobject_scale": 1, "class_scale": 1, "coord_scale": 1, "rescore": 1, "thresh": 0.6}
    layers = backbone(size, batch, one_grid=True)
    layers += [section("route", layers=P3), conv(16, 1), section("reorg", stride=2)]
    layers += [section("route", layers="-1,-4"), conv(256, 3), before_head(5 * (5 + len(names)))]
    layers += [section("region", **head, **scales)]
    return create_model({"family": "darknet", "cfg": "\n".join(layers)}, names=names, seed=seed)


def three_heads(
    settings: Mapping[str, Any] | Sequence[Mapping[str, Any]], origin: str
) -> Callable[[Sequence[str], int, int, int], LayeredDetector]:
    """YOLOv3, YOLOv4 and its csp form: three anchors at each of the strides 8, 16 and 32.

    Args:
        settings: options of [yolo], one for all or one for each stride. origin: whose Darknet is followed.
    """
    each = [settings] * 3 if isinstance(settings, Mapping) else settings

    def create(names: Sequence[str], size: int, batch: int, seed: int) -> LayeredDetector:
        anchors = ",".join(f"{side * size:.3f}" for anchor in NINE_ANCHORS for side in anchor)
        shared = {"anchors": anchors, "num": 9, "classes": len(names)}

        def head(level: int) -> list[str]:
            activation = "logistic" if each[level].get("new_coords") else "linear"
            mask = ",".join(str(3 * level + anchor) for anchor in range(3))
            layer = before_head(3 * (5 + len(names)), activation)
            return [layer, section("yolo", mask=mask, **shared, **each[level])]

        layers = [*backbone(size, batch), conv(128, 1), conv(256, 3), *head(2)]
        layers += [section("route", layers=-4), conv(64, 1), section("upsample", stride=2)]
        layers += [section("route", layers=f"-1,{P4}"), conv(128, 3), *head(1)]
        layers += [section("route", layers=-3), conv(32, 1), section("upsample", stride=2)]
        layers += [section("route", layers=f"-1,{P3}"), conv(64, 3), *head(0)]
        spec = {"family": "darknet", "cfg": "\n".join(layers), "origin": origin}
        return create_model(spec, names=names, seed=seed)

    return create


def yolov5_rows() -> tuple[list[list[Any]], list[list[Any]]]:
    """The network of YOLOv3 and v4 as rows of a YAML: backbone, head."""
    rows: list[list[Any]] = [[-1, 1, "Conv", [*layer]] for layer in BACKBONE]
    last = len(rows)
    rows += [[-1, 1, "Conv", [128, 1, 1]], [-1, 1, "Conv", [256, 3, 1]]]
    head: list[list[Any]] = [[last, 1, "Conv", [64, 1, 1]], [-1, 1, "nn.Upsample", [None, 2, "nearest"]]]
    head += [[[-1, P4], 1, "Concat", [1]], [-1, 1, "Conv", [128, 3, 1]]]
    head += [[-1, 1, "Conv", [32, 1, 1]], [-1, 1, "nn.Upsample", [None, 2, "nearest"]]]
    head += [[[-1, P3], 1, "Concat", [1]], [-1, 1, "Conv", [64, 3, 1]]]
    head += [[[last + 9, last + 5, last + 1], 1, "Detect", ["nc", "anchors"]]]
    return rows, head


def yolov5(names: Sequence[str], size: int, batch: int, seed: int) -> LayeredDetector:
    """The network of YOLOv3 and v4, written as rows of a YAML; its loss is YOLOv5's."""
    backbone, head = yolov5_rows()
    anchors = [[side * size for anchor in NINE_ANCHORS[at : at + 3] for side in anchor] for at in (0, 3, 6)]
    spec = {"depth_multiple": 1.0, "width_multiple": 1.0, "anchors": anchors, "backbone": backbone, "head": head}
    spec |= {"nc": len(names), "activation": "nn.LeakyReLU(0.1)"}
    return create_model(spec, names=names, seed=seed)


# The others


def ssd(names: Sequence[str], size: int, batch: int, seed: int) -> LayeredDetector:
    """VGG16 with BatchNorm, 3/16 as wide; default boxes are fractions of the image, so they fit."""
    spec = {"family": "ssd", "backbone": "vgg16_bn", "width": 0.1875, "size": size, "levels": 4 if size >= 96 else 3}
    return create_model(spec, names=names, seed=seed)


def retinanet(version: int) -> Callable[[Sequence[str], int, int, int], LayeredDetector]:
    """version: 1, L1 of offsets; 2, GIoU, GroupNorm in the head."""

    def create(names: Sequence[str], size: int, batch: int, seed: int) -> LayeredDetector:
        spec = {"family": "retinanet", "backbone": "resnet18", "width": 0.25, "channels": 48, "version": version}
        model: Any = create_model(spec, names=names, seed=seed)
        # 12 to 76 pixels at strides 8 to 32: the published 32 pixels at stride 8 are for images of 800
        sizes = tuple(max(round(12 * size / 128), 1) * 2**level for level in range(5))
        model.settings = dataclasses.replace(model.settings, sizes=sizes)
        return model

    return create


def fcos(names: Sequence[str], size: int, batch: int, seed: int) -> LayeredDetector:
    """Sides of up to 3 strides belong to a level: the published 8 would leave all objects to stride 8."""
    spec = {"family": "fcos", "backbone": "resnet18", "width": 0.25, "channels": 48}
    model: Any = create_model(spec, names=names, seed=seed)
    model.settings = dataclasses.replace(model.settings, range=3.0 * size / 128)
    return model


GENERATIONS: Mapping[str, Generation] = MappingProxyType(
    {
        "v1": Generation("YOLOv1", yolov1, "v1"),
        "v2": Generation("YOLOv2", yolov2, "v2"),
        "v3": Generation("YOLOv3, as Darknet", three_heads(YOLOV3, "pjreddie"), "v3"),
        "v3-paper": Generation(
            "YOLOv3, as its paper", three_heads(YOLOV3_PAPER, "pjreddie"), "v3", {"faithful": "paper"}
        ),
        "v4-mse": Generation("YOLOv4 with mse", three_heads(YOLOV4_MSE, "alexeyab")),
        "v4": Generation("YOLOv4 with CIoU, Darknet's step", three_heads(YOLOV4, "alexeyab"), "v4"),
        "v4-paper": Generation(
            "YOLOv4 with CIoU, the derivative", three_heads(YOLOV4, "alexeyab"), "v4", {"faithful": "paper"}
        ),
        "csp": Generation("Scaled-YOLOv4, Darknet's step", three_heads(YOLOV4_CSP, "alexeyab"), "csp"),
        "v5": Generation("YOLOv5", yolov5, "v5"),
        "ssd": Generation("SSD", ssd, "ssd"),
        "retinanet": Generation("RetinaNet, L1", retinanet(1), "retinanet"),
        "retinanet-giou": Generation("RetinaNet, GIoU", retinanet(2), "retinanet"),
        "fcos": Generation("FCOS", fcos, "fcos"),
    }
)
PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {
        "v1": Published("63.4 VOC mAP", "448 px, VOC 2007; no figure for COCO", "arXiv 1506.02640, table 1"),
        "v2": Published("21.6", "COCO test-dev", "arXiv 1612.08242, table 5"),
        "v3": Published("33.0", "608 px, COCO test-dev", "arXiv 1804.02767, table 3"),
        "v4": Published("43.5", "608 px, COCO test-dev", "arXiv 2004.10934, table 8"),
        "csp": Published("47.5", "YOLOv4-CSP, 640 px, COCO test-dev", "arXiv 2011.08036"),
        "v5": Published("28.0 to 50.7", "n to x, 640 px, COCO val2017", "YOLOv5's own table, 7.0; no paper"),
        "ssd": Published("23.2", "SSD300, VGG16, COCO test-dev", "arXiv 1512.02325, table 5"),
        "retinanet": Published("35.7", "ResNet-50, 800 px, COCO test-dev; L1", "arXiv 1708.02002, table 1"),
        "fcos": Published("41.5", "ResNet-101, COCO test-dev", "arXiv 1904.01355, table 5"),
    }
)
