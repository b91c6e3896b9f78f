"""Training: parameter groups, schedule, EMA, the loop, and a run on disk.

>>> Schedule(preset("small-data").hyp, epochs=2, batches=30, batch_size=16).warmup_iterations
30
"""

from yolo_lite.train.optim import ModelEma, Schedule
from yolo_lite.train.options import TrainOptions, preset
from yolo_lite.train.trainer import Trainer

__all__ = ["ModelEma", "Schedule", "TrainOptions", "Trainer", "preset"]
