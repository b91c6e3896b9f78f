"""How a run ends before its time, what it says on the way, and how it goes on with other settings."""

import csv
import logging

import pytest

from tests.train.runs import HYP, TINY, digest, new_run, resumed_run, scenes
from yolo_lite.model.yolo import create_model
from yolo_lite.train.callbacks import Callback
from yolo_lite.train.trainer import Trainer


class Stop(Callback):
    def __init__(self, event: str, place: int) -> None:
        self.event, self.place, self.ended = event, place, ""

    def on_batch_end(self, trainer, step):
        if self.event == "batch" and step.iteration == self.place:
            trainer.stop("budget is spent")

    def on_epoch_end(self, trainer, result):
        if self.event == "epoch" and result.epoch == self.place:
            trainer.stop("good enough")

    def on_end(self, trainer):
        self.ended = trainer.ended


def test_a_run_that_is_stopped_in_an_epoch_is_validated_and_goes_on(tmp_path):
    new_run(tmp_path / "whole").fit()
    stop = Stop("batch", 5)
    trainer = new_run(tmp_path / "cut", (stop,)).fit()
    assert (trainer.iteration, trainer.epoch, trainer.batch, trainer.finished) == (6, 1, 2, False)
    assert stop.ended == trainer.ended
    assert all(word in trainer.ended for word in ("epoch 2", "2 batches", "budget is spent"))
    assert len(trainer.history) == 1
    resumed = resumed_run(tmp_path / "cut")
    assert any("budget is spent" in message for message in resumed.messages)
    assert resumed.fit().ended.startswith("the run is finished")
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")


def test_a_run_that_is_stopped_after_an_epoch_goes_on_by_fit():
    trainer = new_run(callbacks=(Stop("epoch", 0),), epochs=2).fit()
    assert (trainer.epoch, len(trainer.history)) == (1, 1)
    assert trainer.ended == "the run was stopped after 1 of 2 epochs: good enough"
    assert trainer.fit().ended == "the run is finished, after 2 of 2 epochs"


def test_stopping_within_the_loop():
    trainer = new_run(epochs=2, val=0)
    for step in trainer.steps():
        if step.iteration == 2:
            trainer.stop()
    assert (trainer.iteration, trainer.stopped_by) == (3, "asked to stop")


def test_stopping_before_it_begins(tmp_path, capsys):
    trainer = new_run(tmp_path, epochs=1)
    trainer.stop("the budget is spent already")
    assert trainer.fit(progress=True).iteration == 0
    assert trainer.ended == "the run was stopped after 0 of 1 epochs: the budget is spent already"
    assert any("budget is spent already" in message for message in resumed_run(tmp_path).messages)
    assert trainer.fit().ended == "the run is finished, after 1 of 1 epochs"
    trainer.stop("too late")
    assert trainer.fit().ended == "the run is finished, after 1 of 1 epochs"


def test_a_stop_within_the_loop_does_not_end_the_next():
    trainer = new_run(epochs=1, val=0)
    for _ in trainer.steps():
        trainer.stop()
        break
    assert trainer.fit().finished


def test_patience_counts_validations(monkeypatch):
    figures = iter([0.5, *[0.1] * 9])
    trainer = new_run(epochs=9, patience=2, validate_every=2)
    real = trainer.validate

    def validate():
        found = real()
        return found.__class__(**{**vars(found), "map": (value := next(figures)), "map50": value})

    monkeypatch.setattr(trainer, "validate", validate)
    trainer.fit()
    assert [row["epoch"] for row in trainer.history if "mAP" in row] == [1, 3, 5]
    assert (trainer.epoch, trainer.best_epoch, trainer.stopped) == (6, 1, True)


# ------------------------------------------------------------------------------------------------------- what is said


def test_messages_are_logged_and_nothing_is_warned(caplog, recwarn):
    caplog.set_level(logging.INFO)
    model = create_model(TINY, names=tuple("abcdef"))
    trainer = Trainer(model, scenes(), epochs=1, batch_size=4, device="cpu", auto_anchors=False).fit()
    levels = {record.message.partition(":")[0]: record.levelname for record in caplog.records}
    assert levels == {"names": "WARNING", "validation": "INFO", "steps": "WARNING"}
    assert {record.name for record in caplog.records} == {"yolo_lite.train"}
    assert set(trainer.messages) == {record.message for record in caplog.records}
    trainer.fit()
    assert "nothing is left to train" in caplog.records[-1].message
    assert [str(warning.message) for warning in recwarn] == []


