"""Carry notebooks/text/*.py into the .ipynb beside it, run them, and save them with their outputs.

usage: python notebooks/refresh.py [part of a name ...]      no name: all of them

The text is what is written by hand; the notebook keeps the ids of cells that stayed. A notebook whose cells fail is
left as it was, and the failing cell is printed.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import jupytext
import nbformat
from jupytext.combine import combine_inputs_with_outputs
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).parent
LIVE_PAGE = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}


def main(names: Sequence[str]) -> int:
    texts = sorted((NOTEBOOKS / "text").glob("*.py"))
    chosen = [text for text in texts if not names or any(name in text.stem for name in names)]
    if not chosen:
        print(f"No notebook fits {' '.join(names)}: there are {', '.join(text.stem for text in texts)}.")
        return 2
    return max([refresh(text, NOTEBOOKS / f"{text.stem}.ipynb") for text in chosen])


def refresh(text: Path, path: Path) -> int:
    """One notebook; returns 1 where a cell failed."""
    notebook = paired(text, path)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        store_widget_state=False,  # megabytes, and it hides the static picture
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as problem:
        print(f"{path.name} is left as it was.\n{problem}")
        return 1
    notebook.metadata = nbformat.from_dict(METADATA)
    drop_live_pages(notebook)
    nbformat.write(notebook, path)
    count = sum(cell.cell_type == "code" for cell in notebook.cells)
    print(f"{path.name}: {count} code cells, {path.stat().st_size // 1000} kB")
    return 0


def drop_live_pages(notebook: NotebookNode) -> None:
    """What needs a running kernel is not saved, so that its picture shows everywhere and nothing is missed."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(LIVE_PAGE, None)
            output.get("metadata", {}).pop(LIVE_PAGE, None)


def paired(text: Path, path: Path) -> NotebookNode:
    """The text as a notebook, with the cell ids of the notebook that is there."""
    notebook = jupytext.read(text, fmt="py:percent")
    if path.is_file():
        notebook = combine_inputs_with_outputs(notebook, nbformat.read(path, as_version=4), fmt="py:percent")
    return notebook


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
