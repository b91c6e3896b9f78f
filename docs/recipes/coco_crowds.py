"""Convert COCO annotations with crowd regions, and validate as COCO does."""

import json
import tempfile
from pathlib import Path

import cv2

import yolo_lite as yl
from yolo_lite.cli import main
from yolo_lite.datasets.shapes import Shapes

folder = Path(tempfile.mkdtemp())
scenes = yl.YoloDataset(Shapes("val", size=256, count=16), 256)
(folder / "photos").mkdir()
images, annotations = [], []
for index in range(len(scenes)):  # somebody's COCO file
    cv2.imwrite(str(folder / f"photos/{index}.png"), scenes.image(index)[..., ::-1])
    images.append({"id": 500 + index, "file_name": f"{index}.png", "width": 256, "height": 256})
    objects = scenes.objects(index)
    for place, (cls, box) in enumerate(zip(objects.cls.tolist(), objects.boxes.tolist(), strict=True)):
        left, top, right, bottom = box
        bbox, area = [left, top, right - left, bottom - top], 0.6 * (right - left) * (bottom - top)
        ids = {"id": len(annotations) + 1, "image_id": 500 + index, "category_id": 10 * cls + 10}
        annotations.append({**ids, "bbox": bbox, "area": area, "iscrowd": int(place == 0 and index % 2)})
categories = [{"id": 10 * cls + 10, "name": name} for cls, name in enumerate(scenes.names)]
content = {"images": images, "annotations": annotations, "categories": categories}
(folder / "val.json").write_text(json.dumps(content))

# yolo-lite convert coco val.json dataset --split val --image-dir photos --crowd drop
words = ["convert", "coco", folder / "val.json", folder / "dataset", "--split", "val"]
assert main([*map(str, words), "--image-dir", str(folder / "photos"), "--crowd", "drop"]) == 0

# yolo-lite val --weights shapes-n --data dataset --save-json results.json
words = ["val", "--weights", "shapes-n", "--data", folder / "dataset", "--save-json", folder / "results.json"]
assert main([*map(str, words), "--device", "cpu"]) == 0

metrics = yl.evaluate(yl.load("shapes-n"), folder / "dataset", img_size=256)
assert metrics.annotations.endswith("annotations/instances_val.json")  # found beside the images
assert yl.evaluate(yl.load("shapes-n"), folder / "dataset", annotations=False).coco != metrics.coco
assert {result["image_id"] for result in json.loads((folder / "results.json").read_text())} <= set(range(500, 516))