def test_a_warm_up_longer_than_the_run_is_said():
    short = {"epochs": 1, "val": 0, "nominal_batch": 4}
    (said,) = [text for text in new_run(least_warmup=50, **short).messages if text.startswith("warm-up")]
    assert all(word in said for word in ("50 iterations", "only 4", "least_warmup", "small-data"))
    (said,) = [text for text in new_run(least_warmup=10, **short).messages if text.startswith("warm-up")]
    assert "small-data" not in said  # whose warm-up it is
    hyp = HYP.replace(warmup_epochs=0.5)
    assert not any("warm-up" in text for text in new_run(least_warmup=2, hyp=hyp, **short).messages)


def test_anchors_that_were_given_are_replaced_only_when_asked():
    anchors = [[300, 300, 310, 310], [320, 320, 330, 330]]
    options = {"epochs": 1, "batch_size": 4, "device": "cpu"}
    for auto_anchors, kept in ((None, True), (True, False), (False, True)):
        model = create_model(TINY, anchors=anchors)
        trainer = Trainer(model, scenes(), auto_anchors=auto_anchors, **options)
        assert (model.anchors.max() == 330) == kept
        if auto_anchors is None:
            assert any("auto_anchors=True" in text for text in trainer.messages)
    of_the_file = create_model(TINY | {"anchors": anchors})
    Trainer(of_the_file, scenes(), **options)
    assert of_the_file.anchors.max() < 330


def test_progress_shows_what_the_command_shows(capsys):
    trainer = new_run(epochs=2).fit(progress=True)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert [line.split("  ")[0] for line in lines if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    assert out.splitlines()[0].split() == ["epoch", "mAP50", "mAP", "precision", "recall"]
    assert "training " in out.splitlines()[-1]
    assert trainer.callbacks == []
    new_run(epochs=1, val=0).fit()
    assert capsys.readouterr() == ("", "")


# ----------------------------------------------------------------------------------------- what is kept, and goes on


@pytest.mark.parametrize("together", [100, 3])
def test_the_loss_on_the_validation_images_is_in_history_and_results(tmp_path, monkeypatch, together):
    monkeypatch.setattr("yolo_lite.detect.inference.CPU_PIXELS", together * 64 * 64)  # evaluate runs a batch in parts
    trainer = new_run(tmp_path, epochs=2, autobalance=False, validate_every=2).fit()
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert [{name for name in row if name.startswith("val/")} for row in trainer.history] == [
        set(), {"val/box", "val/obj", "val/cls"},
    ]  # fmt: skip
    assert float(rows[1]["val/obj"]) == trainer.history[1]["val/obj"]
    model, loss = trainer.ema.model, trainer.model.criterion(HYP, 64)
    found = [loss(model(batch.images / 255), batch.targets).obj.item() for batch in trainer.val_loader]
    assert trainer.history[1]["val/obj"] == pytest.approx(sum(found) / len(found), rel=1e-5)


def test_the_validation_loss_changes_nothing(tmp_path, monkeypatch):
    new_run(tmp_path / "with").fit()
    monkeypatch.setattr("yolo_lite.train.validation.ValidationLoss._add", lambda self, count, maps: None)
    new_run(tmp_path / "without").fit()
    assert digest(tmp_path / "with") == digest(tmp_path / "without")


def test_a_resumed_run_with_more_epochs_and_workers(tmp_path):
    new_run(tmp_path, epochs=1).fit()
    with pytest.raises(ValueError, match=r"epochs=0\b|at least 1"):
        Trainer.resume(tmp_path, train=scenes(), val=scenes("val", 4), epochs=0)
    trainer = Trainer.resume(tmp_path, train=scenes(), val=scenes("val", 4), epochs=2, workers=1, device="cpu")
    assert any("epochs was 1 and is 2 now" in text for text in trainer.messages)
    assert (trainer.options.epochs, trainer.options.workers, trainer.schedule.epochs) == (2, 1, 2)
    assert len(trainer.fit().history) == 2
    again = resumed_run(tmp_path)
    assert (again.options.epochs, again.finished) == (2, True)
    with pytest.raises(ValueError, match="epochs=1: the run has done 2"):
        Trainer.resume(tmp_path, train=scenes(), val=scenes("val", 4), epochs=1)
