"""predict: paths, arrays or tensors of any size -> boxes in the pixels of the original image.

Interface: class Detections(NamedTuple): xyxy (n,4) float32, conf (n,), cls (n,) int64, names; predict(model, images, conf_thres=.25, iou_thres=.45, img_size=640, classes=None, agnostic=False, max_det=1000, batch_size=..., device=None) -> list[Detections]
"""
