"""What watches a run."""

import csv
import sys
import types

import pytest

from tests.train.runs import new_run, resumed_run
from yolo_lite.running.diagnose import TrainingError
from yolo_lite.train.callbacks import Callback, CsvLog, ProgressBar, TensorBoardLog


class Diary:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_start(self, trainer):
        self.lines.append("start")

    def on_batch_end(self, trainer, step):
        self.lines.append(f"batch {step.iteration}")

    def on_epoch_end(self, trainer, result):
        self.lines.append(f"epoch {result.epoch}")

    def on_end(self, trainer):
        self.lines.append("end")

    def on_break(self, trainer, error):
        self.lines.append(f"break {type(error).__name__}")


class Half:
    """Has only what it needs."""

    def on_end(self, trainer):
        self.ended = True


def test_events_in_order():
    diary, half = Diary(), Half()
    new_run(callbacks=(diary, half, Callback()), epochs=2, val=0, batch_size=8).fit()
    assert diary.lines == ["start", "batch 0", "batch 1", "epoch 0", "batch 2", "batch 3", "epoch 1", "end"]
    assert half.ended


def test_a_loop_that_is_left_and_an_error():
    diary = Diary()
    trainer = new_run(callbacks=(diary,), epochs=1, val=0)
    for _ in trainer.steps():
        break
    assert diary.lines == ["start", "batch 0", "break GeneratorExit"]

    def broken(batch):
        raise ZeroDivisionError

    trainer.train_batch = broken
    with pytest.raises(ZeroDivisionError):
        trainer.fit()
    assert diary.lines[-1] == "break ZeroDivisionError"


def test_csv_of_a_resumed_run_has_no_gap(tmp_path):
    path = tmp_path / "results.csv"
    trainer = new_run(tmp_path, (CsvLog(path),), epochs=3)
    for step in trainer.steps():
        if step.iteration == 9:
            break
    path.write_text("lost")
    resumed_run(tmp_path, (CsvLog(path),)).fit()
    rows = list(csv.DictReader(path.open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert {"train/box", "train/obj", "train/cls", "mAP50", "mAP", "precision", "recall", "lr"} <= set(rows[0])
    assert float(rows[2]["mAP"]) == resumed_run(tmp_path).history[2]["mAP"]
    path.unlink()
    resumed_run(tmp_path, (CsvLog(path),)).fit()  # nothing to train, but the file is there again
    assert len(path.read_text().splitlines()) == 4


def test_csv_that_cannot_be_written(tmp_path):
    with pytest.raises(TrainingError, match=r"results\.csv.*there is no folder"):
        new_run(callbacks=(CsvLog(tmp_path / "nowhere" / "results.csv"),), epochs=1, val=0).fit()


def test_progress(capsys):
    new_run(callbacks=(ProgressBar(),), epochs=1, auto_anchors=True).fit()
    said, drawn = capsys.readouterr()
    assert "anchors: " in said
    assert "mAP50" in said
    assert "epoch 1/1" in drawn
    assert "4/4" in drawn
    for word in ("box=", "obj=", "cls=", "lr=", "img/s="):
        assert word in drawn


def test_progress_says_why_it_stopped(capsys):
    trainer = new_run(callbacks=(ProgressBar(),), epochs=9, patience=1)
    trainer.best_fitness, trainer.best_epoch = 1.0, 0
    trainer.epoch, trainer.iteration = 1, 4
    trainer.fit()
    assert "stopped after epoch 2: epoch 1 is the best" in capsys.readouterr().out


def test_images_per_s_counts_the_waiting():
    import time

    trainer = new_run(epochs=1, val=0)
    collate = trainer.loader.collate_fn
    trainer.loader.collate_fn = lambda samples: time.sleep(0.2) or collate(samples)
    rates = []
    for step in trainer.steps():
        time.sleep(0.3)  # what the loop does with a step is not the run's time
        rates.append(step.images_per_s)
    assert max(rates) < 4 / 0.2
    trainer.loader.collate_fn = collate


def test_tensorboard_is_optional(tmp_path):
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(ValueError, match="pip install tensorboard"):
            TensorBoardLog(tmp_path)
    else:
        TensorBoardLog(tmp_path).on_end(None)


def test_tensorboard_gets_every_figure(tmp_path, monkeypatch):
    """The writer is a stand-in: the real one is an optional package."""
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            self.folder = folder

        def add_scalar(self, name, value, epoch):
            written.append((name, value, epoch))

        def flush(self):
            pass

        def close(self):
            written.append("closed")

    stand_in = types.ModuleType("torch.utils.tensorboard")
    stand_in.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    trainer = new_run(callbacks=(TensorBoardLog(tmp_path),), epochs=2).fit()
    assert written[-1] == "closed"
    assert written[:-1] == [(name, value, row["epoch"]) for row in trainer.history for name, value in row.items()]


def test_the_old_name_of_notify_warns():
    diary = Diary()
    trainer = new_run(callbacks=(diary,), val=0)
    with pytest.warns(DeprecationWarning, match=r"Trainer\.notify"):
        trainer.tell("on_start")
    assert diary.lines == ["start"]
