"""The next morning: a notebook with explorers was run and saved, and is opened again. Its kernel may be gone."""

import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.sign import NotebookNotary
from playwright.sync_api import Browser, Locator, Page

from tests.browser.explorer import write_notebook
from tests.browser.lab import NOTEBOOK, READY, OpenNotebook

WITHOUT = "needs Notebook 7, which is not installed: pip install -c constraints.txt -e '.[dev]'"
NOTEBOOK_7 = pytest.param("notebooks", marks=pytest.mark.skipif(find_spec("notebook") is None, reason=WITHOUT))
in_both = pytest.mark.parametrize("app", ["lab/tree", NOTEBOOK_7])

VIEW = "application/vnd.jupyter.widget-view+json"
CELLS = (
    "import walkthrough as wt\nfrom IPython.display import display\nw = wt.ScheduleExplorer()\nw",
    "display(w, wt.ScheduleExplorer(epochs=7))",
    "for epochs in (8, 9):\n    display(wt.ScheduleExplorer(epochs=epochs))",
    "display(w.widget)",
)
EPOCHS = (30, 30, 7, 8, 9)  # in the words of each explorer
VIEWS = len(EPOCHS) + 1  # the widget alone has a picture and no words
SHORT = ("import walkthrough as wt\nwt.ScheduleExplorer(epochs=7)", "1 + 1")
# In how many frames words or a still picture were seen.
WATCH = """() => {
    window.flashes = 0
    const isSeen = (selector) => [...document.querySelectorAll(selector)].some((node) => node.offsetParent)
    const look = () => {
        window.flashes += isSeen(".wt-words") || isSeen(".jp-OutputArea img")
        requestAnimationFrame(look)
    }
    look()
}"""


def words(page: Page) -> Locator:
    return page.locator(".wt-words:visible")


def epochs_told(page: Page) -> list[int]:
    """What the words say that can be seen."""
    return [int(re.search(r"^Schedule: .*, epochs (\d+),", text)[1]) for text in words(page).all_inner_texts()]


def pictures(page: Page) -> Locator:
    return page.locator(".jp-OutputArea img:visible")


def assert_live(notebook: OpenNotebook, count: int) -> None:
    """This many live views have painted, and nothing stands beside them."""
    notebook.page.wait_for_selector(f"{NOTEBOOK} .wt >> nth={count - 1}", timeout=30_000)
    assert notebook.wait_for_explorers() == count
    assert (words(notebook.page).count(), pictures(notebook.page).count()) == (0, 0)
    assert_fine(notebook)


def assert_still(notebook: OpenNotebook, epochs: Sequence[int], count: int) -> None:
    """In place of each explorer its picture, its words and its table, in this order, and nothing else."""
    notebook.page.wait_for_timeout(700)  # for what could still come in their place
    assert epochs_told(notebook.page) == list(epochs)
    assert words(notebook.page).locator("tbody tr td:first-child").count() > 0
    assert words(notebook.page).locator("table").count() == len(epochs)
    assert pictures(notebook.page).count() == count
    assert all(picture.bounding_box()["height"] > 100 for picture in pictures(notebook.page).all())
    assert notebook.page.locator(f"{NOTEBOOK} .wt").count() == 0
    assert_fine(notebook)


def assert_fine(notebook: OpenNotebook) -> None:
    shown = notebook.page.locator(NOTEBOOK).inner_text()
    assert "model not found" not in shown
    assert "Error displaying" not in shown
    assert notebook.failures() == []
    assert notebook.broken_pictures() == 0
    assert notebook.errors == []


def is_unsaved(notebook: OpenNotebook) -> bool:
    return notebook.page.locator(".lm-TabBar-tab.jp-mod-dirty").count() > 0


def outputs_of(path: Path) -> list[set[str]]:
    cells = nbformat.read(path, as_version=4).cells
    return [set(output.data) for cell in cells for output in cell.outputs if "data" in output]


@pytest.fixture(scope="module")
def saved(chromium: Browser, lab: str, lab_folder: Path) -> Path:
    """A notebook that was run and saved, and whose kernel has ended."""
    path = lab_folder / "saved.ipynb"
    write_notebook(path, *CELLS)
    notebook = OpenNotebook(chromium, lab, path.name)
    notebook.page.evaluate(WATCH)
    notebook.run_all()
    assert_live(notebook, VIEWS)
    assert notebook.page.evaluate("window.flashes") == 0
    notebook.save()
    assert_live(notebook, VIEWS)
    assert not is_unsaved(notebook)
    notebook.end_kernel()
    notebook.close()
    return path


