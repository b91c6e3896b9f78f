"""Checkpoints: own format (safetensors + JSON header, written atomically), and official .pt files read without running anything in them.

Interface: save(model, path, metadata=None); load(path_or_name, num_classes=None?) -> Yolo ("shapes-n" style names resolve to yolo_lite/model/weights/*.safetensors); CheckpointError(ValueError)
model/official.py: the allow-listing unpickler and Record
"""
