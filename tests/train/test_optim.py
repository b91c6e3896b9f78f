"""Parameter groups, schedules and EMA against the recorded ones."""

import json

import pytest
import torch
from torch import nn

from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.yolo import create_model
from yolo_lite.train.ema import ModelEma
from yolo_lite.train.optim import apply_rates, create_optimizer, parameter_groups
from yolo_lite.train.schedule import Schedule


@pytest.fixture(scope="module")
def facts(golden):
    return json.loads((golden / "facts.json").read_text())


SCHEDULES = {
    "epochs10_batches25_batch16_linear": Schedule(Hyperparameters(), 10, 25, 16),
    "epochs10_batches25_batch16_cos": Schedule(Hyperparameters(), 10, 25, 16, cosine=True),
    "epochs6_batches60_batch4_linear": Schedule(Hyperparameters(), 6, 60, 4),
    "epochs4_batches7_batch64_cos": Schedule(Hyperparameters(), 4, 7, 64, cosine=True),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_equals_the_recorded_one(facts, name):
    assert set(facts["schedule"]) == set(SCHEDULES)
    for iteration, *rates in facts["schedule"][name]:
        assert tuple(SCHEDULES[name].at(int(iteration))) == pytest.approx(rates, abs=1e-9)


def test_ema_decay_equals_the_recorded_one(facts):
    ema = ModelEma(nn.Linear(1, 1))
    for updates, decay in facts["ema_decay"]:
        assert ema.decay_at(updates) == pytest.approx(decay, rel=1e-12)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_groups_of_yolov5n_equal_the_recorded_ones(facts, name):
    optimizer = create_optimizer(create_model("yolov5n"), Hyperparameters(), name)
    ours = [
        {
            "tensors": len(group["params"]),
            "numel": sum(p.numel() for p in group["params"]),
            "weight_decay": group["weight_decay"],
        }
        for group in optimizer.param_groups
    ]
    assert ours == facts["optimizer_groups"][name]


def test_each_parameter_in_one_group_also_when_shared_or_frozen():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.LayerNorm(4), shared, nn.Linear(4, 2, bias=False))
    model[3].weight.requires_grad_(False)
    groups = parameter_groups(model)
    assert [len(group) for group in groups] == [2, 1, 1]


def test_steps_follow_the_accumulation():
    schedule = Schedule(Hyperparameters(warmup_epochs=0), epochs=2, batches=10, batch_size=16)
    assert list(schedule.steps()) == [3, 7, 11, 15, 19]
    warm = list(Schedule(Hyperparameters(), epochs=10, batches=25, batch_size=16).steps())
    assert warm[:3] == [0, 1, 2]  # one batch a step at first
    assert {after - before for before, after in zip(warm[-20:], warm[-19:], strict=False)} == {4}


def test_weight_decay_fits_the_images_of_a_step():
    assert Schedule(Hyperparameters(), 1, 1, 16).scaled_weight_decay == pytest.approx(5e-4)
    assert Schedule(Hyperparameters(), 1, 1, 128).scaled_weight_decay == pytest.approx(1e-3)


def test_rates_reach_the_optimiser():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    optimizer = create_optimizer(model, Hyperparameters())
    apply_rates(optimizer, SCHEDULES["epochs10_batches25_batch16_linear"].at(0))
    assert [(group["name"], group["lr"], group["momentum"]) for group in optimizer.param_groups] == [
        ("biases", 0.1, 0.8), ("weights", 0.0, 0.8), ("norms", 0.0, 0.8),
    ]  # fmt: skip
    apply_rates(create_optimizer(model, Hyperparameters(), "Adam"), SCHEDULES["epochs4_batches7_batch64_cos"].at(3))


def test_ema_by_hand():
    model = nn.BatchNorm1d(1)
    ema = ModelEma(model, decay=0.9, tau=1)
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.num_batches_tracked.fill_(7)
    ema.update(model)
    decay = 0.9 * (1 - 2.718281828459045**-1)
    assert ema.model.weight.item() == pytest.approx(decay * 1 + (1 - decay) * 3)
    assert ema.model.num_batches_tracked.item() == 7
    assert model.training
    assert not ema.model.training


def test_what_does_not_change_stays_exact_in_the_ema():
    model = nn.Linear(1, 3)
    model.register_buffer("anchors", torch.tensor([30.0, 59.0, 119.0]))
    ema = ModelEma(model)
    for _ in range(50):
        with torch.no_grad():
            model.bias.add_(0.1)
        ema.update(model)
    assert ema.model.anchors.tolist() == [30, 59, 119]
    assert torch.equal(ema.model.weight, model.weight)
    assert not torch.equal(ema.model.bias, model.bias)


def test_wrong_use_is_explained():
    with pytest.raises(ValueError, match=r"'sgd'.*SGD"):
        create_optimizer(nn.Linear(1, 1), Hyperparameters(), "sgd")
    with pytest.raises(ValueError, match=r"epochs.*1, not 0"):
        Schedule(Hyperparameters(), 0, 1, 1)
