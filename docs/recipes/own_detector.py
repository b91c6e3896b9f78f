"""A detector of your own: a plain ``nn.Module`` with its own loss, trained, evaluated and explored.

Shape letters: N batch, H W grid of the one level, n = H * W predictions per image, C classes, p positives.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

import yolo_lite as yl
from walkthrough import LossExplorer
from yolo_lite.coding import prediction_cells
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.loss.criterion import PredictionMatches
from yolo_lite.train import preset

STRIDE = 8  # pixels per cell


def boxes_of(raw: Tensor) -> Tensor:
    """(N, 1, H, W, 4 + C) raw maps -> (N, n, 4) x, y, w, h in pixels; a box has its centre in its cell."""
    cells = prediction_cells([raw.shape[1:4]]).to(raw)  # (n, 4) level, anchor, row, column
    flat = raw.flatten(1, 3)  # (N, n, 4 + C)
    return torch.cat(((flat[..., :2].sigmoid() + cells[:, [3, 2]]) * STRIDE, flat[..., 2:4].exp() * STRIDE), -1)


class Parts(NamedTuple):
    """Begins with the total; the other names are yours."""

    total: Tensor
    box: Tensor  # 1 - GIoU
    cls: Tensor  # binary cross-entropy


class CellLoss:
    """The cell that holds an object's centre is responsible for it; all others are asked for no class at all."""

    def __call__(self, maps: list[Tensor], targets: Tensor) -> Parts:
        _, box, cls = (term.sum() for term in self.assign(maps, targets).losses)
        return Parts(box + cls, box, cls)  # the total is the sum of what stands beside it

    def assign(self, maps: list[Tensor], targets: Tensor) -> yl.AssignedPredictions:
        raw, targets = maps[0].float(), targets.to(maps[0].device)
        logits, size = raw.flatten(1, 3)[..., 4:], targets.new_tensor(raw.shape[2:4]).flip(0)  # (N, n, C); W, H
        column, row = (targets[:, 2:4] * size).minimum(size - 1).long().unbind(1)
        target = torch.full(logits.shape[:2], -1, device=raw.device)  # (N, n): the object, a row of targets
        target[targets[:, 0].long(), row * raw.shape[3] + column] = torch.arange(len(targets), device=raw.device)
        image, prediction = (target >= 0).nonzero(as_tuple=True)  # (p,)
        objects = targets[target[image, prediction]]  # (p, 6) image, class, xc, yc, w, h
        wanted = torch.zeros_like(logits)
        wanted[image, prediction, objects[:, 1].long()] = 1
        pixels = objects[:, 2:] * size.repeat(2) * STRIDE  # (p, 4)
        giou = yl.bbox_iou(boxes_of(raw)[image, prediction], pixels, "giou")  # (p,)
        count = max(1, len(objects))
        box = torch.zeros_like(logits[..., 0]).index_put((image, prediction), (1 - giou) / count)
        cls = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(-1) / count
        matches = PredictionMatches(image, prediction, target[image, prediction])
        cells = prediction_cells([raw.shape[1:4]])
        return yl.AssignedPredictions((target >= 0).to(torch.int8), target, Parts(box + cls, box, cls), matches, cells)


class CellDetector(nn.Module):
    """One level of stride 8; one prediction per cell."""

    strides = (STRIDE,)

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names, self.num_classes = names, len(names)
        channels, layers = 3, []
        for wide, step in ((12, 2), (24, 2), (48, 2), (48, 1), (48, 1)):  # three steps of 2: stride 8
            layers += [nn.Conv2d(channels, wide, 3, step, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
            channels = wide
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 4 + len(names), 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.layers(images).permute(0, 2, 3, 1)[:, None]]  # one level: (N, 1, H, W, 4 + C)

    def decode(self, maps: list[Tensor]) -> Tensor:
        scores = maps[0].flatten(1, 3)[..., 4:].sigmoid()
        return torch.cat((boxes_of(maps[0]), torch.ones_like(scores[..., :1]), scores), -1)  # (N, n, 5 + C)

    def criterion(self, hyp: yl.Hyperparameters, img_size: int = 640) -> CellLoss:
        return CellLoss()


# In use
hyp, options = preset("small-data")
scenes = yl.YoloDataset(Shapes("train", size=64, count=32), img_size=64, cache="ram")  # to be learnt by heart
loader = yl.create_dataloader(scenes, batch_size=16)
torch.manual_seed(0)  # of the first weights; the Trainer has a seed of its own
model = CellDetector(scenes.names)
untrained = yl.evaluate(model, loader)

settings = asdict(options.replace(epochs=60, batch_size=8))
trainer = yl.Trainer(model, scenes, hyp=hyp.replace(lr0=0.005), **settings).fit()
first, last = trainer.history[0], trainer.history[-1]
for term in ("train/box", "train/cls"):
    print(f"{term} {first[term]:.2f} -> {last[term]:.2f}")

best = trainer.ema.model  # the averages of the weights are those to keep
metrics = yl.evaluate(best, loader)
print(f"mAP50 {untrained.map50:.3f} -> {metrics.map50:.3f}, recall {metrics.recall:.2f}")
found = yl.predict(best, scenes.image(0), img_size=64, conf_thres=0.1)[0]
print(found)  # how many of each class; found.xyxy: (n, 4) pixels

# In a notebook: drag an object, and see which cell is responsible.
explorer = LossExplorer(images=next(iter(loader)), model=best)
print(explorer.words().splitlines()[0])

# What must hold
assert untrained.map50 < 0.02
assert metrics.map50 > 0.25
assert last["train/box"] < 0.75 * first["train/box"]
assert len(found) > 0
assert {"box", "cls"} <= set(explorer.result.now.parts._fields)
