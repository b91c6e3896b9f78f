"""The page of an explorer in a real JupyterLab: mouse, keys, words, themes, and what happens when things go wrong."""

import re
from ast import literal_eval
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.browser.explorer import OpenExplorer
from tests.browser.lab import NOTEBOOK

TOY = (Path(__file__).parent / "toy.py").read_text(encoding="utf-8") + "\nw"
FIRST, SECOND = (40.0, 40.0, 120.0, 100.0, 1.0), (140.0, 90.0, 190.0, 150.0, 2.0)


@pytest.fixture(scope="module")
def opened(start_cell: Callable[[str], OpenExplorer]) -> Iterator[OpenExplorer]:
    explorer = start_cell(TOY)
    yield explorer
    explorer.close()


@pytest.fixture
def toy(opened: OpenExplorer) -> Iterator[OpenExplorer]:
    """The toy as it was in the beginning; after the test its browser has not complained."""
    opened.page.evaluate("document.activeElement.blur()")
    opened.run("w.reset()")
    opened.settle()
    opened.errors.clear()
    yield opened
    assert opened.errors == []


def objects(explorer: OpenExplorer) -> list[tuple[float, ...]]:
    return list(literal_eval(explorer.ask("w.objects")))


# -- controls ---------------------------------------------------------------------------------------------------------


def test_a_dragged_slider_moves_the_kernel_the_number_and_the_picture(toy: OpenExplorer) -> None:
    before = toy.picture()
    toy.drag_slider("grey", 1.0)
    assert toy.ask("w.grey") == "255"
    assert toy.control("grey").locator("input[type=number]").input_value() == "255"
    assert toy.picture() != before


def test_no_late_answer_overwrites_what_is_being_dragged(toy: OpenExplorer) -> None:
    slider = toy.control("grey").locator("input[type=range]")
    frame = slider.bounding_box()
    y = frame["y"] + frame["height"] / 2
    toy.page.mouse.move(frame["x"] + 7, y)
    toy.page.mouse.down()
    places = []
    for x in np.linspace(7, frame["width"] - 7, 30):
        toy.page.mouse.move(frame["x"] + x, y)
        places.append(int(slider.input_value()))
    toy.page.mouse.up()
    toy.settle()
    assert places == sorted(places)
    assert places[-1] == 255 == int(slider.input_value())
    assert toy.ask("w.grey") == "255"


def test_arrow_keys_move_a_slider_by_a_step(toy: OpenExplorer) -> None:
    toy.control("grey").locator("input[type=range]").focus()
    toy.key("ArrowRight ArrowRight ArrowUp", panel=None)
    assert toy.ask("w.grey") == "93"


def test_a_typed_number_counts_when_it_is_entered(toy: OpenExplorer) -> None:
    field = toy.control("grey").locator("input[type=number]")
    field.fill("7")
    toy.page.wait_for_timeout(200)
    assert toy.ask("w.grey") == "90"
    toy.type_number("grey", 77)
    assert toy.ask("w.grey") == "77"
    toy.type_number("seed", 5)
    assert toy.ask("w.seed") == "5"


def test_a_number_off_the_range_is_answered_with_a_sentence(toy: OpenExplorer) -> None:
    picture, height = toy.picture(), toy.root.bounding_box()["height"]
    toy.type_number("grey", 999)
    assert toy.message == "grey lies between 0 and 255, not at 999"
    assert toy.control("grey").locator("input[type=number]").input_value() == "90"
    assert toy.picture() == picture
    assert toy.root.bounding_box()["height"] == height  # nothing jumps
    toy.type_number("grey", 100)
    assert toy.message == ""


def test_a_logarithmic_slider_moves_by_factors(toy: OpenExplorer) -> None:
    toy.drag_slider("rate", 0.25)  # a quarter of the four powers of ten from 0.0001
    assert 0.0009 < float(toy.ask("w.rate")) < 0.0011
    toy.drag_slider("rate", 1.0)
    assert toy.ask("w.rate") == "1.0"


def test_heavy_work_waits_for_release(toy: OpenExplorer) -> None:
    slider = toy.control("slow").locator("input[type=range]")
    frame = slider.bounding_box()
    y = frame["y"] + frame["height"] / 2
    toy.page.mouse.move(frame["x"] + 40, y)
    toy.page.mouse.down()
    toy.page.mouse.move(frame["x"] + frame["width"] - 7, y, steps=5)
    toy.page.wait_for_timeout(200)
    assert toy.ask("w.slow") == "4"
    assert toy.control("slow").locator("input[type=number]").input_value() == "16"
    with toy.painted():
        toy.page.mouse.up()
    assert toy.ask("w.slow") == "16"


