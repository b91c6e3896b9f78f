"""PyTorch Lightning trains the network: a LightningModule around the network, its loss and its evaluation.

Lightning's Trainer replaces the library's here, so EMA, warm-up and image sizes that change are Lightning's to add.
"""

# pip install lightning
import lightning
import torch

import yolo_lite as yl
from yolo_lite.datasets.shapes import Shapes


class LightningDetector(lightning.LightningModule):
    """A network of yolo_lite, what it is trained by, and how it is scored."""

    def __init__(self, names: tuple[str, ...], img_size: int) -> None:
        super().__init__()
        self.network = yl.create_model("yolov5n", names=names)
        self.criterion = self.network.criterion(yl.Hyperparameters(), img_size=img_size)

    def training_step(self, batch: yl.Batch, index: int) -> torch.Tensor:
        parts = self.criterion(self.network(batch.images / 255), batch.targets)  # total, box, obj, cls
        self.log("box", parts.box, batch_size=len(batch.images))
        return parts.total

    def on_validation_epoch_end(self) -> None:
        metrics = yl.evaluate(self.network, self.trainer.val_dataloaders)
        self.log_dict({"map50": metrics.map50, "map": metrics.map})

    def validation_step(self, batch: yl.Batch, index: int) -> None:
        """Nothing batch by batch: mAP is not a mean over batches."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


class NewDraws(lightning.Callback):
    """Another order, and other draws of the augmentation, in every epoch."""

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        trainer.train_dataloader.set_epoch(trainer.current_epoch)


train = yl.YoloDataset(Shapes("train", size=64, count=16), img_size=64)  # or the path of a data.yaml
val = yl.YoloDataset(Shapes("val", size=64, count=8), img_size=64)
detector = LightningDetector(train.names, train.img_size)
trainer = lightning.Trainer(
    max_epochs=3,
    accelerator="cpu",
    callbacks=[NewDraws()],
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(detector, yl.create_dataloader(train, batch_size=8, shuffle=True), yl.create_dataloader(val, batch_size=8))

assert trainer.global_step == 6
assert 0 < trainer.logged_metrics["box"] < 0.2  # 1 - CIoU, times hyp.box = .05, over three grids
metrics = yl.evaluate(detector.network, val)  # a network of yolo_lite as any other: yl.save, yl.predict, yl.export
assert trainer.logged_metrics["map50"] == torch.tensor(metrics.map50)
