"""What YOLOv9's auxiliary branch changes: mAP after equal steps, and the gradient of every layer; three seeds.

usage: python benchmarks/programmable_gradients.py --out benchmarks/results/programmable_gradients.json
       python benchmarks/programmable_gradients.py --epochs 2 --images 80 --seeds 0        a quick look

A small YOLOv9 (the rows of YOLOv9-T, half the channels, one inner block) is trained twice with each seed on "shapes":
without the branch, and with it. The main layers begin with the same weights, and both see the same images in the same
order, for the same number of steps. Before it is measured, the branch is cut off. Its loss has the weight 0.25.

Reported: mAP50 and mAP on scenes that were not trained on, their difference seed by seed, CPU time (the branch costs
some in training and nothing afterwards); of every main layer the norm of its gradient with and without the branch, and
the cosine between both, when training begins and when it has ended.

What it can show: whether the branch helps this network, of this depth, in this budget. The paper's claim is about
networks of hundreds of layers that train for 500 epochs.
"""

import argparse
import copy
import dataclasses
import json
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))  # the project, installed or not

import torch
from torch import nn

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import create_dataloader
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.family.yolov8.network import named_spec
from yolo_lite.family.yolov9 import with_auxiliary
from yolo_lite.family.yolov9.gradients import compare_gradients
from yolo_lite.model.yolo import create_model
from yolo_lite.train.options import preset
from yolo_lite.train.trainer import Trainer

TEST_IMAGES = 200
BATCH = 8
# A network that sees each scene only a few times does not need them varied.
PLAIN = dict.fromkeys(("mosaic", "scale", "hsv_h", "hsv_s", "hsv_v", "blur", "median_blur", "to_gray", "clahe"), 0.0)
NORM_MOMENTUM = 0.1  # of BatchNorm's running statistics: with YOLOv9's 0.03 they lag behind in a few hundred steps


class Budget(NamedTuple):
    """What every training gets."""

    images: int  # training scenes
    epochs: int
    size: int  # pixels
    lr: float  # of AdamW
    weight: float  # of the branch's loss


DEFAULT = Budget(images=400, epochs=8, size=64, lr=0.004, weight=0.25)


class Outcome(NamedTuple):
    """One training, measured without the branch."""

    branch: bool  # whether training had it
    seed: int
    map50: float
    map: float
    seconds: float  # CPU time of training
    steps: int