def test_the_file_holds_pictures_and_words_and_no_view(saved: Path) -> None:
    picture_and_words = [{"image/png", "text/plain"}, {"text/html"}]
    assert outputs_of(saved) == [*picture_and_words * len(EPOCHS), picture_and_words[0]]
    assert "widgets" not in nbformat.read(saved, as_version=4).metadata


@in_both
def test_with_a_new_kernel_there_are_picture_and_words_until_a_cell_runs(
    app: str, saved: Path, open_notebook: Callable[..., OpenNotebook]
) -> None:
    notebook = open_notebook(saved.name, app=app)
    assert_still(notebook, EPOCHS, VIEWS)
    notebook.page.locator(f"{NOTEBOOK} .jp-CodeCell .jp-InputPrompt").first.click()
    notebook.page.keyboard.press("Shift+Enter")
    notebook.page.wait_for_selector(f"{NOTEBOOK} .wt:not([data-drawn='0'])", timeout=60_000)
    assert epochs_told(notebook.page) == list(EPOCHS[1:])
    assert pictures(notebook.page).count() == VIEWS - 1
    assert_fine(notebook)
    notebook.end_kernel()


@pytest.mark.parametrize("is_trusted", [True, False])
@in_both
def test_without_a_kernel(
    app: str, is_trusted: bool, saved: Path, lab_home: Path, open_notebook: Callable[..., OpenNotebook]
) -> None:
    unknown = nbformat.read(saved, as_version=4)
    unknown.metadata.kernelspec = {"name": "unknown", "display_name": "Unknown", "language": "unknown"}
    unknown.metadata.language_info = {"name": "unknown"}
    unknown.metadata.title = f"{app} {is_trusted}"  # no other is signed with it
    if is_trusted:
        NotebookNotary(data_dir=str(lab_home / "data")).sign(unknown)
    path = saved.with_name(f"no_kernel_{len(app)}_{is_trusted}.ipynb")
    nbformat.write(unknown, path)
    notebook = open_notebook(path.name, app=app, kernel=False)
    assert_still(notebook, EPOCHS, VIEWS)
    assert (notebook.page.locator(":has(> .wt-words) > style").count() > 0) is is_trusted


def test_exported(saved: Path, chromium: Browser) -> None:
    html, _ = HTMLExporter().from_filename(str(saved))
    page = chromium.new_page()
    page.route("http*://**", lambda route: route.abort())
    page.set_content(html, wait_until="domcontentloaded")
    assert epochs_told(page) == list(EPOCHS)
    assert pictures(page).count() == VIEWS
    assert html.count(", epochs 7,") == 1  # told once
    page.close()


@in_both
def test_a_saved_page_stays_live_as_long_as_its_kernel(
    app: str, lab_folder: Path, open_notebook: Callable[..., OpenNotebook]
) -> None:
    path = lab_folder / f"alive_{len(app)}.ipynb"
    write_notebook(path, *SHORT)
    notebook = open_notebook(path.name, app=app)
    notebook.run_all()
    notebook.save()  # maybe before the view is there
    assert outputs_of(path) == [{"image/png", "text/plain"}, {"text/html"}, {"text/plain"}]
    assert_live(notebook, 1)
    notebook.page.reload(wait_until="domcontentloaded")
    assert_live(notebook, 1)
    assert not is_unsaved(notebook)
    notebook.page.locator(f"{NOTEBOOK} .jp-CodeCell .jp-InputPrompt").first.click()
    choose(notebook, "Edit", "notebook:move-cell-down")
    assert_live(notebook, 1)
    notebook.save()
    choose(notebook, "Edit", "notebook:move-cell-up")
    notebook.page.keyboard.press("c")
    notebook.page.keyboard.press("v")
    assert_live(notebook, 2)
    notebook.save()
    choose(notebook, "File", "docmanager:reload")
    assert_live(notebook, 2)
    assert not is_unsaved(notebook)
    choose(notebook, "Kernel", "kernelmenu:restart")
    notebook.page.locator(".jp-Dialog .jp-mod-accept").click()
    notebook.page.wait_for_timeout(1000)
    notebook.page.wait_for_function(READY)
    notebook.save()
    assert VIEW not in set().union(*outputs_of(path))
    notebook.page.reload(wait_until="domcontentloaded")
    notebook.page.wait_for_selector(f"{NOTEBOOK} .jp-OutputArea img")
    notebook.page.wait_for_function(READY)
    assert_still(notebook, [7, 7], 2)
    notebook.end_kernel()


def choose(notebook: OpenNotebook, menu: str, command: str) -> None:
    notebook.page.click(f"#jp-MainMenu >> text={menu}")
    notebook.page.click(f".lm-Menu-item[data-command='{command}']")
    notebook.page.wait_for_timeout(300)
