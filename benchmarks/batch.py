"""How many images predict runs together fastest on the CPU: what `batch_size=None` stands for.

usage: python benchmarks/batch.py [threads] [rounds]

yolov5n with random weights, 16 pictures in memory, 3:4, letterboxed to 320 and 640 px. All batch sizes are measured in
turns, so that what else runs on the machine is in all of them alike; printed are medians over the rounds, as
milliseconds an image and as a multiple of batch 1: of the clock, and of all threads' CPU time, which tells more where
the machine is not idle. With several threads set OMP_WAIT_POLICY=passive, or threads that wait count as work.
"""

import statistics
import sys
import time

import numpy as np
import torch

import yolo_lite as yl

BATCHES, SIZES, IMAGES = (1, 2, 4, 8, 16), (320, 640), 16


def main(threads: int = 1, rounds: int = 7) -> None:
    """Prints a line for each size."""
    torch.set_num_threads(threads)
    chance = np.random.default_rng(0)
    model = yl.create_model("yolov5n").fuse()
    print(f"{threads} threads, {rounds} rounds, PyTorch {torch.__version__}")
    for size in SIZES:
        images = [chance.integers(0, 255, (size * 3 // 4, size, 3), dtype=np.uint8) for _ in range(IMAGES)]
        yl.predict(model, images[:1], img_size=size)
        clocks = {"clock": time.perf_counter, "CPU": time.process_time}
        seconds: dict[tuple[str, int], list[float]] = {(clock, batch): [] for clock in clocks for batch in BATCHES}
        for _ in range(rounds):
            for batch in BATCHES:
                start = {clock: read() for clock, read in clocks.items()}
                yl.predict(model, images, img_size=size, batch_size=batch)
                for clock, read in clocks.items():
                    seconds[clock, batch].append((read() - start[clock]) / IMAGES)
        for clock in clocks:
            medians = {batch: statistics.median(seconds[clock, batch]) for batch in BATCHES}
            words = ", ".join(f"{b}: {1000 * s:.1f} ms ({s / medians[1]:.2f})" for b, s in medians.items())
            print(f"{size} px, {clock}, batch {words}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
