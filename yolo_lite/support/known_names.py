"""The classes of the datasets that public weights were trained on."""

import json
from pathlib import Path

# Pascal VOC's 20 classes, in the order of VOC weights: that of the alphabet.
VOC_NAMES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def coco_names() -> tuple[str, ...]:
    """The names of COCO's 80 classes, in the order of all 80-class YOLO weights.

    >>> coco_names()[0], coco_names()[79]
    ('person', 'toothbrush')
    """
    return tuple(json.loads((Path(__file__).parent / "coco_names.json").read_text(encoding="utf-8")))
