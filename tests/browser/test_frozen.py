"""A frozen explorer in a file: without a kernel, without a network, with a keyboard."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from tests.browser.explorer import write_notebook
from tests.browser.lab import OpenNotebook
from walkthrough import AnchorExplorer, IouPlayground, ScheduleExplorer, frozen_script

PIXELS = "canvases => canvases.map(canvas => canvas.toDataURL()).join()"
DRAWN = ".wt:not([data-drawn='0'])"
Opened = Callable[..., tuple[Page, list[str]]]


@pytest.fixture(scope="module")
def anchors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The anchors under three thresholds, on three levels."""
    path = tmp_path_factory.mktemp("frozen") / "anchors.html"
    AnchorExplorer().freeze("level", anchor_t=[1.5, 4, 8]).save(path)
    return path


@pytest.fixture
def open_file(chromium: Browser) -> Iterator[Opened]:
    """open_file(path, **of_the_browser): the page, which reaches no network, and what it complains of."""
    opened: list[Page] = []

    def open_one(path: Path, **how: object) -> tuple[Page, list[str]]:
        page = chromium.new_page(viewport={"width": 1040, "height": 900}, **how)
        opened.append(page)
        problems: list[str] = []
        page.context.set_offline(True)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda asked: None if asked.url.startswith(LOCAL) else problems.append(asked.url))
        page.goto(path.as_uri())
        return page, problems

    yield open_one
    for page in opened:
        page.close()


LOCAL = ("file:", "data:", "blob:")


@contextmanager
def painted(page: Page) -> Iterator[None]:
    """Whatever is done inside, the picture that comes of it is there afterwards."""
    root = page.locator(".wt").first
    before = int(root.get_attribute("data-drawn"))
    yield
    condition = "([root, count]) => Number(root.dataset.drawn) > count"
    page.wait_for_function(condition, arg=[root.element_handle(), before])


def slider(page: Page, name: str) -> Locator:
    return page.locator(f"[data-name='{name}'] input[type=range]")


def words(page: Page) -> str:
    return " ".join(page.locator(".wt .wt-hidden").all_text_contents())


def test_the_slider_is_moved_by_keyboard_and_picture_and_words_follow(anchors: Path, open_file: Opened) -> None:
    page, problems = open_file(anchors)
    page.wait_for_selector(DRAWN)
    handle = slider(page, "anchor_t")
    assert handle.get_attribute("aria-valuetext") == "4"
    page.wait_for_function("document.querySelector('.wt [aria-live=polite]').textContent")
    seen = {(page.locator(".wt canvas").evaluate_all(PIXELS), words(page))}
    handle.focus()
    for key, value in (("ArrowLeft", "1.5"), ("End", "8")):
        with painted(page):
            page.keyboard.press(key)
        assert handle.get_attribute("aria-valuetext") == value
        page.wait_for_timeout(800)  # words are told when the slider rests
        seen.add((page.locator(".wt canvas").evaluate_all(PIXELS), words(page)))
    assert [len(set(each)) for each in zip(*seen, strict=True)] == [3, 3]
    assert "anchor_t=8" in page.locator(".wt code").first.text_content()
    with painted(page):
        page.get_by_role("button", name="reset").press("Enter")
    assert handle.get_attribute("aria-valuetext") == "4"
    assert problems == []


def test_the_other_control_is_chosen_by_keyboard_too(anchors: Path, open_file: Opened) -> None:
    page, problems = open_file(anchors)
    page.wait_for_selector(DRAWN)
    before = page.locator(".wt canvas").evaluate_all(PIXELS)
    chosen = page.locator("[data-name='level'] :is(select, input:checked)")
    chosen.focus()
    with painted(page):
        page.keyboard.press("ArrowUp")
    assert page.locator(".wt canvas").evaluate_all(PIXELS) != before
    assert problems == []


