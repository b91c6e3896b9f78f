"""What ``fetch`` knows by name: where each file lies on the web, what it is, and under which licence.

None of these addresses is opened when the library is built or tested, so any of them may have moved: then ``fetch``
takes the address instead of the name. A digest stands here where it is known beyond doubt: yolov5n's was computed from
the file, those of yolov5s and yolov5m are published by many projects. The others are recorded at the first fetch.
The addresses of YOLOv8 and YOLO11 (release 8.3.0) were written down from memory and have not been tried here at all.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

ASSETS = "https://github.com/ultralytics/assets/releases/download/v0.0.0"
MODERN = "https://github.com/ultralytics/assets/releases/download/v8.3.0"
YOLOV5 = "https://github.com/ultralytics/yolov5/releases/download"
COCO_IMAGES = "http://images.cocodataset.org/zips"

DARKNET = "https://pjreddie.com/media/files"
DARKNET_V4 = "https://github.com/AlexeyAB/darknet/releases/download"

COCO_LICENCE = "annotations CC BY 4.0 (COCO Consortium); each photograph under the terms its author chose on Flickr"
WEIGHTS_LICENCE = "AGPL-3.0 (Ultralytics): what you build on these weights falls under it too"

DARKNET_LICENCE = "public domain (Darknet's authors): do with them what you like"


class Resource(NamedTuple):
    """One file on the web, and what becomes of it.

    >>> print(KNOWN["yolov5n"].licence)
    AGPL-3.0 (Ultralytics): what you build on these weights falls under it too
    """

    what: str
    licence: str
    urls: tuple[str, ...]  # the same file at each of them, tried in this order
    sha256: str | None = None  # None: not known
    unpack_in: str = ""  # an archive is unpacked in this folder of the folder asked for
    result: str = ""  # the path in that folder which must be there afterwards; '' = the file itself
    splits: Mapping[str, str] = MappingProxyType({})  # for data.yaml, written where the archive brings none


def _weights(name: str, sha256: str | None = None) -> Resource:
    size = 1280 if name.endswith("6") else 640
    what = f"official {name} weights of release 7.0, trained on COCO at {size} px"
    return Resource(what, WEIGHTS_LICENCE, (f"{YOLOV5}/v7.0/{name}.pt",), sha256)


def _modern_weights(name: str) -> Resource:
    what = f"official {name} weights of release 8.3.0, trained on COCO at 640 px"
    return Resource(what, WEIGHTS_LICENCE, (f"{MODERN}/{name}.pt",))


def _darknet(what: str, url: str) -> Resource:
    """Reading a .weights compares its size with the network: another file is found out without a digest, too."""
    return Resource(f"Darknet's {what}", DARKNET_LICENCE, (url,))


KNOWN: Mapping[str, Resource] = MappingProxyType(
    {
        "coco8": Resource(
            "4 + 4 photographs of COCO with labels, to try things out",
            COCO_LICENCE,
            (f"{ASSETS}/coco8.zip",),
            result="coco8",
            splits={"train": "images/train", "val": "images/val"},
        ),
        "coco128": Resource(
            "the first 128 photographs of COCO train2017 with labels; train and val are the same images",
            COCO_LICENCE,
            (f"{ASSETS}/coco128.zip", f"{YOLOV5}/v1.0/coco128.zip"),
            result="coco128",
            splits={"train": "images/train2017", "val": "images/train2017"},
        ),
        "coco-labels": Resource(
            "COCO 2017 labels as YOLO text files, train and val (46 MB)",
            COCO_LICENCE,
            (f"{ASSETS}/coco2017labels.zip", f"{YOLOV5}/v1.0/coco2017labels.zip"),
            result="coco",
            splits={"train": "images/train2017", "val": "images/val2017"},
        ),
        "coco-val-images": Resource(
            "the 5,000 photographs of COCO val2017 (1 GB)",
            COCO_LICENCE,
            (f"{COCO_IMAGES}/val2017.zip",),
            unpack_in="coco/images",
            result="coco/images/val2017",
        ),
        "coco-train-images": Resource(
            "the 118,287 photographs of COCO train2017 (19 GB)",
            COCO_LICENCE,
            (f"{COCO_IMAGES}/train2017.zip",),
            unpack_in="coco/images",
            result="coco/images/train2017",
        ),
        "yolov5n": _weights("yolov5n", "4f180cf23ba0717ada0badd6c685026d73d48f184d00fc159c2641284b2ac0a3"),
        "yolov5s": _weights("yolov5s", "8b3b748c1e592ddd8868022e8732fde20025197328490623cc16c6f24d0782ee"),
        "yolov5m": _weights("yolov5m", "61d933360ba5a7733a36764996c800287d973889d875227f5beedd2473a97a56"),
        **{name: _weights(name) for name in ("yolov5l", "yolov5x")},
        **{name: _weights(name) for name in ("yolov5n6", "yolov5s6", "yolov5m6", "yolov5l6", "yolov5x6")},
        **{f"yolov8{size}": _modern_weights(f"yolov8{size}") for size in "nsmlx"},
        **{f"yolo11{size}": _modern_weights(f"yolo11{size}") for size in "nsmlx"},
        "darknet-yolov1": _darknet("YOLOv1, trained on Pascal VOC at 448 px", f"{DARKNET}/yolov1/yolov1.weights"),
        "darknet-yolov1-tiny": _darknet("YOLOv1 tiny, Pascal VOC, 448 px", f"{DARKNET}/yolov1/tiny-yolov1.weights"),
        **{
            f"darknet-{name}": _darknet(f"{what}, trained on {data}", f"{DARKNET}/{name}.weights")
            for name, what, data in (
                ("yolov2", "YOLOv2", "COCO at 608 px"),
                ("yolov2-voc", "YOLOv2", "Pascal VOC at 416 px"),
                ("yolov2-tiny", "YOLOv2 tiny", "COCO at 416 px"),
                ("yolov3", "YOLOv3", "COCO at 608 px"),
                ("yolov3-tiny", "YOLOv3 tiny", "COCO at 416 px"),
                ("yolov3-spp", "YOLOv3-SPP", "COCO at 608 px"),
            )
        },
        "darknet53.conv.74": _darknet("YOLOv3's backbone, trained on ImageNet", f"{DARKNET}/darknet53.conv.74"),
        "yolov4": _darknet("YOLOv4, trained on COCO", f"{DARKNET_V4}/darknet_yolo_v3_optimal/yolov4.weights"),
        "yolov4.conv.137": _darknet(
            "YOLOv4's backbone and neck", f"{DARKNET_V4}/darknet_yolo_v3_optimal/yolov4.conv.137"
        ),
        **{
            name: _darknet(f"{what}, trained on COCO", f"{DARKNET_V4}/darknet_yolo_v4_pre/{name}.weights")
            for name, what in (
                ("yolov4-tiny", "YOLOv4 tiny"),
                ("yolov4-csp", "Scaled-YOLOv4 CSP"),
                ("yolov4x-mish", "Scaled-YOLOv4, large"),
            )
        },
    }
)

# Several resources under one name; the first one's result is the whole's.
COLLECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "coco": ("coco-labels", "coco-val-images", "coco-train-images"),
        "coco-val": ("coco-labels", "coco-val-images"),
    }
)
