"""Did a number in a notebook's outputs change? `python -m tests.house.notebook_numbers OLD_REVISION`.

Compares the outputs of notebooks/*.ipynb in a git revision with those in the working tree, cell by cell: printed text,
results as text, and HTML without its tags. Pictures are not compared. A cell is found again by its id, else by its
source, else by the most similar source among what is left.

A number that follows ≈ may differ, and so may what tests/nbval_sanitize.cfg hides (durations); where one does, it is
listed apart. So are numbers that are new (a table that was a
picture shows its numbers now). Ends with 1 where a number changed or went, with 2 where there is nothing to compare.
"""

import configparser
import difflib
import functools
import html
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from tests.house.imports import PROJECT

NUMBER = re.compile(
    r"(?P<approximate>≈\s*)?"
    r"(?:(?<![A-Za-z_0-9.])|(?<=\dx))"  # not the 5 of yolov5 or the 3 of P3, but both of 6x6
    r"(?P<number>(?<!\w)[-−](?=[\d.])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+|(?=\.\d))(?:\.\d*)?(?:[eE][-+]?\d+)?"
    r"|(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+|(?=\.\d))(?:\.\d*)?(?:[eE][-+]?\d+)?"
    r"|[-−]?(?:nan|inf)\b)"
)
TAGS = re.compile(r"<(style|script)\b.*?</\1>|<!--.*?-->|<[^>]*>", re.DOTALL)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
SIMILAR = 0.5  # of the sources of two cells that have neither id nor source in common


class Numbers(NamedTuple):
    """The numbers of one kind of output, in order, each written in one way: 0.50 as 0.5 and 25,200 as 25200."""

    exact: list[str]
    approximate: list[str]


class Output(NamedTuple):
    """One output of a cell. text: what was printed, or text/plain; html: text/html."""

    text: Numbers
    html: Numbers
    is_picture: bool
    is_html: bool


class Cell(NamedTuple):
    """A code cell."""

    id: str
    source: str
    outputs: list[Output]


class Difference(NamedTuple):
    """What is not the same in one kind of output. kind: one of HEADINGS."""

    kind: str
    where: str
    message: str


HEADINGS = {
    "approximate": "after ≈ and durations, may differ",
    "table": "words of pictures that are tables now",
    "new": "new numbers",
    "changed": "CHANGED OR GONE",
}


def numbers_in(text: str) -> Numbers:
    """The numbers of a text.

    >>> numbers_in("yolov5n: 25,200 boxes, 1.50 and -2e-3, mAP50 ≈ 0.98, 6x6")
    Numbers(exact=['25200', '1.5', '-0.002', '6', '6'], approximate=['0.98'])
    """
    found = Numbers([], [])
    hidden = [match.span() for pattern in _hidden() for match in pattern.finditer(text)]
    for match in NUMBER.finditer(text):
        may_differ = match["approximate"] or any(start <= match.start("number") < end for start, end in hidden)
        (found.approximate if may_differ else found.exact).append(_canonical(match["number"]))
    return found


@functools.cache
def _hidden() -> list[re.Pattern[str]]:
    """What the strict comparison of the notebooks does not look at."""
    config = configparser.RawConfigParser()
    config.read(PROJECT / "tests" / "nbval_sanitize.cfg", encoding="utf-8")
    return [re.compile(config.get(section, "regex")) for section in config.sections()]


def _canonical(number: str) -> str:
    value = Decimal(number.replace("−", "-").replace(",", "")).normalize()
    return f"{value:f}" if value.is_finite() and abs(value.adjusted()) < 20 else str(value).lower()


def code_cells(notebook: dict[str, Any]) -> list[Cell]:
    """Of a notebook as JSON."""
    return [
        Cell(cell.get("id", f"cell {place}"), _joined(cell["source"]), [_output(each) for each in cell["outputs"]])
        for place, cell in enumerate(notebook["cells"])
        if cell["cell_type"] == "code"
    ]


def _output(output: dict[str, Any]) -> Output:
    data = output.get("data", {})
    text = COLOURS.sub("", _joined(output.get("text", "")) + _joined(data.get("text/plain", "")))
    page = html.unescape(TAGS.sub(" ", _joined(data.get("text/html", ""))))
    return Output(numbers_in(text), numbers_in(page), "image/png" in data, "text/html" in data)


def _joined(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)


def pairs(old: Sequence[Cell], new: Sequence[Cell]) -> list[tuple[Cell | None, Cell | None]]:
    """Each old cell with the new one that it has become, None where there is none; then the new ones that are left."""
    found: dict[int, int] = {}  # place among the old -> place among the new

    def left() -> tuple[list[int], list[int]]:
        taken = set(found.values())
        return [i for i in range(len(old)) if i not in found], [j for j in range(len(new)) if j not in taken]

    for same in (lambda a, b: a.id == b.id, lambda a, b: a.source == b.source):
        for i in left()[0]:
            partner = next((j for j in left()[1] if same(old[i], new[j])), None)
            if partner is not None:
                found[i] = partner
    rest, others = left()
    alike = [(difflib.SequenceMatcher(None, old[i].source, new[j].source).ratio(), -abs(i - j), i, j)
             for i in rest for j in others]  # fmt: skip
    for ratio, _, i, j in sorted(alike, reverse=True):
        if ratio >= SIMILAR and i not in found and j not in found.values():
            found[i] = j
    return [(cell, new[found[i]] if i in found else None) for i, cell in enumerate(old)] + [
        (None, new[j]) for j in left()[1]
    ]


