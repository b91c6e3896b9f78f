"""An optimiser and a schedule of your own, and how such a run is resumed."""

import tempfile
from functools import partial

import torch

import yolo_lite as yl
from yolo_lite.datasets.shapes import Shapes

train = yl.YoloDataset(Shapes("train", 64, 16), 64, augment=True)
own = {
    # Called with the three parameter groups (biases, weights, norms); its learning rate stands in lr0's place.
    "optimizer": partial(torch.optim.NAdam, lr=0.002),
    # A torch scheduler, a step per epoch; or a function of the epoch: lambda epoch: 0.9**epoch
    "schedule": partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5),
}
with tempfile.TemporaryDirectory() as folder:
    model = yl.create_model("yolov5n", names=train.names)
    options = {"epochs": 2, "batch_size": 8, "nominal_batch": 8, "auto_anchors": False, "device": "cpu"}
    hyp = {"warmup_epochs": 0.0}
    trainer = yl.Trainer(model, train, hyp=hyp, out_dir=folder, **own, **options).fit()
    assert [row["lr"] for row in trainer.history] == [0.002, 0.001]
    try:
        yl.Trainer.resume(folder, train=train)
    except ValueError as error:
        assert "pass optimizer= again" in str(error)
    trainer = yl.Trainer.resume(folder, train=train, epochs=3, **own).fit()
    assert trainer.history[2]["lr"] == 0.0005
