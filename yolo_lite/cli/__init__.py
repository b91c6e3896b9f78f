"""The command ``yolo-lite``: the library from a shell.

A module per group of commands; each has ``add_commands(commands)``, which declares options and names the function that
runs them. Those functions import what they need when they run, so that ``--help`` is fast.

Exit codes: 0 success; 1 something was left out or is not in order; 2 wrong usage or bad input, explained in one
sentence; 130 stopped by Ctrl-C.
"""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from yolo_lite import __version__
from yolo_lite.cli import convert, evaluate, export, fetch, inspect, predict, train
from yolo_lite.cli.imports import ImportedFileError, run_file
from yolo_lite.cli.options import IMPORT_FIRST, Parser, any_letter

__all__ = ["main"]

GROUPS = (train, evaluate, predict, export, inspect, fetch, convert)  # in the order of --help


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code.

    Args:
        arguments: what follows ``yolo-lite``; None: what the shell gave.
    """
    with any_letter():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    try:
        options = _parser().parse_args(_renamed(sys.argv[1:] if arguments is None else arguments))
    except SystemExit as stop:  # --help, --version, wrong usage: argparse has printed everything
        return int(stop.code or 0)
    with warnings.catch_warnings(), _printed_log():
        warnings.simplefilter("always", UserWarning)
        warnings.filterwarnings(
            "ignore", r".*print\(dataset\.report\)"
        )  # print_problems does, with a command for the shell
        warnings.showwarning = _show_warning
        try:
            for file in options.imports:
                run_file(file)
            code: int = options.run(options)
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130
        except BrokenPipeError:  # whoever reads, `head` perhaps, has closed the pipe: the rest goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except ImportedFileError as error:
            if options.debug:
                raise
            print(f"yolo-lite --import {error}", file=sys.stderr)
            return 2
        except Exception as error:
            if options.debug or not _is_expected(error):
                raise
            way = f": {IMPORT_FIRST}" if "register_layer" in str(error) else ""
            print(f"yolo-lite {options.command}: {error}{way}", file=sys.stderr)
            return 2


def _parser() -> Parser:
    parser = Parser("yolo-lite", description="YOLO you can read, from a shell.", example="yolo-lite fetch coco8")
    parser.add_argument("--version", action="version", version=f"yolo-lite {__version__}")
    help_import = (
        "run this Python file before the command: it registers your layers (yl.register_layer); may be repeated"
    )
    parser.add_argument(
        "--import", dest="imports", type=Path, action="append", default=[], metavar="FILE.py", help=help_import
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for group in GROUPS:
        group.add_commands(commands)
    return parser


def _renamed(words: Sequence[str]) -> Sequence[str]:
    """``export shapes`` of 0.2.0 is ``write shapes`` now."""
    named = [place for place, word in enumerate(words) if word == "shapes" and words[place - 1] != "--out"]
    if not (words and words[0] == "export" and named):
        return words
    print(
        "warning: `yolo-lite export shapes` is `yolo-lite write shapes` now; the old name goes in 0.3.0",
        file=sys.stderr,
    )
    return ["write", *words[1:]]


def _is_expected(error: Exception) -> bool:
    """Whether the library raises it for bad input or a machine that is too small; anything else is a bug of ours."""
    return (
        isinstance(error, ValueError | OSError | MemoryError | ModuleNotFoundError)
        or type(error).__name__ == "OutOfMemoryError"
    )


class _Printer(logging.Handler):
    """Prints what the training has to say."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"warning: {record.getMessage()}", file=sys.stderr)


@contextlib.contextmanager
def _printed_log() -> Iterator[None]:
    """Inside, the warnings of a training are printed as all others."""
    logger, printer = logging.getLogger("yolo_lite.train"), _Printer(logging.WARNING)
    logger.addHandler(printer)
    try:
        yield
    finally:
        logger.removeHandler(printer)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)