def small_yolov9() -> dict[str, Any]:
    """YOLOv9-T's rows with half the channels and one inner block instead of three.

    >>> small_yolov9()["backbone"][4]
    [-1, 1, 'RepNCSPELAN4', [32, 32, 16, 1]]
    """
    spec = named_spec("yolov9t")
    for row in [*spec["backbone"], *spec["head"]]:
        kind, arguments = row[2], row[3]
        if kind in ("Conv", "AConv"):
            arguments[0] //= 2
        elif kind in ("ELAN1", "RepNCSPELAN4", "SPPELAN"):
            row[3] = [*(value // 2 for value in arguments[:3]), *([1] if kind == "RepNCSPELAN4" else [])]
    return spec | {"family": "yolov8", "reg_max": 8}


def new_model(branch: bool, seed: int, weight: float = DEFAULT.weight) -> Any:
    """A network, the main layers of which depend on the seed alone."""
    spec = small_yolov9()
    model: Any = create_model(spec, names=Shapes.names, seed=seed)
    if branch:
        main = model.state_dict()
        model = create_model(with_auxiliary(spec) | {"settings": {"auxiliary": weight}}, names=Shapes.names, seed=seed)
        model.load_state_dict(model.state_dict() | main)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            module.momentum = NORM_MOMENTUM
    return model


def train(branch: bool, seed: int, budget: Budget) -> tuple[Any, float, int]:
    """The averaged network of a training, its CPU time and its steps."""
    small = preset("small-data")
    chosen = {"epochs": budget.epochs, "batch_size": BATCH, "nominal_batch": BATCH, "img_size": budget.size}
    chosen |= {"seed": seed, "cache": "ram", "validate_every": budget.epochs, "device": "cpu", "clip_norm": 1e9}
    options = dataclasses.asdict(small.options) | chosen
    scenes = Shapes("train", budget.size, budget.images)
    model = new_model(branch, seed, budget.weight)
    trainer = Trainer(model, scenes, hyp=small.hyp.replace(lr0=budget.lr, **PLAIN), **options)
    started = time.process_time()
    trainer.fit()
    return trainer.ema.model.eval(), time.process_time() - started, budget.epochs * -(-budget.images // BATCH)


def run(branch: bool, seed: int, budget: Budget) -> tuple[Outcome, Any]:
    """One training, and its network."""
    model, seconds, steps = train(branch, seed, budget)
    loader = create_dataloader(YoloDataset(Shapes("val", budget.size, TEST_IMAGES), budget.size), BATCH)
    metrics = evaluate(model.without_auxiliary(), loader)
    return Outcome(branch, seed, metrics.map50, metrics.map, seconds, steps), model


def gradients(model: Any, when: str, seed: int, size: int) -> list[dict[str, Any]]:
    """Of every main layer norm and cosine of its gradient with and without the branch, for one batch."""
    loader = create_dataloader(YoloDataset(Shapes("val", size, BATCH), size), BATCH)
    batch = next(iter(loader))
    model = copy.deepcopy(model).requires_grad_(True)  # an average of weights has no gradients
    table = compare_gradients(model, batch.images.float() / 255, batch.targets)
    return [{"when": when, "seed": seed, **row._asdict()} for row in table.rows]


def summary(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Medians with and without the branch, and the differences of seeds that have both."""
    found: dict[str, dict[str, float]] = {}
    for branch, name in ((False, "without"), (True, "with")):
        own = [each for each in outcomes if each.branch == branch]
        if own:
            found[name] = {key: statistics.median(getattr(each, key) for each in own) for key in Outcome._fields[2:5]}
    main, both = ({each.seed: each for each in outcomes if each.branch == branch} for branch in (False, True))
    pairs = {str(seed): both[seed].map50 - main[seed].map50 for seed in main if seed in both}
    return found | {"difference of mAP50": pairs}


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains and measures seed by seed, and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    for name in ("images", "epochs", "size"):
        parser.add_argument(f"--{name}", type=int, default=getattr(DEFAULT, name))
    for name in ("lr", "weight"):
        parser.add_argument(f"--{name}", type=float, default=getattr(DEFAULT, name))
    parser.add_argument("--out", type=Path, help="a JSON file")
    given = parser.parse_args(arguments)
    if given.size % 32 or given.size < 64:
        parser.error(f"--size {given.size}: must be a multiple of 32 from 64 on, as the coarsest grid has stride 32")
    torch.set_num_threads(1)
    budget = Budget(given.images, given.epochs, given.size, given.lr, given.weight)
    outcomes: list[Outcome] = []
    rows: list[dict[str, Any]] = []
    for seed in given.seeds:
        rows += gradients(new_model(True, seed, budget.weight), "start", seed, budget.size)
        for branch in (False, True):
            outcome, model = run(branch, seed, budget)
            outcomes.append(outcome)
            line = f"seed {seed}  {'with' if branch else 'without':8} mAP50 {outcome.map50:.3f}  mAP {outcome.map:.3f}"
            print(f"{line}  {outcome.seconds:.0f} s", flush=True)
        rows += gradients(model, "end", seed, budget.size)  # of the network that has the branch
        if given.out:  # after each, as a run may be broken off
            machine = f"1 thread; PyTorch {torch.__version__}, Python {platform.python_version()}"
            document = {"budget": budget._asdict(), "machine": machine, "summary": summary(outcomes)}
            document |= {"outcomes": [each._asdict() for each in outcomes], "gradients": rows}
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name, row in summary(outcomes).items():
        print(f"{name:20}", "  ".join(f"{key} {value:.3f}" for key, value in row.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
