"""What happens before and around the loop: device, frozen layers, anchors, sizes of batches, weights of images."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.anchors import suggest_anchors
from yolo_lite.train.distributed import World
from yolo_lite.train.options import TrainOptions

SIZE_DRAW = 2  # sets the draws of batch sizes apart from those of samples and order, which share seed and epoch


def best_device(name: str | None, world: World) -> torch.device:
    """The device asked for; else this process's GPU, else Apple's, else the CPU."""
    if name is not None:
        device = torch.device(name)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"device {name!r}: PyTorch finds no CUDA GPU here; leave the device out to use what there is"
            )
        return device
    if torch.cuda.is_available():
        return torch.device("cuda", world.local_rank)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def freeze_layers(model: nn.Module, count: int) -> None:
    """The first ``count`` layers keep weights and BatchNorm statistics."""
    if not 0 <= count < len(model.layers):
        raise ValueError(
            f"freeze must lie between 0 and {len(model.layers) - 1}, the layers before the head, not {count}"
        )
    for layer in model.layers[:count]:
        layer.eval().requires_grad_(False)


def random_size(img_size: int, stride: int, seed: int, epoch: int, batch: int) -> int:
    """A multiple of the stride within +- 50 % of img_size; a function of (seed, epoch, batch).

    >>> random_size(640, 32, seed=0, epoch=0, batch=0) % 32
    0
    """
    generator = np.random.default_rng(np.random.SeedSequence([seed, epoch, batch], spawn_key=(SIZE_DRAW,)))
    size = int(generator.integers(int(img_size * 0.5), int(img_size * 1.5) + stride))
    return max(size // stride, 1) * stride


def resized(images: Tensor, longest: int, stride: int) -> Tensor:
    """Images (N, 3, H, W) scaled so that the longer side is ``longest``, the other a multiple of the stride."""
    rows, cols = images.shape[2:]
    share = longest / max(rows, cols)
    size = [max(round(side * share / stride), 1) * stride for side in (rows, cols)]
    return functional.interpolate(images, size=size, mode="bilinear", align_corners=False)


def image_weights(dataset: YoloDataset, class_maps: list[float]) -> np.ndarray:
    """How often each image shall be drawn: classes with low mAP and few objects weigh more.

    A class weighs (1 - mAP)^2 / its number of objects; an image, the sum over its objects.
    """
    counts = np.bincount(dataset.labels.cls.numpy(), minlength=dataset.num_classes)
    class_weights = (1 - np.array(class_maps)) ** 2 / counts.clip(1)  # (C,)
    weights = np.array([class_weights[dataset.labels.of(index).cls].sum() for index in range(len(dataset))])
    return weights + weights[weights > 0].min(initial=1.0) * 1e-3  # background images stay possible


def fit_anchors(model: nn.Module, dataset: YoloDataset, hyp: Hyperparameters, options: TrainOptions) -> list[str]:
    """Replaces anchors that miss objects, and says what it found; models without anchors are left alone."""
    if not hasattr(model, "set_anchors") or dataset.labels.num_objects == 0:
        return []
    suggestion = suggest_anchors(dataset, model.anchors.cpu(), options.img_size, hyp.anchor_t, seed=options.seed)
    if suggestion.replace:
        model.set_anchors(suggestion.anchors)
    return [f"anchors: {suggestion}"]
