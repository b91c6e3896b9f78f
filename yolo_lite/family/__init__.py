"""The other generations: YOLOv1 to Scaled-YOLOv4, SSD, RetinaNet, FCOS, exactly as they were."""
