"""What a training reaches, and how long it takes: the median over seeds of `yolo-lite train` runs.

usage: python benchmarks/training.py shapes | shapes-30s | bccd-reference | bccd-small-data [--seeds 0 1 2]
           [--weights yolov5n.pt] [--data bccd/data.yaml] [--threads 2]

shapes: the embedded dataset from random weights. bccd: blood cells (205 training and 87 validation images, 3 classes)
from the official yolov5n, which `yolo-lite fetch yolov5n` brings; give its path and that of the dataset.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile

# Half precision with channels last is the fastest on CPUs that know bfloat16; elsewhere leave both out.
FAST = "--cache ram --precision bfloat16 --channels-last"
# A network that sees each scene only a few times does not need them varied.
PLAIN = " ".join(f"--set {name}=0" for name in ("mosaic", "scale", "hsv_h", "hsv_s", "hsv_v"))
SHAPES = f"--data shapes --model yolov5n --preset small-data --img-size 160 --batch-size 32 --rule coco {FAST} {PLAIN}"
SHAPES += " --set lr0=0.004 --set box=0.2"
BCCD = "--img-size 320 --batch-size 16 --epochs 20 --cache ram --rule yolov5"
RUNS = {
    "shapes": f"{SHAPES} --epochs 9 --validate-every 9",
    "shapes-30s": f"{SHAPES} --epochs 3 --validate-every 3",
    "bccd-reference": f"{BCCD} --preset finetune",
    "bccd-small-data": f"{BCCD} --preset small-data",
}


def run(options: list[str], seed: int, threads: int) -> dict:
    """One training in a process of its own; its JSON document."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "yolo_lite", "train", *options]
        command += ["--seed", str(seed), "--out", f"{folder}/run", "--json"]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Runs one recipe for every seed and prints a line each, then the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=RUNS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--weights", help="official yolov5n.pt, for bccd")
    parser.add_argument("--data", help="data.yaml of the blood cells, for bccd")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    options = shlex.split(RUNS[given.recipe])
    if given.recipe.startswith("bccd"):
        if not (given.weights and given.data):
            parser.error("bccd needs --weights yolov5n.pt and --data bccd/data.yaml")
        options += ["--weights", given.weights, "--data", given.data]
    print("yolo-lite train", shlex.join(options), f"({given.threads} threads)", flush=True)
    rows = []
    for seed in given.seeds:
        said = run(options, seed, given.threads)
        row = {"mAP50": said["best"]["map50"], "mAP": said["best"]["map"], **said["seconds"]}
        rows.append(row)
        print(f"seed {seed}:", _words(row), f"({said['images_per_s']:.0f} images/s)", flush=True)
    print("median:", _words({name: statistics.median(row[name] for row in rows) for name in rows[0]}))


def _words(row: dict[str, float]) -> str:
    figures = [f"{name} {row[name]:.3f}" for name in ("mAP50", "mAP")]
    return ", ".join(figures + [f"{name} {row[name]:.1f} s" for name in ("training", "validation", "preparation")])


if __name__ == "__main__":
    main()
