"""Pairs of a colour and a shape that a YOLO-World has never seen, found by their words; with two controls.

usage: python benchmarks/open_vocabulary.py --seeds 0 1 2 --out benchmarks/results/open_vocabulary.json
       python benchmarks/open_vocabulary.py --epochs 2 --images 200        a quick look

Of 36 classes, "red ring" to "black moon", some are left out of the training scenes: each colour and each shape is left
out equally often, and every seed leaves out others. Test scenes have all 36, and the vocabulary has all 36 phrases, so
an unseen pair competes with the seen ones. Three measurements with one data set:

    words        the embedding of a phrase is the sum of its words' embeddings: "red" learnt from red stars means
                 something in "red ring".
    no words     control: every phrase is one word of its own, with an independent random vector. Nothing tells the
                 network what an unseen phrase means, so it should find nothing.
    permuted     control: the network of "words", whose word embeddings change places at test time, colours among
                 colours and shapes among shapes. If it reads the words, it should find nothing any more.

Reported: AP50, the mean over seen and over unseen classes, and their ratio.
"""

import argparse
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

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import create_dataloader
from yolo_lite.datasets.shapes.coloured import COLOURS, ColouredShapes, colour_shape_pairs
from yolo_lite.datasets.shapes.outlines import KINDS
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.model.yolo import create_model
from yolo_lite.train.options import preset
from yolo_lite.train.trainer import Trainer

TEST_IMAGES = 400
BATCH = 8
# Each scene is seen a few times only. Colours are classes here, so they are not changed.
PLAIN = dict.fromkeys(("mosaic", "scale", "hsv_h", "hsv_s", "hsv_v", "blur", "median_blur", "to_gray", "clahe"), 0.0)


class Budget(NamedTuple):
    """What every training gets."""

    images: int  # training scenes
    epochs: int
    size: int  # pixels
    lr: float  # of AdamW
    left_out: int  # pairs, a multiple of six


DEFAULT = Budget(images=600, epochs=8, size=128, lr=0.004, left_out=6)


class Outcome(NamedTuple):
    """AP50 of one network with one vocabulary."""

    control: str  # "words", "no words", "permuted"
    seed: int
    seen: float  # mean over the classes of the training scenes
    unseen: float  # mean over those left out
    ratio: float
    per_class: dict[str, float]
    seconds: float  # CPU time of training


