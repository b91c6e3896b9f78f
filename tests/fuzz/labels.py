"""Label files with one mutated row each, all others good: ``python -m tests.fuzz.labels --files 10000 --seed 0``.

Nothing may raise, every good row must be kept, and every mutated row must be read as it says or reported with its line.
What a row says is decided here once more, with exact decimals, so that a mistake of the parser is no excuse for itself.
Not part of the test suite, which runs a few hundred of them.
"""

import argparse
import random
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yolo_lite.datasets.files.label_rows import parse_label_file

NUM_CLASSES = 80
TOLERANCE = Decimal("0.001")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
WORDS = (
    *("nan", "NaN", "inf", "-inf", "1e400", "1e-400", "-1", "2", "1.0000001", "-0.0000001", "1.01", "0", "-0", "+0.5"),
    *(
        "0,5",
        "1,000.5",
        "1.000,5",
        "0x1p-1",
        "0_5",
        "1_0",
        "１",
        "½",
        "٣",
        "None",
        "true",
        "''",
        '"0.5"',
        "0.5;",
        "[0.5",
    ),
    *(".", "-", "e", "1e", "--1", "0.5.5", "0.5f", "99999999999999999999", "1e1000000", "\0", "0\0.5", "%", "#", "cat"),
)
CLASSES = ("1.0", "1e0", "-1", "-0", "0.5", "80", "79", "79.0", "1e9", "99999999999999999999", "cat", "", "007", "+3")
LINES = (
    *("# comment", "#0 .5 .5 .5 .5", "// 0 .5", "{", '{"class": 0}', "<object>", "0,0.5,0.5,0.2,0.1", "0;.5;.5;.2;.1"),
    *("class xc yc w h", "0", "0 0.5", "\ufeff0 .5 .5 .5 .5", "\u00a00 .5 .5 .5 .5", "写真 .5 .5 .5 .5", "\0" * 20),
    *("0 " * 500, "9" * 5000, "0 .5 .5 .5 .5 0.9", "0 .1 .1 .9 .1 .9 .9", "0 .1 .1 .1 .1 .1 .1", "0 .5 .5 0 .5"),
    *("\x1a", "\x0c", "\x85"),
)
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")
ENDS = ("\n", "\n", "\r\n", "\r")


class Row(NamedTuple):
    """What a row of a label file says."""

    cls: int
    box: tuple[float, ...]  # xywh
    values: tuple[float, ...]  # as written: rows that are the same count once


class Outcome(NamedTuple):
    """One file: how its row was mutated, what became of it, and what is wrong with that ("" where nothing is)."""

    mutation: str
    became: str
    fault: str = ""


# ---- what a row says ------------------------------------------------------------------------------------------------


def meaning(text: str) -> Row | None:
    """What a line says, with exact decimals; None for one that must be reported."""
    fields = text.lstrip("\ufeff").split()  # a byte order mark where files were joined
    if len(fields) < 5 or len(fields) == 6 or len(fields) % 2 == 0 or not all(map(NUMBER.fullmatch, fields)):
        return None
    try:
        numbers = [Decimal(field) for field in fields]
    except InvalidOperation:
        return None
    if any(number and not float(number) for number in numbers):  # closer to 0 than a float can be
        return None
    cls, *values = numbers
    if cls.adjusted() > 10 or cls != cls.to_integral_value() or not 0 <= cls < NUM_CLASSES:
        return None
    if not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in values):
        return None
    clipped = [min(max(value, Decimal(0)), Decimal(1)) for value in values]
    if len(clipped) > 4:
        x, y = clipped[0::2], clipped[1::2]
        clipped = [(min(x) + max(x)) / 2, (min(y) + max(y)) / 2, max(x) - min(x), max(y) - min(y)]
    box = tuple(map(float, clipped))
    if min(np.float32(box[2]), np.float32(box[3])) <= 0:
        return None
    return Row(int(cls), box, tuple(map(float, numbers)))


# ---- mutations ------------------------------------------------------------------------------------------------------


