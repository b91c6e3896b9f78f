"""make bench in small: what each side is asked for exists, one figure is measured, and values become a table."""

import ast
import inspect
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.pages import with_part
from benchmarks.speed import __main__ as command
from benchmarks.speed import data, growth, inputs, ours, passes, plots, report, stand_in, turns, worker
from benchmarks.speed.figures import BY_NAME, FIGURES, OURS, PEER, TORCHVISION, WHOLE_PEER, Figure
from yolo_lite.detect.nms import nms

HERE = Path(turns.__file__).parent
TARGETS = Figure(
    "tiny", "tiny", "ms", 0.5, "targets", (PEER, "targets"), {"objects": 3, "batch": 1, "size": 64, "classes": 2}
)


def measured(figure: Figure, ours: list[float], theirs: list[float]) -> turns.Measured:
    values = [[{"wall": s, "cpu": 2 * s, "calls": 1, "units": 4} for s in seconds] for seconds in (ours, theirs)]
    return turns.Measured(figure, 1, *values)


def parameters(file: str, function: str) -> list[str]:
    """Of a function of a module that cannot be imported here."""
    tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
    (found,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    return [argument.arg for argument in found.args.args]


@pytest.mark.parametrize("figure", FIGURES, ids=BY_NAME)
def test_both_sides_know_what_a_figure_asks_of_them(figure: Figure) -> None:
    inspect.signature(ours.FIGURES[figure.ours]).bind(**figure.options)
    assert f"### {figure.name}\n" in command.PAGE.read_text(encoding="utf-8")
    if figure.theirs is not None:
        side, function = figure.theirs
        options = figure.options if figure.their_options is None else figure.their_options
        file = {OURS: "ours.py", PEER: "peer.py", WHOLE_PEER: "peer.py", TORCHVISION: "real_nms.py"}[side]
        assert set(options) <= set(parameters(file, function))


def test_growth_asks_for_what_there_is() -> None:
    for _, _, lines in growth.PLANS.values():
        for line in lines:
            inspect.signature(ours.FIGURES[line.function]).bind(**line.options, **{line.option: line.sizes[0]})


def test_a_figure_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    sides = turns.make_sides(tmp_path / "python", None, 1, tmp_path, tmp_path)
    try:
        found = turns.measure(TARGETS, sides, threads=1, turns=1, seconds=0.001)
    finally:
        sides[OURS].end()
    row = report.Row.of(found)
    assert row.ours is not None
    assert row.ours.median > 0
    assert row.ratio is row.met is row.theirs is None
    assert "make peer" in row.missing
    assert row.missing in report.notes([row])


def test_requests_are_answered_one_by_one_and_errors_too(capfd: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    def skipped() -> worker.Work:
        raise worker.Skipped("not here")

    closed: list[int] = []
    clock = [0.0]

    def a_pass() -> float:
        clock[0] += 0.25  # seconds that it takes
        return 0.01  # of one sample, which is what it measures

    monkeypatch.setattr(worker.time, "perf_counter", lambda: clock[0])
    figures = {
        "skipped": skipped,
        "wrong": lambda: 1 / 0,
        "passed": lambda: worker.Work(a_pass, 2, lambda: closed.append(1)),
    }
    given = {"do": "prepare", "slot": "a", "options": {}, "threads": 1, "seconds": 1.0}
    asked = [{**given, "figure": name} for name in figures] + [{"do": "turn", "slot": "a"}, {"do": "forget"}]
    monkeypatch.setattr("sys.stdin", [json.dumps(request) for request in asked])
    worker.serve(figures, lambda _: print("libraries print"), dict)
    lines = capfd.readouterr().out.splitlines()
    answers = [json.loads(line.removeprefix(worker.ANSWER)) for line in lines if line.startswith(worker.ANSWER)]
    assert answers[0] == {"skipped": "not here"}
    assert "ZeroDivisionError" in answers[1]["error"]
    assert (answers[3]["wall"], answers[3]["calls"], answers[3]["units"]) == (0.01, 4, 2)
    assert closed == [1]


def test_ratios_follow_the_unit_and_goals_the_ratio() -> None:
    times = report.Row.of(measured(TARGETS, [0.001, 0.002, 0.003], [0.004, 0.004, 0.004]))
    assert times.ratio is not None
    assert (times.ratio.median, times.met) == (0.5, True)
    assert times.ratio.low == pytest.approx(0.375)
    rate = Figure("rate", "rate", "images/s", 2.1, "train", (PEER, "train"))
    slow = report.Row.of(measured(rate, [0.5, 0.5], [1.0, 1.0]))
    assert slow.ours == report.Spread(8.0, 8.0, 8.0)
    assert slow.met is False
    assert "missed by 5%" in report.notes([times, slow])
    assert report.Row.of(measured(rate, [0.5, 0.5], [1.0, 1.0]), "cpu").ours == report.Spread(4.0, 4.0, 4.0)
    assert [line.count("|") for line in report.table([times, slow]).splitlines()] == [7] * 4
    assert json.loads(json.dumps(slow.as_json()))["ratio"]["median"] == 2.0


def test_a_goal_without_another_side_is_for_the_value() -> None:
    alone = Figure("opening", "opening", "s", 1.5, "opening")
    assert report.Row.of(measured(alone, [4.0, 8.0], [])).met is True  # seconds of four units
    assert report.Row.of(measured(alone, [8.0, 8.0], [])).met is False
    assert report.Row.of(measured(alone, [], [])).met is None


def test_parts_of_the_page_are_replaced_and_others_stay() -> None:
    page = command.PAGE.read_text(encoding="utf-8")
    for name in ("table", "notes", "machine", "growth"):
        assert "\n\nNEW \\1\n\n" in with_part(page, name, "NEW \\1")
    with pytest.raises(ValueError, match="nothing"):
        with_part(page, "nothing", "")


def test_every_missed_goal_has_its_entry() -> None:
    file = command.RESULTS / "speed.json"
    figures: list[Mapping[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["figures"] if file.exists() else []
    assert report.unexplained(command.PAGE.read_text(encoding="utf-8"), figures) == []


def test_slopes_and_pictures(tmp_path: Path) -> None:
    curve = growth.Curve(
        "c", "title", "x", "ms", {"square": [(x, x**2.0) for x in (1, 10, 100)], "flat": [(1, 5), (9, 5)]}
    )
    assert "slope 2.00, about quadratic" in curve.sentences()
    assert "hardly grows" in curve.sentences()
    assert "0.5 for each more" in growth.Curve("c", "", "", "", {"a": [(0, 1), (8, 5)]}, is_log=False).sentences()
    plots.plot_curve(curve, tmp_path / "curve.svg")
    plots.plot_ratios([report.Row.of(measured(TARGETS, [1, 2], [2, 2]))], tmp_path / "ratios.svg")
    assert all("</svg>" in (tmp_path / name).read_text(encoding="utf-8") for name in ("curve.svg", "ratios.svg"))


def test_pictures_are_written_once_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = {"train": 2, "val": 1}
    folder = data.prepare(None, tmp_path / "drawn", images)
    copied = data.prepare(str(folder / "data.yaml"), tmp_path / "copied", {"train": 3, "val": 1})
    for made in (folder, copied):
        monkeypatch.setattr(ours, "DATA", made)
        assert ours.samples(size=64, images=1).call() is None
    written = (copied / "labels/train/0002.txt").read_text(encoding="utf-8")
    assert written == (copied / "labels/train/0000.txt").read_text(encoding="utf-8")  # the third is the first again
    assert written.count("\n") == (folder / "labels/train/0000.txt").read_text(encoding="utf-8").count("\n") > 0
    before = (folder / "images/train/0000.jpg").stat().st_mtime_ns
    data.prepare(None, folder, images)
    assert (folder / "images/train/0000.jpg").stat().st_mtime_ns == before


def test_the_stand_in_suppresses_exactly() -> None:
    boxes, scores, _ = inputs.boxes_to_suppress(300, size=100)
    assert torch.equal(stand_in.nms(boxes, scores, 0.45), nms(boxes, scores, 0.45))
    assert 10 < len(stand_in.nms(boxes, scores, 0.45)) < 290


def test_the_loader_is_timed_without_what_was_ready() -> None:
    class Loader:
        def __len__(self) -> int:
            return 8

        def __iter__(self) -> Any:
            return iter(range(8))

    seconds = passes.steady_seconds(Loader(), 16)
    assert 0 < seconds < math.inf