def test_choices_and_switches(toy: OpenExplorer) -> None:
    toy.choose("kind", "giou")
    toy.choose("name", "fire hydrant")
    toy.toggle("shown")
    assert toy.ask("w.kind, w.name, w.shown") == "('giou', 'fire hydrant', False)"
    toy.control("kind").get_by_role("radio", name="giou", exact=True).focus()
    toy.key("ArrowRight", panel=None)
    assert toy.ask("w.kind") == "'ciou'"
    assert toy.control("only").count() == 0  # one option is no choice


def test_every_control_has_a_name_and_is_reached_with_the_tab_key(toy: OpenExplorer) -> None:
    fields = toy.root.locator("input:visible, select:visible, button:visible, canvas[tabindex]")
    snapshot = "node => node.getAttribute('aria-label') || node.labels?.[0]?.textContent || node.textContent"
    assert "" not in [field.evaluate(snapshot).strip() for field in fields.all()]
    toy.root.focus()
    reached = set()
    where = "document.activeElement.closest('[data-name]')?.dataset.name ?? document.activeElement.textContent"
    for _ in range(60):
        toy.page.keyboard.press("Tab")
        if not toy.page.evaluate("Boolean(document.activeElement.closest('.wt'))"):
            break  # past the last one
        reached.add(toy.page.evaluate(where))
    assert {"grey", "rate", "slow", "seed", "kind", "name", "shown", "copy as code"} <= reached
    assert any(text.startswith("row ") for text in reached)  # one of them; arrows go on from there


# -- boxes and places -------------------------------------------------------------------------------------------------


def test_a_box_is_dragged_by_its_body_and_keeps_its_class(toy: OpenExplorer) -> None:
    before = toy.picture()
    toy.drag((80, 70), (100, 75))
    first, second = objects(toy)
    assert first == (60, 45, 140, 105, 1)
    assert second == SECOND
    assert toy.picture() != before


def test_a_box_stays_in_the_window(toy: OpenExplorer) -> None:
    toy.drag((80, 70), (-200, 70))
    assert objects(toy)[0] == (0, 40, 80, 100, 1)


def test_a_box_is_resized_by_corners_and_edges(toy: OpenExplorer) -> None:
    toy.drag((120, 100), (130, 80))
    assert objects(toy)[0] == (40, 40, 130, 80, 1)
    toy.drag((40, 60), (20, 60))
    assert objects(toy)[0] == (20, 40, 130, 80, 1)
    toy.drag((20, 40), (150, 100))  # past the opposite corner
    assert objects(toy)[0] == (130, 80, 150, 100, 1)


def test_dragging_over_free_ground_draws_a_box_and_delete_removes_it(toy: OpenExplorer) -> None:
    toy.drag((20, 120), (70, 160))
    assert objects(toy) == [FIRST, SECOND, (20, 120, 70, 160, 3)]
    with toy.painted():
        toy.page.keyboard.press("Delete")
    assert objects(toy) == [FIRST, SECOND]


def test_a_box_within_a_box_is_drawn_with_shift(toy: OpenExplorer) -> None:
    toy.drag((60, 55), (100, 85), holding="Shift")
    assert objects(toy)[2] == (60, 55, 100, 85, 3)


def test_what_is_dragged_is_seen_before_the_kernel_answers(toy: OpenExplorer) -> None:
    canvas = toy.panel()
    pixels = "canvas => canvas.toDataURL()"
    toy.page.mouse.move(*toy.on_page((80, 70)))
    toy.page.mouse.down()
    toy.page.mouse.move(*toy.on_page((81, 70)))
    before, drawn = canvas.evaluate(pixels), toy.drawn
    seen = canvas.evaluate(
        """canvas => {
            const frame = canvas.getBoundingClientRect()
            const at = { clientX: frame.left + 200, clientY: frame.top + 150, pointerId: 1, bubbles: true }
            canvas.dispatchEvent(new PointerEvent("pointermove", at))
            return canvas.toDataURL()
        }"""
    )
    assert seen != before  # in the same turn of the browser's loop
    assert toy.drawn >= drawn
    toy.page.mouse.up()
    toy.settle()


def test_boxes_are_moved_resized_added_and_removed_with_keys_and_told(toy: OpenExplorer) -> None:
    toy.key("n ArrowRight ArrowDown")
    assert objects(toy)[0] == (41, 41, 121, 101, 1)
    assert toy.root.locator("[aria-live=assertive]").text_content() == "class 1, 80 x 60 px at 41, 41; 1 of 2"
    toy.key("n Shift+ArrowLeft Alt+ArrowRight", panel=None)
    assert objects(toy)[1] == (130, 90, 181, 150, 2)
    toy.key("+ Alt+Shift+ArrowUp", panel=None)
    assert objects(toy)[1] == (129, 89, 182, 141, 2)
    toy.key("Insert", panel=None)
    assert objects(toy)[2][4] == 3
    toy.key("Delete", panel=None)
    assert len(objects(toy)) == 2


