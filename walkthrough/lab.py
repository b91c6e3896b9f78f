"""The walkthrough command: opens JupyterLab on the first notebook, or on the one that is named."""

import argparse
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import walkthrough

FIRST = "00_start_here"
# Two kernels of which each keeps all cores busy while it waits slow each other down twenty times
WAITING = "OMP_WAIT_POLICY"


class NoNotebooks(FileNotFoundError):
    """There is no such notebook, or no folder of them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns JupyterLab's exit status, or 2 after one sentence on what is missing."""
    given, lab_options = _parser().parse_known_args(arguments)
    try:
        notebook = find_notebook(given.notebook, notebooks_folder(given.notebooks))
        command = lab_command(notebook, [*lab_options, *(["--no-browser"] if given.no_browser else [])])
    except (NoNotebooks, ModuleNotFoundError) as problem:
        print(problem, file=sys.stderr)
        return 2
    print(f"Opening {notebook} in JupyterLab. Ctrl+C, twice, ends it.", flush=True)
    try:
        return subprocess.run(command, check=False, env=lab_environment(os.environ)).returncode
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="walkthrough",
        description="Open JupyterLab on the first notebook, or on the one that is named.",
        epilog="All other options go to JupyterLab, for example --port=9000.",
        allow_abbrev=False,
    )
    parser.add_argument("notebook", nargs="?", default=FIRST, help="a file, or part of a notebook's name, such as 00")
    parser.add_argument("--notebooks", metavar="DIR", type=Path, help="the folder of the notebooks")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    return parser


def notebooks_folder(given: Path | None = None) -> Path:
    """The folder given; otherwise that of the clone this package was installed from, or ./notebooks.

    Raises NoNotebooks where there is none: a wheel does not hold the notebooks.
    """
    if given is not None:
        if not given.is_dir():
            raise NoNotebooks(f"There is no folder {given}.")
        return given.resolve()
    candidates = (Path(walkthrough.__file__).parents[1] / "notebooks", Path.cwd() / "notebooks", Path.cwd())
    for folder in candidates:
        if (folder / f"{FIRST}.ipynb").is_file():
            return folder.resolve()
    raise NoNotebooks(
        "The notebooks are not part of the installed package. Clone the project and run walkthrough in the clone, "
        "or say where they are: walkthrough --notebooks DIR"
    )


def find_notebook(name: str, folder: Path) -> Path:
    """A path, a file name in the folder, or a part of exactly one notebook's name."""
    for path in (Path(name), folder / name, folder / f"{name}.ipynb"):
        if path.suffix == ".ipynb" and path.is_file():
            return path.resolve()
    there = sorted(path for path in folder.glob("*.ipynb"))
    found = [path for path in there if name in path.stem]
    if len(found) == 1:
        return found[0]
    choice = ", ".join(path.stem for path in found or there) or "none"
    number = "Several notebooks in {} fit" if found else "No notebook in {} fits"
    raise NoNotebooks(f"{number.format(folder)} {name!r}: there are {choice}.")


def lab_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of JupyterLab, which its kernels get from it: threads that wait sleep, unless it says otherwise.

    >>> lab_environment({"HOME": "/root"}), lab_environment({"OMP_WAIT_POLICY": "active"})
    ({'OMP_WAIT_POLICY': 'passive', 'HOME': '/root'}, {'OMP_WAIT_POLICY': 'active'})
    """
    return {WAITING: "passive", **environment}


def lab_command(notebook: Path, options: Sequence[str] = ()) -> list[str]:
    """The command line that opens a notebook. The address JupyterLab prints leads to it as well.

    Raises ModuleNotFoundError where JupyterLab is not installed.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise ModuleNotFoundError("JupyterLab is not installed. It comes with the extra: pip install 'yolo-lite[lab]'")
    clone = notebook.parent.parent
    root = clone if (clone / "pyproject.toml").is_file() else notebook.parent
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]
    command.append(f"--LabApp.default_url=/lab/tree/{notebook.relative_to(root).as_posix()}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # JupyterLab refuses the administrator otherwise, as in many containers
    return [*command, *options]
