"""evaluate: precision, recall, average precision (COCO's rule or YOLOv5's), confusion matrix, curves as data.

Interface: evaluate(model, loader, rule="coco", conf_thres=.001, iou_thres=.6, max_det=300, device=None, progress=False) -> Metrics(map, map50, per_class, confusion, curves, ...);
average_precision(correct (n, T) bool, conf (n,), pred_cls (n,), target_cls (m,), rule="coco") -> AveragePrecision(ap (C, T), precision, recall, f1 (C,), classes (C,), curves)
match_detections(detections (n,6), labels (m,5) cls xyxy, iou_thresholds (T,)) -> correct (n, T) bool; confusion_matrix(...)
"""
