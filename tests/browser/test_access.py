"""Whether everybody can use the explorers: axe-core, forced colours, targets, the keyboard, narrow pages.

axe-core (https://github.com/dequelabs/axe-core) comes with the checks of the page's JavaScript: ``make lint-page``
installs what tests/page/package-lock.json pins.
"""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

import walkthrough
from tests.browser.onpage import OnPage
from tests.walkthrough.gallery import KINDS
from walkthrough import AnchorExplorer, IouPlayground, ScheduleExplorer
from walkthrough.render import live
from walkthrough.style import contrast

AXE = Path(__file__).parents[1] / "page/node_modules/axe-core/axe.min.js"
FOUND = """async rules => {
    const { violations } = await axe.run(document.querySelector(".wt"), { resultTypes: ["violations"], rules })
    const grave = violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    return grave.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => [id, html, failureSummary]))
}"""
RULES = {
    "target-size": {"enabled": True},  # off by default, as part of WCAG 2.2
}
THEME = """isDark => {
    document.body.dataset.jpThemeLight = String(!isDark)
    document.body.style.background = isDark ? "#111" : "#fff"
}"""
UNFOLDED = ".wt-fold[aria-expanded='false']:visible"
ONE = (0, 7, 0.5, 0.5, 0.3, 0.3)  # an object in the middle: image, class, xc, yc, w, h
LEAST_TARGET = 24  # CSS pixels: WCAG 2.2, 2.5.8
LEAST_PLOT, LEGIBLE = 160, 820  # CSS pixels: height of a chart, width of a graph of layers
# Left out: lines of source, as high as in any editor; arrow keys and Enter do what a click does there.
TARGETS = "button, select, input:not([type=radio], [type=checkbox], [type=file]), .wt-segments label, .wt-toggle label"
TARGETS += ", .wt-upload, tr.wt-pickable"
SMALL = """(root, [targets, least]) => [...root.querySelectorAll(targets)].filter(node => node.checkVisibility())
    .map(node => [node.outerHTML.slice(0, 120), node.getBoundingClientRect()])
    .filter(([, { width, height }]) => Math.min(width, height) < least - 0.01)
    .map(([html, { width, height }]) => [html, width, height])"""
# What the focus is in: a control, the button that plays it, a toolbar, rows of which one is chosen, or the node itself.
OWNERS = """() => {
    const root = document.querySelector(".wt")
    const node = document.activeElement
    if (!root.contains(node) || node === root) return null
    const owner = node.closest(".wt-play, .wt-control, [role=toolbar], tbody, .wt-lines") ?? node
    root.owners ??= new Map()
    if (!root.owners.has(owner)) root.owners.set(owner, `${root.owners.size} ${owner.outerHTML.slice(0, 100)}`)
    return root.owners.get(owner)
}"""
REACHED = ".wt-control, [role=toolbar], .wt-buttons > *, .wt-history > *, .wt-bar button, .wt-canvas[tabindex]"
REACHED += ", .wt-play, tbody:has(.wt-pickable), .wt-lines:has(.wt-pickable), .wt-scrolls"
COUNT = "(root, parts) => [...root.querySelectorAll(parts)].filter(node => node.checkVisibility()).length"


