"""How much memory the kernel of each notebook needs, run as Binder runs it: one thread, 2 GB of address space.

usage: python binder/memory.py [part of a name ...]      prints the table of binder/README.md

The limit is on addresses, which is stricter than Binder's limit on memory in use. Needs Linux.
"""

import os
import resource
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
LIMIT = 2 * 1024**3  # bytes, Binder's
PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"


def main(names: list[str]) -> None:
    """Print a line for each notebook."""
    os.environ |= start_settings()
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))  # kernels inherit it
    print("| notebook | seconds | memory at its highest, MB |\n|---|---|---|")
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        if not names or any(name in path.stem for name in names):
            seconds, peak = measure(path)
            print(f"| {path.stem} | {seconds:.0f} | {peak} |", flush=True)


def start_settings() -> dict[str, str]:
    """What binder/start exports."""
    lines = (Path(__file__).parent / "start").read_text(encoding="utf-8").splitlines()
    return dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))


def measure(path: Path) -> tuple[float, int]:
    """Seconds that a notebook runs, and the largest resident memory of its kernel in MB; raises where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(PEAK))
    resources = {"metadata": {"path": str(path.parent)}}
    start = time.perf_counter()
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    return time.perf_counter() - start, int(notebook.cells[-1].outputs[0].text)


if __name__ == "__main__":
    main(sys.argv[1:])
