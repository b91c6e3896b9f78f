"""benchmarks/gpu.py, as far as a CPU can run it: all of it works, and each of its checks can fail."""

import dataclasses
import json
import math
import subprocess
import sys
import time
import warnings
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import gpu
import gpu_budget
import gpu_checks
import gpu_colour
import gpu_limits
import gpu_others
import gpu_speed
from gpu_checks import CPU, Finding, Machine

Figures = namedtuple("Figures", ["map50", "map"])
PROJECT = Path(__file__).parent.parent
HERE = Machine(CPU, math.inf)


def test_the_whole_script_runs_on_a_cpu(tmp_path: Path) -> None:
    written = ["--json", str(tmp_path / "gpu.json"), "--append", str(tmp_path / "gpu.md")]
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--seconds", "3000", *written]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert set(found) == {"machine", *gpu.CHECKS}
    optional = [name for name, needs in (("peer", "yolov5"), ("torchvision", "torchvision")) if not find_spec(needs)]
    same = {name: found[name]["same"] for name in gpu.CHECKS}
    assert same == {name: None if name in ("waits", *optional) else True for name in gpu.CHECKS}
    assert (tmp_path / "gpu.md").read_text().count("**") == 2 * len(gpu.CHECKS)
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
    monkeypatch.setattr(trainer, "train_batch", waits)
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


@pytest.mark.parametrize(("waiting", "same"), [(0, False), (1, True), (9, False)])
def test_too_many_waits_are_found(monkeypatch: pytest.MonkeyPatch, waiting: int, same: bool) -> None:
    """All of the part but the counting itself, which PyTorch does."""
    monkeypatch.setattr(gpu_checks, "_waits", lambda trainer, batch: gpu_checks.Counter({"trainer.py:1": waiting}))
    monkeypatch.setattr(gpu_checks, "PRECISIONS", ("float32",))
    assert gpu_checks.count_waits(HERE).same is same


# ---- augmentation ---------------------------------------------------------------------------------------------------


def test_other_colours_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_colour, "apply_hsv_tables", lambda images, tables: images)
    monkeypatch.setattr(gpu_colour, "_losses", lambda machine, hsv_on_device: [1.0])
    assert gpu_colour.check_augmentation(HERE).same is False


def test_other_warps_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    warp = gpu_colour.warp_batch
    monkeypatch.setattr(gpu_colour, "warp_batch", lambda *given: warp(*given).roll(1, 3))
    monkeypatch.setattr(gpu_colour, "_losses", lambda machine, hsv_on_device: [1.0])
    assert gpu_colour.check_augmentation(HERE).same is False


def test_a_run_that_the_option_changes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolo_lite.train.trainer.apply_hsv_tables", lambda images, tables: 255 - images)
    found = gpu_colour.check_augmentation(HERE)
    assert found.same is False
    assert float(found.rows[-1][1]) > gpu_colour.LOSS_APART


def test_a_warp_is_opencvs_on_a_smooth_picture() -> None:
    canvases, _, matrices = gpu_colour.pictures(3, 96)
    matrices[0] = np.array([[1, 0, -48], [0, 1, -48], [0, 0, 1.0]])  # whole pixels: exact
    matrices[1] = np.array([[1.1, 0.2, -300], [0, 0.9, 20], [1e-4, 2e-4, 1]])  # beyond the canvas, with perspective
    batch = torch.from_numpy(canvases).permute(0, 3, 1, 2)
    found = gpu_colour.warp_batch(batch, torch.from_numpy(np.stack(matrices)), 96).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(found[0], canvases[0, 48:144, 48:144])
    for image, canvas, matrix in zip(found, canvases, matrices, strict=True):
        apart = np.abs(image.astype(int) - gpu_colour.warp_image(canvas, matrix, (96, 96)))
        assert (apart > gpu_colour.WARP_APART).mean() < 0.01  # but where the canvas ends, and gray begins
    assert (found[1] == 114).all(2).mean() > 0.2


# ---- speed and others -----------------------------------------------------------------------------------------------


def test_a_line_that_breaks_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(load: gpu_speed.Load, machine: Machine) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setitem(gpu_speed.WORKS, "train", broken)
    found = gpu_speed.measure_speed(HERE)
    assert found.same is False
    assert [row[0] for row in found.rows[1:]] == ["train", "infer"]
    assert found.rows[1][5] == "RuntimeError: out of memory"
    assert float(found.rows[2][5]) > 0


