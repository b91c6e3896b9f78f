"""What each of two processes does; test_distributed.py starts it with torchrun and looks at what it wrote."""

import copy
import json
import sys
from pathlib import Path

import torch

from tests.train.runs import HYP, SIZE, WITHOUT_NORM, new_run, resumed_run, scenes, tiny
from yolo_lite.data.loader import create_dataloader
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.running.distributed import World, distributed
from yolo_lite.train.trainer import Trainer


def gradients(world: World, out_dir: Path) -> None:
    """Of two steps: with half of the batch here and half of it there, and with 4 images of 7 here and 3 there."""
    model = tiny(WITHOUT_NORM).double()
    options = {"batch_size": 4, "nominal_batch": 8, "clip_norm": 1e9, "auto_anchors": False, "device": "cpu"}
    hyp = HYP.replace(warmup_epochs=0, lr0=0.0, weight_decay=0.0)  # the weights stay as they are
    trainer = Trainer(model, scenes(count=15), hyp=hyp, epochs=1, **options)
    averaged, step = [], trainer.optimizer.step

    def remember(*arguments: object) -> None:
        averaged.append({name: p.grad.clone() for name, p in model.named_parameters()})
        step(*arguments)

    trainer.optimizer.step = remember
    steps = list(trainer.steps())
    assert [step.stepped for step in steps] == [True, True]
    totals = [step.parts.total for step in steps]
    torch.save({"gradients": averaged, "totals": totals}, out_dir / f"gradients-{world.rank}.pt")


def shards(world: World, out_dir: Path) -> None:
    """The images of ten epochs, and which others are in this process's mosaics."""
    loader = create_dataloader(scenes(count=15), 4, shuffle=True, rank=world.rank, world_size=world.size)
    dataset = loader.dataset
    epochs, partners = [], set()
    for epoch in range(10):
        batches = [batch.tolist() for batch in loader.batch_sampler.batches(epoch)]
        epochs.append(batches)
        for index in (index for batch in batches for index in batch):
            mosaic = dataset.draw(index, epoch).mosaic  # always, with hyp.mosaic = 1
            partners |= set(mosaic.mosaic.partners)
    Path(out_dir / f"shards-{world.rank}.json").write_text(json.dumps({"epochs": epochs, "partners": sorted(partners)}))


class Count:
    def __init__(self) -> None:
        self.batches = self.epochs = 0

    def on_batch_end(self, trainer: Trainer, step: object) -> None:
        self.batches += 1
        if step.iteration == 0:
            trainer.change(lr0=0.02, mosaic=0.5)  # in the main process alone

    def on_epoch_end(self, trainer: Trainer, result: object) -> None:
        self.epochs += 1


def runs(world: World, out_dir: Path) -> None:
    """A whole run, and the same one cut and resumed."""
    count = Count()
    options = {"batch_size": 2, "nominal_batch": 8, "save_every": 0, "patience": 1}
    whole = new_run(out_dir / "whole", (count,), **options).fit()
    cut = new_run(out_dir / "cut", (Count(),), **options)
    for step in cut.steps():
        if step.iteration == 5:
            break
    world.barrier()
    resumed = resumed_run(out_dir / "cut")
    begun_at = resumed.iteration
    resumed.fit()
    said = {
        "begun_at": begun_at,
        "count": (count.batches, count.epochs),
        "hyp": (whole.hyp.lr0, whole.train_set.hyp.mosaic),
        "weights": sum(p.detach().double().sum().item() for p in whole.model.parameters()),
        "average": sum(p.double().sum().item() for p in whole.ema.model.parameters()),
        "class_maps": whole.class_maps,
        "validates": whole.val_loader is not None,
        "batches": len(whole.loader),
    }
    (out_dir / f"run-{world.rank}.json").write_text(json.dumps(said))


def frozen(world: World, out_dir: Path) -> None:
    """Frozen layers give no gradients to average."""
    trainer = new_run(None, val=0, epochs=1, freeze=1)
    before = copy.deepcopy(trainer.model.layers[0].state_dict())
    trainer.fit()
    same = all(torch.equal(value, before[name]) for name, value in trainer.model.layers[0].state_dict().items())
    (out_dir / f"frozen-{world.rank}").write_text(str(same))


def unlike(world: World, out_dir: Path) -> None:
    """What only one of two processes is told: other options are an error in both, a stop is one for both."""
    words = []
    source, rank = Shapes("train", SIZE, 16), world.rank
    for data, options in (
        (source, {"epochs": 1 + rank}),
        (source, {"seed": rank}),
        (source, {"batch_size": 2 + rank}),
        (scenes(count=15 + rank), {}),
    ):
        try:
            Trainer(tiny(), data, **{"epochs": 1, "device": "cpu", "img_size": SIZE} | options)
        except ValueError as error:
            words.append(str(error))
    trainer = new_run(None, val=0)
    for step in trainer.steps():
        if world.rank == 1 and step.iteration == 1:
            trainer.stop("enough")
    words.append(trainer.ended)
    (out_dir / f"unlike-{world.rank}.json").write_text(json.dumps(words))


def main(out_dir: Path) -> None:
    torch.set_num_threads(1)
    with distributed() as world:
        assert torch.distributed.get_backend() in ("gloo", "undefined")
        for part in (gradients, shards, runs, frozen, unlike):
            part(world, out_dir)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
