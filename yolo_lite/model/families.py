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
    }
)
DARKNET = (
    *("yolov1", "darknet-yolov1", "darknet-yolov1-tiny", "darknet-yolov1-small"),
    *("darknet-yolov2", "darknet-yolov2-voc", "darknet-yolov2-tiny"),
    *("darknet-yolov3", "darknet-yolov3-tiny", "darknet-yolov3-spp"),
    *("yolov4", "yolov4-tiny", "yolov4-tiny-3l", "yolov4-csp", "yolov4x-mish"),
)
# What ``create_model`` calls a network -> its spec; "name" is that of a .cfg file bundled with the library.
NAMED: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {name: {"family": "darknet", "name": name} for name in DARKNET}
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
