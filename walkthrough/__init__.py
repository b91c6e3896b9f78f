"""The tools that show YOLO computing. Imports yolo_lite; never the other way round."""
