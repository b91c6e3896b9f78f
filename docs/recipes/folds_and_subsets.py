"""Parts of a dataset: k-fold cross-validation, a subset, a filter of classes, and PyTorch's Subset."""

import numpy as np
from torch.utils.data import Subset

import yolo_lite as yl

dataset = yl.YoloDataset("photos", img_size=64, augment=True, seed=0)
for train, val in dataset.folds(3, seed=0):  # training with augmentation, validation without
    assert not set(train.paths) & set(val.paths)
    assert len(train) + len(val) == len(dataset)
    # yl.Trainer(yl.create_model("yolov5n", names=train.names), train, val, epochs=50).fit()

names = dataset.names
kept = [names[3], names[0]]
filtered = yl.YoloDataset("photos", img_size=64, classes=kept)  # renumbered: the first of them is class 0
assert filtered.names == tuple(kept) and len(filtered) == len(dataset)  # other images are background
with_objects = filtered.subset(np.flatnonzero(filtered.labels.objects_per_image))
assert all(len(sample.labels) for sample in with_objects)

half = Subset(yl.YoloDataset("photos", img_size=64), range(0, len(dataset), 2))  # PyTorch's own
metrics = yl.evaluate(yl.create_model("yolov5n", names=names), half)
assert metrics.num_images == len(half) == len(yl.create_dataloader(half).dataset)