def test_a_picture_is_one_stop_of_the_tab_key(toy: OpenExplorer) -> None:
    toy.panel().focus()
    toy.page.keyboard.press("n")
    toy.page.keyboard.press("Tab")
    assert toy.page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("A place")


def test_clicks_choose_places_boxes_and_rows(toy: OpenExplorer) -> None:
    toy.click((100, 50), panel="A place")
    assert toy.ask("w.place") == "(100.0, 50.0)"
    toy.key("Shift+ArrowRight ArrowUp", panel="A place")
    assert toy.ask("w.place") == "(110.0, 49.0)"
    toy.click((160, 120))
    assert toy.ask("w.chosen") == "(1.0,)"
    with toy.painted():
        toy.root.get_by_role("cell", name="row 3").click()
    assert toy.ask("w.row") == "(3.0,)"
    toy.key("ArrowDown Enter", panel=None)
    assert toy.ask("w.row") == "(4.0,)"


def test_lines_of_source_are_lit_marked_and_clicked(toy: OpenExplorer) -> None:
    toy.toggle("listed")
    lines = toy.root.locator(".wt-line")
    assert lines.count() == 5
    assert "wt-lit" in lines.nth(2).get_attribute("class")
    assert "wt-stop" in lines.nth(3).get_attribute("class")
    with toy.painted():
        lines.nth(4).click()
    assert toy.ask("w.line") == "(14.0,)"
    toy.choose("kind", "iou")
    assert "wt-failed" in lines.nth(2).get_attribute("class")


# -- buttons, words, errors -------------------------------------------------------------------------------------------


def test_a_button_and_its_key_do_the_same(toy: OpenExplorer) -> None:
    toy.press("darker")
    assert toy.ask("w.grey") == "80"
    toy.key("d")
    assert toy.ask("w.grey") == "70"
    toy.press("reset")
    assert toy.ask("w.grey") == "90"


def test_keys_reach_neither_the_notebook_nor_a_button_while_typing(toy: OpenExplorer) -> None:
    field = toy.control("grey").locator("input[type=number]")
    field.focus()
    toy.page.keyboard.press("d")
    toy.page.keyboard.press("Escape")
    toy.panel().focus()
    for key in "xxbb":  # cut the cell, make new ones: JupyterLab's
        toy.page.keyboard.press(key)
    toy.page.wait_for_timeout(300)
    assert toy.page.locator(f"{NOTEBOOK} .jp-CodeCell").count() == 1
    assert toy.ask("w.grey") == "90"


def test_a_failing_button_is_a_sentence(toy: OpenExplorer) -> None:
    toy.press("fail")
    assert toy.message == "RuntimeError: nothing works"
    toy.drag_slider("grey", 0.5)
    assert toy.message == ""
    assert toy.notebook.failures() == []


def test_where_there_is_no_result_the_last_picture_is_dimmed(toy: OpenExplorer) -> None:
    picture = toy.picture()
    toy.type_number("grey", 13)
    assert toy.message == "13 brings bad luck: take another grey"
    assert "wt-nothing" in toy.root.get_attribute("class")
    assert toy.picture() == picture
    toy.type_number("grey", 90)
    assert "wt-nothing" not in toy.root.get_attribute("class")


def test_a_picture_of_the_readers_own(toy: OpenExplorer, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "mine.png"), np.full((20, 333, 3), 200, np.uint8))
    toy.upload(tmp_path / "mine.png")
    assert toy.ask("w.seed, w.grey") == "(333, 200)"
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    toy.upload(tmp_path / "broken.png")
    assert toy.message.startswith("broken.png is not a picture that can be read")


def test_copy_as_code(toy: OpenExplorer) -> None:
    toy.type_number("grey", 33)
    toy.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    toy.root.get_by_role("button", name="copy as code").click()
    toy.root.get_by_role("button", name="copied").wait_for()
    assert toy.page.evaluate("navigator.clipboard.readText()") == "Toy(grey=33)"


def test_where_the_clipboard_is_refused_the_code_stands_selected_in_a_field(toy: OpenExplorer) -> None:
    toy.page.wait_for_timeout(1600)
    toy.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')) }")
    toy.root.get_by_role("button", name="copy as code").click()
    field = toy.root.get_by_label("the settings as code")
    field.wait_for()
    assert field.input_value() == "Toy()"
    assert toy.page.evaluate("getSelection().toString()") == "Toy()"


