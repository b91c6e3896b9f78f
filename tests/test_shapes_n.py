"""The bundled weights: a trained network on the embedded dataset."""

import yolo_lite as yl


def test_it_finds_the_objects_of_scenes_it_has_never_seen():
    model = yl.load("shapes-n")
    dataset = yl.YoloDataset("shapes", img_size=256, split="test")
    assert model.names == dataset.names
    indices = range(24)
    found = yl.predict(model, [dataset.image(index) for index in indices], img_size=256)
    hits = total = 0
    for index, detections in zip(indices, found, strict=True):
        objects = dataset.objects(index)
        overlaps = yl.box_iou(detections.xyxy, detections.xyxy.new_tensor(objects.boxes))  # (found, objects)
        same = detections.cls[:, None] == detections.cls.new_tensor(objects.cls)[None]
        hits += int(((overlaps > 0.5) & same).any(0).sum())
        total += len(objects.cls)
    assert total > 80
    assert hits / total > 0.9
