"""YOLO you can read: a small library that computes exactly what YOLOv5 computes."""

__version__ = "0.1.0"
