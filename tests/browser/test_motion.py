"""What plays, what is dragged on a chart, and what is guessed, on a plain page: with the mouse and the keyboard."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser.onpage import OnPage
from walkthrough import AnchorExplorer, IouPlayground, ScheduleExplorer
from walkthrough.explorers.base import Explorer

Opened = Callable[..., OnPage]


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Opened]:
    """opened(explorer, **how of OnPage); no page complains."""
    pages: list[OnPage] = []

    def open_one(explorer: Explorer, **how: object) -> OnPage:
        pages.append(OnPage(chromium, explorer, **how))
        return pages[-1]

    yield open_one
    for shown in pages:
        assert shown.errors == []
        shown.close()


def play(shown: OnPage) -> Locator:
    return shown.root.locator("[data-name='step'] .wt-play")


def until(shown: OnPage, step: int) -> None:
    """Until the slider stands at a step or beyond it."""
    told = "([root, step]) => root.querySelector('[data-name=step] input[type=range]').valueAsNumber >= step"
    shown.page.wait_for_function(told, arg=[shown.root.element_handle(), step])


def test_a_control_plays_pauses_is_scrubbed_and_ends(opened: Opened) -> None:
    shown = opened(IouPlayground(steps=6))
    w, button = shown.explorer, play(shown)
    expect(button).to_have_text("play")
    button.click()
    expect(button).to_have_text("pause")
    until(shown, 2)
    assert 2 <= w.step < 6
    button.click()
    expect(button).to_have_text("play")
    stopped = w.step
    shown.page.wait_for_timeout(600)  # more than two steps
    assert w.step == stopped
    shown.root.locator("[data-name='step'] input[type=range]").press("Home")  # scrubbed by its own slider
    until(shown, 0)
    button.press("k")
    until(shown, 6)
    expect(button).to_have_text("play")  # it has come to the end
    assert w.step == 6
    assert shown.root.locator(".wt-takeaway").text_content() == w.headline
    button.click()  # from the beginning
    until(shown, 1)
    assert w.step < 6
    shown.root.locator(".wt-canvas").click(position={"x": 5, "y": 5})  # the reader touches something
    expect(button).to_have_text("play")
    w.undo()  # all that was played is one change
    assert w.step == 6


def test_it_waits_for_the_answer_and_stops_out_of_sight(opened: Opened) -> None:
    shown = opened(IouPlayground(steps=20))
    counted = """() => {
        const model = window.model, send = model.save_changes
        window.sent = 0
        model.save_changes = async () => { window.sent += 1; if (window.sent < 2) await send() }
    }"""
    shown.page.evaluate(counted)  # a kernel that does not answer any more
    play(shown).click()
    shown.page.wait_for_timeout(1200)
    assert shown.page.evaluate("window.sent") == 2  # and not four
    shown.page.evaluate(
        "document.body.append(Object.assign(document.createElement('div'), { style: 'height:3000px' }))"
    )
    shown.page.evaluate("window.scrollTo(0, 2900)")
    expect(play(shown)).to_have_text("play")


def test_without_motion_the_button_goes_one_step(opened: Opened) -> None:
    shown = opened(IouPlayground(steps=2))
    shown.page.emulate_media(reduced_motion="reduce")
    button = play(shown)
    expect(button).to_have_text("step")
    assert "nothing moves by itself" in button.get_attribute("title")
    for step in (1, 2, 0):
        button.press("Enter")
        shown.page.wait_for_timeout(500)
        assert shown.explorer.step == step


def marker(shown: OnPage) -> Locator:
    return shown.root.locator(".wt-marker").first


def test_the_line_of_a_chart_is_dragged_and_moved_by_keys(opened: Opened) -> None:
    shown = opened(ScheduleExplorer(iteration=800), plotly=True)
    w, line = shown.explorer, marker(shown)
    expect(line).to_be_visible()
    plot = shown.root.locator(".wt-chart").first.bounding_box()
    box = line.bounding_box()
    assert box["width"] >= 24
    shown.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    shown.page.mouse.down()
    shown.page.mouse.move(box["x"] + 130, box["y"] + 20, steps=4)
    shown.page.mouse.up()
    shown.page.wait_for_function("document.querySelectorAll('.wt-marker')[0].ariaValueNow !== '800'")
    assert 1500 < w.iteration < 2500
    assert int(line.get_attribute("aria-valuenow")) == w.iteration
    drawn = shown.root.locator(".shapelayer path").first.bounding_box()
    now = line.bounding_box()
    assert drawn["x"] == pytest.approx(now["x"] + now["width"] / 2, abs=2)
    assert plot["x"] < now["x"] < plot["x"] + plot["width"]
    stood = w.iteration
    for key, iteration in (("ArrowRight", stood + 1), ("Shift+ArrowLeft", stood - 9), ("End", 3749), ("Home", 0)):
        line.press(key)
        expect(line).to_have_attribute("aria-valuenow", str(iteration))
        assert w.iteration == iteration
    assert (line.get_attribute("role"), line.get_attribute("aria-valuemax")) == ("slider", "3749")


def test_a_guess_is_made_in_list_and_picture_and_revealed(opened: Opened) -> None:
    shown = opened(AnchorExplorer(guess=True))
    guess = shown.explorer.as_scene().rows[0]
    answers, reveal = shown.root.locator(".wt-answer"), shown.root.locator(".wt-reveal")
    assert answers.count() == len(guess[1].answers)
    pictures = "root => root.querySelector('.wt-canvas').toDataURL()"
    before = shown.root.evaluate(pictures)
    answers.nth(0).focus()
    shown.page.keyboard.press("ArrowDown")
    shown.page.keyboard.press("Enter")
    assert answers.nth(1).get_attribute("aria-pressed") == "true"
    assert shown.root.evaluate(pictures) != before  # its outline is lit
    panel, canvas = guess[0], shown.root.locator(".wt-canvas").bounding_box()
    outlines = next(layer for layer in panel.layers if getattr(layer, "refs", ()) == guess[1].refs)
    x1, y1, _, y2 = outlines.xyxy[8]
    scale = canvas["width"] / panel.width
    shown.page.mouse.click(canvas["x"] + x1 * scale, canvas["y"] + min((y1 + y2) / 2, panel.height - 4) * scale)
    assert answers.nth(8).get_attribute("aria-pressed") == "true"
    assert not any(text in shown.root.inner_text() for text in guess[1].because)
    reveal.press("Enter")
    right = sum(is_right == (k in (1, 8)) for k, is_right in enumerate(guess[1].right))
    expect(shown.root.locator(".wt-sum")).to_contain_text(f"{right} of 9 right")
    assert all(text in shown.root.inner_text() for text in guess[1].because)
    assert answers.nth(1).get_attribute("data-found") == ("hit" if guess[1].right[1] else "wrong")
    for key, place in (("Tab", 1), ("ArrowDown", 2)):  # reasons are read one by one, and nothing can be chosen now
        shown.page.keyboard.press(key)
        expect(answers.nth(place)).to_be_focused()
        expect(answers.nth(place)).to_have_accessible_name(re.compile(f" .*{re.escape(guess[1].because[place])}$"))
        shown.page.keyboard.press("Enter")
        assert answers.nth(place).get_attribute("aria-pressed") == str(place == 1).lower()
    shown.page.keyboard.press("Tab")
    expect(shown.root.locator(".wt-answer:focus")).to_have_count(0)  # one stop of the Tab key
    reveal.click()
    assert shown.root.locator(".wt-answer[aria-pressed=true]").count() == 0


def test_a_frozen_control_plays_and_a_frozen_line_is_dragged(chromium: Browser, tmp_path: Path) -> None:
    IouPlayground().freeze("box_loss", step=[0, 1, 2, 4]).save(tmp_path / "iou.html")
    page = chromium.new_page(viewport={"width": 1040, "height": 900})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((tmp_path / "iou.html").as_uri())
    page.wait_for_selector(".wt:not([data-drawn='0'])")
    page.get_by_role("button", name="play: step").click()
    handle = page.locator("[data-name='step'] input[type=range]")
    expect(handle).to_have_attribute("aria-valuetext", "4")
    assert page.locator(".wt-takeaway").text_content() == IouPlayground(step=4).headline
    page.get_by_role("button", name="the way down").click()
    line = page.locator(".wt-marker").first
    line.press("ArrowLeft")
    expect(handle).to_have_attribute("aria-valuetext", "2")
    box = line.bounding_box()
    page.mouse.move(box["x"] + 12, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] - 200, box["y"] + 40, steps=3)
    page.mouse.up()
    expect(handle).to_have_attribute("aria-valuetext", "0")
    assert problems == []
    page.close()
