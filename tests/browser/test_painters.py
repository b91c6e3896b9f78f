"""The PNG and the page are two painters of one scene: they put the same things at the same places in the same colours.

What only the browser knows is left out: how high a table of more than 17 rows is (the page scrolls it), and how
wide a heat map is (its names stand in a table of HTML).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

import walkthrough
from tests.browser.painting import Drawn, PagePainter, Painting, paint_png
from walkthrough.explorers.base import Explorer
from walkthrough.render import layers, layout
from walkthrough.render import matplotlib as png
from walkthrough.scene import Scene, Table

NEAR = 2.0  # CSS pixels
LINE, ROWS = 24, 12  # letters that fit on a line of the narrowest panel; rows that are as high as a picture
EXPLORERS = sorted(
    name
    for name, value in vars(walkthrough).items()
    if isinstance(value, type) and issubclass(value, Explorer) and value is not Explorer
)
PHOTO = np.zeros((480, 640, 3), np.uint8)
BOXES = [[10, 10, 200, 300], [50, 2, 600, 100], [300, 380, 400, 470]]
SCENES: dict[str, Callable[[], Scene]] = {
    "image": lambda: walkthrough.show_image(PHOTO, BOXES, ["cat", "a long name of a dog", "x"], title="labels"),
    "images": lambda: walkthrough.row(*[walkthrough.show_image(PHOTO, BOXES)] * 3, titles=["a", "b " * 20, "c"]),
    "thin": lambda: walkthrough.show_image(np.zeros((20, 2000, 3)), [[100, 2, 400, 15]], ["wide"]),
    "grid": lambda: walkthrough.show_grid(np.zeros((64, 64, 3)), (8, 16), boxes=[[3, 3, 40, 50]]),
    "charts": lambda: walkthrough.row(
        walkthrough.show_series({"a": [1, 2, 3], "b": [3, 4, 5]}, x_label="step"),
        walkthrough.show_bars({"a": 1, "b": 2}),
        walkthrough.show_histogram([1, 2, 3, 3]),
    ),
    "many bars": lambda: walkthrough.show_bars({f"class number {k}": k for k in range(100)}),
    "table beside": lambda: walkthrough.row(
        walkthrough.show_bars({"a": 1, "b": 2}), walkthrough.show_table(["name", "value"], [["x", k] for k in range(9)])
    ),
    "table below": lambda: walkthrough.row(
        walkthrough.show_bars({"a": 1}), walkthrough.show_table(["words " * 14], [["1.0  2"]])
    ),
    "two rows": lambda: walkthrough.column(
        walkthrough.show_image(PHOTO, BOXES, ["cat"], title="first"), walkthrough.show_series({"a": [1, 2]}, title="x")
    ),
}


@pytest.fixture(scope="module")
def page_painter(chromium: Browser) -> Iterator[PagePainter]:
    painter = PagePainter(chromium)
    yield painter
    painter.page.close()


def numbers_of(value: Any) -> list[float]:
    """All numbers in nested tuples, in order."""
    if isinstance(value, tuple | list):
        return [number for part in value for number in numbers_of(part)]
    return [] if value is None or isinstance(value, str) else [float(value)]


def words_of(value: Any) -> list[str]:
    """All words in nested tuples, in order."""
    if isinstance(value, tuple | list):
        return [word for part in value for word in words_of(part)]
    return [value] if isinstance(value, str) else []


def differences(page: Painting, file: Painting) -> list[str]:
    """What is at another place or of another colour, one line each."""
    found = [f"legend: {page.keys} {file.keys}"] if page.keys != file.keys else []
    for index, (one, other) in enumerate(zip(page.panels, file.panels, strict=True)):
        found += [f"panel {index} ({one.kind}), {line}" for line in _differences(one, other)]
    return found


def _differences(one: Drawn, other: Drawn) -> Iterable[str]:
    for name in ("rect", "boxes", "cells", "labels", "words", "pictures", "marks", "inner"):
        left, right = getattr(one, name), getattr(other, name)
        if isinstance(left, list) and len(left) != len(right):
            yield f"{name}: {len(left)} on the page, {len(right)} in the file"
            continue
        pairs = zip(left, right, strict=True) if isinstance(left, list) else [(left, right)]
        for ours, theirs in pairs:
            far = [a - b for a, b in zip(numbers_of(ours), numbers_of(theirs), strict=True) if abs(a - b) > NEAR]
            if far or words_of(ours) != words_of(theirs):
                yield f"{name}: {ours} on the page, {theirs} in the file"


def _shortened(panel: Any) -> Any:
    if isinstance(panel, Table):
        panel = replace(panel, rows=panel.rows[:ROWS], refs=panel.refs[:ROWS])
    return replace(panel, title=panel.title[:LINE], caption=panel.caption[:LINE])


@pytest.mark.parametrize("name", EXPLORERS)
def test_both_painters_agree_on_the_first_scene_of(name: str, page_painter: PagePainter) -> None:
    explorer = getattr(walkthrough, name)()
    scene = explorer.page_scene()
    # A file has all that a page unfolds, as many lines of a title or caption as it takes, where a page has one, and
    # all rows of a table, which a page scrolls where they are higher than the picture beside them.
    rows = tuple(tuple(_shortened(panel) for panel in row) for row in scene.all_rows)
    scene = replace(scene, rows=rows, legend=scene.all_keys, more=())
    page = page_painter.paint(scene, explorer.page_state())
    assert len(page.panels) == sum(map(len, scene.rows)) > 0
    assert differences(page, paint_png(scene)) == []


@pytest.mark.parametrize("name", SCENES)
def test_both_painters_agree_on(name: str, page_painter: PagePainter) -> None:
    scene = SCENES[name]()
    assert differences(page_painter.paint(scene), paint_png(scene)) == []


# -- the test above sees a change of one number or colour in either painter ------------------------------------------

CHANGED_ON_THE_PAGE = {
    "gap of panels": ("const GAP = 16", "const GAP = 20", "images"),
    "height of rows": ("several: 300", "several: 306", "two images"),
    "height of charts": ("chart: 300", "chart: 304", "two rows"),
    "room of a label": ("size * 1.5]", "size * 1.8]", "image"),
    "padding of a label": ("rect[0] + 3", "rect[0] + 6", "image"),
    "place of a box": ("return [left, top, (x2", "return [left + 3, top, (x2", "image"),
    "colour of boxes": ('each(layer.colours, index, "object")', '"#123456"', "image"),
    "colour of lines": ("theme.series[index %", "theme.series[(index + 1) %", "charts"),
    "margin of charts": ("const MARGINS = 90", "const MARGINS = 96", "charts"),
}
CHANGED_IN_THE_STYLE = {
    "above the drawing": ("margin: 0 0 5px", "margin: 0 0 9px", "two rows"),
    "row of a table": ("height: 25px", "height: 28px", "table beside"),
    "between rows": ("align-content: start;\n  gap: 14px", "align-content: start;\n  gap: 18px", "two rows"),
}
CHANGED_IN_THE_FILE: dict[str, tuple[Any, str, Any, str]] = {
    "gap of panels": (layout, "GAP", 20, "images"),
    "between rows": (layout, "ROW_GAP", 18, "two rows"),
    "above the drawing": (layout, "APART", 9, "two rows"),
    "margin of charts": (png, "CHART_MARGINS", (74, 14, 20, 42), "charts"),
    "colours": (layers, "colour", lambda value: "#123456", "image"),
    "height of charts": (layout, "TALLEST_CHART", 304, "two rows"),
}
SCENES_CHANGED = {**SCENES, "two images": lambda: walkthrough.column(SCENES["image"](), SCENES["image"]())}


@pytest.mark.parametrize("what", CHANGED_ON_THE_PAGE)
def test_a_change_in_the_script_is_seen(what: str, page_painter: PagePainter, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after, name = CHANGED_ON_THE_PAGE[what]
    assert before in page_painter.script
    monkeypatch.setattr(page_painter, "script", page_painter.script.replace(before, after))
    scene = SCENES_CHANGED[name]()
    assert differences(page_painter.paint(scene), paint_png(scene)) != []


@pytest.mark.parametrize("what", CHANGED_IN_THE_STYLE)
def test_a_change_in_the_style_is_seen(what: str, page_painter: PagePainter, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after, name = CHANGED_IN_THE_STYLE[what]
    assert before in page_painter.css
    monkeypatch.setattr(page_painter, "css", page_painter.css.replace(before, after))
    scene = SCENES_CHANGED[name]()
    assert differences(page_painter.paint(scene), paint_png(scene)) != []


@pytest.mark.parametrize("what", CHANGED_IN_THE_FILE)
def test_a_change_in_matplotlib_is_seen(what: str, page_painter: PagePainter, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, value, name = CHANGED_IN_THE_FILE[what]
    monkeypatch.setattr(module, attribute, value)
    scene = SCENES_CHANGED[name]()
    assert differences(page_painter.paint(scene), paint_png(scene)) != []
