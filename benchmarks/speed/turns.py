"""Asks processes to measure, in turn: what else runs on the machine is in the values of all of them alike."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.speed.figures import OURS, PEER, TORCHVISION, WHOLE_PEER, Figure
from benchmarks.speed.worker import ANSWER

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    OURS: "benchmarks.speed.ours",
    PEER: "benchmarks.speed.peer",
    TORCHVISION: "benchmarks.speed.real_nms",
    WHOLE_PEER: "benchmarks.speed.peer",
}


class Side:
    """A process that measures; it starts when it is first asked. ``python``: a path, or why there is none."""

    def __init__(self, name: str, python: Path | str, environment: Mapping[str, str], log: Path) -> None:
        self.name, self.python, self.environment, self.log = name, python, environment, log
        self._process: subprocess.Popen[str] | None = None

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer; {"skipped": why} or {"error": ...} where there is none."""
        if isinstance(self.python, str):
            return {"skipped": self.python}
        process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = next((line for line in process.stdout if line.startswith(ANSWER)), "")
        except BrokenPipeError:
            line = ""
        if not line:
            self.end()
            return {"error": f"the process ended: {last_line(self.log)}"}
        answer: dict[str, Any] = json.loads(line.removeprefix(ANSWER))
        return answer

    def _started(self) -> subprocess.Popen[str]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [str(self.python), "-m", MODULES[self.name]],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self._process

    def end(self) -> None:
        """Ends the process; another request starts a new one."""
        if self._process is not None:
            self._process.communicate()  # closes its input, which ends its loop
            self._process = None


def last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return lines[-1] if lines else "it said nothing"


@dataclass
class Measured:
    """The turns of one figure, in the order in which they were taken."""

    figure: Figure
    threads: int
    ours: list[dict[str, float]] = field(default_factory=list)  # wall, cpu, calls, units of each turn
    theirs: list[dict[str, float]] = field(default_factory=list)
    missing: str = ""  # why there is no value, or none of the other side


def measure(figure: Figure, sides: Mapping[str, Side], threads: int, turns: int, seconds: float = 0.5) -> Measured:
    """Turns of both sides one after the other; who begins changes from turn to turn.

    A side that cannot measure is left out, and ``missing`` says why.
    """
    found = Measured(figure, figure.threads or threads)
    plan = [("ours", sides[OURS], figure.ours, figure.options, found.ours)]
    if figure.theirs is not None:
        name, function = figure.theirs
        options = figure.options if figure.their_options is None else figure.their_options
        plan.append(("theirs", sides[name], function, options, found.theirs))
    usable = []
    for step in plan:
        slot, side, function, options, _ = step
        given = {"slot": slot, "figure": function, "options": dict(options), "threads": found.threads}
        why = _problem(side.ask(do="prepare", seconds=seconds, **given), side)
        found.missing = found.missing or why
        if not why:
            usable.append(step)
    if usable and usable[0][0] == "ours":  # the other alone says nothing
        for number in range(turns):
            for slot, side, _, _, values in usable if number % 2 == 0 else usable[::-1]:
                answer = side.ask(do="turn", slot=slot)
                if why := _problem(answer, side):
                    found.missing = why
                    return found
                values.append(answer)
    for side in {step[0]: step[1] for step in usable}.values():
        side.ask(do="forget")
    return found


def _problem(answer: Mapping[str, Any], side: Side) -> str:
    if "error" in answer:
        return f"{side.name}: {answer['error']}; see {side.log.name}"
    return str(answer.get("skipped", ""))


def environment(threads: int, scratch: Path, data: Path) -> dict[str, str]:
    """The same for all sides. Threads that wait actively make single values explode where cores are few."""
    return {
        "OMP_WAIT_POLICY": "passive",
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)),
        "BENCH_DATA": str(data.resolve()),
        "BENCH_SCRATCH": str(scratch.resolve()),
        "YOLO_CONFIG_DIR": str(scratch.resolve() / "peer-settings"),
        "PYTHONWARNINGS": "ignore",
    }


def make_sides(peer: Path, torchvision: Path | None, threads: int, scratch: Path, data: Path) -> dict[str, Side]:
    """ours: this Python. peer: a Python with yolov5 7.0.14. torchvision: one whose torchvision loads."""
    given = environment(threads, scratch, data)
    no_peer = f"there is no Python at {peer.name}: make peer installs one, PEER=... names another"
    no_torchvision = "no Python with a torchvision that loads was named: TORCHVISION=..."
    pythons: Sequence[tuple[str, Path | str]] = (
        (OURS, Path(sys.executable)),
        (PEER, peer if peer.is_file() else no_peer),
        (TORCHVISION, torchvision if torchvision is not None and torchvision.is_file() else no_torchvision),
        (WHOLE_PEER, torchvision if torchvision is not None and torchvision.is_file() else no_torchvision),
    )
    return {name: Side(name, python, given, scratch / f"{name.replace(' ', '-')}.log") for name, python in pythons}
