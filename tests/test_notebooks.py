"""The committed notebooks: in step with their text, executed, small, readable. nbval compares their outputs."""

import configparser
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat import NotebookNode

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))
LONGEST_CELL, LARGEST_FILE = 25, 1_500_000  # lines, bytes


@pytest.fixture(params=NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def notebook(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def refresh() -> ModuleType:
    spec = importlib.util.spec_from_file_location("refresh", FOLDER / "refresh.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def test_every_text_has_its_notebook_and_every_notebook_its_text() -> None:
    assert {path.stem for path in NOTEBOOKS} == {path.stem for path in (FOLDER / "text").glob("*.py")}


def test_text_and_notebook_say_the_same(path: Path, notebook: NotebookNode, refresh: ModuleType) -> None:
    text = refresh.paired(FOLDER / "text" / f"{path.stem}.py", path)
    told = [(cell.cell_type, cell.source.strip()) for cell in text.cells]
    assert told == [(cell.cell_type, cell.source.strip()) for cell in notebook.cells], "run make notebooks"


def test_every_code_cell_was_executed_in_order_and_none_failed(notebook: NotebookNode) -> None:
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run make notebooks"
    kinds = {output.output_type for cell in code_cells(notebook) for output in cell.outputs}
    assert "error" not in kinds


def test_no_widget_state_and_a_kernel_that_everyone_has(notebook: NotebookNode) -> None:
    assert "widgets" not in notebook.metadata  # megabytes, and it hides the static picture
    assert notebook.metadata.kernelspec.name == "python3"  # without it JupyterLab asks which kernel to take


def test_small_enough_to_be_opened_anywhere(path: Path) -> None:
    assert path.stat().st_size < LARGEST_FILE


def test_code_cells_are_short(notebook: NotebookNode) -> None:
    assert [cell.source for cell in code_cells(notebook) if cell.source.count("\n") >= LONGEST_CELL] == []


def printed(cell: NotebookNode) -> str:
    """What a reader sees of the outputs as text; words of pictures, which walkthrough.seen computes, are left out."""
    outputs = [output for output in cell.outputs if "image/png" not in output.get("data", {})]
    return "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs)


def test_a_number_that_may_differ_is_held_by_an_assertion_in_its_cell(notebook: NotebookNode) -> None:
    approximate = [cell for cell in code_cells(notebook) if "≈" in printed(cell)]
    assert [cell.source for cell in approximate if not re.search(r"^\s*assert ", cell.source, re.M)] == []
    assert [cell.source for cell in approximate if "approx(" not in cell.source] == []  # no other way to write a ≈


SANITIZED = (
    ("mAP50 ≈ 0.98, 9 of 10 found", "mAP50 APPROXIMATELY, 9 of 10 found"),
    ("≈ -1.2e-05 and ≈ 6% of ≈ 25,204", "APPROXIMATELY and APPROXIMATELY of APPROXIMATELY"),
    ("≈ nan, 0.98 = 0.98", "≈ nan, 0.98 = 0.98"),
)


@pytest.mark.parametrize(("text", "left"), SANITIZED)
def test_of_numbers_only_what_follows_the_sign_is_hidden(text: str, left: str) -> None:
    config = configparser.RawConfigParser()
    config.read(Path(__file__).parent / "nbval_sanitize.cfg", encoding="utf-8")
    for section in config.sections():
        text = re.sub(config.get(section, "regex"), config.get(section, "replace"), text)
    assert text == left


TEXT = "# %% [markdown]\n# # Title\n\n# %%\nsum([1, 2])\n"


def test_refresh_runs_saves_and_keeps_the_ids_of_cells_that_stayed(tmp_path: Path, refresh: ModuleType) -> None:
    text, path = tmp_path / "00_try.py", tmp_path / "00_try.ipynb"
    text.write_text(TEXT)
    assert refresh.refresh(text, path) == 0
    first = nbformat.read(path, as_version=4)
    assert first.cells[1].outputs[0].data["text/plain"] == "3"
    text.write_text(TEXT + "\n# %%\nmax([4, 5])\n")
    assert refresh.refresh(text, path) == 0
    second = nbformat.read(path, as_version=4)
    assert [cell.id for cell in second.cells[:2]] == [cell.id for cell in first.cells]
    assert second.cells[2].outputs[0].data["text/plain"] == "5"


def test_refresh_saves_picture_and_words_of_an_explorer_and_no_live_page(tmp_path: Path, refresh: ModuleType) -> None:
    text, path = tmp_path / "00_try.py", tmp_path / "00_try.ipynb"
    text.write_text("# %%\nfrom walkthrough import ScheduleExplorer\nScheduleExplorer()\n")
    assert refresh.refresh(text, path) == 0
    picture, words = nbformat.read(path, as_version=4).cells[0].outputs
    assert set(picture.data) == {"text/plain", "image/png"}
    assert set(picture.metadata) == {"image/png"}  # and not the key of a view, which is another in each run
    assert set(words.data) == {"text/html"}
    assert "Schedule: iteration 0" in words.data["text/html"]


def test_a_failing_cell_leaves_the_notebook_as_it_was(
    tmp_path: Path, refresh: ModuleType, capsys: pytest.CaptureFixture
) -> None:
    text, path = tmp_path / "00_try.py", tmp_path / "00_try.ipynb"
    text.write_text(TEXT)
    refresh.refresh(text, path)
    before = path.read_bytes()
    text.write_text(TEXT + "\n# %%\n1 / 0\n")
    assert refresh.refresh(text, path) == 1
    assert path.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().out
