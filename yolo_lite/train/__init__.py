"""Training: parameter groups, schedule, EMA, the loop, and a run on disk.

>>> settings = preset("small-data")
>>> Schedule(settings.hyp, epochs=2, batches=30, batch_size=16).at(0).accumulate
1
"""

from yolo_lite.train.ema import ModelEma
from yolo_lite.train.options import TrainOptions, preset
from yolo_lite.train.schedule import Schedule
from yolo_lite.train.trainer import Trainer

__all__ = ["ModelEma", "Schedule", "TrainOptions", "Trainer", "preset"]
