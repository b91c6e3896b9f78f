"""What a reader changes and takes back: undo, classes, refusals, uploads, copied code, views that are gone."""

import os
from ast import literal_eval
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import yolo_lite as yl
from tests.browser.explorer import OpenExplorer
from tests.browser.lab import NOTEBOOK

PICTURES = """
import numpy as np
from walkthrough.explorers.controls import slider
from walkthrough.explorers.pictures import PictureExplorer, PictureState
from walkthrough.scene import Boxes, Panel, Picture, Scene
from dataclasses import dataclass

@dataclass(frozen=True)
class State(PictureState):
    rate: float = slider(0.5, 0, 10, label="learning rate")

class Mine(PictureExplorer):
    State = State
    compute = staticmethod(lambda state: state)
    words = lambda self: f"rate {self.rate}"

    @staticmethod
    def scene(state):
        boxes = Boxes([box[:4] for box in state.objects], drag="objects")
        height, width = state.shown.size
        layers, drawn = (Picture(state.shown.pixels), boxes), (state.new_class,)
        return Scene(((Panel(layers, width, height, draw="objects", drawn=drawn),),))

given = np.full((120, 200, 3), 90, np.uint8)
w = Mine(images=[given], targets=[[0, 1, 0.5, 0.5, 0.4, 0.5]], names=["cat", "dog", "cow"], size=(120, 200))
w"""
BOX = (60.0, 30.0, 140.0, 90.0)


@pytest.fixture(scope="module")
def opened(start_cell: Callable[[str], OpenExplorer]) -> Iterator[OpenExplorer]:
    explorer = start_cell(PICTURES)
    yield explorer
    explorer.close()


@pytest.fixture
def mine(opened: OpenExplorer) -> Iterator[OpenExplorer]:
    """As it was in the beginning; after the test its browser has not complained."""
    opened.page.evaluate("document.activeElement.blur()")
    opened.run("w.clear(); w.reset()")
    opened.settle()
    opened.errors.clear()
    yield opened
    assert opened.errors == []


def boxes(explorer: OpenExplorer) -> list[tuple[float, ...]]:
    return [tuple(round(side) for side in box) for box in literal_eval(explorer.ask("w.objects"))]


def test_a_drag_is_undone_as_one_and_done_again(mine: OpenExplorer) -> None:
    mine.drag((100, 60), (120, 70))
    assert boxes(mine) == [(80, 40, 160, 100, 1)]
    mine.drag_slider("rate", 0.9)
    mine.key("Control+z", panel=None)
    assert mine.ask("w.rate") == "0.5"
    mine.key("Control+z", panel=0)
    assert boxes(mine) == [(60, 30, 140, 90, 1)]
    mine.key("Control+Shift+z", panel=0)
    assert boxes(mine) == [(80, 40, 160, 100, 1)]
    mine.press("undo")
    assert boxes(mine) == [(60, 30, 140, 90, 1)]
    assert mine.root.get_by_role("button", name="undo").get_attribute("aria-disabled") is not None


def test_what_is_being_typed_is_undone_by_the_browser(mine: OpenExplorer) -> None:
    mine.type_number("rate", 2)
    field = mine.control("rate").locator("input[type=number]")
    field.press("7")
    mine.page.keyboard.press("Control+z")
    mine.page.keyboard.press("Escape")
    mine.settle()
    assert mine.ask("w.rate") == "2.0"


def test_reset_keeps_boxes_and_clear_takes_them_away(mine: OpenExplorer) -> None:
    mine.type_number("rate", 3)
    mine.drag((10, 10), (40, 50))
    mine.press("reset")
    assert mine.ask("w.rate") == "0.5"
    assert len(boxes(mine)) == 2
    mine.press("clear pictures")
    assert boxes(mine) == [(60, 30, 140, 90, 1)]


def test_the_class_of_a_box_is_changed_with_the_mouse_and_with_a_key(mine: OpenExplorer) -> None:
    x, y = mine.on_page((100, 60))
    mine.page.mouse.click(x, y)
    with mine.painted():
        mine.root.get_by_label("class of the chosen box").select_option("cow")
    assert boxes(mine) == [(60, 30, 140, 90, 2)]
    mine.key("c", panel=0)
    assert boxes(mine) == [(60, 30, 140, 90, 0)]
    mine.panel().blur()
    assert mine.root.get_by_label("class of the chosen box").count() == 0


def test_the_page_says_where_a_box_can_be_drawn_and_how_inside_another(mine: OpenExplorer) -> None:
    assert "with Shift inside another one" in mine.root.locator(".wt-hint").text_content()
    mine.page.mouse.move(*mine.on_page((100, 60)))
    assert mine.panel().get_attribute("title") == "with Shift: draw a box inside of this one"
    with_box = mine.picture()
    with mine.painted():
        mine.run("w.objects = ()")
    first = mine.picture()
    with mine.painted():
        mine.run("w.objects = ((0, 0, 200, 120, 1),)")
    assert first not in (with_box, mine.picture())
    mine.drag((80, 40), (120, 80), holding="Shift")
    assert boxes(mine)[1] == (80, 40, 120, 80, 0)


def test_a_comma_is_a_point_or_a_message_and_never_left_out(mine: OpenExplorer) -> None:
    field = mine.control("rate").locator("input[type=number]")
    with mine.painted():
        field.select_text()
        mine.page.keyboard.type("1,5")
        field.press("Enter")
    assert mine.ask("w.rate") == "1.5"
    field.select_text()
    mine.page.keyboard.insert_text("1,000")
    assert "can be read in two ways" in mine.message
    mine.type_number("rate", 4)
    assert mine.message == ""


