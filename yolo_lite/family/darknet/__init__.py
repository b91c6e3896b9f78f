"""Darknet: networks in .cfg files, YOLOv1 to Scaled-YOLOv4."""