def good_row(chance: random.Random) -> str:
    """A box or a polygon inside the image."""
    cls = chance.randrange(NUM_CLASSES)
    if chance.random() < 0.2:
        points = [round(chance.uniform(0.0, 1.0), 6) for _ in range(2 * chance.randint(3, 8))]
        return " ".join(map(str, [cls, *points]))
    box = [round(chance.uniform(0.01, 1.0), chance.choice((2, 6, 12))) for _ in range(4)]
    return " ".join(map(str, [cls, *box]))


def change_a_letter(row: str, chance: random.Random) -> str:
    place = chance.randrange(len(row))
    return row[:place] + chr(chance.choice((chance.randrange(128), chance.randrange(0x3000)))) + row[place + 1 :]


def drop_a_letter(row: str, chance: random.Random) -> str:
    place = chance.randrange(len(row))
    return row[:place] + row[place + 1 :]


def add_a_letter(row: str, chance: random.Random) -> str:
    place = chance.randrange(len(row) + 1)
    return row[:place] + chance.choice("0123456789.,-+eE \t\x0b\x0c\x1c\x85\u2028\0#;") + row[place:]


def cut_short(row: str, chance: random.Random) -> str:
    return row[: chance.randrange(len(row))]


def change_a_field(row: str, chance: random.Random) -> str:
    fields = row.split()
    fields[chance.randrange(len(fields))] = chance.choice(WORDS)
    return " ".join(fields)


def change_the_class(row: str, chance: random.Random) -> str:
    return " ".join([chance.choice(CLASSES), *row.split()[1:]])


def drop_a_field(row: str, chance: random.Random) -> str:
    fields = row.split()
    fields.pop(chance.randrange(len(fields)))
    return " ".join(fields)


def add_a_field(row: str, chance: random.Random) -> str:
    fields = row.split()
    fields.insert(chance.randrange(len(fields) + 1), chance.choice((*WORDS, "0.5", "1")))
    return " ".join(fields)


def swap_fields(row: str, chance: random.Random) -> str:
    fields = row.split()
    first, second = chance.sample(range(len(fields)), 2)
    fields[first], fields[second] = fields[second], fields[first]
    return " ".join(fields)


def join_with_commas(row: str, chance: random.Random) -> str:
    return row.replace(" ", chance.choice((",", ";", ", ", "\t", "  ", "\u00a0", "\x1f")))


def decimal_commas(row: str, chance: random.Random) -> str:
    return row.replace(".", ",")


def in_pixels(row: str, chance: random.Random) -> str:
    cls, *values = row.split()
    return " ".join([cls, *(str(round(float(value) * chance.choice((64, 640, 1920)), 2)) for value in values)])


def another_line(row: str, chance: random.Random) -> str:
    return chance.choice(LINES)


def repeat(row: str, chance: random.Random) -> str:
    return chance.choice((f"{row} {row}", f"{row}{row}", f"  {row}  "))


MUTATIONS: tuple[Callable[[str, random.Random], str], ...] = (
    *(change_a_letter, drop_a_letter, add_a_letter, cut_short, change_a_field, change_the_class, drop_a_field),
    *(add_a_field, swap_fields, join_with_commas, decimal_commas, in_pixels, another_line, repeat),
)


