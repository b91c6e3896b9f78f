"""Does the library compute the same on a GPU as on a CPU, and how fast: what can be known only where there is one.

usage: python benchmarks/gpu.py --json gpu.json    all parts on the GPU, within eight minutes; a table for each
       python benchmarks/gpu.py --device cpu       the same parts in small, as far as a CPU can: half a minute
       python benchmarks/gpu.py --only loss nms    these parts alone
       python benchmarks/gpu.py --append           its tables as a section at the end of benchmarks/RESULTS.md

What a bare machine needs (a Python 3.12 that has PyTorch 2.11, and no package registry): this clone, NumPy,
opencv-python-headless, PyYAML, tqdm, safetensors and platformdirs. Carry as wheels (pip download, pip install
--no-index) those that it does not have; platformdirs is the one that images with PyTorch mostly lack. pytest and
hypothesis are needed for the test suite, not for this. Where they are there, more is compared: torchvision,
built for that PyTorch (for part "torchvision"), faster-coco-eval (COCO's rule in part "ap"), and the peer: the wheels
yolov5==7.0.14, thop, ultralytics==8.4.190 and ultralytics-thop, 3 MB together, with pandas, seaborn, matplotlib, scipy,
requests and psutil, which such images have. --peer PYTHON names another Python that has the peer. What is not
there is left out, and its part says so.

The exit code is 1 where something differs, 2 where there is no such device or no part ran, 3 where a part never came
back from the device. A part that cannot run says why, and counts neither way. Each has a time of its own
(gpu_budget.py): one that is over is CUT SHORT and says where, and the parts after it still run. The file of --json is
whole after every part.

What is compared with what, and how far apart it may be:
  loss     recorded losses and gradients (tests/golden): losses 1e-5 of their size, gradients 1e-6, as on the CPU
  iou      recorded overlaps and their gradients 1e-5, focal losses 1e-5 of their size
  train    50 steps on shapes in float32, float16, bfloat16: all losses are finite, the last ten lie a tenth below
           the first ten; the first loss in float32 (no TF32) is the CPU's within 1e-4, in half precision within 5 %
  waits    how often a training step waits for the GPU: once for the loss, once for the norm of the gradient, and in
           float16 once for the scale
  limits   bytes and operations a second that the machine reaches; nothing to differ from
  peer     training images per second of n, s and m at 640, batch 64, mixed precision, in turns with YOLOv5 7.0.14
  speed    images per second, and which share of the machine's operations that is; CUDA graphs for one image
  nms      boxes of whole pixels, whose overlaps are exact: the same boxes in the same order as on the CPU
  nccl     a group of one process: a sum, a message, and gradients through DDP, within 1e-6
  augment  colours changed on the device (hsv_on_device): at most one level from OpenCV's, in 1 % of the values; a warp
           by grid_sample: at most 4 levels on a smooth picture; what sending a batch takes
  resume   a run that was stopped and gone on with, and one that was not: at most ten times as far
           apart as two equal runs are, and 0.1 of the largest weight at most
  torchvision  the same boxes as its NMS keeps, with both times; its detectors' training beside yolov5n's
  ap       shapes-n on shapes: mAP50 and mAP within 0.002 of the CPU's
  map      400 steps from random weights in every precision: mAP at most 0.1 apart, which two seeds are as well
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the project, installed or not

import numpy as np
import torch
from gpu_budget import BUDGETS, GRACE, SECONDS, Kept, ending_by, markdown, run_part
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
from gpu_colour import check_augmentation
from gpu_limits import check_map, check_processes, measure_ceilings
from gpu_others import measure_peer, measure_torchvision
from gpu_speed import measure_speed

from yolo_lite.cli.options import table

RESULTS = Path(__file__).parent / "RESULTS.md"
CHECKS: dict[str, Callable[[Machine], Finding]] = {
    "loss": check_loss,
    "iou": check_iou,
    "train": check_training,
    "waits": check_waits,
    "limits": measure_ceilings,
    "peer": measure_peer,
    "speed": measure_speed,
    "nms": check_nms,
    "nccl": check_processes,
    "augment": check_augmentation,
    "resume": check_resume,
    "torchvision": measure_torchvision,
    "ap": check_average_precision,
    "map": check_map,
}
MEASURED = ("limits", "peer", "speed")
VERDICTS = {True: "the same", False: "DIFFERS", None: "not run"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the parts; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        device = find_device(options.device)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    machine = Machine(device, time.monotonic() + options.seconds, options.peer)
    print(describe(device), flush=True)
    kept, findings = Kept(options.json, describe(device)), {}
    with ending_by(options.seconds + GRACE):
        spare, names = 0.0, options.only or list(CHECKS)
        more = options.seconds / sum(BUDGETS[name] for name in names)
        for name in names:
            started, budget = time.monotonic(), spare + more * BUDGETS[name]
            findings[name] = found = run_part(name, CHECKS[name], machine, budget)
            spare = max(budget - (time.monotonic() - started), 0.0)  # what one part leaves, the next may take
            took = time.monotonic() - started
            print(f"\n== {name}: {_verdict(name, found)} ({took:.1f} s). {found.words}", flush=True)
            if found.rows:
                print(table(found.rows), flush=True)
            kept.add(name, found, took)
    if options.append:
        parts = [(name, _verdict(name, found), found) for name, found in findings.items()]
        title = f"On a GPU: {describe(device)}"
        with options.append.open("a", encoding="utf-8") as file:
            file.write("\n" + markdown(title, parts))
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


def _verdict(name: str, found: Finding) -> str:
    verdict = "measured" if name in MEASURED and found.same else VERDICTS[found.same]
    return f"{verdict}, CUT SHORT {found.cut}" if found.cut else verdict


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
    parser.add_argument("--only", nargs="+", choices=CHECKS, metavar="PART", help=f"of {', '.join(CHECKS)}")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="for all parts, which share it as in gpu_budget.py"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, as JSON, written after every part")
    parser.add_argument(
        "--append", type=Path, metavar="FILE", nargs="?", const=RESULTS, help="tables, added to RESULTS.md or a file"
    )
    parser.add_argument("--peer", metavar="PYTHON", help="a Python that has YOLOv5 7.0.14; left out: this one may")
    return parser


if __name__ == "__main__":
    sys.exit(main())
