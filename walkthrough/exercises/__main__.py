"""python -m walkthrough.exercises: marks notebooks of students, or writes copies without the answers."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from walkthrough.exercises.files import find_files
from walkthrough.exercises.handout import write_hand_outs
from walkthrough.exercises.marking import MEGABYTES, SECONDS, mark, table_of_marks, write_csv

LONGEST_WAIT = 1_000_000  # seconds: operating systems wait for milliseconds in 31 bits
MOST_MEMORY = 1_000_000_000  # megabytes: operating systems count bytes in 63 bits


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0 where all passed, 1 where something did not, 2 where nothing could be done."""
    given = _parser().parse_args(arguments)
    problem = _problem(given)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    try:
        if given.hand_out is not None:
            written = write_hand_outs(given.notebooks, given.hand_out, given.clear_outputs)
            print(f"{len(written)} notebooks without answers are in {given.hand_out}.")
            return 0
        files = find_files(given.paths)
    except OSError as problem:
        print(problem, file=sys.stderr)
        return 2
    if not files:
        print("There is nothing to mark: name notebooks, programs (.py), or folders of notebooks.", file=sys.stderr)
        return 2
    marks = mark(files, given.seconds, given.jobs, given.megabytes)
    encoding = sys.stdout.encoding or "utf-8"
    print(table_of_marks(marks).encode(encoding, "backslashreplace").decode(encoding))  # names of files are any bytes
    if given.csv is not None:
        write_csv(marks, given.csv)
    return int(any(each.result != "passed" for each in marks))


def _problem(given: argparse.Namespace) -> str:
    """What is wrong with the options, said before the work begins, or ""."""
    if not 0 < given.seconds <= LONGEST_WAIT:
        return f"--seconds {given.seconds:g}: name a positive number, at most {LONGEST_WAIT}."
    if not 0 < given.megabytes <= MOST_MEMORY:
        return f"--megabytes {given.megabytes:g}: name a positive number, at most {MOST_MEMORY}."
    if given.jobs is not None and given.jobs < 1:
        return f"--jobs {given.jobs}: name a positive number."
    if given.csv is not None and not given.csv.absolute().parent.is_dir():
        return f"--csv {given.csv}: there is no folder {given.csv.parent}. Make it first, or name another."
    if given.csv is not None and given.csv.is_dir():
        return f"--csv {given.csv}: that is a folder. Name a file."
    return ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m walkthrough.exercises",
        description="Mark exercises: a table of files, exercises and results. It runs what is in the files: see "
        "docs/exercises.md.",
    )
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks, programs (.py), or folders of notebooks")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that each exercise may take (default: 60)")
    parser.add_argument(
        "--megabytes",
        type=float,
        default=MEGABYTES,
        help="of memory that each exercise may take besides the library (default: 4000); on Linux alone",
    )
    parser.add_argument("--jobs", type=int, help="exercises at a time (default: one for each core)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table as a file for a spreadsheet, too")
    parser.add_argument("--hand-out", type=Path, metavar="FOLDER", help="write notebooks without answers there instead")
    parser.add_argument(
        "--notebooks", type=Path, default=Path("notebooks"), help="what to hand out (default: notebooks)"
    )
    parser.add_argument("--clear-outputs", action="store_true", help="hand out without pictures and numbers")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