def compare(old: dict[str, Any], new: dict[str, Any], name: str) -> list[Difference]:
    """The differences of two notebooks as JSON, cell by cell."""
    found: list[Difference] = []
    for before, after in pairs(code_cells(old), code_cells(new)):
        cell = after or before
        assert cell is not None
        where = f"{name} [{cell.id}] {next(iter(cell.source.splitlines()), '')[:60]}"
        where += f"{'' if before else ', new cell'}{'' if after else ', cell is gone'}"
        was, now = before.outputs if before else [], after.outputs if after else []
        tables = _tables_now(was, now)
        for place in tables:
            words, table = was[place].text.exact, now[place].text.exact
            if not _goes_on(words, table):
                found.append(Difference("table", where, f"words: {_listed(words)}; table: {_listed(table)}"))
        text = [_together([each.text for i, each in enumerate(side) if i not in tables]) for side in (was, now)]
        pages = [_together([each.html for each in side]) for side in (was, now)]
        shown = _together([now[i].text for i in tables])
        found += [*_differences(*text, f"{where} (text)"), *_differences(*pages, f"{where} (html)")]
        if shown.exact or shown.approximate:
            found.append(Difference("new", f"{where} (table)", f"{len(shown.exact) + len(shown.approximate)} numbers"))
    return found


def _tables_now(was: Sequence[Output], now: Sequence[Output]) -> list[int]:
    """The places of outputs that were pictures and are HTML."""
    if len(was) != len(now):
        return []
    sides = zip(was, now, strict=True)
    return [i for i, (a, b) in enumerate(sides) if a.is_picture and not a.is_html and b.is_html]


def _together(parts: Sequence[Numbers]) -> Numbers:
    return Numbers([n for part in parts for n in part.exact], [n for part in parts for n in part.approximate])


def _goes_on(numbers: Sequence[str], longer: Sequence[str]) -> bool:
    """Whether all numbers are in another list too, in their order."""
    rest = iter(longer)
    return all(number in rest for number in numbers)


def _differences(was: Numbers, now: Numbers, where: str) -> Iterable[Difference]:
    if was.approximate != now.approximate:
        yield Difference("approximate", where, f"≈ {_listed(was.approximate)} -> ≈ {_listed(now.approximate)}")
    if was.exact == now.exact:
        return
    if _goes_on(was.exact, now.exact):
        yield Difference("new", where, f"{len(now.exact) - len(was.exact)} more numbers")
        return
    steps = difflib.SequenceMatcher(None, was.exact, now.exact, autojunk=False).get_opcodes()
    changes = [
        f"{_listed(was.exact[a:b])} -> {_listed(now.exact[c:d])}" for step, a, b, c, d in steps if step[0] in "rd"
    ]
    yield Difference("changed", where, "; ".join(changes))


def _listed(numbers: Sequence[str]) -> str:
    return " ".join(numbers[:12]) + (f" ... ({len(numbers)})" if len(numbers) > 12 else "") or "nothing"


def differences(revision: str, project: Path = PROJECT) -> list[Difference]:
    """Of all notebooks. Raises LookupError where the revision has none or is not known, or one is not JSON."""
    now = {path.name: path.read_text(encoding="utf-8") for path in sorted((project / "notebooks").glob("*.ipynb"))}
    names = _git(project, "ls-tree", "--name-only", revision, "notebooks/").split("\n")
    was = {Path(name).name: name for name in names if name.endswith(".ipynb")}
    if not was:
        raise LookupError(f"there is no notebook in {revision}")
    found = []
    for name in sorted(was.keys() | now.keys()):
        before = _git(project, "show", f"{revision}:{was[name]}") if name in was else '{"cells": []}'
        try:
            found += compare(json.loads(before), json.loads(now.get(name, '{"cells": []}')), name)
        except json.JSONDecodeError as error:
            raise LookupError(f"{name} is not JSON, in {revision} or in the working tree: {error}") from None
    return found


def _git(project: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=project, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise LookupError(done.stderr.strip())
    return done.stdout


def main(arguments: Sequence[str], project: Path = PROJECT) -> int:
    """Prints what differs; see the module."""
    if len(arguments) != 1:
        print("usage: python -m tests.house.notebook_numbers OLD_REVISION")
        return 2
    try:
        found = differences(arguments[0], project)
    except LookupError as error:
        print(f"Nothing to compare with: {error}")
        return 2
    for kind, heading in HEADINGS.items():
        chosen = [difference for difference in found if difference.kind == kind]
        print(f"{heading}: {len(chosen)}")
        for difference in chosen:
            print(f"    {difference.where}\n        {difference.message}")
    return int(any(difference.kind == "changed" for difference in found))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
