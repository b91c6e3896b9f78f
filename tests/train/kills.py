"""Runs in a process of their own that a SIGKILL ends: at a byte of a file, in a batch, or at any time.

A forkserver that has imported torch once makes such a process in milliseconds.
"""

import io
import multiprocessing
import os
import signal
import threading
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tests.train.runs import new_run, resumed_run
from yolo_lite import writing

SERVER = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")


class Fault(NamedTuple):
    """When a process ends. All counts from 0."""

    write: int | None = None  # within this file that is being written
    share: float = 0.5  # of its bytes that are on the disk by then; above 1: all are, and it bears its name
    batch: int | None = None  # after this batch was trained on, before the next
    seconds: float = 0.0  # so long after that batch, wherever the run is by then


class KillingFile(io.FileIO):
    """A file whose writer dies."""

    def __init__(self, path: str | Path, share: float) -> None:
        super().__init__(path, "xb")
        self.share = share

    def write(self, data: bytes) -> int:
        super().write(data[: int(len(data) * self.share)])
        os.fsync(self.fileno())
        os.kill(os.getpid(), signal.SIGKILL)
        return len(data)


class KillInWrite:
    """Stands where ``writing`` finds ``open``."""

    def __init__(self, fault: Fault) -> None:
        self.fault, self.writes = fault, 0

    def __call__(self, path: str | Path, mode: str = "r", **options: Any) -> Any:
        if mode != "xb":
            return open(path, mode, **options)
        self.writes += 1
        if self.writes - 1 == self.fault.write and self.fault.share <= 1:
            return KillingFile(path, self.fault.share)
        if self.writes - 2 == self.fault.write:  # the one before is in its place
            os.kill(os.getpid(), signal.SIGKILL)
        return open(path, mode)


class KillAfterBatch:
    """A callback."""

    def __init__(self, fault: Fault) -> None:
        self.fault, self.batches = fault, 0

    def on_batch_end(self, trainer: Any, step: Any) -> None:
        if self.batches == self.fault.batch and not self.fault.seconds:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.batches == self.fault.batch:
            threading.Timer(self.fault.seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        self.batches += 1


def run_until(out_dir: Path, fault: Fault) -> None:
    """Begins the run, or goes on with it, until the fault or the end."""
    torch.set_num_threads(1)
    writing.open = KillInWrite(fault)
    callbacks = (Changes(), KillAfterBatch(fault))
    if (out_dir / "state.safetensors").exists():
        trainer = resumed_run(out_dir, callbacks)
    else:
        trainer = new_run(out_dir, callbacks, save_every=0)
    trainer.fit()


class Changes:
    """Turns two knobs while the run goes on, as a person would: once, and never again in a resumed run."""

    def on_batch_end(self, trainer: Any, step: Any) -> None:
        changed = trainer.out_dir / "changed"
        if step.iteration == 2 and not changed.exists():
            trainer.change(lr0=0.02, mosaic=0.5)
            changed.touch()


def in_a_process(out_dir: Path, fault: Fault = Fault()) -> int:  # noqa: B008
    """The exit code: 0, or minus the signal that ended it."""
    SERVER.set_forkserver_preload(["tests.train.runs", "torch._dynamo"])  # which optimisers import
    process = SERVER.Process(target=run_until, args=(out_dir, fault))
    process.start()
    process.join()
    return process.exitcode
