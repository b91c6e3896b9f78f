"""Detections out of an evaluation: which images does the model do worst on?"""

import numpy as np
import torch

import yolo_lite as yl
from yolo_lite.datasets.shapes import Shapes

model = yl.load("shapes-n")
metrics = yl.evaluate(model, Shapes("val", size=256, count=32), img_size=256, keep_detections=True)


def missed(image) -> int:
    """Labels that no detection of their class overlaps by half, at the confidence of the best F1."""
    sure = image.conf > metrics.best_confidence
    overlaps = yl.box_iou(torch.from_numpy(image.labels[:, 1:]), torch.from_numpy(image.xyxy[sure])).numpy()
    overlaps[image.labels[:, :1] != image.cls[sure]] = 0
    return int((overlaps.max(1, initial=0) < 0.5).sum())


counts = np.array([missed(image) for image in metrics.detections])
for place in counts.argsort()[::-1][:3]:
    image = metrics.detections[place]
    print(f"{image.path}: {counts[place]} of {len(image.labels)} objects missed")

assert len(metrics.detections) == metrics.num_images == 32
assert sum(len(image.labels) for image in metrics.detections) == metrics.num_labels
assert counts.sum() <= 0.2 * metrics.num_labels
