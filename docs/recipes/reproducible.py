"""The same numbers again: the same seed gives the same run, bit for bit, if the number of threads is the same, too.

All that chance decides follows from ``seed``, whatever the number of workers. With more threads, sums are added up in
another order, and last digits differ: fix it beside the seed, and name it where you report numbers. A GPU needs
``torch.use_deterministic_algorithms(True)``, too. Other processors and versions of PyTorch give other last digits.
"""

import torch

import yolo_lite as yl
from yolo_lite.datasets.shapes import Shapes

torch.set_num_threads(1)  # as OMP_NUM_THREADS=1 does from outside


def train(seed: int) -> torch.Tensor:
    """All weights after two batches."""
    dataset = yl.YoloDataset(Shapes("train", size=64, count=8), img_size=64, augment=True, seed=seed)
    model = yl.create_model("yolov5n", names=dataset.names, seed=seed)
    options = {"epochs": 1, "batch_size": 4, "nominal_batch": 4, "auto_anchors": False}
    yl.Trainer(model, dataset, device="cpu", **options).fit()
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


first = train(seed=0)
assert torch.equal(first, train(seed=0))
assert not torch.equal(first, train(seed=1))
print(f"{len(first):,} weights, the same bit for bit; PyTorch {torch.__version__}, {torch.get_num_threads()} thread")
