"""The generations of detectors before and beside YOLOv5, each exactly as it was."""
