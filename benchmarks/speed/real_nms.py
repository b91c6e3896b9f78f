"""torchvision's side: python -m benchmarks.speed.real_nms, started by turns.py with a Python that has torchvision."""

from typing import Any

import torch
import torchvision

from benchmarks.speed import inputs
from benchmarks.speed.worker import Work, serve


def nms(count: int, limit: int | None = 300, classes: int = 80) -> Work:
    """torchvision knows no limit: it finds all, and the first are taken, as the peer takes them.

    batched_nms is its quicker way for many boxes on a CPU: class by class, where nms looks at all pairs.
    """
    boxes, scores, cls = inputs.boxes_to_suppress(count, classes)

    def call() -> None:
        torchvision.ops.batched_nms(boxes, scores, cls, 0.45)[:limit]

    return Work(call)


def facts() -> dict[str, Any]:
    return {"torch": torch.__version__, "torchvision": torchvision.__version__}


if __name__ == "__main__":
    serve({"nms": nms}, torch.set_num_threads, facts)
