"""Evaluate a model and write its detections as COCO's results JSON, which pycocotools scores alike."""

import json
import tempfile
from pathlib import Path

import yolo_lite as yl
from yolo_lite.datasets.shapes import Shapes

folder = Path(tempfile.mkdtemp())
model = yl.load("shapes-n")

# A data.yaml, a folder, "shapes", a YoloDataset or a loader; at the size of the training unless img_size= is given.
metrics = yl.evaluate(model, Shapes("val", size=256, count=24), keep_detections=True)
print(metrics)
print("small, medium, large:", metrics.coco.ap_small, metrics.coco.ap_medium, metrics.coco.ap_large)

# The labels as an annotation file, too: this dataset has none of its own.
metrics.save_json(folder / "results.json", annotations=folder / "labels.json")

from pycocotools.coco import COCO  # noqa: E402
from pycocotools.cocoeval import COCOeval  # noqa: E402

truth = COCO(str(folder / "labels.json"))
evaluation = COCOeval(truth, truth.loadRes(str(folder / "results.json")), "bbox")
evaluation.evaluate()
evaluation.accumulate()
evaluation.summarize()

assert abs(evaluation.stats[0] - metrics.map) < 1e-12
assert all(abs(stat - own) < 1e-12 for stat, own in zip(evaluation.stats, metrics.coco, strict=True) if own is not None)
assert json.loads(json.dumps(metrics.to_dict()))["coco"]["ar_100"] == metrics.coco.ar_100