def unseen_pairs(seed: int, count: int) -> list[str]:
    """Pairs to leave out: each colour and each shape equally often.

    >>> unseen_pairs(0, 6)
    ['red ring', 'yellow tile', 'green triangle', 'blue star', 'purple heart', 'black moon']
    """
    shifts = [(seed + step * 2) % len(KINDS) for step in range(count // len(COLOURS))]
    return [
        f"{colour} {KINDS[(index + shift) % len(KINDS)]}" for shift in shifts for index, colour in enumerate(COLOURS)
    ]


def train(seed: int, budget: Budget, shared_words: bool) -> tuple[Any, float]:
    """A network that has seen scenes without the pairs that are left out, and the CPU time that it took."""
    unseen = unseen_pairs(seed, budget.left_out)
    seen = [pair for pair in colour_shape_pairs() if pair not in unseen]
    scenes = ColouredShapes("train", budget.size, budget.images, seed, seen)
    scenes.names = phrases(seen, shared_words)
    words = list(
        dict.fromkeys(word for phrase in phrases(colour_shape_pairs(), shared_words) for word in phrase.split())
    )
    spec = {"family": "yolo-world", "name": "yolo-world", "words": words}
    model = create_model(spec, names=scenes.names, seed=seed)
    small = preset("small-data")
    chosen = {"epochs": budget.epochs, "batch_size": BATCH, "nominal_batch": BATCH, "img_size": budget.size}
    chosen |= {"seed": seed, "cache": "ram", "validate_every": budget.epochs, "device": "cpu", "clip_norm": 1e9}
    options = dataclasses.asdict(small.options) | chosen
    trainer = Trainer(model, scenes, hyp=small.hyp.replace(lr0=budget.lr, **PLAIN), **options)
    started = time.process_time()
    trainer.fit()
    return trainer.ema.model.eval(), time.process_time() - started


def phrases(pairs: Sequence[str], shared_words: bool) -> tuple[str, ...]:
    """What the network reads: "red ring", or without shared words "red-ring", which is one word."""
    return tuple(pairs) if shared_words else tuple(pair.replace(" ", "-") for pair in pairs)


def measure(model: Any, control: str, seed: int, budget: Budget, seconds: float) -> Outcome:
    """AP50 of all 36 classes on test scenes that have them all."""
    names = phrases(colour_shape_pairs(), control != "no words")
    model.set_vocabulary(names)
    scenes = ColouredShapes("test", budget.size, TEST_IMAGES, seed)
    scenes.names = names
    metrics = evaluate(model, create_dataloader(YoloDataset(scenes, budget.size), BATCH))
    found = {each.name.replace("-", " "): each.map50 for each in metrics.per_class}
    unseen = unseen_pairs(seed, budget.left_out)
    of_unseen = statistics.mean(value for name, value in found.items() if name in unseen)
    of_seen = statistics.mean(value for name, value in found.items() if name not in unseen)
    ratio = of_unseen / of_seen if of_seen else 0.0
    return Outcome(control, seed, of_seen, of_unseen, ratio, found, seconds)


@torch.no_grad()
def permute_words(model: Any) -> None:
    """Each colour's embedding becomes that of the next colour, each shape's that of the next shape."""
    encoder = model.encoder
    place = {word: index for index, word in enumerate(encoder.words)}
    before = [vector.clone() for vector in encoder.vectors]
    for group in (list(COLOURS), list(KINDS)):
        for word, other in zip(group, group[1:] + group[:1], strict=True):
            encoder.vectors[place[word]].copy_(before[place[other]])


def run(seed: int, budget: Budget) -> list[Outcome]:
    """The three measurements of one seed."""
    model, seconds = train(seed, budget, shared_words=True)
    outcomes = [measure(model, "words", seed, budget, seconds)]
    permute_words(model)
    outcomes.append(measure(model, "permuted", seed, budget, seconds))
    model, seconds = train(seed, budget, shared_words=False)
    outcomes.append(measure(model, "no words", seed, budget, seconds))
    return outcomes


def medians(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Of each measurement the medians over the seeds."""
    found: dict[str, dict[str, float]] = {}
    for control in ("words", "no words", "permuted"):
        own = [outcome for outcome in outcomes if outcome.control == control]
        found[control] = {
            key: statistics.median(getattr(each, key) for each in own) for key in ("seen", "unseen", "ratio")
        }
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains and measures seed by seed, and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=DEFAULT.images)
    parser.add_argument("--epochs", type=int, default=DEFAULT.epochs)
    parser.add_argument("--size", type=int, default=DEFAULT.size)
    parser.add_argument("--lr", type=float, default=DEFAULT.lr)
    parser.add_argument("--left-out", type=int, default=DEFAULT.left_out, help="pairs, 6, 12 or 18")
    parser.add_argument("--out", type=Path, help="a JSON file")
    given = parser.parse_args(arguments)
    if given.left_out not in (6, 12, 18):
        parser.error("--left-out must be 6, 12 or 18")
    torch.set_num_threads(1)
    budget = Budget(given.images, given.epochs, given.size, given.lr, given.left_out)
    outcomes: list[Outcome] = []
    for seed in given.seeds:
        for outcome in run(seed, budget):
            outcomes.append(outcome)
            line = f"seed {seed}  {outcome.control:9} seen {outcome.seen:.3f}  unseen {outcome.unseen:.3f}  "
            print(f"{line}ratio {outcome.ratio:.2f}  {outcome.seconds:.0f} s", flush=True)
        if given.out:  # after each, as a run may be broken off
            machine = f"1 thread; PyTorch {torch.__version__}, Python {platform.python_version()}"
            document = {"budget": budget._asdict(), "machine": machine, "medians": medians(outcomes)}
            document |= {"outcomes": [each._asdict() for each in outcomes]}
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for control, row in medians(outcomes).items():
        print(f"median  {control:9} seen {row['seen']:.3f}  unseen {row['unseen']:.3f}  ratio {row['ratio']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
