"""Ablations of backbones: two or three networks that differ in one choice, trained alike with several seeds.

usage: python benchmarks/ablations.py                          all of them; about ten minutes on two idle cores
       python benchmarks/ablations.py sppf activation --seeds 0 1 2 3 4
       python benchmarks/ablations.py --quick                  one of them with one seed, in about a minute

Each network is a Backbone (yolo_lite.family.backbones) with the neck PAN and the head of YOLOv5, an eighth as wide as
YOLOv5l. The scenes are drawn shapes, all of one class: to find objects is learnt sooner than to tell them apart, and
these trainings are short. The same for all variants of an ablation: scenes, their number and order, images
seen, AdamW with one learning rate, a warm-up and half a cosine, an average of the weights. Nothing is tuned for a
variant. A difference counts as decided where every seed of one variant is better than every seed of the other; it
holds for networks and trainings of this size only.

Several processes of one thread run side by side. Results: benchmarks/results/ablations.json, which notebook 12 plots.
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
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))  # the project, installed or not

import torch

from yolo_lite.cli.options import table
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import create_dataloader
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.family.backbones import Backbone
from yolo_lite.model.yolo import create_model
from yolo_lite.train.options import preset
from yolo_lite.train.trainer import Trainer

RESULTS = Path(__file__).parent / "results" / "ablations.json"
QUICK = "sppf"
VAL_IMAGES = 150
LEARNING_RATE = 0.004
# A network that sees each scene only a few times does not need them varied.
PLAIN = dict.fromkeys(("mosaic", "scale", "hsv_h", "hsv_s", "hsv_v", "blur", "median_blur", "to_gray", "clahe"), 0.0)
BASE = Backbone(width=0.125, depth=0.33, neck_repeats=1)
WIDE_P3 = (64, 128, 512, 512, 1024)  # channels of stem and stages: P3 has twice as many
LATE = {"steps": (1, 2, 2, 2, 2), "channels": (64, 64, 128, 256, 512, 1024), "repeats": (3, 3, 6, 9, 3)}


class Variant(NamedTuple):
    """One network of an ablation, and what is changed about its training with it."""

    dials: Backbone
    batch: int = 8


class Ablation(NamedTuple):
    """One choice, in two forms or more."""

    question: str
    variants: Mapping[str, Variant]
    size: int = 96  # pixels of the pictures
    lr: float = LEARNING_RATE


def _varied(**variants: Mapping[str, Any]) -> Mapping[str, Variant]:
    return {name: Variant(dataclasses.replace(BASE, **changes)) for name, changes in variants.items()}


ABLATIONS: Mapping[str, Ablation] = MappingProxyType(
    {
        "activation": Ablation(
            "Is SiLU better than LeakyReLU?",
            _varied(SiLU={}, LeakyReLU={"activation": "LeakyReLU"}),
        ),
        "sppf": Ablation("Does SPPF help?", _varied(SPPF={}, none={"pooling": "none"})),
        "depth": Ablation(
            "How many Bottlenecks in a stage of C2f?",
            {
                words: Variant(dataclasses.replace(BASE, blocks="C2f", depth=1.0, repeats=repeats))
                for words, repeats in (
                    ("1 1 1 1", (1, 1, 1, 1)),
                    ("1 2 3 1", (1, 2, 3, 1)),
                    ("2 4 6 2", (2, 4, 6, 2)),
                )
            },
        ),
        "small-objects": Ablation(
            "Small objects (of 6 to 28 pixels): P2, or a wider P3?",
            {
                "P3 to P5": Variant(BASE),
                "P2 to P5": Variant(dataclasses.replace(BASE, taps=("P2", "P3", "P4", "P5"))),
                "wide P3": Variant(dataclasses.replace(BASE, channels=WIDE_P3)),
            },
            size=64,
        ),
        "downsampling": Ablation(
            "Where should the grid become coarser?", _varied(usual={}, early={"steps": (4, 1, 2, 2)}, late=LATE)
        ),
        "p6": Ablation(
            "Does a level of stride 64 help?",
            {"P3 to P5": Variant(BASE), "P3 to P6": Variant(dataclasses.replace(BASE, taps=("P3", "P4", "P5", "P6")))},
            size=128,
        ),
        "norm": Ablation(
            "Two pictures in a batch: GroupNorm, or BatchNorm?",
            {
                f"{norm}, batch {batch}": Variant(dataclasses.replace(BASE, norm=norm), batch)
                for batch in (2, 8)
                for norm in ("BatchNorm", "GroupNorm")
            },
            lr=0.002,
        ),
    }
)


class Budget(NamedTuple):
    """What every training gets."""

    images: int  # training scenes
    epochs: int


class Outcome(NamedTuple):
    """One training."""

    ablation: str
    variant: str
    seed: int
    parameters: int
    flops: int  # of one picture
    map50: float
    map: float
    seconds: float  # CPU time of training


def train(name: str, variant: str, seed: int, budget: Budget) -> Outcome:
    """Trains one network and measures what it has learnt."""
    torch.set_num_threads(1)
    ablation = ABLATIONS[name]
    dials, batch = ablation.variants[variant]
    small = preset("small-data")
    options = dataclasses.asdict(small.options)
    options |= {"epochs": budget.epochs, "batch_size": batch, "nominal_batch": batch, "img_size": ablation.size}
    options |= {"seed": seed, "single_cls": True, "cache": "ram", "validate_every": budget.epochs, "device": "cpu"}
    scenes = Shapes("train", ablation.size, budget.images)
    model = create_model(dials.spec(1), names=("object",), seed=seed)
    trainer = Trainer(model, scenes, hyp=small.hyp.replace(lr0=ablation.lr, **PLAIN), **options)
    started = time.process_time()
    trainer.fit()
    seconds = time.process_time() - started
    dataset = YoloDataset(Shapes("val", ablation.size, VAL_IMAGES), ablation.size, single_cls=True)
    trained: Any = trainer.ema.model
    metrics = evaluate(trained, create_dataloader(dataset, 8))
    cost = model.summary(ablation.size)
    return Outcome(name, variant, seed, cost.parameters, cost.flops, metrics.map50, metrics.map, seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what is asked for, writes the figures and prints the tables."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.ablations if name not in ABLATIONS]:
        parser.error(f"unknown ablation {unknown[0]!r}: choose from {', '.join(ABLATIONS)}")
    names = given.ablations or ([QUICK] if given.quick else list(ABLATIONS))
    seeds = given.seeds or ([0] if given.quick else [0, 1, 2])
    file = given.json or (None if given.quick else RESULTS)
    budget = Budget(given.images, given.epochs)
    tasks = [(name, variant, seed) for seed in seeds for name in names for variant in ABLATIONS[name].variants]
    machine = (
        f"{given.jobs} processes of one thread on {os.cpu_count()} cores; PyTorch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )
    print(f"{len(tasks)} trainings: {budget.images} scenes {budget.epochs} times; {VAL_IMAGES} validation scenes")
    print(machine, flush=True)
    command = " ".join(["python benchmarks/ablations.py", *(sys.argv[1:] if arguments is None else arguments)])
    head = {"command": command, "machine": machine, "budget": budget._asdict(), "val_images": VAL_IMAGES}
    started, outcomes = time.monotonic(), []
    for outcome in _run(tasks, budget, given.jobs):
        outcomes.append(outcome)
        _write(file, head | {"seconds": time.monotonic() - started}, outcomes)  # a run may be broken off
        words = f"{outcome.ablation}, {outcome.variant}, seed {outcome.seed}"
        print(f"{words}: mAP50 {outcome.map50:.3f}, {outcome.seconds:.0f} s", file=sys.stderr, flush=True)
    for name in names:
        print(f"\n{ABLATIONS[name].question}")
        print(table(_rows(name, outcomes)))
        print(verdict(by_variant(name, outcomes)))
    return 0


def _write(file: Path | None, head: Mapping[str, Any], outcomes: Sequence[Outcome]) -> None:
    """All figures. Ablations that an earlier run left in the file, and this one has not trained, stay."""
    if file is None:
        return
    new = {outcome.ablation for outcome in outcomes}
    kept = json.loads(file.read_text(encoding="utf-8"))["ablations"] if file.is_file() else {}
    for name in new:
        ablation = ABLATIONS[name]
        kept[name] = {
            "question": ablation.question,
            "size": ablation.size,
            "lr": ablation.lr,
            "batch": {variant: each.batch for variant, each in ablation.variants.items()},
            "run": dict(head),
            "verdict": verdict(by_variant(name, outcomes)),
            "outcomes": [outcome._asdict() for outcome in outcomes if outcome.ablation == name],
        }
    file.parent.mkdir(parents=True, exist_ok=True)
    ordered = {name: kept[name] for name in (*ABLATIONS, *kept) if name in kept}
    file.write_text(json.dumps({"ablations": ordered}, indent=1) + "\n", encoding="utf-8")


def _run(tasks: Sequence[tuple[str, str, int]], budget: Budget, jobs: int) -> Iterable[Outcome]:
    """The outcomes, in the order in which they come."""
    if jobs == 1:
        yield from (train(*task, budget) for task in tasks)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(train, *task, budget) for task in tasks]):
            yield done.result()


def by_variant(name: str, outcomes: Sequence[Outcome]) -> dict[str, list[float]]:
    """mAP50 of each seed, by variant in the order of the ablation, as far as there are outcomes."""
    own = [outcome for outcome in outcomes if outcome.ablation == name]
    variants = [variant for variant in ABLATIONS[name].variants if any(o.variant == variant for o in own)]
    return {variant: [o.map50 for o in own if o.variant == variant] for variant in variants}


def verdict(found: Mapping[str, Sequence[float]]) -> str:
    """What the figures decide: each variant against the first one. One seed decides nothing.

    >>> verdict({"A": [0.5, 0.6, 0.55], "B": [0.7, 0.65, 0.8], "C": [0.52, 0.58, 0.6]})
    'B above A by 0.17, with every seed; C and A: not decided (+0.02)'
    """
    (first, base), *others = found.items()
    words = []
    for name, values in others:
        difference = statistics.mean(values) - statistics.mean(base)
        if min(len(values), len(base)) > 1 and (min(values) > max(base) or max(values) < min(base)):
            side = "above" if difference > 0 else "below"
            words.append(f"{name} {side} {first} by {abs(difference):.2f}, with every seed")
        else:
            words.append(f"{name} and {first}: not decided ({difference:+.2f})")
    return "; ".join(words) or "nothing to compare with"


def _rows(name: str, outcomes: Sequence[Outcome]) -> list[list[str]]:
    rows = [["variant", "parameters", "MFLOPs", "mAP50", "by seed", "CPU s"]]
    for variant, values in by_variant(name, outcomes).items():
        own = [outcome for outcome in outcomes if (outcome.ablation, outcome.variant) == (name, variant)]
        seeds = " ".join(f"{outcome.map50:.3f}" for outcome in sorted(own, key=lambda outcome: outcome.seed))
        cost = [f"{own[0].parameters:,}", f"{own[0].flops / 1e6:.1f}"]
        seconds = f"{statistics.mean(outcome.seconds for outcome in own):.0f}"
        rows.append([variant, *cost, f"{statistics.mean(values):.3f}", seeds, seconds])
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ", ".join(ABLATIONS)
    parser.add_argument("ablations", nargs="*", metavar="ABLATION", help=f"of {known}; left out: all")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} alone with one seed; nothing is written")
    parser.add_argument("--images", type=int, default=200, help="training scenes")
    parser.add_argument("--epochs", type=int, default=10, help="passes over them")
    parser.add_argument("--seed", "--seeds", dest="seeds", type=int, nargs="+", metavar="SEED", help="default: 0 1 2")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side, one thread each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: benchmarks/results/ablations.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
