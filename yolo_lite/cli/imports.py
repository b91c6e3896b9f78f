"""``yolo-lite --import FILE.py``: a file of your own, run before the command, such as one that registers layers."""

import importlib.util
import sys
import traceback
from pathlib import Path


class ImportedFileError(ValueError):
    """A file given with --import that is not there, or that stops with an error; names file and line."""


def run_file(path: Path) -> None:
    """Runs a Python file as a module of its name, and says so on stderr; what stands beside it can be imported.

    Raises:
        ImportedFileError: no such file, or what went wrong in it, with the line.
    """
    if not path.is_file():
        raise ImportedFileError(f"{path}: no such file")
    file = path.resolve()
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportedFileError(f"{path}: not a Python file, its name must end in .py")
    taken = sys.modules.get(file.stem)
    if taken is not None:
        if getattr(taken, "__file__", None) == str(file):
            return  # this process has run it already
        raise ImportedFileError(f"{path}: there is a module {file.stem} already: give the file another name")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))  # as Python does for a script
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[file.stem]
        raise ImportedFileError(_where(path, file, error)) from error
    print(f"ran {path}", file=sys.stderr)


def _where(path: Path, file: Path, error: BaseException) -> str:
    """The last line of the file that was reached, and the error."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{path}, line {error.lineno}: SyntaxError: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    place = f", line {lines[-1]}" if lines else ""
    return f"{path}{place}: {type(error).__name__}: {error}"