@pytest.mark.parametrize("right", [True, False])
def test_a_graph_is_replayed_and_compared(monkeypatch: pytest.MonkeyPatch, right: bool) -> None:
    """What CUDA does, done by hand: the work is called while it is recorded, and a replay gives the same tensor."""
    recorded: list[str] = []
    stream = SimpleNamespace(wait_stream=lambda other: recorded.append("waits"))

    @contextmanager
    def record(graph: Any) -> Iterator[None]:
        recorded.append("begin")
        yield
        recorded.append("end")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: recorded.append("replay")))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda given: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", record)
    load = gpu_speed.Load("graph", "small", 64, 1, "float32")
    if not right:
        decoder = gpu_speed._decoder
        answers = iter([0.0] * 4 + [9.0] * 9)
        monkeypatch.setattr(
            gpu_speed,
            "_decoder",
            lambda *given: (lambda images: decoder(*given)[0](images) + next(answers), decoder(*given)[1]),
        )
        with pytest.raises(RuntimeError, match="from the network's"):
            gpu_speed._graph(load, HERE)
        return
    work = gpu_speed._graph(load, HERE)
    assert len(work()) == 1
    assert recorded == ["waits", "waits", "begin", "end", "replay", "replay"]


def test_what_only_a_gpu_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu, called = HERE._replace(device=torch.device("cuda")), []
    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda device: called.append(str(device)))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: called.append("empty"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**29)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(name="H100", total_memory=80 * 2**30)
    )
    on_gpu.wait()
    gpu_speed.empty_memory(on_gpu)
    assert called == ["cuda", "empty", "cuda"]
    assert not on_gpu.small
    assert gpu_speed._memory(on_gpu) == "1.5"
    assert gpu.describe(on_gpu.device).startswith("H100, 80 GiB")


