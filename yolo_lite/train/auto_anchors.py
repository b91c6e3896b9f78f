"""Anchors that fit the objects of a dataset: what TrainOptions.auto_anchors asks for."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.anchors import object_sizes, suggest_anchors
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.yolo import Yolo
from yolo_lite.train.messages import Note
from yolo_lite.train.options import TrainOptions


@runtime_checkable
class AnchorBased(Protocol):
    """A detector whose anchors can be replaced."""

    anchors: Tensor  # (L, A, 2) pixels

    def set_anchors(self, anchors: Tensor) -> None: ...


def fit_anchors(model: object, dataset: YoloDataset, hyp: Hyperparameters, options: TrainOptions) -> list[str]:
    """Replaces anchors that miss objects, and says what it found; models without anchors are left alone.

    Anchors that somebody chose (``anchors_given``) are replaced only with auto_anchors=True.
    YOLOv5: `check_anchors`, `--noautoanchor`. Only of networks that match as YOLOv5 does, by the ratio of sides: for
    others the message says how well the anchors fit.
    """
    if isinstance(model, LayeredDetector) and not isinstance(model, Yolo):
        return [Note(_fit_by_shape(model, dataset, options))]
    if not isinstance(model, AnchorBased):
        return []
    suggestion = suggest_anchors(dataset, model.anchors.cpu(), options.img_size, hyp.anchor_t, seed=options.seed)
    if not suggestion.replace:
        return [Note(f"anchors: {suggestion}")]
    if getattr(model, "anchors_given", False) and not options.auto_anchors:
        return [f"anchors: those that were given are kept; auto_anchors=True replaces them ({suggestion})"]
    model.set_anchors(suggestion.anchors)
    if isinstance(model, LayeredDetector):
        model.anchors_given = False  # fitted, not chosen
    return [Note(f"anchors: {suggestion}")]


def _fit_by_shape(model: LayeredDetector, dataset: YoloDataset, options: TrainOptions) -> str:
    """How well the anchors fit by IoU, as the generations before YOLOv5 match: "Avg IOU" of arXiv 1612.08242."""
    levels = [] if model.anchors is None else list(model.anchors)
    if not levels:
        return "anchors: none that could be fitted to the objects in this network"
    wh = object_sizes(dataset, options.img_size)  # (n, 2)
    wh, anchors = wh[(wh > 0).all(1)], torch.cat(levels).cpu().to(wh)  # (n, 2), (A, 2)
    inter = torch.minimum(wh[:, None], anchors).prod(-1)  # (n, A)
    iou = inter / (wh.prod(1)[:, None] + anchors.prod(1) - inter)
    return (
        f"anchors: kept as they are, as this network matches by IoU and not by YOLOv5's rule; mean IoU of an object "
        f"with the best of them {iou.amax(1).mean():.2f}. create_model(..., anchors=) sets others"
    )
