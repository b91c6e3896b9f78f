"""The notebook of fetched weights and data: compared where these are, skipped aloud where not, running everywhere."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
NAME = "10_real_weights_and_your_data.ipynb"
FILES = ("downloads/yolov5n.pt", "downloads/coco8/data.yaml", "downloads/bccd/data.yaml")


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebooks_conftest", FOLDER / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for notebooks, far from any shared data."""
    monkeypatch.delenv("YOLO_LITE_SHARED", raising=False)
    folder = tmp_path / "project" / "notebooks"
    folder.mkdir(parents=True)
    return folder


def put(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def compared(folder: Path) -> subprocess.CompletedProcess[str]:
    """nbval on a notebook of that name, one cell of which prints something else than was saved."""
    shutil.copy(FOLDER / "conftest.py", folder)
    saved = nbformat.v4.new_output("stream", name="stdout", text="another\n")
    cell = nbformat.v4.new_code_cell("print('one')", outputs=[saved], execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / NAME)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider"]
    environment = os.environ | {"COLUMNS": "400"}
    return subprocess.run([*command, NAME], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_without_the_files_the_cells_are_skipped_and_the_reason_names_them(alone: Path) -> None:
    put(alone / FILES[1])
    done = compared(alone)
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert "its saved outputs need yolov5n.pt, bccd, not here" in done.stdout


def test_with_the_files_the_cells_are_compared(alone: Path) -> None:
    put(*(alone / name for name in FILES))
    done = compared(alone)
    assert done.returncode == 1, done.stdout
    assert "1 failed" in done.stdout


@pytest.mark.parametrize(
    "place", ["downloads/x", "../shared/weights/x", "../../shared/data/x", "given/weights/x", "elsewhere/x"]
)
def test_the_notebook_looks_where_the_hook_looks(
    place: str, alone: Path, hook: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLO_LITE_SHARED", str(alone / "given"))
    monkeypatch.chdir(alone)
    put(alone / place)
    cells = nbformat.read(FOLDER / NAME, as_version=4).cells
    (source,) = [cell.source for cell in cells if "def find(" in cell.source]
    told = {"os": os, "Path": Path}
    exec(source, told)
    found = told["find"]("x")
    assert (found is None) == (place == "elsewhere/x")
    assert (None if found is None else found.resolve()) == (hook.find("x", alone) and hook.find("x", alone).resolve())


def test_every_notebook_that_needs_files_is_there(hook: ModuleType) -> None:
    assert {path.name for path in FOLDER.glob("*.ipynb")} >= set(hook.NEEDED)


@pytest.mark.slow
def test_without_the_files_the_notebook_runs_to_its_end(alone: Path) -> None:
    notebook = nbformat.read(FOLDER / NAME, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(alone)}}).execute()
    said = [output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("yolov5n.pt: not here" in text for text in said)
    assert any("better than the untrained head: True" in text for text in said)
    assert not [
        output for cell in notebook.cells for output in cell.get("outputs", ()) if output.get("name") == "stderr"
    ]
