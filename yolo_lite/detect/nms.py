"""Non-maximum suppression: exact, batched, without a clock.

Interface: non_max_suppression(boxes, conf_thres=.25, iou_thres=.45, classes=None, agnostic=False, multi_label=False, max_det=300) -> list of (n, 6) xyxy conf cls; nms(boxes xyxy (n,4), scores (n,), iou_thres) -> kept indices, best first
"""
