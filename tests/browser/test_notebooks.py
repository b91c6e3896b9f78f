"""The notebooks in a real JupyterLab: every cell runs, every picture shows, the console stays silent."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from tests.browser.conftest import NOTEBOOKS
from tests.browser.lab import OpenNotebook


def assert_fine(notebook: OpenNotebook) -> None:
    assert notebook.failures() == []
    assert "[ ]:" not in notebook.prompts()
    assert notebook.broken_pictures() == 0
    assert notebook.errors == []


ALWAYS = ("05_build_targets", "90_gallery")  # the others take minutes together: pytest -m slow
ALL = sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb"))
WALKED = [pytest.param(name, marks=[] if name in ALWAYS else pytest.mark.slow) for name in ALL]


@pytest.mark.parametrize("name", WALKED)
def test_notebook_runs_from_top_to_bottom(name: str, open_notebook: Callable[[str], OpenNotebook]) -> None:
    notebook = open_notebook(f"{name}.ipynb")
    notebook.run_all()
    live = notebook.wait_for_explorers()
    assert live > 0 or name not in ("05_build_targets", "90_gallery")
    assert_fine(notebook)


def test_a_scene_is_a_picture_of_its_stated_size(
    open_notebook: Callable[[str], OpenNotebook], lab_folder: Path
) -> None:
    code = "from walkthrough import show_bars\nshow_bars({'a': 1})"
    written = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(written, lab_folder / "a_scene.ipynb")
    notebook = open_notebook("a_scene.ipynb")
    notebook.run_all()
    assert_fine(notebook)
    (drawn,) = notebook.page.locator(".jp-OutputArea img").all()
    shown, file = drawn.bounding_box(), drawn.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert file[0] / shown["width"] > 1.9  # two pixels of the file for one of the page: sharp on every screen
    assert abs(file[0] / file[1] - shown["width"] / shown["height"]) < 0.02  # not stretched
    assert drawn.get_attribute("alt") != ""