def test_stories_are_chips_that_say_what_to_look_for(tmp_path: Path, open_file: Opened) -> None:
    explorer = IouPlayground()
    explorer.freeze("box_loss", stories=True).save(tmp_path / "iou.html")
    page, problems = open_file(tmp_path / "iou.html")
    page.wait_for_selector(DRAWN)
    story = explorer.stories[1]
    with painted(page):
        page.get_by_role("button", name=story.label, exact=True).press("Enter")
    assert story.look_for in page.locator(".wt").text_content()
    explorer.show_story(story.label)
    assert page.locator(".wt-takeaway").text_content() == explorer.headline
    with painted(page):  # and from there on with the control
        page.locator("[data-name='box_loss'] label", has_text="diou").click()
    assert page.locator(".wt-takeaway").text_content() == IouPlayground(box_loss="diou").headline
    assert problems == []


def test_charts_are_drawn_without_plotly(tmp_path: Path, open_file: Opened) -> None:
    ScheduleExplorer(epochs=4).freeze("cosine").save(tmp_path / "schedule.html")
    page, problems = open_file(tmp_path / "schedule.html", color_scheme="dark")
    page.wait_for_selector(DRAWN)
    assert page.locator(".wt").get_attribute("data-theme") == "dark"
    charts = page.locator(".wt-is-Chart")
    lines = (
        "charts => charts.map(c => [...c.querySelectorAll('path[stroke-width]')].map(p => p.getAttribute('d')).join())"
    )
    before = charts.evaluate_all(lines)
    assert "L" in before[0]
    assert charts.first.locator("text", has_text="iteration").count() == 1
    with painted(page):
        page.locator("[data-name='cosine'] label", has_text="cosine").first.click()
    assert charts.evaluate_all(lines)[0] != before[0]
    page.emulate_media(color_scheme="light")
    page.wait_for_selector(".wt[data-theme='light']")
    assert problems == []


def test_a_page_with_several_has_one_script_and_fetches_what_comes_near(tmp_path: Path, open_file: Opened) -> None:
    here, far = (IouPlayground(rate=rate).freeze(steps=[1, 20]) for rate in (100, 800))
    (tmp_path / "far.js").write_text(far.script_text(), encoding="utf-8")
    room = "<div style='height: 6000px'></div>"
    text = f"<!doctype html>{frozen_script()}{here.fragment()}{room}{far.host('far.js')}"
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    page, problems = open_file(tmp_path / "page.html")
    page.wait_for_selector(DRAWN)
    assert page.locator(".wt").count() == 1
    assert page.locator(".wt-frozen-words").inner_text().startswith("IoU playground")
    page.locator(".wt-frozen").last.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelectorAll(\".wt:not([data-drawn='0'])\").length === 2")
    assert problems == []


def test_a_browser_that_cannot_unpack_says_so_and_shows_the_words(anchors: Path, chromium: Browser) -> None:
    page = chromium.new_page()
    page.add_init_script("delete globalThis.DecompressionStream")
    page.goto(anchors.as_uri())
    assert "2023" in page.locator(".wt-frozen [role=alert]").inner_text()
    assert "anchor" in page.locator(".wt-frozen-words").inner_text()
    page.close()


def test_a_notebook_shows_it_and_goes_on_without_the_kernel(
    lab_folder: Path, open_notebook: Callable[..., OpenNotebook]
) -> None:
    code = "from walkthrough import DistributionExplorer\nDistributionExplorer().freeze(target=[1, 2, 3])"
    write_notebook(lab_folder / "frozen.ipynb", code)
    notebook = open_notebook("frozen.ipynb")
    notebook.run_all()
    assert notebook.failures() == []
    notebook.page.wait_for_selector(f".jp-OutputArea .wt-frozen {DRAWN}")
    notebook.end_kernel()
    with painted(notebook.page):
        slider(notebook.page, "target").press("Home")
    assert slider(notebook.page, "target").get_attribute("aria-valuetext") == "1 cells"