def test_what_python_sets_is_on_the_page_and_told(toy: OpenExplorer) -> None:
    with toy.painted():
        toy.run("w.grey = 120; w.kind = 'iou'; w.objects = ()")
    assert toy.control("grey").locator("input[type=range]").input_value() == "120"
    assert toy.control("kind").get_by_role("radio", name="iou", exact=True).is_checked()
    toy.page.wait_for_timeout(800)
    assert toy.root.locator("[aria-live=polite]").text_content() == "grey 120, 0 boxes"


# -- the page ---------------------------------------------------------------------------------------------------------


def test_plotly_leaves_no_trace_on_the_page(toy: OpenExplorer) -> None:
    assert toy.root.locator(".wt-plot svg").count() > 0
    assert toy.page.evaluate("typeof window.Plotly") == "undefined"


def test_the_theme_is_followed_at_once(toy: OpenExplorer) -> None:
    ink = "node => getComputedStyle(node).color"
    title, before = toy.root.locator(".wt-title"), toy.picture(".wt-is-Chart")
    light = title.evaluate(ink)
    for theme in ("Dark", "Light"):
        with toy.painted():
            toy.page.click("#jp-MainMenu >> text=Settings")
            toy.page.hover(".lm-Menu-itemLabel:text-is('Theme')")
            toy.page.click(f".lm-Menu-itemLabel:text-is('JupyterLab {theme}')")
            toy.page.wait_for_function(f"document.body.dataset.jpThemeName === 'JupyterLab {theme}'")
        assert toy.root.get_attribute("data-theme") == theme.lower()
        assert (title.evaluate(ink) == light) is (theme == "Light")
    assert toy.picture(".wt-is-Chart") == before


def test_a_narrow_page_has_its_panels_one_under_the_other(toy: OpenExplorer) -> None:
    size = toy.page.viewport_size
    with toy.painted():
        toy.page.set_viewport_size({"width": 760, "height": 900})
    widths = [panel.bounding_box()["x"] for panel in toy.root.locator(".wt-panel").all()]
    frame = toy.root.bounding_box()
    fits = [panel.bounding_box()["width"] <= frame["width"] for panel in toy.root.locator(".wt-panel").all()]
    with toy.painted():
        toy.page.set_viewport_size(size)
    assert len(set(widths)) == 1
    assert all(fits)


def test_charts_come_where_the_explorer_that_asked_for_them_is_gone(open_cell: Callable[[str], OpenExplorer]) -> None:
    again = "from IPython.display import clear_output, display\ndisplay(Toy())\nclear_output()\ndisplay(Toy(), w)"
    explorer = open_cell(TOY.removesuffix("w") + again)
    explorer.page.wait_for_function(
        "document.querySelectorAll('.wt .wt-plot svg.main-svg').length >= 8", timeout=20_000
    )
    assert explorer.root.locator(".wt-placeholder").count() == 0
    assert explorer.errors == []


def test_two_views_a_reload_and_a_lost_kernel(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell(TOY.removesuffix("w") + "from IPython.display import display\ndisplay(w)\ndisplay(w)")
    page = explorer.page
    views = page.locator(f"{NOTEBOOK} .wt")
    assert views.count() == 2
    explorer.type_number("grey", 200)
    numbers = "all => all.map(view => view.querySelector('[data-name=grey] input[type=number]').value)"
    assert views.evaluate_all(numbers) == ["200", "200"]
    page.keyboard.press("Control+s")
    page.wait_for_timeout(1500)
    page.reload(wait_until="domcontentloaded")
    page.wait_for_selector(f"{NOTEBOOK} .wt:not([data-drawn='0'])", timeout=60_000)
    explorer.settle()
    assert views.evaluate_all(numbers) == ["200", "200"]
    assert (
        explorer.panel().evaluate("canvas => new Set(canvas.getContext('2d').getImageData(9, 9, 1, 1).data).size") > 1
    )
    explorer.type_number("grey", 100)
    assert explorer.ask("w.grey") == "100"
    explorer.errors.clear()
    explorer.run("import threading, os, time; threading.Timer(0.5, os._exit, (1,)).start()")
    ok = page.locator(".jp-Dialog .jp-mod-accept")
    ok.first.click(timeout=20_000)  # JupyterLab says that the kernel restarts, twice after a reload
    page.wait_for_timeout(1000)  # a second dialog would take the key
    while ok.count():
        ok.first.click()
    explorer.control("grey").locator("input[type=range]").press("ArrowRight")
    page.wait_for_function("document.querySelector('.wt-message').textContent !== ''", timeout=20_000)
    assert "does not answer" in explorer.message
    assert re.search("run the cell again", explorer.message)
    assert [error for error in explorer.errors if "walkthrough" in error or "wt" in error] == []
