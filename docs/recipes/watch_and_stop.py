"""Watch a run, change it on the way, and stop it; then go on from where it stopped."""

import csv
import logging
import tempfile
from pathlib import Path

import yolo_lite as yl
from yolo_lite.datasets.shapes import Shapes

logging.basicConfig(level=logging.INFO)  # what a run notices goes to the logger "yolo_lite.train"


class Watch:
    """Any object with some of on_start, on_batch_end, on_epoch_end, on_end, on_break."""

    def on_batch_end(self, trainer, step):
        if step.iteration == 1:
            trainer.change(lr0=0.001)
        if step.iteration == 3:
            trainer.stop("four batches are enough")

    def on_end(self, trainer):
        self.why = trainer.ended


train, val = (yl.YoloDataset(Shapes(split, 64, 12), 64, augment=split == "train") for split in ("train", "val"))
model, watch = yl.create_model("yolov5n", names=train.names), Watch()
with tempfile.TemporaryDirectory() as folder:
    options = {"epochs": 2, "batch_size": 4, "preset": "small-data", "auto_anchors": False, "device": "cpu"}
    trainer = yl.Trainer(model, train, val, out_dir=folder, callbacks=[watch], **options).fit()
    assert trainer.iteration == 4 and "four batches are enough" in watch.why
    resumed = yl.Trainer.resume(folder, train=train, val=val).fit(progress=True)
    assert resumed.iteration == 6 and resumed.ended.startswith("the run is finished")
    rows = list(csv.DictReader(Path(folder, "results.csv").read_text().splitlines()))
assert float(rows[1]["val/box"]) == resumed.history[1]["val/box"] > 0