@pytest.fixture(scope="module", params=KINDS)
def shown(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[OnPage]:
    """An explorer; the tests use its page one after the other, first as it opens, then unfolded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "_running_loop", lambda: None)  # no drafts: each answer is whole
        page = OnPage(chromium, getattr(walkthrough, request.param)())
        yield page
        page.close()


def unfold(shown: OnPage) -> None:
    while (folded := shown.root.locator(UNFOLDED)).count():
        folded.first.click()
    shown.page.wait_for_timeout(100)


def put_axe(page: Page) -> None:
    if not AXE.is_file():
        say = pytest.fail if os.environ.get("YOLO_LITE_REQUIRE_BROWSER") == "1" else pytest.skip
        say("needs axe-core in tests/page/node_modules: make lint-page puts it there, with node and npm")
    page.evaluate(AXE.read_text(encoding="utf-8"))


def findings(page: Page) -> dict[str, Any]:
    """What axe finds serious or critical in light, dark and forced colours."""
    found = {"light": page.evaluate(FOUND, RULES)}
    page.evaluate(THEME, True)
    page.wait_for_selector(".wt[data-theme=dark]")
    found["dark"] = page.evaluate(FOUND, RULES)
    page.evaluate(THEME, False)
    page.emulate_media(forced_colors="active")
    found["forced colours"] = page.evaluate(FOUND, RULES)
    page.emulate_media(forced_colors="none")
    return {theme: what for theme, what in found.items() if what}


def test_axe_finds_nothing_serious(shown: OnPage) -> None:
    put_axe(shown.page)
    assert shown.page.evaluate(FOUND, RULES) == []
    unfold(shown)  # all that is there as it opens is there now, too
    assert findings(shown.page) == {}
    if isinstance(shown.explorer, AnchorExplorer):  # its question, and the reasons that are revealed
        shown.set(guess=True)
        shown.root.locator(".wt-reveal").click()
        assert findings(shown.page) == {}
        shown.set(guess=False)
    assert shown.errors == []


def test_targets_are_large_enough_to_hit(shown: OnPage) -> None:
    unfold(shown)
    assert shown.root.evaluate(SMALL, [TARGETS, LEAST_TARGET]) == []


def test_each_control_is_one_stop_of_the_tab_key(shown: OnPage) -> None:
    unfold(shown)
    shown.root.evaluate("root => root.focus()")
    stops: list[str] = []
    for _ in range(150):
        shown.page.keyboard.press("Tab")
        if (owner := shown.page.evaluate(OWNERS)) is None:
            break
        stops.append(owner)
    assert len(set(stops)) == len(stops), [stop for stop in stops if stops.count(stop) > 1]
    assert len(stops) == shown.root.evaluate(COUNT, REACHED), stops


def test_every_box_has_a_name(shown: OnPage) -> None:
    unfold(shown)
    told = shown.root.locator(".wt-canvas").evaluate_all("all => all.map(node => node.getAttribute('aria-label'))")
    assert [label for label in told if re.search(r"[:;] box, ", label)] == []


@pytest.mark.parametrize("width", [560, 667])  # beside JupyterLab's file browser; 1,000 pixels at a zoom of 150 %
def test_a_narrow_page_stays_readable(shown: OnPage, width: int) -> None:
    unfold(shown)
    before = shown.drawn
    shown.page.set_viewport_size({"width": width, "height": 1000})
    shown.wait(before)
    assert shown.page.evaluate("document.documentElement.scrollWidth") == width  # nothing to scroll sideways
    charts = shown.root.evaluate("root => [...root.querySelectorAll('.wt-chart')].map(chart => chart.offsetHeight)")
    assert min(charts, default=LEAST_PLOT) >= LEAST_PLOT
    graph = shown.root.locator(".wt-panel:has-text('layers, layer') .wt-canvas")
    for box in [graph.bounding_box()] if graph.count() else []:
        assert box["width"] >= LEGIBLE  # its words have 9 to 12 pixels, whatever the width: nodes must have room
    assert shown.errors == []


# -- one explorer, closely ---------------------------------------------------------------------------------------------


@pytest.fixture
def iou(chromium: Browser) -> Iterator[OnPage]:
    page = OnPage(chromium, IouPlayground())
    yield page
    page.close()
    assert page.errors == []


def said(page: Page) -> str:
    return page.locator("[aria-live=assertive]").text_content()


def test_a_digit_on_a_slider_types_its_number(iou: OnPage) -> None:
    unfold(iou)
    slider, field = (iou.root.locator(f"[data-name=steps] input[type={kind}]") for kind in ("range", "number"))
    slider.focus()
    before = iou.drawn
    iou.page.keyboard.type("42")
    iou.page.keyboard.press("Enter")
    iou.wait(before)
    assert (iou.explorer.steps, field.input_value()) == (42, "42")
    iou.page.keyboard.press("Escape")
    assert slider.evaluate("node => node === document.activeElement")


def test_arrows_go_from_story_to_story(iou: OnPage) -> None:
    chips = iou.root.locator(".wt-story")
    chips.first.focus()
    for key, place in (("ArrowRight", 1), ("End", -1), ("ArrowRight", 0), ("ArrowLeft", -1)):
        iou.page.keyboard.press(key)
        assert iou.page.evaluate("document.activeElement.textContent") == iou.explorer.stories[place].label
    assert chips.evaluate_all("nodes => nodes.map(node => node.tabIndex)").count(0) == 1


def test_boxes_say_what_they_are_how_large_and_where(iou: OnPage) -> None:
    canvas = iou.root.locator(".wt-canvas").first
    assert "prediction, 90 x 50 px at 40, 90; truth, 80 x 100 px at 115, 25" in canvas.get_attribute("aria-label")
    canvas.focus()
    for words in ("prediction, 90 x 50 px at 40, 90; 1 of 2", "truth, 80 x 100 px at 115, 25; 2 of 2"):
        iou.page.keyboard.press("n")
        assert said(iou.page) == words
    iou.page.keyboard.press("ArrowRight")
    assert said(iou.page) == "truth, 80 x 100 px at 116, 25; 2 of 2"


def test_the_keyboard_stays_at_the_picture_when_its_last_box_is_deleted(chromium: Browser) -> None:
    shown = OnPage(chromium, AnchorExplorer(images=np.full((640, 640, 3), 90, np.uint8), targets=[ONE]))
    assert shown.root.locator(".wt-canvas").count() == 2  # the picture, and its object close up
    canvas = shown.root.locator(".wt-canvas").first
    canvas.focus()
    for key, boxes in (("Delete", 0), ("Insert", 1), ("Delete", 0)):  # there and back
        shown.page.keyboard.press("n")
        before = shown.drawn
        shown.page.keyboard.press(key)
        shown.wait(before)
        assert len(shown.explorer.objects) == boxes
        expect(canvas).to_be_focused()
    assert shown.root.locator(".wt-canvas").count() == 1
    assert shown.errors == []
    shown.close()


# -- forced colours ----------------------------------------------------------------------------------------------------


def colours_of(node: Locator) -> dict[str, int]:
    """How many pixels of what is seen of a node, and a little around it, have each colour "#RRGGBB"."""
    box, edge = node.bounding_box(), 4
    clip = {
        "x": box["x"] - edge,
        "y": box["y"] - edge,
        "width": box["width"] + 2 * edge,
        "height": box["height"] + 2 * edge,
    }
    image = np.asarray(Image.open(io.BytesIO(node.page.screenshot(clip=clip))).convert("RGB")).reshape(-1, 3)
    colours, counts = np.unique(image, axis=0, return_counts=True)
    return {f"#{r:02X}{g:02X}{b:02X}": int(n) for (r, g, b), n in zip(colours.tolist(), counts.tolist(), strict=True)}


def drawn(node: Locator) -> float:
    """The fraction of pixels that stand out from the ground, the most common colour, at 3:1 and more."""
    colours = colours_of(node)
    ground = max(colours, key=lambda colour: colours[colour])
    return sum(n for colour, n in colours.items() if contrast(colour, ground) >= 3) / sum(colours.values())


def ground_of(node: Locator) -> str:
    colours = colours_of(node)
    return max(colours, key=lambda colour: colours[colour])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_vanishes_in_forced_colours(iou: OnPage, scheme: str) -> None:
    iou.page.emulate_media(color_scheme=scheme, forced_colors="active")
    iou.page.wait_for_selector(f".wt[data-theme={scheme}]")  # the system's ground, not the notebook's theme
    unfold(iou)
    iou.click(".wt-story:nth-child(2)")
    iou.page.mouse.move(1, 1)
    root = iou.root
    slider = root.locator("[data-name=rate] input[type=range]")
    assert drawn(slider) > 0.1  # its track and its thumb
    chosen, other = (
        root.locator(f"[data-name=box_loss] input{which} + span") for which in (":checked", ":not(:checked)")
    )
    pressed, free = (root.locator(f".wt-story[aria-pressed={which}]") for which in ("true", "false"))
    here, there = root.locator(".wt-here"), root.locator(".wt-parts li:not(.wt-here)")
    marked, plain = root.locator("tr.wt-marked td:nth-child(2)"), root.locator("tr:not(.wt-marked) td:nth-child(2)")
    for one, another in ((chosen, other), (pressed, free), (here, there), (marked, plain)):
        assert contrast(ground_of(one.first), ground_of(another.first)) >= 3
        assert drawn(one.first) > 0.02  # words on it
    for part in (slider, root.locator(".wt-copy"), chosen):
        before = colours_of(part)
        iou.page.keyboard.press("Tab")  # the keyboard is used: rings are seen
        part.locator("xpath=self::input | preceding-sibling::input | self::button").first.focus()
        assert colours_of(part) != before
        iou.page.evaluate("document.activeElement.blur()")


@pytest.mark.parametrize("on", [True, False])
def test_a_switch_is_seen_in_forced_colours_and_which_way_it_is(chromium: Browser, on: bool) -> None:
    shown = OnPage(chromium, ScheduleExplorer(zoom=on))
    shown.page.emulate_media(forced_colors="active")
    unfold(shown)
    switch = shown.root.locator("[data-name=zoom] input")
    assert drawn(switch) > 0.15
    knob = switch.evaluate("node => getComputedStyle(node, '::before').transform")
    assert (knob == "none") is not on
    shown.close()


# -- without a kernel --------------------------------------------------------------------------------------------------


def test_a_frozen_explorer_is_as_accessible(chromium: Browser, tmp_path: Path) -> None:
    IouPlayground().freeze("box_loss", steps=[1, 20, 60], stories=True).save(tmp_path / "iou.html")
    page = chromium.new_page(viewport={"width": 1040, "height": 900})
    page.goto((tmp_path / "iou.html").as_uri())
    page.wait_for_selector(".wt:not([data-drawn='0'])")
    put_axe(page)
    for scheme, forced in (("light", "none"), ("dark", "none"), ("dark", "active")):
        page.emulate_media(color_scheme=scheme, forced_colors=forced)
        page.wait_for_selector(f".wt[data-theme={scheme}]")
        assert page.evaluate(FOUND, RULES) == []
    assert page.locator(".wt").evaluate(SMALL, [TARGETS, LEAST_TARGET]) == []
    assert drawn(page.locator("[data-name=steps] input[type=range]")) > 0.1
    page.close()
