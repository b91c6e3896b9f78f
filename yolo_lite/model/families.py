"""The generations beside YOLOv5: their names, and the functions that build them."""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

# A spec's "family" -> "module:function", called as build(spec, where, num_classes, anchors, names, channels).
FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        "darknet": "yolo_lite.family.darknet.network:build",
        "ssd": "yolo_lite.family.ssd.network:build",
        "retinanet": "yolo_lite.family.retinanet.network:build",
        "fcos": "yolo_lite.family.fcos.network:build",
        "yolov7": "yolo_lite.family.yolov7.network:build",
        "yolov8": "yolo_lite.family.yolov8.network:build",
        "yolo-world": "yolo_lite.family.yolo_world.network:build",
    }
)
DARKNET = (
    *("yolov1", "darknet-yolov1", "darknet-yolov1-tiny", "darknet-yolov1-small"),
    *("darknet-yolov2", "darknet-yolov2-voc", "darknet-yolov2-tiny"),
    *("darknet-yolov3", "darknet-yolov3-tiny", "darknet-yolov3-spp"),
    *("yolov4", "yolov4-tiny", "yolov4-tiny-3l", "yolov4-csp", "yolov4x-mish"),
)
# Networks with YOLOv8's head: YOLOv8, YOLOv9 (GELAN; "-pgi" with the auxiliary branch), YOLO11.
YOLOV8 = (
    *(f"yolov8{scale}" for scale in "nsmlx"),
    *(f"yolov9{scale}" for scale in "tsmce"),
    *(f"yolov9{scale}-pgi" for scale in "tsmce"),
    *(f"yolo11{scale}" for scale in "nsmlx"),
)
YOLO_WORLD = ("yolo-world", *(f"yolov8{scale}-worldv2" for scale in "smlx"), "yolov8s-world")
# What ``create_model`` calls a network -> its spec; "name" is that of a .cfg file bundled with the library.
NAMED: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {name: {"family": "darknet", "name": name} for name in DARKNET}
    | {name: {"family": "yolov8", "name": name} for name in YOLOV8}
    | {name: {"family": "yolo-world", "name": name} for name in YOLO_WORLD}
    | {"yolov7": {"family": "yolov7"}, "yolov7-aux": {"family": "yolov7", "name": "yolov7-aux"}}
    | {"ssd300": {"family": "ssd"}, "retinanet": {"family": "retinanet"}, "fcos": {"family": "fcos"}}
)


def builder(family: str) -> Callable[..., Any]:
    """The function that builds the networks of a family.

    Raises:
        ValueError: a family that is not known.
    """
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}: choose one of {', '.join(FAMILIES)}")
    module, function = FAMILIES[family].split(":")
    build: Callable[..., Any] = getattr(import_module(module), function)
    return build
