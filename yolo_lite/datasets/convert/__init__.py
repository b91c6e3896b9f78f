"""COCO JSON and Pascal VOC -> YOLO folders.

Both converters write ``images/<split>``, ``labels/<split>`` and ``data.yaml`` into a new folder, in one go: it is built
beside its final place and moved there when it is complete. The originals are only read.
"""

from yolo_lite.datasets.convert.coco import convert_coco
from yolo_lite.datasets.convert.converted import Placing
from yolo_lite.datasets.convert.voc import convert_voc

__all__ = ["Placing", "convert_coco", "convert_voc"]
