"""An augmentation of your own: a dark patch somewhere in each training image, as the last stage of every sample."""

import numpy as np

import yolo_lite as yl
from yolo_lite.augment.objects import Objects


def patch(image: np.ndarray, objects: Objects, rng: np.random.Generator) -> tuple[np.ndarray, Objects]:
    """image (H, W, 3) uint8 RGB of the network's input; objects with cls, boxes xyxy in pixels, polygons."""
    height, width = image.shape[:2]
    x, y = rng.integers(0, width - 16), rng.integers(0, height - 16)
    image[y : y + 16, x : x + 16] = 0  # it is a copy
    centres = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2
    hidden = ((centres >= (x, y)) & (centres < (x + 16, y + 16))).all(1)
    return image, objects.select(~hidden)  # what cannot be seen is not asked for


train = yl.YoloDataset("photos", img_size=96, augment=True, seed=1, transform=patch)
*_, before, after = train.stages(train.draw(index=2, epoch=0))
assert after.name == "transform" and (after.image != before.image).any()
assert (train.sample(2, epoch=0).image == train.sample(2, epoch=0).image).all()  # the same whenever it is asked for
batch = next(iter(yl.create_dataloader(train, batch_size=4, shuffle=True)))
assert batch.images.shape == (4, 3, 96, 96)
