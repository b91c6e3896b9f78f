"""The static site: built without a warning, complete, and readable without a network."""

import importlib.util
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

import walkthrough
from walkthrough.explorers.base import Explorer

HOUSE = Path(__file__).parent.parent
FROZEN = "DistributionExplorer"  # the quickest one; make site freezes all
(FRONT,) = re.findall(r"^<!-- frozen: (\w+) -->$", (HOUSE / "docs" / "index.md").read_text(encoding="utf-8"), re.M)
NOTEBOOKS = sorted((HOUSE / "notebooks").glob("[0-9]*.ipynb"))


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
    freeze = [sys.executable, "docs/frozen_explorers.py", folder / "frozen", "--only", FROZEN]
    subprocess.run(freeze, cwd=HOUSE, check=True, capture_output=True)
    for ending in ("html", "js"):  # the quickest one in the place of the front page's
        text = (folder / "frozen" / f"{FROZEN}.{ending}").read_text(encoding="utf-8")
        (folder / "frozen" / f"{FRONT}.{ending}").write_text(text.replace(FROZEN, FRONT), encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", folder / "cache"]
    done = subprocess.run(
        [*command, "-c", "docs", "-D", f"frozen_folder={folder / 'frozen'}", "-b", "html", ".", folder / "html"],
        cwd=HOUSE,
        capture_output=True,
        text=True,
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


@pytest.mark.parametrize(("name", "explorers"), [("live", (FROZEN, FRONT)), ("index", (FRONT,))])
def test_a_page_of_frozen_explorers_has_what_was_frozen_and_their_script_once(
    site: Path, name: str, explorers: tuple[str, ...]
) -> None:
    page = (site / "docs" / f"{name}.html").read_text(encoding="utf-8")
    data = re.findall(r'<div class="wt-frozen" data-src="([^"]+)">', page)
    scripts = [name for name in Resources(site / "docs" / f"{name}.html").found if "frozen" in name]
    assert data == [f"../_static/frozen/{explorer}.js" for explorer in explorers]
    assert scripts == ["../_static/frozen/frozen.js"]
    assert all((site / "docs" / name).resolve().is_file() for name in (*data, *scripts))
    assert "_static/frozen" not in (site / "docs" / "map.html").read_text(encoding="utf-8")


def test_the_front_page_has_a_card_with_a_picture_for_every_notebook(site: Path) -> None:
    page = (site / "docs" / "index.html").read_text(encoding="utf-8")
    cards = re.findall(r'<li><a href="\.\./notebooks/(\w+)\.html"><img [^>]*src="([^"]+)"', page)
    assert [name for name, _ in cards] == [path.stem for path in NOTEBOOKS]
    for name, address in cards:
        with Image.open(site / "docs" / address) as picture:
            assert picture.size == (480, 320), name
            assert len(picture.convert("RGBA").getcolors(480 * 320)) > 2, f"the card of {name} is empty"


def test_no_page_shows_the_cell_that_installs_the_library_on_colab(site: Path) -> None:
    assert "find_spec" in NOTEBOOKS[0].read_text(encoding="utf-8")
    for path in NOTEBOOKS:
        assert "find_spec" not in (site / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8"), path.stem


def test_a_notebook_without_a_picture_gets_no_card_in_silence(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("front_page", HOUSE / "docs" / "front_page.py")
    front_page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(front_page)
    path = tmp_path / "92_words.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": ["# 92. Words alone"]}]}))
    with pytest.raises(LookupError, match=r"92_words\.ipynb"):
        front_page.card_picture(path)


def test_every_explorer_has_its_place_among_the_frozen_ones() -> None:
    text = (HOUSE / "docs" / "live.md").read_text(encoding="utf-8")
    places = re.findall(r"^<!-- frozen: (\w+) -->$", text, re.MULTILINE)
    frozen = re.findall(
        r'^    "(\w+)": ', (HOUSE / "docs" / "frozen_explorers.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    kinds = {name: getattr(walkthrough, name) for name in walkthrough.__all__}
    explorers = {name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Explorer)}
    assert sorted(places) == sorted(frozen) == sorted(explorers - {"Explorer"})


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
