"""PyTorch's own DataLoader on a YoloDataset: each pass over it is another epoch, as with create_dataloader."""

import warnings

import torch
from torch.utils.data import DataLoader

import yolo_lite as yl
from yolo_lite.data.loader import collate

dataset = yl.YoloDataset("photos", img_size=64, augment=True, seed=0)
loader = DataLoader(dataset, batch_size=4, sampler=dataset.sampler(), collate_fn=collate)
first, second = ([batch.images for batch in loader] for _ in range(2))
assert sum(map(len, first)) == len(dataset)
assert not all(torch.equal(a, b) for a, b in zip(first, second, strict=False))  # another order, other augmentations
ours = [batch.images for batch in yl.create_dataloader(dataset, 4, shuffle=True)]
assert all(torch.equal(a, b) for a, b in zip(first, ours, strict=False))

with warnings.catch_warnings(record=True) as found:  # shuffle=True asks for indices without an epoch
    warnings.simplefilter("always")
    plain = DataLoader(dataset, batch_size=4, shuffle=True, collate_fn=collate)
    for _ in range(2):
        list(plain)
assert "dataset.sampler()" in str(found[0].message)
