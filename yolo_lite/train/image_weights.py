"""Images of classes that do badly are drawn more often: what TrainOptions.image_weights asks for."""

import numpy as np

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.detect.metrics import Metrics


def class_maps(metrics: Metrics) -> list[float]:
    """mAP of every class, (C,); a class without labels counts as the mean of the others. YOLOv5: `maps`."""
    found = {entry.name: entry.map for entry in metrics.per_class}
    return [found.get(name, metrics.map) for name in metrics.names]


def image_weights(dataset: YoloDataset, class_maps: list[float]) -> np.ndarray:
    """How often each image is drawn, relative to the others: classes with low mAP and few objects weigh more.

    A class weighs (1 - mAP)^2 / its number of objects; an image, the sum over its objects. YOLOv5:
    `labels_to_image_weights`, `--image-weights`.

    Returns:
        (images,) float64.
    """
    counts = np.bincount(dataset.labels.cls.numpy(), minlength=dataset.num_classes)
    class_weights = (1 - np.array(class_maps)) ** 2 / counts.clip(1)  # (C,)
    weights = np.array([class_weights[dataset.labels.of(index).cls].sum() for index in range(len(dataset))])
    background = weights[weights > 0].min(initial=1.0) * 1e-3  # images without objects stay possible
    return np.asarray(weights + background)
