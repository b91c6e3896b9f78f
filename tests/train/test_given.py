"""A loss, an optimiser and a schedule of one's own, the run that they make, and the run that goes on with them."""

from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from tests.train.runs import HYP, RICH, SIZE, digest, scenes, tiny
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.loss import ComputeLoss
from yolo_lite.train.options import TrainOptions
from yolo_lite.train.schedule import Schedule
from yolo_lite.train.trainer import Trainer

PLAIN = RICH | {"epochs": 2, "autobalance": False, "image_weights": False, "multi_scale": False, "optimizer": "SGD"}


def run(out_dir=None, model=None, val=None, **options) -> Trainer:
    return Trainer(model or tiny(), scenes(), val, out_dir=out_dir, **PLAIN | options)


def stopped_at(out_dir, iteration: int, **options) -> None:
    """A run that was left after that many batches, and saved."""
    trainer = run(out_dir, **options)
    for step in trainer.steps():
        if step.iteration + 1 == iteration:
            break
    trainer.save()


class AllOrNothing(ComputeLoss):
    """Objectness towards 1 wherever something is matched."""

    def objectness_target(self, shape, matches, overlap):
        return (super().objectness_target(shape, matches, overlap) > 0).to(overlap)


class Parts(NamedTuple):
    total: Tensor
    size: Tensor


def size_loss(maps, targets) -> Parts:
    size = sum(raw.square().mean() for raw in maps)
    return Parts(size * 0.1, size)


# ---------------------------------------------------------------------------------------------------------- the loss


def test_targets_of_the_loss_can_be_overridden():
    model, targets = tiny(), torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.4]])
    maps = model(torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)))
    plain, own = model.criterion(HYP, SIZE), AllOrNothing.of(model, HYP, SIZE)
    same = ComputeLoss.of(model, HYP, SIZE)
    assert all(torch.equal(a, b) for a, b in zip(plain(maps, targets), same(maps, targets), strict=True))
    assert set(torch.cat([level.objectness.flatten() for level in own.levels(maps, targets)]).tolist()) == {0.0, 1.0}
    assert not torch.equal(own(maps, targets).obj, plain(maps, targets).obj)
    assert torch.equal(own(maps, targets).box, plain(maps, targets).box)


def test_class_targets_can_be_overridden():
    class Soft(ComputeLoss):
        def class_target(self, logits, cls):
            return torch.full_like(logits, 0.5)

    model, targets = tiny(), torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.4]])
    maps = model(torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)))
    assert not torch.equal(Soft.of(model, HYP, SIZE)(maps, targets).cls, model.criterion(HYP, SIZE)(maps, targets).cls)


def test_a_loss_is_an_object_or_made_for_the_model():
    made = run(criterion=AllOrNothing.of, box_loss="giou")
    assert type(made.loss) is AllOrNothing
    assert made.loss.box_loss == "giou"
    assert made.loss.hyp == HYP.scaled(2, 6, SIZE)
    own = run(criterion=size_loss).fit()
    assert own.loss is size_loss
    assert own.history[0]["train/size"] > own.history[1]["train/size"] > 0
    assert {name for name in own.history[0] if name.startswith("train/")} == {"train/size"}


def test_what_is_no_loss_is_said():
    with pytest.raises(ValueError, match=r"criterion=ComputeLoss .*\.of"):
        run(criterion=ComputeLoss)
    with pytest.raises(ValueError, match="criterion=str"):
        run(criterion="ciou")

    def bare(maps, targets):
        return maps[0].mean()

    trainer = run(criterion=bare)
    with pytest.raises(TypeError, match=r"bare returned Tensor: .*NamedTuple.*total"):
        trainer.fit()

    class Own:
        def __init__(self, model):
            pass

    with pytest.raises(ValueError, match=r"criterion=.*Own: a function of \(model, hyp, img_size\)"):
        run(criterion=Own)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda size: Parts(size.detach(), size), "total without gradient"),
        (lambda size: Parts(size, 3.0), "size as float"),
        (lambda size: Parts(size.expand(2), size), r"total as a tensor \(2,\)"),
    ],
)
def test_what_a_loss_returns_is_checked(make, words):
    trainer = run(criterion=lambda maps, targets: make(sum(raw.square().mean() for raw in maps)))
    with pytest.raises(TypeError, match=words):
        next(trainer.steps())


