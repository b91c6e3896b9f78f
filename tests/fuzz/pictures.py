"""Pictures damaged at random: nothing may raise, every good one is kept, each that cannot be read is named.

Not part of the suite; prints a summary and exits with 1 where a promise was broken::

    python -m tests.fuzz.pictures --count 1000 --seed 0
"""

import argparse
import copy
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from tests.datasets.yolo_folders import picture
from tests.train.runs import HYP, TINY
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import YoloLoader, create_dataloader
from yolo_lite.images.reading import ImageError, read_image
from yolo_lite.model.yolo import create_model
from yolo_lite.train.trainer import Trainer

JPEG = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
FORMATS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tiff", ".gif", ".ppm", ".jp2", ".avif")
BOX = "0 0.5 0.5 0.5 0.5\n"
SIZE = 64


class Case(NamedTuple):
    """A file that was written."""

    path: Path
    kind: str  # what was done to it; "untouched": nothing


def encode(generator: np.random.Generator, suffix: str) -> bytes | None:
    """A picture of a random size; None where this OpenCV does not write the format."""
    height, width = generator.integers(32, 97, 2).tolist()  # below 32, JPEG 2000 is not written
    bgr = picture(height, width, int(generator.integers(2**31)))
    try:
        ok, data = cv2.imencode(suffix, bgr, JPEG if suffix == ".jpeg" else [])
    except cv2.error:
        return None
    return data.tobytes() if ok else None


def mutate(generator: np.random.Generator, data: bytes, other: bytes) -> tuple[str, bytes]:
    """What was done, and the bytes that came of it. other: of another picture."""
    kinds = ("untouched", "flipped", "cut", "zeroed", "doubled", "header swapped", "bytes inserted", "bytes lost")
    kind = kinds[int(generator.integers(len(kinds)))]
    changed = bytearray(data)
    start, end = sorted(generator.integers(0, len(data) + 1, 2).tolist())
    if kind == "flipped":
        for place in generator.integers(0, len(data), int(generator.integers(1, 9))).tolist():
            changed[place] ^= int(generator.integers(1, 256))
    elif kind == "cut":
        del changed[start:]
    elif kind == "zeroed":
        changed[start:end] = bytes(end - start)
    elif kind == "doubled":
        changed *= 2
    elif kind == "header swapped":
        length = int(generator.integers(2, 33))
        changed[:length] = other[:length]
    elif kind == "bytes inserted":
        changed[start:start] = generator.bytes(int(generator.integers(1, 65)))
    elif kind == "bytes lost":
        del changed[start : start + int(generator.integers(1, 65))]
    return kind, bytes(changed)


def write_cases(folder: Path, count: int, seed: int) -> list[Case]:
    """The pictures with a box each, as images/train and labels/train."""
    for name in ("images", "labels"):
        (folder / name / "train").mkdir(parents=True)
    generator = np.random.default_rng(seed)
    suffixes = [suffix for suffix in FORMATS if encode(np.random.default_rng(0), suffix)]
    cases = []
    for number in range(count):
        suffix, another = generator.choice(suffixes, 2).tolist()
        data, other = encode(generator, suffix), encode(generator, another)
        kind, changed = mutate(generator, data or b"", other or b"")
        path = folder / "images" / "train" / f"{number:05}{suffix}"
        path.write_bytes(changed)
        (folder / "labels" / "train" / f"{number:05}.txt").write_text(BOX)
        cases.append(Case(path, kind))
    return cases


def can_be_read(path: Path) -> bool:
    """Whether the picture as a whole decodes, whatever its header promises."""
    try:
        read_image(path)
    except ImageError:
        return False
    return True


def read_all(loader: YoloLoader) -> set[str]:
    """Paths of the samples that a loader gives; ``loader.unreadable`` has the others."""
    return {path for batch in loader for path in batch.paths}


def check(cases: list[Case], folder: Path, workers: int) -> tuple[Counter[str], list[str]]:
    """Counts for the summary, and the promises that were broken."""
    broken: list[str] = []

    def require(holds: bool, promise: str, paths: Iterable[str] = ()) -> None:
        if not holds:
            broken.append(f"{promise}: {', '.join(sorted(paths)[:5])}")

    every, readable = {str(case.path) for case in cases}, {str(case.path) for case in cases if can_be_read(case.path)}
    untouched = {str(case.path) for case in cases if case.kind == "untouched"}
    require(untouched <= readable, "an untouched picture cannot be read", untouched - readable)

    dataset = YoloDataset(folder, SIZE)
    at_once, kept = {problem.path for problem in dataset.report.problems}, set(dataset.paths)
    require(kept | at_once == every, "neither kept nor named", every - kept - at_once)
    require(readable <= kept, "readable, but left out", readable - kept)
    loader = create_dataloader(dataset, 16, workers=workers)
    given, late = read_all(loader), set(loader.unreadable)
    require(given | late == kept, "lost while reading", kept - given - late)
    require(untouched <= given, "an untouched picture was left out", untouched - given)
    require(not late & readable - _of_another_size(loader), "readable, but left out while reading", late & readable)

    trainer = train(folder, workers)
    met = {problem.path for problem in trainer.unreadable}
    require(met == late, "training met other damaged pictures", met ^ late)
    left_out = {problem.path for problem in trainer.validate().left_out}
    require(left_out == late, "validation left out other pictures", left_out ^ late)
    counts = {"pictures": len(every), "untouched": len(untouched), "can be read": len(given)}
    counts |= {"named when the folder was opened": len(at_once), "named when they were read": len(late)}
    return Counter(counts), broken


def _of_another_size(loader: YoloLoader) -> set[str]:
    """Pictures whose header and body disagree about their size: decoded, but of no use for their labels."""
    return {path for path, problem in loader.unreadable.items() if "pixels when" in problem.message}


def train(folder: Path, workers: int) -> Trainer:
    """One epoch over the folder, and a validation on it."""
    dataset = YoloDataset(folder, SIZE)
    model = create_model(copy.deepcopy(TINY), names=dataset.names, seed=0)
    options = {"epochs": 1, "batch_size": 16, "img_size": SIZE, "device": "cpu", "workers": workers}
    return Trainer(model, folder, dataset, HYP, auto_anchors=False, **options).fit()


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="write the pictures into this new folder, and leave them there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = options.keep or Path(temporary) / "data"
        cases = write_cases(folder, options.count, options.seed)
        counts, broken = check(cases, folder, options.workers)
    print(f"seed {options.seed}: " + ", ".join(f"{number} {what}" for what, number in counts.items()))
    print("by kind: " + ", ".join(f"{number} {kind}" for kind, number in Counter(c.kind for c in cases).items()))
    for promise in broken:
        print(f"BROKEN {promise}")
    print("all promises held" if not broken else f"{len(broken)} promises broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
