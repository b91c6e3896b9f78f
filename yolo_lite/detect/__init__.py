"""From maps to detections and figures: NMS, predict, evaluate."""
