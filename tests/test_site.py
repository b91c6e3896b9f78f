"""The static site: built without a warning, complete, and readable without a network."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent


class Resources(HTMLParser):
    """What a page loads: scripts, styles and pictures."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        loads = tag in ("script", "img") or (tag == "link" and "stylesheet" in (named.get("rel") or ""))
        address = named.get("src") or named.get("href")
        if loads and address and not address.startswith("data:"):
            self.found.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", folder / "cache"]
    done = subprocess.run(
        [*command, "-c", "docs", "-b", "html", ".", folder / "html"], cwd=HOUSE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "html"


def test_every_notebook_has_its_page_with_its_pictures(site: Path) -> None:
    for notebook in (HOUSE / "notebooks").glob("[0-9]*.ipynb"):
        page = site / "notebooks" / f"{notebook.stem}.html"
        pictures = [name for name in Resources(page).found if "_images" in name]
        assert pictures, f"{notebook.stem} shows no picture"


def test_nothing_is_fetched_and_nothing_is_missing(site: Path) -> None:
    for page in (page for page in site.rglob("*.html") if "_static" not in page.parts):
        for address in Resources(page).found:
            if "badge" in address:  # of the README; without a network its words remain
                continue
            assert not re.match(r"(https?:)?//", address), f"{page.relative_to(site)} loads {address}"
            assert (page.parent / address.partition("?")[0]).is_file(), f"{page.relative_to(site)} misses {address}"


def test_every_module_with_something_public_is_in_the_reference() -> None:
    listed = "\n".join(page.read_text(encoding="utf-8") for page in (HOUSE / "docs" / "api").glob("*.md"))
    public = re.compile(r"^(def|class) [a-zA-Z]", re.MULTILINE)
    paths = [path for package in ("yolo_lite", "walkthrough") for path in (HOUSE / package).rglob("*.py")]
    modules = {
        ".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__")
        for path in paths
        if public.search(path.read_text(encoding="utf-8"))
    }
    private = re.compile(
        r"(^|\.)_"
    )  # a leading underscore, of a module or of a folder above it, keeps one off the site
    names = {name for name in modules if not private.search(name)}
    in_reference = set(re.findall(r"automodule:: ([\w.]+)\n", listed))
    assert sorted(names - in_reference) == []
    assert [name for name in sorted(in_reference) if private.search(name)] == []
