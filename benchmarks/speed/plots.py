"""The pictures of docs/performance: ratios with their goals, and growth curves. Needs matplotlib.

Colours are Okabe and Ito's, which stay apart for every kind of colour vision; each line has a mark of its own as well.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.speed.report import Row

if TYPE_CHECKING:
    from benchmarks.speed.growth import Curve

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKS = ("o", "s", "^", "D", "v", "P")
SETTINGS = {"svg.hashsalt": "yolo-lite", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}


def plot_ratios(rows: Sequence[Row], path: Path) -> None:
    """How many times faster than the other side each row is, with its quartiles and its goal."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    shown = [row for row in rows if row.ratio is not None and row.figure.goal is not None][::-1]
    with plt.rc_context(SETTINGS):
        figure, axes = plt.subplots(figsize=(8, 0.6 + 0.34 * len(shown)), layout="constrained")
        for place, row in enumerate(shown):
            assert row.ratio is not None
            more = row.figure.more_is_better
            faster, low, high = (value if more else 1 / value for value in vars(row.ratio).values())
            axes.plot([low, high], [place, place], color=COLOURS[0], linewidth=3, alpha=0.5)
            axes.plot(
                faster, place, MARKS[0], color=COLOURS[0], label="measured, with quartiles" if not place else None
            )
            if row.figure.goal is not None:
                goal = row.figure.goal if more else 1 / row.figure.goal
                axes.plot(goal, place, "|", color=COLOURS[1], markersize=16, markeredgewidth=2.5)
        axes.plot([], [], "|", color=COLOURS[1], markersize=12, markeredgewidth=2.5, label="goal")
        axes.axvline(1, color="gray", linewidth=1)
        axes.set_xscale("log")
        _one_two_five(axes.xaxis, "{:,g}x")
        axes.set_yticks(range(len(shown)), [row.figure.name for row in shown])
        axes.set_xlabel("times as fast as the other side (to the right: the project is ahead)")
        axes.grid(axis="x", alpha=0.3)
        figure.legend(loc="outside upper right", ncols=2, frameon=False)
        _save(figure, path)


def plot_curve(curve: "Curve", path: Path) -> None:
    """One growth curve, with several lines."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullLocator

    with plt.rc_context(SETTINGS):
        figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
        for (label, points), colour, mark in zip(curve.lines.items(), COLOURS, MARKS, strict=False):
            axes.plot(*zip(*points, strict=True), marker=mark, color=colour, label=label)
        if curve.is_log:
            axes.set_xscale("log")
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        ticks = sorted({x for points in curve.lines.values() for x, _ in points})
        if curve.is_log:
            _one_two_five(axes.yaxis, "{:,g}")
        axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks], minor=False, rotation=45 if len(ticks) > 6 else 0)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(curve.x)
        axes.set_ylabel(curve.y)
        axes.grid(alpha=0.3)
        axes.legend(frameon=True)
        _save(figure, path)


def _one_two_five(axis: Any, words: str) -> None:
    """Marks of a logarithmic axis at 1, 2, 5, 10 ..."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: words.format(value))


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
