"""Run folders and checkpoints that version 0.1.0 wrote: they load, and the runs go on to what 0.1.0 went on to.

tests/golden/runs_of_0.1.0: ``datasets`` was given data sets, and lr0 changed on its way; ``shapes`` was given names;
expected.json says what the same version computed after resuming.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

import yolo_lite as yl
from tests.train.runs import resumed_run

GOLDEN = Path(__file__).parents[1] / "golden" / "runs_of_0.1.0"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "runs"))


def test_a_run_of_datasets_goes_on_as_it_would_have(folder: Path) -> None:
    expected = EXPECTED["datasets"]
    run = resumed_run(folder / "datasets")
    assert run.iteration == expected["iteration"]
    assert run.hyp.lr0 == 0.005  # changed by hand before the run was stopped
    totals = [float(step.parts.total) for step in run.steps()]
    assert totals == pytest.approx(expected["totals"], rel=1e-3)
    assert len(run.history) == len(expected["history"]) == 3
    for row, wanted in zip(run.history, expected["history"], strict=True):
        assert {name for name in row if not name.startswith("val/")} == wanted.keys()
        losses = {name: value for name, value in wanted.items() if name.startswith("train/")}
        assert losses
        assert {name: row[name] for name in losses} == pytest.approx(losses, rel=1e-3)


def test_a_run_of_named_sources_needs_nothing_else(folder: Path) -> None:
    expected = EXPECTED["shapes"]
    run = yl.Trainer.resume(folder / "shapes")
    assert run.iteration == expected["iteration"]
    assert run.metadata == expected["metadata"]
    steps = run.steps()
    assert [float(next(steps).parts.total) for _ in expected["totals"]] == pytest.approx(expected["totals"], rel=1e-3)


@pytest.mark.parametrize("name", ["shapes/last.safetensors", "datasets/last.safetensors", "datasets/best.safetensors"])
def test_the_checkpoints_of_a_run_load(folder: Path, name: str) -> None:
    model = yl.load(folder / name)
    assert len(model.names) == 6
    assert model.metadata["img_size"] == 64


def test_a_checkpoint_computes_what_it_computed() -> None:
    expected = EXPECTED["checkpoint"]
    model = yl.load(GOLDEN / "tiny.safetensors")
    assert list(model.names) == expected["names"]
    assert model.spec == expected["spec"]
    images = torch.linspace(0, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    with torch.inference_mode():
        boxes = model.eval().decode(model(images))
    torch.testing.assert_close(boxes[0, ::16], torch.tensor(expected["boxes"]), rtol=1e-4, atol=1e-4)
