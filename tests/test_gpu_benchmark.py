"""benchmarks/gpu.py, as far as a CPU can run it: all of it works, and each of its checks can fail."""

import dataclasses
import json
import math
import subprocess
import sys
import warnings
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import gpu
import gpu_checks
import gpu_limits
from gpu_checks import CPU, Finding, Machine

Figures = namedtuple("Figures", ["map50", "map"])
PROJECT = Path(__file__).parent.parent
HERE = Machine(CPU, math.inf)


def test_the_whole_script_runs_on_a_cpu(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--json", str(tmp_path / "gpu.json")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert set(found) == {"machine", *gpu.CHECKS}
    same = {name: found[name]["same"] for name in gpu.CHECKS}
    assert same == {name: None if name == "waits" else True for name in gpu.CHECKS}
    assert all(f"== {name}" in done.stdout for name in gpu.CHECKS)
    assert len(found["loss"]["rows"]) == 1 + len(list((PROJECT / "tests" / "golden").glob("loss_*.npz")))
    assert [row[1] for row in found["train"]["rows"][1:]] == ["float32", *gpu_checks.PRECISIONS]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 2
    assert "No GPU" in capsys.readouterr().err


def test_exit_codes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(machine: Machine) -> Finding:
        raise RuntimeError("no kernel image")

    for check, code, word in (
        (lambda machine: Finding(True, "fine"), 0, "iou the same"),
        (lambda machine: Finding(False, "off by 3"), 1, "iou DIFFERS"),
        (lambda machine: Finding(None, "cannot"), 2, "iou not run"),
        (broken, 1, "RuntimeError: no kernel image"),
    ):
        monkeypatch.setitem(gpu.CHECKS, "iou", check)
        assert gpu.main(["--device", "cpu", "--only", "iou"]) == code
        assert word in capsys.readouterr().out
    assert gpu.main(["--device", "cpu", "--only", "iou", "--seconds", "0"]) == 2
    assert "iou not run" in capsys.readouterr().out
    monkeypatch.setitem(gpu.CHECKS, "iou", lambda machine: Finding(True, "fine"))
    monkeypatch.setitem(gpu.CHECKS, "waits", lambda machine: Finding(None, "cannot"))
    assert gpu.main(["--device", "cpu", "--only", "iou", "waits"]) == 0  # one that cannot run counts neither way


@pytest.mark.parametrize("name", ["foo", "", "cuda:x", "meta", "mps", "xpu", "cuda:1", "cuda:7"])
def test_a_device_that_cannot_be_used_is_said(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert gpu.main(["--device", name, "--only", "iou"]) == 2
    printed = capsys.readouterr()
    assert f"--device {name}: " in printed.err
    assert printed.out == ""


def test_devices_that_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu.find_device("cpu") == gpu.find_device("cpu:0") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(gpu.find_device(name)) for name in ("cuda", "cuda:0", "cuda:1")] == ["cuda", "cuda:0", "cuda:1"]


# ---- each check can fail --------------------------------------------------------------------------------------------


def test_a_wrong_loss_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolo_lite.loss.loss.smooth_targets", lambda smoothing: (1.0, 1e-4))
    assert gpu_checks.check_loss(HERE).same is False


def test_a_wrong_overlap_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_checks, "bbox_iou", lambda a, b, kind: a[:, 0] / 2)
    assert gpu_checks.check_iou(HERE).same is False


def test_losses_that_do_not_fall_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_checks, "_losses", lambda trainer: [3.0] * gpu_checks.STEPS)
    assert gpu_checks.check_training(HERE).same is False
    assert not gpu_checks._falls([math.nan] * 50)


def test_a_first_loss_that_is_off_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def losses(trainer: Any) -> list[float]:
        start = 3.0 if trainer.options.precision == "float32" else 3.3
        return np.linspace(start, 1.0, gpu_checks.STEPS).tolist()

    monkeypatch.setattr(gpu_checks, "_losses", losses)
    assert gpu_checks.check_training(HERE).same is False