def test_a_refusal_stands_at_its_control_under_its_label_and_goes_with_a_valid_value(mine: OpenExplorer) -> None:
    mine.type_number("rate", 99)
    refusal = mine.control("rate").locator(".wt-refusal")
    assert refusal.text_content() == "learning rate (rate) lies between 0 and 10, not at 99"
    field = mine.control("rate").locator("input[type=number]")
    assert field.get_attribute("aria-invalid") == "true"
    gap = refusal.bounding_box()["y"] - field.bounding_box()["y"]
    assert 0 < gap < 60
    with mine.painted():
        field.fill("0.5")  # what it was before
        field.press("Enter")
    assert refusal.count() == 0
    assert field.get_attribute("aria-invalid") is None


def test_a_large_photograph_is_scaled_on_the_page_and_turned_as_its_camera_says(
    mine: OpenExplorer, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2500, 3500, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(noise).save(tmp_path / "large.jpg", quality=97, exif=exif)
    assert (tmp_path / "large.jpg").stat().st_size > 10e6
    mine.run(
        "sizes, add = [], Mine.add_picture\n"
        "Mine.add_picture = lambda self, pixels, name: (sizes.append(pixels.shape), add(self, pixels, name))"
    )
    mine.upload(tmp_path / "large.jpg")
    assert mine.ask("sizes") == "[(1600, 1143, 3)]"
    assert mine.ask("len(w.pictures), w.picture") == "(2, 1)"
    assert "large.jpg: 2500 x 3500 px, scaled to 1143 x 1600 px" in mine.root.locator(".wt-status").text_content()
    cv2.imwrite(str(tmp_path / "small.png"), np.full((30, 40, 3), 7, np.uint8))
    mine.upload(tmp_path / "small.png")
    assert mine.ask("sizes[1]") == "(30, 40, 3)"


def test_a_photograph_is_met_with_advice_and_with_weights_that_were_fetched(
    open_cell: Callable[[str], OpenExplorer], lab_folder: Path, tmp_path: Path
) -> None:
    (lab_folder / "downloads").mkdir(exist_ok=True)
    untrained = yl.create_model("yolov5n", names=["cat", "dog"])
    yl.save(untrained, lab_folder / "downloads" / "yolov5n.safetensors")
    (lab_folder / "downloads" / "yolov5n.safetensors").rename(lab_folder / "downloads" / "yolov5n.pt")
    explorer = open_cell("from walkthrough import NmsExplorer\nw = NmsExplorer()\nw")
    assert not explorer.root.locator(".wt-advice").is_visible()
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((90, 120, 3), 60, np.uint8))
    explorer.upload(tmp_path / "photo.png")
    assert "This network knows six shapes" in explorer.root.locator(".wt-advice").text_content()
    explorer.press("use yolov5n")
    assert explorer.ask("w.names") == "('cat', 'dog')"
    assert not explorer.root.locator(".wt-advice").is_visible()
    assert explorer.errors == []


def test_copied_code_runs_in_a_fresh_cell(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell("from walkthrough import AnchorExplorer\nw = AnchorExplorer()\nw")
    explorer.drag_slider("anchor_t", 0.3)
    explorer.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    explorer.root.get_by_role("button", name="copy as code").click()
    explorer.root.get_by_role("button", name="copied").wait_for()
    copied = explorer.page.evaluate("navigator.clipboard.readText()")
    explorer.run(f"fresh = {{}}; exec({copied!r}, fresh)")
    same = "[len(m.row) for m in fresh['matches']] == [len(m.row) for m in w.result.matches]"
    assert explorer.ask(same) == "True"


def test_running_a_cell_again_pauses_the_training_that_it_left_behind(open_cell: Callable[[str], OpenExplorer]) -> None:
    code = "from walkthrough import LiveTraining\nold = globals().get('w')\nw = LiveTraining(epochs=500)\nw"
    explorer = open_cell(code)
    explorer.press("start")
    assert explorer.ask("w.running") == "True"
    explorer.notebook.run_all()
    explorer.page.wait_for_timeout(2500)
    assert explorer.ask("old.running, w.running") == "(False, False)"
    assert explorer.ask("old.trainer.iteration > 0") == "True"


def test_explorers_side_by_side_share_the_width(open_cell: Callable[[str], OpenExplorer]) -> None:
    code = PICTURES.removesuffix("w") + "from ipywidgets import HBox\nHBox([w, Mine(images=[given])])"
    explorer = open_cell(code)
    views = explorer.page.locator(f"{NOTEBOOK} .wt")
    assert views.count() == 2
    left, right = (view.bounding_box() for view in views.all())
    assert left["y"] == right["y"]
    assert abs(left["width"] - right["width"]) < 2
    room = explorer.page.locator(f"{NOTEBOOK} .widget-hbox").bounding_box()
    assert right["x"] + right["width"] <= room["x"] + room["width"] + 1
    explorer.type_number("rate", 2)
    assert explorer.ask("w.rate") == "2.0"
    assert explorer.errors == []


def test_the_kernel_sleeps_where_it_waits_for_threads(mine: OpenExplorer) -> None:
    mine.run("import os")
    expected = os.environ.get("OMP_WAIT_POLICY", "passive")
    assert mine.ask("os.environ['OMP_WAIT_POLICY']") == repr(expected)
