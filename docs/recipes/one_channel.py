"""A network for gray pictures: `ch: 1` in its YAML, and everything else follows.

Other counts are as easy: 4 reads RGBA, N reads TIFFs of N pages and .npy files (H, W, N). No page and no band of an
.npy is dropped or mixed: another number of them is an error. Numbers become bytes by their type alone, so that a number
is the same byte in every page and file: uint8 as they are, uint16 their upper 8 bits, floats in [0, 1] times 255, other
whole numbers from 0 to 255 as they are; anything else is an error.
"""

from pathlib import Path

import cv2
import numpy as np

import yolo_lite as yl

for split, count in (("train", 24), ("val", 8)):  # a bright disc on gray noise, as PNG files of one channel
    images, labels = Path("data/images", split), Path("data/labels", split)
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for index in range(count):
        rng = np.random.default_rng([split == "val", index])
        picture = rng.integers(0, 90, (64, 64)).astype(np.uint8)  # (H, W)
        x, y = rng.integers(12, 52, 2).tolist()
        cv2.circle(picture, (x, y), 9, 220, cv2.FILLED)
        cv2.imwrite(str(images / f"{index}.png"), picture)
        (labels / f"{index}.txt").write_text(f"0 {(x + 0.5) / 64} {(y + 0.5) / 64} {19 / 64} {19 / 64}\n")
Path("data/data.yaml").write_text("train: images/train\nval: images/val\nnames: [disc]\n")

Path("gray.yaml").write_text("""
nc: 1
ch: 1  # image channels
depth_multiple: 1.0
width_multiple: 1.0
anchors: 2
backbone:
  - [-1, 1, Conv, [16, 3, 4]]
  - [-1, 1, Conv, [32, 3, 2]]
head:
  - [-1, 1, Conv, [32, 3, 2]]
  - [[1, 2], 1, Detect, [nc, anchors]]
""")
model = yl.create_model("gray.yaml", names=["disc"])

# Augmentations that need colours stay out, and the logger "yolo_lite.data" names those that are not 0.
hyp = {"hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0, "to_gray": 0.0, "clahe": 0.0}
hyp |= {"brightness_contrast": 0.5, "gamma": 0.5, "scale": 0.1, "mosaic": 0.0, "lr0": 0.02}
options = {"epochs": 12, "validate_every": 4, "batch_size": 4, "nominal_batch": 4, "img_size": 64, "device": "cpu"}
trainer = yl.Trainer(model, "data/data.yaml", hyp=hyp, out_dir="run", preset="small-data", **options)
assert trainer.train_set[0].image.shape == (1, 64, 64)
trainer.fit()
print(f"mAP50 after {trainer.epoch} epochs: {trainer.history[-1]['mAP50']:.2f}")
assert trainer.history[-1]["mAP50"] > 0.5

model = yl.load("run/best.safetensors")
path = "data/images/val/0.png"
gray = cv2.imread(path, cv2.IMREAD_GRAYSCALE)  # (H, W)
from_file, from_array, from_colour = yl.predict(model, [path, gray, np.dstack([gray] * 3)])
assert len(from_file) == len(from_array) == len(from_colour) == 1  # of colours it sees the luma
assert from_file.draw().shape == (64, 64, 3)  # drawn on as gray, in colour

yl.export(model, "gray.torchscript", format="torchscript")