class Peer:
    """Stands for the process of YOLOv5: two hundred images a second."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers, self.asked, self.killed = list(answers), [], False

    def ask(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        if self.answers:
            return self.answers.pop(0)
        return {"wall": 0.05, "units": 10} if request["do"] == "turn" else {}

    def end(self) -> None:
        pass

    def kill(self) -> None:
        self.killed = True


def test_the_peer_has_its_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    side = Peer()
    monkeypatch.setattr(gpu_others, "SMALL", (gpu_speed.Load("train", "small", 64, 2, "bfloat16"),))
    monkeypatch.setattr(gpu_others, "Side", lambda *given: side)
    found = gpu_others.measure_peer(HERE._replace(peer=sys.executable))
    assert found.same is True
    _, row = found.rows
    assert row[5] == "200.0"
    assert float(row[6]) == pytest.approx(float(row[4]) / 200, abs=0.01)
    assert [request["do"] for request in side.asked] == ["prepare", *["turn"] * gpu_others.TURNS, "forget"]
    assert side.asked[0]["options"]["precision"] == "bfloat16"
    assert side.killed


@pytest.mark.parametrize("answers", [({"error": "No module named 'yolov5'"},), ({}, {"skipped": "no memory"})])
def test_a_peer_that_does_not_answer_is_no_mistake_of_ours(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[dict[str, Any], ...]
) -> None:
    monkeypatch.setattr(gpu_others, "Side", lambda *given: Peer(*answers))
    found = gpu_others.measure_peer(HERE._replace(peer=sys.executable))
    assert found.same is None
    assert "yolov5" in found.words or "no memory" in found.words


def test_without_a_peer_it_says_so(tmp_path: Path) -> None:
    found = gpu_others.measure_peer(HERE._replace(peer=str(tmp_path / "python")))
    assert (found.same, found.rows) == (None, ())
    assert "no such file" in found.words


def torchvision_that(monkeypatch: pytest.MonkeyPatch, nms: Any) -> None:
    """A torchvision of our own making, so that what calls it runs where there is none."""

    class Detector(torch.nn.Module):
        def __init__(self, **options: Any) -> None:
            super().__init__()
            assert options["num_classes"] == 7
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, images: list[torch.Tensor], targets: list[dict[str, torch.Tensor]]) -> dict[str, Any]:
            assert len(images) == len(targets)
            assert all((found["boxes"][:, 2:] >= found["boxes"][:, :2]).all() for found in targets)
            return {"classification": self.scale * images[0].mean(), "boxes": self.scale}

    modules = {
        "torchvision": SimpleNamespace(__version__="0"),
        "torchvision.ops": SimpleNamespace(nms=nms),
        "torchvision.models.detection": SimpleNamespace(ssdlite320_mobilenet_v3_large=Detector),
    }
    monkeypatch.setattr(gpu_others, "detectors", lambda machine: (("ssdlite320_mobilenet_v3_large", 64, 2),))
    monkeypatch.setattr(gpu_others.importlib, "import_module", modules.__getitem__)


def test_torchvision_beside_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision_that(monkeypatch, gpu_others.nms)
    found = gpu_others.measure_torchvision(HERE)
    assert found.same is True
    assert [row[-1] for row in found.rows[1:]] == ["0", ""]
    torchvision_that(monkeypatch, lambda boxes, scores, threshold: gpu_others.nms(boxes, scores, threshold)[1:])
    assert gpu_others.measure_torchvision(HERE).same is False


# ---- time -----------------------------------------------------------------------------------------------------------


def test_every_part_has_its_time_and_together_they_end_within_eight_minutes() -> None:
    assert list(gpu_budget.BUDGETS) == list(gpu.CHECKS)
    assert sum(gpu_budget.BUDGETS.values()) <= gpu_budget.SECONDS
    assert gpu_budget.SECONDS + gpu_budget.GRACE < 480


def test_a_part_that_does_not_end_is_cut_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def endless(machine: Machine) -> Finding:
        while True:
            try:
                time.sleep(0.01)
            except Exception:  # what is meant to end it is no Exception
                continue

    monkeypatch.setitem(gpu.CHECKS, "iou", endless)
    monkeypatch.setitem(gpu.CHECKS, "nms", lambda machine: Finding(True, "fine"))
    monkeypatch.setattr(gpu, "BUDGETS", {"iou": 0.1, "nms": 30.0})
    file = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cpu", "--only", "iou", "nms", "--seconds", "30.1", "--json", str(file)]) == 0
    assert "iou not run, CUT SHORT" in capsys.readouterr().out
    assert json.loads(file.read_text())["iou"]["cut"]


def test_a_run_that_is_cut_off_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(machine: Machine) -> Finding:
        raise KeyboardInterrupt

    monkeypatch.setitem(gpu.CHECKS, "iou", lambda machine: Finding(True, "fine", [("a",), ("1",)]))
    monkeypatch.setitem(gpu.CHECKS, "nms", interrupted)
    file = tmp_path / "gpu.json"
    with pytest.raises(KeyboardInterrupt):
        gpu.main(["--device", "cpu", "--only", "iou", "nms", "--json", str(file)])
    kept = json.loads(file.read_text())
    assert set(kept) == {"machine", "iou"}
    assert kept["iou"]["rows"] == [["a"], ["1"]]


def test_a_device_that_never_answers_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []
    with gpu_budget.ending_by(0.01, codes.append):
        time.sleep(0.3)
    assert codes == [3]
    with gpu_budget.ending_by(60, codes.append):
        pass
    assert codes == [3]
    assert "STOPPED" in capsys.readouterr().out


def test_precisions_for_which_there_is_no_time_are_named() -> None:
    over = HERE._replace(deadline=time.monotonic() - 1)
    assert list(gpu_checks.in_time([1, 2], over)) == []
    assert list(gpu_checks.in_time([1, 2], HERE)) == [1, 2]
    for check in (gpu_limits.check_map, gpu_checks.count_waits, gpu_speed.measure_speed):
        assert check(over).cut == f"after 0 of {2 if check is gpu_speed.measure_speed else 3}"


def test_tables_are_appended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(gpu.CHECKS, "iou", lambda machine: Finding(True, "fine", [("a", "b"), ("x|y", "1")]))
    file = tmp_path / "RESULTS.md"
    file.write_text("# Results\n")
    assert gpu.main(["--device", "cpu", "--only", "iou", "--append", str(file)]) == 0
    text = file.read_text()
    assert text.startswith("# Results\n\n## On a GPU: cpu")
    assert "**iou**: the same. fine\n\n| a | b |\n| --- | --- |\n| x/y | 1 |\n" in text