def test_a_resumed_run_that_lost_something_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolo_lite.train.state._restore_optimizer", lambda optimizer, numbers, moments: None)
    assert gpu_checks.check_resume(HERE).same is False


@pytest.mark.parametrize(("noise", "lost", "same"), [(1e-7, False, True), (1e-3, False, True), (0.2, True, False)])
def test_equal_runs_that_differ_do_not_hide_a_lost_state(
    monkeypatch: pytest.MonkeyPatch, noise: float, lost: bool, same: bool
) -> None:
    """On a GPU two equal runs are some distance apart: here noise stands for it."""
    weights, generator = gpu_checks._weights, torch.Generator().manual_seed(0)

    def noisy(trainer: Any) -> dict[str, torch.Tensor]:
        exact = weights(trainer)
        return {
            name: value + noise * value.abs().max() * torch.rand(value.shape, generator=generator)
            for name, value in exact.items()
        }

    monkeypatch.setattr(gpu_checks, "_weights", noisy)
    if lost:
        monkeypatch.setattr("yolo_lite.train.state._restore_optimizer", lambda optimizer, numbers, moments: None)
    found = gpu_checks.check_resume(HERE)
    assert float(found.rows[1][1]) > 0
    assert found.same is same


def test_how_far_a_resumed_run_may_be() -> None:
    assert gpu_checks._allowed(0) == gpu_checks.RESUME_FLOOR  # a last bit is no difference
    assert gpu_checks._allowed(1e-3) == pytest.approx(1e-2)
    assert gpu_checks._allowed(1) == gpu_checks.RESUME_CAP


def test_other_boxes_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    thresholds = iter(np.linspace(0.5, 0.6, 100).tolist())
    suppress = gpu_checks.suppress
    monkeypatch.setattr(gpu_checks, "suppress", lambda boxes, scores, _: suppress(boxes, scores, next(thresholds)))
    assert gpu_checks.check_nms(HERE).same is False


def test_another_precision_of_the_figures_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate, calls = gpu_checks.evaluate, iter(range(99))
    monkeypatch.setattr(
        gpu_checks,
        "evaluate",
        lambda model, loader, rule: dataclasses.replace(evaluate(model, loader, rule), map=next(calls) / 10),
    )
    monkeypatch.setattr(gpu_checks.importlib.util, "find_spec", lambda name: None)
    found = gpu_checks.check_average_precision(HERE)
    assert found.same is False
    assert "faster-coco-eval is not installed" in found.words


def test_a_precision_that_learns_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = iter([0.5, 0.5, 0.3])
    monkeypatch.setattr(gpu_limits, "run_steps", lambda trainer, count: [])
    monkeypatch.setattr(gpu_limits, "evaluate", lambda model, loader: Figures(0.5, next(metrics)))
    assert gpu_limits.check_map(HERE).same is False


def test_gradients_that_processes_change_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_limits, "_gradients_apart", lambda machine: 1e-3)
    assert gpu_limits.check_processes(HERE).same is False


def test_waits_are_counted_by_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyTorch warns of on a GPU, said by hand: a CPU has nothing to wait for."""
    trainer = gpu_checks.new_trainer(HERE, CPU)
    train_batch, modes = trainer.train_batch, []

    def waits(batch: Any) -> None:
        train_batch(batch)
        for _ in range(2):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("something else", stacklevel=1)

    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    trainer.train_batch = waits
    assert gpu_checks._waits(trainer, gpu_checks.first_batch(trainer)) == {"elsewhere": 2}
    assert modes == ["warn", "default"]


def test_furthest() -> None:
    assert gpu_checks.furthest([1, 2], [1, 2.5]) == 0.5
    assert gpu_checks.furthest([1, 2], [1, 2.5], relative=True) == pytest.approx(0.2)
    assert gpu_checks.furthest([math.nan], [1]) == math.inf
    assert gpu_checks.furthest([], []) == 0


def test_settings_of_the_numbers_are_given_back() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.deterministic
    with gpu_checks.exact_float32():
        assert (cudnn.allow_tf32, cudnn.deterministic) == (False, True)
    assert (cudnn.allow_tf32, cudnn.deterministic) == before
