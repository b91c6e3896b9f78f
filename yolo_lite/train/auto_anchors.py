"""Anchors that fit the objects of a dataset: what TrainOptions.auto_anchors asks for."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.anchors import suggest_anchors
from yolo_lite.train.options import TrainOptions


@runtime_checkable
class AnchorBased(Protocol):
    """A detector whose anchors can be replaced."""

    anchors: Tensor  # (L, A, 2) pixels

    def set_anchors(self, anchors: Tensor) -> None: ...


def fit_anchors(model: object, dataset: YoloDataset, hyp: Hyperparameters, options: TrainOptions) -> list[str]:
    """Replaces anchors that miss objects, and says what it found; models without anchors are left alone.

    YOLOv5: `check_anchors`, `--noautoanchor`.
    """
    if not isinstance(model, AnchorBased):
        return []
    suggestion = suggest_anchors(dataset, model.anchors.cpu(), options.img_size, hyp.anchor_t, seed=options.seed)
    if suggestion.replace:
        model.set_anchors(suggestion.anchors)
    return [f"anchors: {suggestion}"]
