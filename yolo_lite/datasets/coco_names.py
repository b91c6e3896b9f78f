"""The classes of COCO."""

import json
from pathlib import Path


def coco_names() -> tuple[str, ...]:
    """The names of COCO's 80 classes, in the order of all 80-class YOLO weights.

    >>> coco_names()[0], coco_names()[79]
    ('person', 'toothbrush')
    """
    return tuple(json.loads((Path(__file__).parent / "coco_names.json").read_text(encoding="utf-8")))
