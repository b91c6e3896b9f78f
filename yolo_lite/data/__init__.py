"""From a source of images and labels to batches. YOLOv5: `utils/dataloaders.py`."""
