"""YOLOv8, YOLOv9 (GELAN) and YOLO11: no anchors, a distribution for each side of a box, task-aligned assignment."""
