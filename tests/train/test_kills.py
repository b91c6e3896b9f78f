"""A run that SIGKILL ends at any moment resumes, and ends with the weights of one that nothing ended."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.kills import Fault, in_a_process
from tests.train.runs import digest, resumed_run
from yolo_lite.checkpoints.own import load

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")

# Writes 0 and 1 of a new run are run.json and the state before the first batch; then come checkpoints after steps and
# epochs. One run gets these, one after the other: counts are those of each process.
SHORT = [Fault(batch=2), Fault(write=6, share=0.5), Fault(write=3, share=2.0)]


def long_form() -> list[Fault]:
    """12 inside a write, at any byte; 4 in mid-epoch; 4 at any time."""
    generator = np.random.default_rng(0)
    writes = [Fault(write=int(write), share=float(generator.random())) for write in generator.integers(2, 24, 8)]
    edges = [
        Fault(write=3, share=0.0),
        Fault(write=8, share=1.0),
        Fault(write=6, share=2.0),
        Fault(write=15, share=2.0),
    ]
    batches = [Fault(batch=batch) for batch in (1, 4, 6, 9)]
    anywhere = [Fault(batch=batch, seconds=float(generator.uniform(0, 0.3))) for batch in (0, 2, 3, 5)]
    return writes + edges + batches + anywhere


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing ended."""
    folder = tmp_path_factory.mktemp("whole")
    assert in_a_process(folder) == 0
    return folder


def check(folder: Path, whole: Path, *faults: Fault) -> None:
    for fault in faults:
        assert in_a_process(folder, fault) == -signal.SIGKILL, fault
    assert in_a_process(folder) == 0
    assert digest(folder) == digest(whole)
    for name in ("best.safetensors", "last.safetensors"):
        models = [load(place / name) for place in (folder, whole)]
        assert all(map(torch.equal, *(model.state_dict().values() for model in models)))
        killed, ran = ({key: value for key, value in model.metadata.items() if key != "date"} for model in models)
        assert killed == ran
    assert not list(folder.glob(".*.tmp"))
    histories = [resumed_run(each).history for each in (folder, whole)]
    assert [row | {"seconds": 0} for row in histories[0]] == [row | {"seconds": 0} for row in histories[1]]


def test_killed_and_resumed_three_times(whole, tmp_path):
    check(tmp_path, whole, *SHORT)


@pytest.mark.slow
def test_killed_and_resumed_20_times(whole, tmp_path):
    faults = long_form()
    assert sum(fault.write is not None for fault in faults) >= 8
    assert sum(fault.batch is not None and not fault.seconds for fault in faults) >= 4
    for number, fault in enumerate(faults):
        folder = tmp_path / str(number)
        folder.mkdir()
        check(folder, whole, fault)
        print(f"{number + 1} of {len(faults)}: {fault}, the same digest {digest(folder)[:16]}")


@pytest.mark.slow
def test_killed_again_and_again(whole, tmp_path):
    """One run, killed after every third file that it writes: each time it comes a step further."""
    kills = 0
    while in_a_process(tmp_path, Fault(write=2, share=2.0)) == -signal.SIGKILL:
        kills += 1
        assert kills < 100
    assert kills > 5
    check(tmp_path, whole)


def test_the_changes_were_made_once(whole):
    assert json.loads((whole / "changes.json").read_text()) == {"3": {"lr0": 0.02, "mosaic": 0.5}}
