"""Copies of the notebooks without the answers, for a class."""

import copy
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from walkthrough.exercises.files import METADATA, exercises_of

FOLDED = re.compile(r"<details>\s*<summary>(.*?)</summary>.*?</details>\s*", re.DOTALL)
QUESTIONS = re.compile(r"^## Questions", re.MULTILINE)
COMPUTED = re.compile(r"^The answers, computed:\s*", re.MULTILINE)


def hand_out(notebook: NotebookNode, clear_outputs: bool = False) -> NotebookNode:
    """A copy of a notebook without its folded answers; it remembers its exercises, whatever its file is called later.

    Of a question the question stays; the answer to an exercise goes as a whole, and cells that compute answers, which
    stand below the questions, go too.

    >>> answer = "## Questions\\n\\n<details><summary>1 + 1?</summary>\\n\\n2\\n</details>"
    >>> notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(answer)])
    >>> hand_out(notebook).cells[0].source
    '## Questions\\n\\n- 1 + 1?'
    """
    copied = copy.deepcopy(notebook)
    kept, below_questions = [], False
    for cell in copied.cells:
        if cell.cell_type == "markdown":
            below_questions |= bool(QUESTIONS.search(cell.source))
            had_text = bool(cell.source.strip())
            cell.source = without_answers(cell.source)
            if had_text and not cell.source:
                continue
        elif below_questions:
            continue
        elif clear_outputs:
            cell.outputs, cell.execution_count = [], None
        kept.append(cell)
    copied.cells = kept
    copied.metadata[METADATA] = {"exercises": list(exercises_of(notebook))}
    return copied


def without_answers(text: str) -> str:
    """A text without what is folded in it; of a question, the question stays.

    >>> without_answers("<details><summary>An answer</summary>\\n\\n42\\n</details>")
    ''
    """
    text = FOLDED.sub(lambda found: "" if found[1].startswith("An answer") else f"- {found[1]}\n", text)
    return COMPUTED.sub("", text).strip()


def write_hand_outs(notebooks: Path, folder: Path, clear_outputs: bool = False) -> list[Path]:
    """All notebooks of the tour as hand-outs, in a folder of their own.

    Args:
        notebooks: where they are. folder: where they go; it is made. clear_outputs: without pictures and numbers too.
    Raises:
        FileNotFoundError: there are no notebooks.
    """
    sources = sorted(notebooks.glob("[0-9]*.ipynb"))
    if not sources:
        raise FileNotFoundError(f"there are no notebooks in {notebooks}: name their folder with --notebooks")
    if folder.resolve() == notebooks.resolve():
        raise FileExistsError(f"{folder} holds the notebooks themselves: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for source in sources:
        path = folder / source.name
        nbformat.write(hand_out(nbformat.read(source, as_version=4), clear_outputs), path)
        written.append(path)
    return written
