"""Turns -> medians, ratios and goals; the table, the JSON, and the generated parts of docs/performance.md."""

import os
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.speed.figures import Figure
from benchmarks.speed.turns import Measured

Clock = Literal["wall", "cpu"]


@dataclass(frozen=True)
class Spread:
    """Of the values of several turns."""

    median: float
    low: float  # lower quartile
    high: float  # upper quartile

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def words(self, unit: str = "") -> str:
        """The median, and the quartiles in brackets."""
        return f"{digits(self.median)}{unit and ' ' + unit} ({digits(self.low)} to {digits(self.high)})"


@dataclass(frozen=True)
class Row:
    """A figure in the end."""

    figure: Figure
    threads: int
    turns: int
    ours: Spread | None
    theirs: Spread | None
    ratio: Spread | None  # of ours to theirs, turn by turn: what slows both down at one time is not in it
    met: bool | None  # None: there is no goal, or no value
    missing: str

    @classmethod
    def of(cls, found: Measured, clock: Clock = "wall") -> "Row":
        figure = found.figure
        clock = "wall" if figure.wall_only else clock
        ours, theirs = (
            [figure.value(turn[clock], turn["units"]) for turn in turns] for turns in (found.ours, found.theirs)
        )
        own, other = (Spread.of(values) if values else None for values in (ours, theirs))
        ratio = met = None
        if own is not None and other is not None:
            ratio = Spread.of([one / two for one, two in zip(ours, theirs, strict=False)])
            met = figure.met(ratio.median)
        elif own is not None and figure.theirs is None:
            met = figure.met(own.median)
        return cls(figure, found.threads, len(ours), own, other, ratio, met, found.missing)

    def cells(self) -> tuple[str, ...]:
        """Of the table."""
        figure = self.figure
        other = "" if figure.theirs is None else "not measured"
        return (
            figure.part,
            self.ours.words(figure.unit) if self.ours else "not measured",
            self.theirs.words() if self.theirs else other,
            self.ratio.words() if self.ratio else "",
            self._goal(),
            {True: "met", False: "**missed**", None: ""}[self.met],
        )

    def _goal(self) -> str:
        figure = self.figure
        if figure.goal is None:
            return ""
        unit = f" {figure.unit}" if figure.theirs is None else ""
        return f"{'≥' if figure.more_is_better else '≤'} {figure.goal:g}{unit}"

    def shortfall(self) -> str:
        """A sentence about a goal that is missed, "" for one that is not."""
        if self.met is not False:
            return ""
        reached = self.ratio or self.ours
        assert reached is not None
        assert self.figure.goal is not None
        off = abs(reached.median / self.figure.goal - 1)
        return f"{self.figure.part}: {digits(reached.median)}, the goal is {self._goal()}; missed by {off:.0%}."

    def as_json(self) -> dict[str, Any]:
        figure = self.figure
        spreads = {"ours": self.ours, "theirs": self.theirs, "ratio": self.ratio}
        return {
            "name": figure.name,
            "part": figure.part,
            "unit": figure.unit,
            "goal": figure.goal,
            "met": self.met,
            "against": figure.theirs and figure.theirs[0],
            "options": dict(figure.options),
            "threads": self.threads,
            "turns": self.turns,
            "missing": self.missing,
            **{name: spread and vars(spread) for name, spread in spreads.items()},
        }


def digits(value: float) -> str:
    """Three significant ones.

    >>> [digits(value) for value in (0.0123, 1.5, 87.123, 6400.0)]
    ['0.0123', '1.50', '87.1', '6,400']
    """
    if value >= 100:
        return f"{value:,.0f}"
    places = 2 if value >= 1 or value == 0 else 3
    return f"{value:.1f}" if value >= 10 else f"{value:.{places if value >= 0.1 else 4}f}"


HEADER = ("part", "ours", "theirs", "ratio", "goal", "")


def table(rows: Sequence[Row]) -> str:
    """In Markdown: median of the turns, quartiles in brackets."""
    lines = [HEADER, tuple("---" for _ in HEADER), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def notes(rows: Sequence[Row]) -> str:
    """What was not measured, and which goals are missed, as lists."""
    missing: dict[str, list[str]] = {}
    for row in rows:
        if row.missing:
            missing.setdefault(row.missing, []).append(row.figure.name)
    lines = [f"- not measured: {', '.join(names)}: {why}" for why, names in missing.items()]
    lines += [f"- missed: {sentence}" for row in rows if (sentence := row.shortfall())]
    return "\n".join(lines) or "- every goal is met."


def machine(facts: Mapping[str, Mapping[str, Any]], threads: int, turns: int, clock: Clock) -> dict[str, Any]:
    """What it ran on."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "bfloat16": knows_bfloat16(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": threads,
        "turns": turns,
        "clock": clock,
        "load": load,
        "sides": {name: dict(found) for name, found in facts.items()},
    }


def machine_words(found: Mapping[str, Any]) -> str:
    """The same as a paragraph."""
    versions = [
        f"{name}: {', '.join(f'{key} {value}' for key, value in facts.items())}"
        for name, facts in found["sides"].items()
        if facts
    ]
    bf16 = "with bfloat16 units" if found["bfloat16"] else "without bfloat16 units"
    load = found["load"]
    busy = "" if load is None else f" Load of the machine when it began: {load:.1f}."
    kind = {"wall": "elapsed time", "cpu": "CPU time of the process"}[found["clock"]]
    return (
        f"{found['processor']}, {found['cores']} cores, {bf16}; {found['system']}. {found['threads']} threads where "
        f"the row does not say one; {found['turns']} turns, {kind}.{busy}\n\n" + "\n".join(f"- {v}" for v in versions)
    )


def processor_name() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", info.read_text(encoding="utf-8")) if info.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def knows_bfloat16() -> bool:
    """Whether the processor has instructions that multiply bfloat16: without them it is slower than float32."""
    info = Path("/proc/cpuinfo")
    words = set(info.read_text(encoding="utf-8").split()) if info.is_file() else set()
    return bool(words & {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"})


WAYS = 3  # that were tried before a goal counts as missed


def unexplained(page: str, figures: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows with a missed goal whose section of the page does not list the ways that were tried.

    >>> unexplained("### a\\n- one\\n- two\\n- three\\n### b\\nWhy.\\n", [{"name": n, "met": False} for n in "ab"])
    ['b']
    """
    sections = dict(re.findall(r"^### ([\w-]+)\n(.*?)(?=^#|\Z)", page, re.DOTALL | re.MULTILINE))
    missed = [figure["name"] for figure in figures if figure["met"] is False]
    return [name for name in missed if len(re.findall(r"^- ", sections.get(name, ""), re.MULTILINE)) < WAYS]