class Weighted(nn.Module):
    """A loss with a weight of its own."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    @classmethod
    def make(cls, model, hyp, img_size, gain=1.0):
        return cls(gain)

    def forward(self, maps, targets):
        parts = size_loss(maps, targets)
        return parts._replace(total=parts.total * self.gain)


def test_a_torch_scheduler_may_be_as_long_as_a_longer_run(tmp_path):
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR
    run(tmp_path, schedule=partial(cosine, T_max=2)).save()
    with pytest.raises(ValueError, match=r"CosineAnnealingLR\(T_max=2\), and now it is .*T_max=4"):
        Trainer.resume(tmp_path, train=scenes(), schedule=partial(cosine, T_max=4))
    assert Trainer.resume(tmp_path, train=scenes(), schedule=partial(cosine, T_max=4), epochs=4).options.epochs == 4


def test_weights_of_the_loss_that_nothing_moves_are_said():
    assert any("criterion: gain of Weighted stay" in message for message in run(criterion=Weighted.make).messages)
    fixed = Weighted()
    fixed.gain.requires_grad_(False)
    assert not any("criterion" in message for message in run(criterion=fixed).messages)


gain = nn.Parameter(torch.ones(1))  # as in a notebook
model_of_a_notebook = tiny()


def with_global(maps, targets):
    return Parts(gain * sum(raw.square().mean() for raw in maps), model_of_a_notebook.anchors.mean())


class Plain:
    def __init__(self):
        self.log_vars, self.teacher = [torch.zeros(1, requires_grad=True)], nn.Linear(1, 1)

    def __call__(self, maps, targets):
        return size_loss(maps, targets)

    def method(self, maps, targets):
        return size_loss(maps, targets)


def test_weights_of_a_loss_that_is_no_module_are_said():
    def enclosing(weight):
        return lambda maps, targets: Parts(weight * 2, weight)

    for criterion, names in (
        (with_global, "gain of"),
        (enclosing(gain), "weight of"),
        (partial(lambda maps, targets, other: other, other=gain), "other of"),
        (Plain(), "log_vars[0], teacher.weight, teacher.bias of Plain"),
        (Plain().method, "log_vars[0], teacher.weight"),
    ):
        (said,) = [
            message
            for message in run(model=model_of_a_notebook, criterion=criterion).messages
            if "criterion" in message
        ]
        assert names in said
    assert not any("criterion" in message for message in run(criterion=size_loss).messages)


def test_a_partial_goes_on_with_the_same_arguments_only(tmp_path):
    run(tmp_path, criterion=partial(Weighted.make, gain=0.2)).save()
    with pytest.raises(
        ValueError, match=r"given Weighted\.make\(gain=0\.2\), and now it is Weighted\.make\(gain=0\.9\)"
    ):
        Trainer.resume(tmp_path, train=scenes(), criterion=partial(Weighted.make, gain=0.9))
    assert Trainer.resume(tmp_path, train=scenes(), criterion=partial(Weighted.make, gain=0.2)).loss.gain == 0.2


def test_a_change_of_hyperparameters_keeps_a_loss_that_was_put_there():
    trainer = run()
    trainer.loss = own = AllOrNothing.of(trainer.model, HYP, SIZE)
    trainer.change(lr0=0.001)
    next(trainer.steps())
    assert trainer.loss is own


def replace(trainer: Trainer) -> Trainer:
    trainer.loss = AllOrNothing.of(trainer.model, trainer.hyp, SIZE)
    return trainer


def with_own_criterion() -> nn.Module:
    model = tiny()
    model.criterion = lambda hyp, img_size=640: AllOrNothing.of(model, hyp, img_size)
    return model


def test_a_run_with_a_loss_of_its_own_does_not_resume_with_the_default_one(tmp_path):
    for name, trainer in {
        "given": run(tmp_path / "given", criterion=AllOrNothing.of),
        "model": run(tmp_path / "model", model=with_own_criterion()),
        "replaced": replace(run(tmp_path / "replaced")),
    }.items():
        trainer.save()
        with pytest.raises(ValueError, match=r"(AllOrNothing|lambda).*(criterion|model)="):
            Trainer.resume(tmp_path / name, train=scenes())
        resumed = Trainer.resume(tmp_path / name, train=scenes(), criterion=AllOrNothing.of)
        assert type(resumed.loss) is AllOrNothing
    with pytest.raises(ValueError, match=r"criterion: .*AllOrNothing\.of, and now it is size_loss"):
        Trainer.resume(tmp_path / "given", train=scenes(), criterion=size_loss)
    same = Trainer.resume(tmp_path / "model", train=scenes(), model=with_own_criterion())
    assert type(same.loss) is AllOrNothing
    run(tmp_path / "plain").save()
    with pytest.raises(ValueError, match=r"criterion: the run has none of its own"):
        Trainer.resume(tmp_path / "plain", train=scenes(), criterion=size_loss)
    with pytest.raises(ValueError, match=r"a criterion of its own: none when it was saved"):
        Trainer.resume(tmp_path / "plain", train=scenes(), model=with_own_criterion())


# ----------------------------------------------------------------------------------------- optimiser and schedule

OWN = {
    "optimizer": partial(torch.optim.NAdam, lr=0.004),
    "schedule": partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5),
    "criterion": AllOrNothing.of,
}


def test_an_own_optimiser_follows_the_schedule_with_its_own_learning_rate():
    trainer = run(optimizer=OWN["optimizer"], least_warmup=2, hyp={"warmup_epochs": 0.1})
    assert type(trainer.optimizer) is torch.optim.NAdam
    assert trainer.hyp.lr0 == trainer.first_hyp.lr0 == 0.004
    seen = [(step.lr, {group["lr"] for group in trainer.optimizer.param_groups}) for step in trainer.steps()]
    assert [lr for lr, _ in seen] == [trainer.schedule.at(place).other_lr for place in range(len(seen))]
    assert all(groups == {lr} for lr, groups in seen)
    assert seen[3][0] == pytest.approx(0.004)


def test_an_optimiser_made_before_keeps_the_ratios_of_its_groups():
    model = tiny()
    head, rest = list(model.layers[-1].parameters()), list(model.layers[:-1].parameters())
    groups = [{"params": rest, "lr": 0.001}, {"params": head, "lr": 0.01}]
    trainer = run(model=model, optimizer=torch.optim.Adagrad(groups))
    for _ in trainer.steps():
        one, ten = (group["lr"] for group in trainer.optimizer.param_groups)
        assert ten == pytest.approx(10 * one)


def test_an_own_optimiser_keeps_its_weight_decay_and_a_group_that_stands_still():
    def in_the_groups(groups):
        groups[1]["weight_decay"] = 0.5
        return torch.optim.AdamW(groups, lr=0.01, weight_decay=0.3)

    for make in (
        partial(torch.optim.AdamW, lr=0.01, weight_decay=0.5),
        lambda groups: torch.optim.AdamW(groups, lr=0.01, weight_decay=0.5),
        in_the_groups,
    ):
        trainer = run(optimizer=make)
        assert [group["weight_decay"] for group in trainer.optimizer.param_groups] == [0.0, 0.5, 0.0]
        assert not any(message.startswith("optimizer") for message in trainer.messages)
    default = run(optimizer=partial(torch.optim.AdamW, lr=0.01, weight_decay=0.01)).optimizer
    assert default.param_groups[1]["weight_decay"] == 0.01
    model = tiny()
    still, moving = list(model.layers[:-1].parameters()), list(model.layers[-1].parameters())
    groups = [{"params": still, "lr": 0.0}, {"params": moving, "lr": 0.01}]
    trainer = run(model=model, optimizer=torch.optim.SGD(groups, lr=1.0), hyp={"warmup_epochs": 0.0})
    next(trainer.steps())
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [0.0, 0.01]


def test_a_weight_decay_that_may_have_been_meant_is_said():
    trainer = run(optimizer=lambda groups: torch.optim.SGD(groups, lr=0.01, weight_decay=0))
    decay = trainer.optimizer.param_groups[1]["weight_decay"]
    (said,) = [message for message in trainer.messages if message.startswith("optimizer")]
    assert decay > 0
    assert all(word in said for word in (f"{decay:g}", "lambda", "SGD", "default of 0"))
    assert not any(message.startswith("optimizer") for message in run(optimizer=OWN["optimizer"]).messages)


def test_schedules_of_all_kinds():
    halves = [0.01, 0.005, 0.0025]
    kinds = {"epochs": 3, "hyp": {"warmup_epochs": 0.0, "lr0": 0.01}}
    for schedule in (
        lambda epoch: 0.5**epoch,
        partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5),
        type("Halves", (Schedule,), {"factor": lambda self, epoch: 0.5**epoch}),
    ):
        trainer = run(schedule=schedule, **kinds)
        assert [trainer.schedule.at(4 * epoch).other_lr for epoch in range(3)] == pytest.approx(halves)
    ready = Schedule(Hyperparameters(), epochs=3, batches=4, batch_size=4, cosine=True)
    assert run(schedule=ready, **kinds).schedule.cosine


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": 0.1}, "optimizer=0.1"),
        ({"optimizer": lambda groups: None}, "lambda.*NoneType"),
        ({"optimizer": lambda groups: torch.optim.SGD(nn.Linear(1, 1).parameters())}, "not the model's"),
        ({"optimizer": OWN["optimizer"], "hyp": {"lr0": 0.1}}, r"0\.004.*lr0=0\.1"),
        ({"optimizer": lambda groups: torch.optim.LBFGS(groups[0]["params"])}, "LBFGS needs a closure"),
        ({"optimizer": partial(torch.optim.SparseAdam, lr=0.1)}, "SparseAdam needs sparse"),
        ({"schedule": lambda epoch: -1.0}, r"schedule: -1\.0 in epoch 0"),
        ({"schedule": lambda epoch: None if epoch else 1}, r"schedule: None in epoch 1"),
        ({"schedule": lambda e: 0.9**e}, r"schedule=.*lambda.*with a parameter of that name"),
        ({"schedule": lambda optimizer: None}, "made NoneType"),
        ({"schedule": partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=[float] * 3)}, "LambdaLR.*one group"),
        (
            {"schedule": partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1, total_steps=1)},
            "OneCycleLR in a run of 2",
        ),
        ({"schedule": 3}, "schedule=int"),
        ({"schedule": torch.optim.lr_scheduler.ReduceLROnPlateau}, r"ReduceLROnPlateau.*trainer\.change"),
        ({"schedule": Schedule(Hyperparameters(), epochs=9, batches=4, batch_size=4)}, "9 epochs of 4.* 2 of 4"),
    ],
)
def test_what_is_no_optimiser_and_no_schedule_is_said(options, words):
    with pytest.raises(ValueError, match=words):
        run(**options)


def test_a_run_of_own_parts_goes_on_bit_for_bit_and_only_with_them(tmp_path):
    run(tmp_path / "whole", **OWN).fit()
    stopped_at(tmp_path / "cut", 5, **OWN)
    for missing in OWN:
        others = {name: value for name, value in OWN.items() if name != missing}
        with pytest.raises(ValueError, match=f"pass {missing}= again"):
            Trainer.resume(tmp_path / "cut", train=scenes(), **others)
    with pytest.raises(ValueError, match="optimizer='Adam': the run began with SGD"):
        Trainer.resume(tmp_path / "cut", train=scenes(), optimizer="Adam")
    resumed = Trainer.resume(tmp_path / "cut", train=scenes(), **OWN)
    assert resumed.iteration == 5
    resumed.fit()
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")


def test_an_option_of_the_wrong_kind_says_where_it_belongs():
    for options, words in (
        ({"device": "gpu9"}, "device 'gpu9': PyTorch knows no such device"),
        ({"callbacks": 3}, "callbacks must be a list, not 3"),
        ({"out_dir": 3}, "out_dir must be a path, not 3"),
        ({"metadata": "x"}, "metadata must be a dict, not 'x'"),
        ({"hyp": "nofile.yaml"}, r"nofile\.yaml: no such file of hyperparameters"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            run(**options)
    with pytest.raises(ValueError, match=r"lr0 is a hyperparameter.*hyp=\{'lr0': 0\.1\}"):
        run(lr0=0.1)
    with pytest.raises(ValueError, match=r"epochs is an option"):
        run(hyp={"epochs": 3})
    with pytest.raises(ValueError, match=r"batch_size .*at least 1, not -1"):
        run(batch_size=-1)


# ---------------------------------------------------------------------------------------- hyperparameters and presets


def test_augmentation_that_the_dataset_was_not_made_with_is_an_error():
    with pytest.raises(ValueError, match=r"mixup=0\.2.*mixup=0\.5"):
        run(hyp={"mixup": 0.5})
    with pytest.raises(ValueError, match=r"mixup=0\.2.*mixup=0\b"):
        run(hyp={"mixup": 0.0})  # the default, but asked for
    with pytest.raises(ValueError, match="degrees=5"):
        run(hyp=Hyperparameters(degrees=9))
    assert run(hyp=Hyperparameters(box=0.2)).hyp == HYP.replace(box=0.2)
    still = Trainer(tiny(), scenes(augment=False), hyp={"mixup": 0.5}, **PLAIN)  # nothing is augmented
    assert still.hyp.mixup == 0.5


def test_a_preset_is_changed_by_what_is_given():
    options = {"img_size": SIZE, "cosine": False, "device": "cpu", "auto_anchors": False}
    trainer = Trainer(tiny(), Shapes("train", SIZE, 8), hyp={"lr0": 0.5}, preset="small-data", **options)
    assert (trainer.hyp.lr0, trainer.hyp.obj, trainer.train_set.hyp.mosaic) == (0.5, 5.0, 0.5)
    assert (trainer.options.cosine, trainer.options.nominal_batch) == (False, 16)
    assert trainer.metadata["preset"] == "small-data"
    assert run(preset="small-data", optimizer="SGD").hyp.mosaic == HYP.mosaic  # the dataset has decided that
    with pytest.raises(ValueError, match="unknown preset 'tiny'"):
        run(preset="tiny")


def test_how_workers_start_is_an_option():
    trainer = run(workers=1, multiprocessing_context="spawn")
    assert trainer.loader.multiprocessing_context.get_start_method() == "spawn"
    with pytest.raises(ValueError, match="multiprocessing_context 'thread'"):
        TrainOptions(multiprocessing_context="thread")
