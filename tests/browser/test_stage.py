"""The rules of the stage, measured for every explorer of the gallery: small, still, and linked.

An explorer that does not obey a rule yet stands in the list of that rule, with its number; a number that is no longer
needed fails, so that the lists get shorter and never longer.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

import walkthrough
from tests.browser.onpage import OnPage
from walkthrough.explorers.controls import bounds_of, controls_of, options_of
from walkthrough.explorers.page import used_controls
from walkthrough.render import live
from walkthrough.scene import AnyPanel, Boxes, Panel, Scene, Table

HIGHEST, FIRST = 750, 200  # pixels at a width of 1,000
TALL: dict[str, int] = {}  # pixels
MOVING = {"AugmentationLab": 1, "GradientExplorer": 1}  # controls that move under the pointer
UNLINKED = {  # tables of which no row lights a mark
    "AugmentationLab": 3,  # dropped boxes; draws and the matrix stand for no mark
    "BackboneExplorer": 2,
    "DistributionExplorer": 1,
    "FamilyExplorer": 4,
    "LayerExplorer": 3,
    "LossExplorer": 1,  # a term of the loss is no mark
    "ScheduleExplorer": 1,  # a parameter group is a line of the chart
    "Stepper": 2,  # a variable is seen in the source
}
KINDS = sorted(
    name
    for name in walkthrough.__all__
    if isinstance(kind := getattr(walkthrough, name), type)
    and issubclass(kind, walkthrough.Explorer)
    and kind is not walkthrough.Explorer
)
SIZE = """root => {
    const top = root.getBoundingClientRect().top
    const picture = root.querySelector(".wt-scene :is(.wt-canvas, .wt-chart, .wt-source, table)")
    return [root.getBoundingClientRect().height, picture.getBoundingClientRect().top - top]
}"""
PLACE = """(root, name) => {
    const { left, top } = root.querySelector(`[data-name="${name}"]`).getBoundingClientRect()
    return [left, top]
}"""
PICTURES = "root => [...root.querySelectorAll('.wt-canvas')].map(canvas => canvas.toDataURL()).join()"


@pytest.fixture(scope="module", params=KINDS)
def shown(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[OnPage]:
    """An explorer as it opens, on a page 1,000 pixels wide."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "_running_loop", lambda: None)  # no drafts: each answer is whole
        page = OnPage(chromium, getattr(walkthrough, request.param)())
        yield page
        page.close()


def name_of(shown: OnPage) -> str:
    return type(shown.explorer).__name__


def panels_of(scene: Scene) -> list[AnyPanel]:
    return [panel for row in scene.all_rows for panel in row]


def test_an_explorer_fits_on_a_screen_and_its_picture_comes_first(shown: OnPage) -> None:
    height, first = shown.root.evaluate(SIZE)
    allowed = TALL.get(name_of(shown), HIGHEST)
    assert height <= allowed
    assert allowed == HIGHEST or height > HIGHEST, "it obeys now: take it off the list"
    assert first < FIRST
    assert shown.root.locator(".wt-takeaway").text_content().strip() == shown.explorer.headline != ""
    assert shown.errors == []


def others(name: str, explorer: Any) -> list[Any]:
    """A value of a setting other than the present one, if it has one: an end, or the next option."""
    control, now = controls_of(explorer.State)[name], getattr(explorer, name)
    match control.kind:
        case "slider":
            low, high = bounds_of(control, explorer.state)
            return [value for value in (high, low) if value != now][:1]
        case "toggle":
            return [not now]
        case "choice":
            return [value for value in options_of(control, explorer.state).values() if value != now][:1]
    return []


def test_nothing_moves_under_the_pointer(shown: OnPage) -> None:
    explorer, moved = shown.explorer, {}
    for button in shown.root.locator(".wt-fold:has-text('more setting'):visible").all():
        button.click()
    for name in used_controls(explorer.state):
        for value in others(name, explorer) if shown.root.locator(f"[data-name='{name}']").count() else ():
            before = shown.root.evaluate(PLACE, name)
            shown.set(**{name: value})
            if shown.root.locator(f"[data-name='{name}']").count():
                after = shown.root.evaluate(PLACE, name)
                moved |= (
                    {name: (before, after)} if max(abs(a - b) for a, b in zip(before, after, strict=True)) > 1 else {}
                )
    assert len(moved) <= MOVING.get(name_of(shown), 0), moved
    assert len(moved) == MOVING.get(name_of(shown), 0), "it obeys now: take it off the list"
    explorer.reset()
    shown.show()
    assert shown.errors == []


def refs_of(part: Any) -> list[str]:
    count = len(part.rows) if isinstance(part, Table) else len(part.xyxy) if isinstance(part, Boxes) else 0
    own = list(getattr(part, "refs", ())) or [getattr(part, "ref", "")]
    return [f"{part.pick} {k}" for k in range(count)] if getattr(part, "pick", "") and own == [""] else own


def test_rows_and_marks_light_each_other(shown: OnPage) -> None:
    while (folded := shown.root.locator(".wt-fold[aria-expanded='false']:visible")).count():
        folded.first.click()
    shown.page.wait_for_timeout(200)
    panels = panels_of(shown.explorer.page_scene())
    marks = {ref for p in panels if isinstance(p, Panel) for layer in p.layers for ref in refs_of(layer)} - {""}
    tables = [panel for panel in panels if isinstance(panel, Table)]
    linked = [table for table in tables if marks & set(refs_of(table))]
    unlinked = len(tables) - len(linked)
    assert unlinked == UNLINKED.get(name_of(shown), 0), [table.title for table in tables if table not in linked]
    for table in linked:
        ref = next(ref for ref in refs_of(table) if ref in marks)
        row = shown.root.locator(f"tr[data-ref='{ref}']").first
        row.scroll_into_view_if_needed()
        shown.page.mouse.move(1, 1)
        before = shown.root.evaluate(PICTURES)
        row.hover()
        assert "wt-linked" in row.get_attribute("class")
        assert shown.root.evaluate(PICTURES) != before
        shown.page.mouse.move(1, 1)
        assert shown.root.evaluate(PICTURES) == before
    assert shown.errors == []
