"""Does the library compute the same on a GPU as on a CPU, and how fast: what can be known only where there is one.

usage: python benchmarks/gpu.py                    all checks on the GPU, ten minutes at most; a table for each
       python benchmarks/gpu.py --device cpu       the same checks in small, as far as a CPU can: half a minute
       python benchmarks/gpu.py --only loss nms    these checks alone
       python benchmarks/gpu.py --json gpu.json    all figures in a file, too

Needs PyTorch, NumPy, OpenCV, PyYAML, tqdm and safetensors; no network and no other package. The exit code is 1 where
something differs, 2 where there is no such device or no check ran. A check that cannot run says why, and counts
neither way.

What is compared with what, and how far apart it may be:
  loss     recorded losses and gradients (tests/golden): losses 1e-5 of their size, gradients 1e-6, as on the CPU
  iou      recorded overlaps and their gradients 1e-5, focal losses 1e-5 of their size
  train    50 steps on shapes in float32, float16, bfloat16: all losses are finite, the last ten lie a tenth below
           the first ten; the first loss in float32 (no TF32) is the CPU's within 1e-4, in half precision within 5 %
  map      400 steps from random weights in every precision: mAP at most 0.1 apart, which two seeds are as well
  nccl     a group of one process: a sum, a message, and gradients through DDP, within 1e-6
  resume   a run that was stopped and gone on with, and one that was not: at most ten times as far
           apart as two equal runs are, and 0.1 of the largest weight at most
  nms      boxes of whole pixels, whose overlaps are exact: the same boxes in the same order as on the CPU
  ap       shapes-n on shapes: mAP50 and mAP within 0.002 of the CPU's
  waits    how often a training step waits for the GPU: once for the loss, once for the norm of the gradient, and in
           float16 once for the scale
  limits   bytes and operations a second that the machine reaches; nothing to differ from
  speed    images per second, and which share of the machine's operations that is; CUDA graphs for one image
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the project, installed or not

import numpy as np
import torch
from gpu_checks import (
    Finding,
    Machine,
    check_average_precision,
    check_iou,
    check_loss,
    check_nms,
    check_resume,
    check_training,
    check_waits,
)
from gpu_limits import check_map, check_processes, measure_ceilings
from gpu_speed import measure_speed

from yolo_lite.cli.options import table

SECONDS = 540.0  # of the ten minutes that a command may take
CHECKS: dict[str, Callable[[Machine], Finding]] = {
    "loss": check_loss,
    "iou": check_iou,
    "train": check_training,
    "map": check_map,
    "nccl": check_processes,
    "resume": check_resume,
    "nms": check_nms,
    "ap": check_average_precision,
    "waits": check_waits,
    "limits": measure_ceilings,
    "speed": measure_speed,
}
MEASURED = ("limits", "speed")
VERDICTS = {True: "the same", False: "DIFFERS", None: "not run"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the checks; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        device = find_device(options.device)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    machine = Machine(device, time.monotonic() + options.seconds)
    print(describe(device), flush=True)
    findings: dict[str, Finding] = {}
    for name in options.only or CHECKS:
        started = time.monotonic()
        findings[name] = found = _run(CHECKS[name], machine)
        print(f"\n== {name}: {_verdict(name, found)} ({time.monotonic() - started:.1f} s). {found.words}", flush=True)
        if found.rows:
            print(table(found.rows), flush=True)
    if options.json:
        document = {"machine": describe(device), **{name: found._asdict() for name, found in findings.items()}}
        options.json.write_text(json.dumps(document, indent=1), encoding="utf-8")
    print("\n" + ", ".join(f"{name} {_verdict(name, found)}" for name, found in findings.items()))
    if any(found.same is False for found in findings.values()):
        return 1
    return 2 if all(found.same is None for found in findings.values()) else 0


def find_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        ValueError: these checks do not run on such a device, or there is none here; says what to do.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device {name}: not a device; write cuda, cuda:1 or cpu") from None
    if device.type not in ("cuda", "cpu"):
        raise ValueError(f"--device {name}: the checks run on cuda and cpu alone")
    if device.type == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError("No GPU: PyTorch finds no CUDA device here. --device cpu runs what a CPU can.")
    count = torch.cuda.device_count()
    if (device.index or 0) >= count:
        raise ValueError(f"--device {name}: there is no such GPU here, only {count}: cuda:0 to cuda:{count - 1}")
    return device


def _run(check: Callable[[Machine], Finding], machine: Machine) -> Finding:
    """A check that breaks is one that differs; the checks after it still run."""
    if machine.seconds_left() <= 0:
        return Finding(None, "no time was left for it")
    try:
        return check(machine)
    except Exception as error:
        return Finding(False, f"{type(error).__name__}: {error}")


def _verdict(name: str, found: Finding) -> str:
    return "measured" if name in MEASURED and found.same else VERDICTS[found.same]


def describe(device: torch.device) -> str:
    """What it runs on, in one line."""
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}, NumPy {np.__version__}"
    if device.type != "cuda":
        return f"{device}, {torch.get_num_threads()} threads; {versions}"
    gpu = torch.cuda.get_device_properties(device)
    return f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}; {versions}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu")
    parser.add_argument("--only", nargs="+", choices=CHECKS, metavar="CHECK", help=f"of {', '.join(CHECKS)}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after which no further check begins")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
