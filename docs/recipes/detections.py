"""What was found: counted, chosen from, written down, drawn at the picture's own size."""

import json
import tempfile
from pathlib import Path

import cv2

import yolo_lite as yl

folder = Path(tempfile.mkdtemp())
scenes = yl.YoloDataset("shapes", img_size=256, split="val")
for index in range(3):
    cv2.imwrite(str(folder / f"{index}.png"), scenes.image(index)[..., ::-1])

model = yl.load("shapes-n")
for found in yl.predict(model, folder, stream=True, conf_thres=0.1):  # a folder, with those in it
    print(Path(found.path).name, found)  # counts by class
    for name, _conf, (left, top, right, bottom) in found:
        assert 0 <= left < right <= found.size[1]
        assert 0 <= top < bottom <= found.size[0]
        assert name in model.names
    sure = found[found.conf > 0.5]  # a mask, a slice or several numbers: Detections again
    assert all(detection.conf > 0.5 for detection in sure)
    Path(found.path).with_suffix(".json").write_text(json.dumps(sure.to_dicts()))
    drawn = sure.draw()  # RGB; of an array that you gave to predict: sure.draw(image)
    assert drawn.shape[:2] == found.size
    cv2.imwrite(str(folder / f"{Path(found.path).stem}-drawn.jpg"), drawn[..., ::-1])

(stars,) = yl.predict(model, scenes.image(0), classes="star", multi_label=True)
assert {detection.name for detection in stars} <= {"star"}
assert len(list(folder.glob("*-drawn.jpg"))) == len(list(folder.glob("*.json"))) == 3