def change_bytes(row: bytes, chance: random.Random) -> bytes:
    """Any bytes but line ends: where they are no UTF-8, or a byte order mark, that is the row's own affair."""
    data = bytearray(row)
    start = chance.randrange(len(data))
    added = chance.choice((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", chance.randbytes(chance.randint(1, 6))))
    data[start : start + chance.randint(0, 3)] = added.translate(None, b"\r\n")
    return bytes(data) if chance.random() < 0.5 else added.translate(None, b"\r\n") + row


# ---- one file -------------------------------------------------------------------------------------------------------


def try_one(path: Path, chance: random.Random) -> Outcome:
    """Writes a file with one mutated row among good ones, reads it, and compares."""
    rows = [good_row(chance) for _ in range(chance.randint(0, 8))]
    place, end, encoding = chance.randint(0, len(rows)), chance.choice(ENDS), chance.choice(ENCODINGS)
    mutate = chance.choice(MUTATIONS)
    if encoding == "utf-8" and chance.random() < 0.2:
        name, mutated = "change_bytes", change_bytes(good_row(chance).encode(), chance)
        lines = [*(row.encode() for row in rows[:place]), mutated, *(row.encode() for row in rows[place:])]
        data = end.encode().join(lines)
        text = mutated.removeprefix(b"\xef\xbb\xbf" if place == 0 else b"").decode("utf-8", "replace")
    else:
        name, text = mutate.__name__, re.sub(r"[\r\n]", " ", mutate(good_row(chance), chance))
        written = [*rows[:place], text, *rows[place:]]
        if encoding in ("utf-16-le", "utf-16-be") and len(rows) < 4:  # known by its zeros: too few beside such a row
            encoding = "utf-16"
        data = (end.join(written) + (end if chance.random() < 0.5 else "")).encode(encoding, "replace")
    path.write_bytes(data)
    try:
        labels, problems = parse_label_file(path, NUM_CLASSES)
    except Exception:
        return Outcome(name, "raised", traceback.format_exc(limit=-3))
    outcome = compare(name, [*rows[:place], text, *rows[place:]], place, labels, problems)
    return outcome._replace(fault=f"{outcome.fault}; {encoding}: {data[:200]!r}") if outcome.fault else outcome


def compare(name: str, lines: list[str], place: int, labels, problems) -> Outcome:
    """What was read against what the lines say."""
    expected: list[Row] = []
    reported = {problem.line for problem in problems}
    for line, text in enumerate(lines, start=1):
        text = text.lstrip("\ufeff")
        said = meaning(text) if not text.strip().startswith("#") else None
        if said and said.values not in [row.values for row in expected]:
            expected.append(said)
        elif text.strip() and line not in reported:
            return Outcome(name, "lost", f"line {line} is neither read nor reported: {text!r}")
    if [row.cls for row in expected] != labels.cls.tolist():
        return Outcome(name, "wrong", f"classes {labels.cls.tolist()}, expected {[row.cls for row in expected]}")
    boxes = np.array([row.box for row in expected], np.float32).reshape(-1, 4)
    if not np.allclose(boxes, labels.boxes, rtol=1e-6, atol=1e-7):
        return Outcome(name, "wrong", f"boxes {labels.boxes.tolist()}, expected {boxes.tolist()}")
    left_out = {problem.line for problem in problems if not problem.note}
    if left_out - {place + 1}:
        return Outcome(name, "wrong", f"good rows were reported: {problems}")
    if not lines[place].strip("\ufeff").strip():
        return Outcome(name, "empty")
    return Outcome(name, "reported" if place + 1 in reported else "read")


def run(files: int, seed: int) -> list[Outcome]:
    """Tries this many files."""
    with tempfile.TemporaryDirectory() as folder:
        chance = random.Random(seed)
        return [try_one(Path(folder) / "a.txt", chance) for _ in range(files)]


def main() -> int:
    """Prints what became of the mutated rows, and each fault; returns 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcomes = run(options.files, options.seed)
    counts = Counter((outcome.mutation, outcome.became) for outcome in outcomes)
    became = ("read", "reported", "empty", "lost", "wrong", "raised")
    print(f"{'mutation':<18}" + "".join(f"{name:>10}" for name in became))
    for mutation in sorted({outcome.mutation for outcome in outcomes}):
        print(f"{mutation:<18}" + "".join(f"{counts[mutation, name]:>10}" for name in became))
    total = Counter(outcome.became for outcome in outcomes)
    print(f"{'all':<18}" + "".join(f"{total[name]:>10}" for name in became))
    faults = [outcome for outcome in outcomes if outcome.fault]
    for outcome in faults[:20]:
        print(f"{outcome.mutation}: {outcome.became}: {outcome.fault}")
    print(f"{options.files} files, seed {options.seed}: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
