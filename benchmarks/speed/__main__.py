"""make bench: the project and its peer in turns, as a table of ratios; --growth: how times and memory grow.

usage: python -m benchmarks.speed [--only loss samples ...] [--quick] [--peer PYTHON] [--torchvision PYTHON] ...

A whole run writes benchmarks/results/speed.json (growth.json), docs/performance.md and its pictures; with --only or
--quick everything goes to build/bench. Exit code 2 where nothing could be measured.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.pages import with_part
from benchmarks.speed import growth
from benchmarks.speed.data import prepare
from benchmarks.speed.figures import BY_NAME, FIGURES, OURS, TORCHVISION, WHOLE_PEER, Figure
from benchmarks.speed.report import Row, knows_bfloat16, machine, machine_words, notes, table
from benchmarks.speed.turns import ROOT, Measured, Side, make_sides, measure

RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "performance.md"
TURNS, QUICK_TURNS = 7, 3
RATIOS = "![Times as fast as the other side, row by row, with the goals](performance/ratios.svg)"
NO_BFLOAT16 = "this processor has no instructions for bfloat16"


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=(__doc__ or "").split("\n")[0])
    names = (*BY_NAME, *growth.NAMES)
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_TURNS} short turns: a look, not a result")
    parser.add_argument("--growth", action="store_true", help="growth curves in place of the table")
    parser.add_argument("--peer", type=Path, default=ROOT / "build/peer/bin/python", help="a Python with yolov5 7.0.14")
    parser.add_argument("--torchvision", type=Path, help="a Python whose torchvision loads; left out: the peer's")
    parser.add_argument("--data", help="data.yaml or folder of the pictures; left out: drawn ones")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="of each process")
    parser.add_argument("--turns", type=int, help=f"of each figure; left out: {TURNS}, with --quick {QUICK_TURNS}")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: for a machine that is not idle")
    parser.add_argument("--scratch", type=Path, default=ROOT / "build/bench", help="folder for data and logs")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = parsed(arguments)
    drawn = "data" if options.data is None else "given-data"
    data = prepare(options.data, options.scratch / drawn)
    # The path as given: a virtual environment's Python is a link, and what it links to knows no packages.
    peer, torchvision = options.peer.absolute(), options.torchvision or options.peer
    sides = make_sides(peer, torchvision.absolute(), options.threads, options.scratch, data)
    try:
        return _growth(options, sides) if options.growth else _table(options, sides)
    finally:
        for side in sides.values():
            side.end()


def _table(options: argparse.Namespace, sides: dict[str, Side]) -> int:
    turns = options.turns or (QUICK_TURNS if options.quick else TURNS)
    facts = {name: side.ask(do="facts") for name, side in sides.items()}
    if "error" in facts[TORCHVISION] or "skipped" in facts[TORCHVISION]:
        sides[TORCHVISION].python = "no Python with a torchvision that loads was named: TORCHVISION=..."
    if not facts[WHOLE_PEER].get("torchvision"):
        sides[WHOLE_PEER].end()
        sides[
            WHOLE_PEER
        ].python = "no Python with both the peer and a torchvision that loads was named: TORCHVISION=..."
    known = {name: found for name, found in facts.items() if not {"error", "skipped"} & found.keys()}
    about = machine(known, options.threads, turns, options.clock)
    print(machine_words(about), end="\n\n", flush=True)
    rows = []
    chosen = [figure for figure in FIGURES if not options.only or figure.name in options.only]
    for figure in chosen:
        start = time.monotonic()
        found = _measured(_smaller(figure) if options.quick else figure, options, sides, turns)
        rows.append(Row.of(found, options.clock))
        ours, theirs, ratio, goal, met = rows[-1].cells()[1:]
        words = f"{ours} : {theirs} = {ratio}; goal {goal} {met} {rows[-1].missing}"
        print(f"{figure.name}: {words} [{time.monotonic() - start:.0f} s]", flush=True)
    print(f"\n{table(rows)}\n\n{notes(rows)}")
    whole = not options.only and not options.quick
    found = {"machine": about, "figures": [row.as_json() for row in rows]}
    _write_json((RESULTS if whole else options.scratch) / "speed.json", found)
    pictures = (PAGE.parent if whole else options.scratch) / "performance"
    _try_plots(lambda plots: plots.plot_ratios(rows, pictures / "ratios.svg"))
    if whole:
        page = with_part(PAGE.read_text(encoding="utf-8"), "machine", machine_words(about))
        page = with_part(with_part(page, "table", f"{table(rows)}\n\n{RATIOS}"), "notes", notes(rows))
        PAGE.write_text(page, encoding="utf-8")
    return 0 if any(row.ours for row in rows) else 2


def _measured(figure: Figure, options: argparse.Namespace, sides: dict[str, Side], turns: int) -> Measured:
    if figure.bfloat16 and not knows_bfloat16():
        return Measured(figure, options.threads, missing=NO_BFLOAT16)
    return measure(figure, sides, options.threads, turns, seconds=0.1 if options.quick else 0.5)


def _smaller(figure: Figure) -> Figure:
    """What --quick measures in place of the figures that take a minute; their goals are for the whole."""
    if "images" in figure.options:
        return replace(figure, part="opening 10,000 images, the second time", options={"images": 10_000}, goal=None)
    return figure


def _growth(options: argparse.Namespace, sides: dict[str, Side]) -> int:
    whole = not options.only and not options.quick
    pictures = (PAGE.parent if whole else options.scratch) / "performance"
    curves = []
    for curve in growth.grow(
        sides[OURS], options.scratch, options.quick, options.threads, options.only or growth.NAMES
    ):
        curves.append(curve)
        print(f"{curve.title}\n{curve.sentences() or 'not measured'} {curve.missing}\n", flush=True)
    _write_json((RESULTS if whole else options.scratch) / "growth.json", [curve.as_json() for curve in curves])
    drawn = [curve for curve in curves if curve.lines]
    _try_plots(lambda plots: [plots.plot_curve(curve, pictures / f"{curve.name}.svg") for curve in drawn])
    if whole:
        parts = [
            f"### {curve.title}\n\n![{curve.title}](performance/{curve.name}.svg)\n\n{curve.sentences()}"
            for curve in drawn
        ]
        PAGE.write_text(with_part(PAGE.read_text(encoding="utf-8"), "growth", "\n\n".join(parts)), encoding="utf-8")
    return 0 if drawn else 2


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _try_plots(draw: Any) -> None:
    """Pictures, where matplotlib is installed."""
    try:
        from benchmarks.speed import plots

        draw(plots)
    except ModuleNotFoundError as missing:
        print(f"No pictures: {missing.name} is not installed.")


if __name__ == "__main__":
    sys.exit(main())
