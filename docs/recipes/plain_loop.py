"""A training loop of your own, in plain PyTorch: ten lines around the dataset, the network and the loss.

What the Trainer adds is left out here: EMA, warm-up, mixed precision, checkpoints, several processes.
"""

import tempfile
from pathlib import Path

import torch

import yolo_lite as yl
from yolo_lite.datasets.shapes import Shapes

dataset = yl.YoloDataset(Shapes("train", size=64, count=16), img_size=64)  # or the path of a data.yaml
loader = yl.create_dataloader(dataset, batch_size=8, shuffle=True)
model = yl.create_model("yolov5n", names=dataset.names)
criterion = model.criterion(yl.Hyperparameters(), img_size=64)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

losses = []
for epoch in range(4):
    loader.set_epoch(epoch)  # another order, and other draws of the augmentation
    for batch in loader:
        maps = model(batch.images / 255)  # uint8 (N, 3, H, W) -> raw maps
        parts = criterion(maps, batch.targets)  # total, box, obj, cls
        optimizer.zero_grad()
        parts.total.backward()
        optimizer.step()
        losses.append(parts.total.item())

print(f"{losses[0]:.1f} -> {losses[-1]:.1f}")
assert losses[-1] < losses[0]
metrics = yl.evaluate(model, loader)  # puts the model into evaluation mode, and back
assert metrics.num_images == 16

path = Path(tempfile.mkdtemp(), "mine.safetensors")
yl.save(model, path, metadata={"img_size": 64})  # so that prediction takes the size of the training, and not 640
assert yl.load(path).metadata == {"img_size": 64}
