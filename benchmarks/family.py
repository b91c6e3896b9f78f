"""What every generation learns from the same pictures in the same time: YOLOv1 to YOLO-World on "shapes".

usage: python benchmarks/family.py                        all of them; about half an hour on two cores
       python benchmarks/family.py v4-mse v4 --seeds 0 1 2 3 4
       python benchmarks/family.py v1 v5 --images 400 --epochs 5 --size 96 --json family.json

The same for all: pictures, their number, their order, augmentation (flips and shifts), batches of 8, AdamW with one
learning rate, a warm-up of one epoch and half a cosine, an average of the weights. Adam divides each gradient by its
usual size, so a loss that is a sum and one that is a mean need no learning rates of their own (for the same reason no
gradient is clipped). The networks are small and of one size, see family_networks.py and family_later.py; the settings
of the losses are the published ones, but for sizes in pixels, which are made for larger images than these.

Rows whose difference is a claim are trained with three seeds, the others with one. Several processes of one thread run
side by side. Seconds: CPU time of training, which other work on the machine changes little.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))  # the project, installed or not

import family_later
import family_networks
import torch
from torch import nn

from yolo_lite.cli.options import table
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import create_dataloader
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.train.options import preset
from yolo_lite.train.trainer import Trainer

GENERATIONS = {**family_networks.GENERATIONS, **family_later.GENERATIONS}
PUBLISHED = {**family_networks.PUBLISHED, **family_later.PUBLISHED}
CLAIMED = ("v4-mse", "v4", "v9", "v9-pgi")  # trained with all seeds
VAL_IMAGES = 200
BATCH = 8  # twice as many steps as with 16, from as many images: most of these begin slowly
LEARNING_RATE = 0.004  # YOLOv3 at .002, .004 and .01: the losses end within 7 % of each other
# A network that sees each scene only a few times does not need them varied.
PLAIN = dict.fromkeys(("mosaic", "scale", "hsv_h", "hsv_s", "hsv_v", "blur", "median_blur", "to_gray", "clahe"), 0.0)
NO_CLIPPING = 1e9
# By how much of the difference a step moves BatchNorm's running statistics: in all networks as in AlexeyAB's Darknet
# and in ResNet. With pjreddie's .01 (YOLOv1 to v3) they lag far behind in a few hundred steps: YOLOv1, after 140 on 16
# scenes, has a loss of 0.5 with the statistics of the batch and of 2.6 with the running ones.
NORM_MOMENTUM = 0.1


class Budget(NamedTuple):
    """What every row gets."""

    images: int  # training scenes
    epochs: int
    size: int  # pixels
    lr: float


class Outcome(NamedTuple):
    """One training."""

    name: str
    seed: int
    parameters: int  # of what detects: no auxiliary branch, no text encoder
    positives: float  # per object, of the validation images, when training has ended
    unmatched: float  # objects without any positive, a fraction
    map50: float
    map: float
    seconds: float  # CPU time of training


def train(name: str, seed: int, budget: Budget) -> Outcome:
    """Trains one generation and measures what it has learnt."""
    torch.set_num_threads(1)
    generation = GENERATIONS[name]
    small = preset("small-data")
    hyp = small.hyp.replace(lr0=budget.lr, box=0.2, **PLAIN)
    chosen = {"epochs": budget.epochs, "batch_size": BATCH, "img_size": budget.size, "seed": seed}
    chosen |= {
        "cache": "ram",
        "auto_anchors": False,
        "validate_every": budget.epochs,
        "clip_norm": NO_CLIPPING,
        "nominal_batch": BATCH,
        "device": "cpu",
    }
    options = dataclasses.asdict(small.options) | chosen | dict(generation.options)
    scenes = Shapes("train", budget.size, budget.images)
    model = generation.create(scenes.names, budget.size, BATCH, seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            module.momentum = NORM_MOMENTUM
    trainer = Trainer(model, scenes, hyp=hyp, **options)
    started = time.process_time()
    trainer.fit()
    seconds = time.process_time() - started
    dataset = YoloDataset(Shapes("val", budget.size, VAL_IMAGES), img_size=budget.size)
    loader = create_dataloader(dataset, BATCH)
    trained: Any = trainer.ema.model
    metrics = evaluate(trained, loader)
    positives, unmatched = _positives(trained, loader, hyp, budget.size, dict(generation.options))
    parameters = sum(parameter.numel() for parameter in _used(model).parameters())
    return Outcome(name, seed, parameters, positives, unmatched, metrics.map50, metrics.map, seconds)


def _used(model: Any) -> Any:
    """The model without what only training needs: an auxiliary branch, a text encoder."""
    if hasattr(model, "fixed"):
        return model.fixed()
    return model.without_auxiliary() if getattr(model, "has_auxiliary", False) else model


@torch.no_grad()
def _positives(
    model: Any, loader: Iterable[Any], hyp: Hyperparameters, size: int, options: dict[str, Any]
) -> tuple[float, float]:
    """Positives per object, and the fraction of objects that have none."""
    loss = model.eval().criterion(hyp, size, **options)
    objects = pairs = matched = 0
    for batch in loader:
        matches = loss.assign(model(batch.images.float() / 255), batch.targets).matches
        objects += len(batch.targets)
        pairs += len(matches.target)
        matched += len(matches.target.unique())
    return pairs / objects, 1 - matched / objects


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is asked for, as many at a time as there are jobs, and prints the tables."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.generations if name not in GENERATIONS]:
        parser.error(f"unknown generation {unknown[0]!r}: choose from {', '.join(GENERATIONS)}")
    if given.size % 32 or given.size < 64:
        parser.error(f"--size {given.size}: must be a multiple of 32 from 64 on, as the coarsest grid has stride 32")
    budget = Budget(given.images, given.epochs, given.size, given.lr)
    names = given.generations or list(GENERATIONS)
    first, *others = given.seeds
    tasks = [(name, first) for name in names]  # a row each, before the spreads
    tasks += [(name, seed) for seed in others for name in names if name in CLAIMED]
    seen = budget.images * budget.epochs
    machine = (
        f"{given.jobs} processes of one thread on {os.cpu_count()} cores; PyTorch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )
    print(
        f"{len(tasks)} trainings: {budget.size} px, {budget.images} scenes {budget.epochs} times = {seen} images seen,"
    )
    print(f"AdamW {budget.lr:g}, batch {BATCH}; {VAL_IMAGES} validation scenes, COCO rule. {machine}", flush=True)
    started = time.monotonic()
    outcomes = []
    for outcome in _run(tasks, budget, given.jobs):
        outcomes.append(outcome)
        total = time.monotonic() - started
        if given.json:  # after each, as a run may be broken off
            document = {"budget": budget._asdict(), "machine": machine, "seconds": total}
            document |= {"outcomes": [each._asdict() for each in outcomes]}
            given.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(
            f"{outcome.name} seed {outcome.seed}: mAP50 {outcome.map50:.3f}, mAP {outcome.map:.3f}, "
            f"{outcome.seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    print("\nMeasured here" + (": mean of the seeds, +- their standard deviation" if len(given.seeds) > 1 else ""))
    print(table(_rows(names, outcomes)))
    print(f"All in {total / 60:.1f} minutes.")
    print("\nPublished, and not to be compared with the above: other data, other networks, days of training")
    print(table(_published(names)))
    return 0


def _run(tasks: Sequence[tuple[str, int]], budget: Budget, jobs: int) -> Iterable[Outcome]:
    """The outcomes, in the order in which they come."""
    if jobs == 1:
        yield from (train(name, seed, budget) for name, seed in tasks)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(train, name, seed, budget) for name, seed in tasks]):
            yield done.result()


def _rows(names: Sequence[str], outcomes: Sequence[Outcome]) -> list[list[str]]:
    header = ["", "generation", "seeds", "parameters", "positives / object", "without", "mAP50", "mAP", "CPU s"]
    rows = [header]
    for name in names:
        found = [outcome for outcome in outcomes if outcome.name == name]
        first = f"{found[0].parameters / 1e6:.2f} M"
        positives = statistics.mean(each.positives for each in found)
        unmatched = statistics.mean(each.unmatched for each in found)
        figures = [_spread([each.map50 for each in found]), _spread([each.map for each in found])]
        seconds = f"{statistics.mean(each.seconds for each in found):.0f}"
        start = [name, GENERATIONS[name].title, str(len(found)), first, f"{positives:.1f}", f"{unmatched:.1%}"]
        rows.append([*start, *figures, seconds])
    return rows


def _spread(values: Sequence[float]) -> str:
    """
    >>> _spread([0.5]), _spread([0.5, 0.6])
    ('0.500', '0.550 +- 0.071')
    """
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} +- {statistics.stdev(values):.3f}"


def _published(names: Sequence[str]) -> list[list[str]]:
    keys = dict.fromkeys(GENERATIONS[name].published for name in names)
    return [["", "AP", "of what", "source"], *([key, *PUBLISHED[key]] for key in keys if key)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ", ".join(GENERATIONS)
    parser.add_argument("generations", nargs="*", metavar="GENERATION", help=f"of {known}; left out: all")
    parser.add_argument("--images", type=int, default=400, help="training scenes")
    parser.add_argument("--epochs", type=int, default=22, help="passes over them")
    parser.add_argument("--size", type=int, default=96, help="side of the images in pixels, a multiple of 32")
    parser.add_argument("--seed", "--seeds", dest="seeds", type=int, nargs="+", default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--lr", type=float, default=LEARNING_RATE, help="learning rate of AdamW, for all")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side, one thread each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
