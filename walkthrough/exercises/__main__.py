"""python -m walkthrough.exercises: marks notebooks of students, or writes copies without the answers."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from walkthrough.exercises.files import find_files
from walkthrough.exercises.handout import write_hand_outs
from walkthrough.exercises.marking import SECONDS, mark, table_of_marks, write_csv


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0 where all passed, 1 where something did not, 2 where nothing could be done."""
    given = _parser().parse_args(arguments)
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
    marks = mark(files, given.seconds, given.jobs)
    print(table_of_marks(marks))
    if given.csv is not None:
        write_csv(marks, given.csv)
    return int(any(each.result != "passed" for each in marks))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m walkthrough.exercises",
        description="Mark exercises: a table of files, exercises and results. It runs what is in the files: see "
        "docs/exercises.md.",
    )
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks, programs (.py), or folders of notebooks")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that each exercise may take (default: 60)")
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
