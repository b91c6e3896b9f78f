"""One JupyterLab and one Chromium for all tests of this folder."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.explorer import OpenExplorer
from tests.browser.lab import FLAGS, OpenNotebook, find_chromium, running_lab

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


# Package scope: while playwright runs, its event loop runs too, which other tests of the session need not meet.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Chromium without a window. Without one the tests are skipped, or fail where YOLO_LITE_REQUIRE_BROWSER=1."""
    path = find_chromium()
    if path is None:
        say = pytest.fail if os.environ.get("YOLO_LITE_REQUIRE_BROWSER") == "1" else pytest.skip
        say("needs a browser: no chromium and no google-chrome on the PATH (Debian, Ubuntu: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What JupyterLab shows: a copy of the notebooks. Tests may write notebooks of their own into it."""
    return Path(shutil.copytree(NOTEBOOKS, tmp_path_factory.mktemp("lab") / "notebooks"))


@pytest.fixture(scope="package")
def lab_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where JupyterLab keeps its settings and the addresses of its kernels."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="package")
def lab(chromium: Browser, lab_folder: Path, lab_home: Path) -> Iterator[str]:
    """The address of a running JupyterLab; asks for the browser first, so that none is started in vain."""
    with running_lab(lab_folder, lab_home) as address:
        yield address


@pytest.fixture(scope="package")
def start_cell(chromium: Browser, lab: str, lab_folder: Path, lab_home: Path) -> Callable[[str], OpenExplorer]:
    """start_cell(code) runs code in a notebook of its own and gives the explorer it shows; who starts it closes it."""
    names = (f"explorer_{number}.ipynb" for number in count())
    return lambda code: OpenExplorer(chromium, lab, lab_folder, lab_home, code, next(names))


@pytest.fixture
def open_cell(start_cell: Callable[[str], OpenExplorer]) -> Iterator[Callable[[str], OpenExplorer]]:
    """start_cell, closed after the test. See tests/browser/explorer.py for what can be done with it."""
    with ExitStack() as opened:

        def open_one(code: str) -> OpenExplorer:
            explorer = start_cell(code)
            opened.callback(explorer.close)
            return explorer

        yield open_one


@pytest.fixture
def open_notebook(chromium: Browser, lab: str) -> Iterator[Callable[..., OpenNotebook]]:
    """open_notebook(name) opens a notebook of lab_folder in a tab, closed after the test."""
    opened: list[OpenNotebook] = []

    def open_one(name: str, **how: Any) -> OpenNotebook:
        opened.append(OpenNotebook(chromium, lab, name, **how))
        return opened[-1]

    yield open_one
    for notebook in opened:
        notebook.close()
