"""A pass over a loader with worker processes, timed alike on every side. Imports nothing of either."""

import time
from typing import Any

AHEAD = 2 * 2  # batches that two workers load ahead, while the other side has its turn


def steady_seconds(loader: Any, batch: int) -> float:
    """Seconds of a sample in one pass, without the batches that were loaded ahead, and without a smaller last one."""
    start, end, seen = 0.0, 0.0, 0
    batches = len(loader)
    for number, _ in enumerate(loader):
        now = time.perf_counter()
        if number == AHEAD - 1:
            start = now
        if AHEAD <= number < batches - 1:
            seen, end = seen + batch, now
    time.sleep(0.5)  # workers may load the next batches ahead: not in the other's turn
    return (end - start) / seen
