"""ScheduleExplorer says what the Trainer's own functions say, of any run."""

import json

import pytest
import torch
from torch import nn

import yolo_lite as yl
from walkthrough import ScheduleExplorer
from walkthrough.explorers.linking import link
from walkthrough.explorers.schedule.state import LONGEST_COUNT, count_steps
from walkthrough.scene import Chart, Table
from yolo_lite.train.optim import apply_rates, create_optimizer
from yolo_lite.train.options import preset
from yolo_lite.train.schedule import Schedule

RECORDED = {
    "epochs10_batches25_batch16_linear": {"num_images": 400, "epochs": 10, "batch_size": 16},
    "epochs10_batches25_batch16_cos": {"num_images": 400, "epochs": 10, "batch_size": 16, "cosine": True},
    "epochs6_batches60_batch4_linear": {"num_images": 240, "epochs": 6, "batch_size": 4},
    "epochs4_batches7_batch64_cos": {"num_images": 448, "epochs": 4, "batch_size": 64, "cosine": "cosine"},
}


def small_model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1, bias=False))


@pytest.mark.parametrize("name", RECORDED)
def test_rates_at_every_iteration_equal_the_recorded_ones(name, golden):
    recorded = json.loads((golden / "facts.json").read_text())["schedule"][name]
    w = ScheduleExplorer(model=small_model(), **RECORDED[name])
    for iteration, *rates in recorded[:: max(len(recorded) // 12, 1)]:
        w.iteration = int(iteration)
        assert tuple(w.result.rates) == pytest.approx(rates, abs=1e-9)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_groups_are_what_apply_rates_writes_into_the_optimiser_of_training(optimizer):
    model = small_model()
    w = ScheduleExplorer(model=model, optimizer=optimizer, batch_size=24, lr0=0.02, iteration=37)
    schedule = Schedule(yl.Hyperparameters(lr0=0.02), 30, -(-2000 // 24), 24)
    expected = create_optimizer(model, schedule.hyp, optimizer, schedule.scaled_weight_decay)
    apply_rates(expected, schedule.at(37))
    assert [group.name for group in w.result.groups] == ["biases", "weights", "norms"]
    assert [group.tensors for group in w.result.groups] == [2, 2, 1]
    for shown, group in zip(w.result.groups, expected.param_groups, strict=True):
        assert (shown.lr, shown.weight_decay) == (group["lr"], group["weight_decay"])
        assert shown.momentum == (group["betas"][0] if "betas" in group else group["momentum"])


def test_number_of_steps_equals_walking_through_all_iterations():
    for schedule in (
        Schedule(yl.Hyperparameters(), 10, 25, 16),
        Schedule(yl.Hyperparameters(), 7, 13, 10, nominal_batch=64, least_warmup=17),
        Schedule(yl.Hyperparameters(warmup_epochs=0), 3, 11, 16),
        Schedule(yl.Hyperparameters(), 1, 3, 2),  # over before its warm-up ends
        Schedule(yl.Hyperparameters(), 5, 40, 128),
    ):
        assert count_steps(schedule) == len(list(schedule.steps()))
    w = ScheduleExplorer(model=small_model(), num_images=130, batch_size=10, epochs=7, least_warmup=17)
    assert w.result.steps == len(list(w.state.schedule.steps()))


def test_a_warm_up_too_long_to_count_is_said():
    w = ScheduleExplorer(model=small_model(), num_images=LONGEST_COUNT, batch_size=1, epochs=10)
    assert w.result.steps is None
    assert "too long to count" in repr(w)


def test_charts_follow_the_schedule_and_the_zoom():
    w = ScheduleExplorer(model=small_model(), num_images=400, epochs=10, iteration=60)
    (lr, momentum), (table,), (accumulation,) = w.as_scene().all_rows
    assert isinstance(table, Table)
    for chart, field in ((momentum, "momentum"), (accumulation, "accumulate")):
        mark = chart.marks[0]
        assert mark.y == tuple(getattr(w.state.schedule.at(int(x)), field) for x in mark.x)
    assert lr.marks[0].x[-1] == 249
    assert all(chart.upright == (60,) for chart in (lr, momentum, accumulation))
    assert ["iteration 60" in chart.caption for chart in (lr, momentum, accumulation)] == [False, True, False]
    assert "iteration 100 of 250" in lr.caption
    w.set(zoom=True, iteration=200)
    zoomed, beside = w.as_scene().all_rows[0]
    assert 100 < zoomed.marks[0].x[-1] < 130
    assert zoomed.upright == ()  # iteration 200 is out of sight
    assert "dotted" not in zoomed.caption + beside.caption


def test_adam_has_a_beta_that_is_not_warmed_up():
    w = ScheduleExplorer(model=small_model(), optimizer="AdamW", iteration=5)
    chart = w.as_scene().all_rows[0][1]
    assert isinstance(chart, Chart)
    assert chart.title == "beta1"
    assert set(chart.marks[0].y) == {0.937}


def test_a_shorter_run_shows_its_last_iteration_and_settings_off_range_stay():
    w = ScheduleExplorer(model=small_model(), num_images=160, epochs=10, iteration=99)
    w.epochs = 3
    assert (w.iteration, w.state.schedule.iterations) == (29, 30)
    w.iteration = 30
    assert w.iteration == 29
    assert "between 0 and 29" in w.message
    w.epochs = 0
    assert w.epochs == 3


def test_starts_from_a_trainers_schedule_and_from_hyperparameters_of_a_preset():
    hyp, options = preset("small-data")
    schedule = Schedule(hyp, 5, 9, 8, options.nominal_batch, options.cosine, options.least_warmup)
    w = ScheduleExplorer(schedule=schedule, model=small_model(), iteration=12)
    assert w.state.schedule == schedule
    assert w.result.rates == schedule.at(12)
    w.lr0 = 0.005
    assert w.state.schedule.hyp == hyp.replace(lr0=0.005)  # gains without a slider are kept
    assert ScheduleExplorer(hyp=hyp, model=small_model()).lrf == hyp.lrf


def test_code_holds_what_differs_from_the_defaults():
    w = ScheduleExplorer(model=small_model(), lr0=0.02, optimizer="AdamW", cosine=True, epochs=4)
    line, trainer = w.as_code().splitlines()
    assert line == "hyp = yl.Hyperparameters(lr0=0.02)"
    assert trainer.endswith("hyp, epochs=4, batch_size=16, optimizer='AdamW', cosine=True)")


def test_what_cannot_be_used_gets_a_sentence():
    assert "hyp is a Hyperparameters" in ScheduleExplorer(hyp={"lr0": 1}, model=small_model()).message
    assert "model is a torch module" in ScheduleExplorer(model=3).message
    assert "create_model('yolov5n')" in ScheduleExplorer(model="yolov5n").message  # no weights of that name
    assert "schedule is a Schedule" in ScheduleExplorer(schedule=3, model=small_model()).message


def test_the_model_is_left_alone_and_links_move_rates_together():
    model = small_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = ScheduleExplorer(model=model), ScheduleExplorer(model=small_model(), epochs=5)
    link(first, second)
    first.lr0 = 0.05
    assert second.result.rates == second.state.schedule.at(0)
    assert (second.lr0, second.epochs) == (0.05, 5)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training
