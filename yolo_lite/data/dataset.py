"""YoloDataset: image i, loaded, augmented and letterboxed, with its labels.

Interface:
YoloDataset(source, img_size=640, hyp=None, augment=False, seed=0, *, split="train", names=None, rect=False, batch_size=16, stride=32, rect_pad=0.5,
            cache=None | "ram" | "disk", cache_dir=None, single_cls=False, strict=False)
    .names .num_classes .paths .sizes .labels .report .epoch; len; dataset[i] = dataset.sample(i, epoch=dataset.epoch); dataset[(epoch, i)] is what the loader's sampler asks for
    .draw(index, epoch) -> SampleDraw (everything chance decides for that sample, nested draws of augment/), .apply(draw) -> Sample: sample = apply(draw): replay, tests, and the lab see the draws
    .image(i) -> the original RGB image; .objects(i) -> Objects in original pixels
"""

from typing import NamedTuple

from torch import Tensor

from yolo_lite.augment.geometry import Geometry


class Sample(NamedTuple):
    image: Tensor  # (3, H, W) uint8 RGB
    labels: Tensor  # (n, 6) float32: 0 (the image's place in its batch), class, xc, yc, w, h normalised to the network input
    path: str
    geometry: Geometry | None  # None where several images were mixed


class Batch(NamedTuple):
    images: Tensor  # (N, 3, H, W) uint8 RGB
    targets: Tensor  # (n, 6) float32: image index, class, xc, yc, w, h normalised
    paths: tuple[str, ...]
    geometry: tuple[Geometry | None, ...]
