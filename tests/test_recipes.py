"""Recipes run: each file of docs/recipes does in an empty folder what its assertions say, and stands on the page."""

import ast
import re
import runpy
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch

from yolo_lite.model import registry

DOCS = Path(__file__).parent.parent / "docs"
RECIPES = sorted((DOCS / "recipes").glob("*.py"))


@pytest.fixture
def settings_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PyTorch's, which a program of one's own may change, and the layers that are known by name."""
    monkeypatch.setattr(registry, "_OWN", dict(registry._OWN))
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def missing(needed: str) -> str | None:
    """Of the packages of a line "# pip install a 'b[c]'" the first that is not there."""
    for name in re.findall(r"[A-Za-z][\w.-]*(?=[\[ '\"=<>]|$)", re.sub(r"\[.*?\]", "", needed)):
        try:
            distribution(name)
        except PackageNotFoundError:
            return name
    return None


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
@pytest.mark.usefixtures("settings_kept")
@pytest.mark.filterwarnings("default")
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in re.findall(r"^# pip install (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
        if missing(needed):
            pytest.skip(f"{missing(needed)} is not installed: pip install {needed}")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_says_what_it_is_for_and_asserts_something(path: Path) -> None:
    module = ast.parse(path.read_text(encoding="utf-8"))
    documentation = ast.get_docstring(module)
    assert documentation
    first, *rest = documentation.splitlines()
    assert first.endswith((".", "?", "!"))
    assert not rest or rest[0] == "", "the first sentence stands on a line of its own"
    assert any(isinstance(node, ast.Assert) for node in ast.walk(module)), "a recipe that cannot fail says nothing"


def test_all_are_on_the_page() -> None:
    listed = re.findall(
        r"^\* \[.+\]\(recipes/(\w+\.py)\)$", (DOCS / "recipes.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(listed) == [path.name for path in RECIPES], "each has a line: * [Title](recipes/name.py)"


def test_the_page_on_detectors_shows_code_that_runs() -> None:
    page = (DOCS / "detector.md").read_text(encoding="utf-8")
    code = (DOCS / "recipes" / "own_detector.py").read_text(encoding="utf-8")
    shown = re.findall(r"^:(?:start|end)-(?:at|after|before): (.+)$", page, re.MULTILINE)
    assert len(shown) == 4
    assert all(sum(marker in line for line in code.splitlines()) == 1 for marker in set(shown))
    assert "```python" not in page  # what is shown is what is run
