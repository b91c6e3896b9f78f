"""How long a dataset of many files takes to open, the first time and again: python benchmarks/opening.py [images].

Makes tiny pictures with label files in a temporary folder, opens them three times and deletes them. The label cache is
in that folder too, so that the user's own stays as it is.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

IN_A_FOLDER = 1000  # images
OPEN = """
import sys, time, resource
from pathlib import Path
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.datasets.files import label_cache
label_cache.user_cache_dir = lambda: Path(sys.argv[2])
started, before = time.perf_counter(), time.process_time()
dataset = YoloDataset(sys.argv[1], img_size=640)
seconds, cpu = time.perf_counter() - started, time.process_time() - before
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{dataset.labels.num_objects} objects: {cpu:.1f} CPU s, {seconds:.1f} s, {memory:.0f} MiB")
"""


def write(root: Path, images: int) -> Path:
    """Pictures of 32 x 24 pixels with 0 to 9 boxes each, in folders of a thousand; returns the data.yaml."""
    generator = np.random.default_rng(0)
    picture = cv2.imencode(".jpg", generator.integers(0, 255, (24, 32, 3), dtype=np.uint8))[1].tobytes()
    for index in range(images):
        place = f"train/{index // IN_A_FOLDER:03}"
        if index % IN_A_FOLDER == 0:
            (root / "images" / place).mkdir(parents=True)
            (root / "labels" / place).mkdir(parents=True)
        (root / "images" / place / f"{index:06}.jpg").write_bytes(picture)
        rows = [
            f"{cls} {' '.join(f'{value:.6f}' for value in generator.uniform(0.2, 0.4, 4))}\n"
            for cls in generator.integers(0, 3, generator.integers(0, 10))
        ]
        (root / "labels" / place / f"{index:06}.txt").write_text("".join(rows))
    data = root / "data.yaml"
    data.write_text(f"path: {root}\ntrain: images/train\nval: images/train\nnames: [a, b, c]\n")
    return data


def main(images: int = 100_000) -> None:
    """Prints a line for each opening."""
    with tempfile.TemporaryDirectory() as folder:
        data, cache = write(Path(folder) / "data", images), Path(folder) / "cache"
        time.sleep(3)  # files that have just changed are not kept
        for what in ("first", "again", "and again"):
            line = subprocess.run([sys.executable, "-c", OPEN, data, cache], capture_output=True, text=True, check=True)
            print(f"{what:10}{line.stdout}", end="", flush=True)
        size = sum(path.stat().st_size for path in cache.rglob("*.labels"))
        print(f"the cache: {size / 2**20:.0f} MiB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
