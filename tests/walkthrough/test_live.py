"""The kernel's side of the live page: what is sent, what comes back, and what goes wrong."""

import asyncio
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
import pytest

from walkthrough.explorers.base import Action, Explorer
from walkthrough.explorers.controls import Boxes, boxes, choice, given, point, slider
from walkthrough.render.live import MODULES, REST, Live, decoded, encode, look, plotly, script
from walkthrough.scene import Panel, Picture, Scene

PHOTO = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)


@dataclass(frozen=True)
class State:
    grey: int = slider(10, 0, 255)
    kind: int = choice(0, {"small": 0, "large": 1})
    objects: Boxes = boxes(((1, 2, 3, 4, 5),))
    place: tuple[float, float] | None = point(None)
    extra: Any = given()


class Shown(Explorer):
    State = State
    actions = (Action("lighter", "lighter", "l"), Action("broken", "broken"))
    uploads = True

    @staticmethod
    def compute(state: State) -> State:
        if state.grey == 13:
            raise ValueError("not 13")
        return state

    @staticmethod
    def scene(state: State) -> Scene:
        small = np.full((4, 4, 3), state.grey, np.uint8)
        return Scene(((Panel((Picture(PHOTO),), 400, 300), Panel((Picture(small),), 4, 4)),))

    def lighter(self) -> None:
        self.set(grey=self.state.grey + 1)

    def broken(self) -> None:
        raise ZeroDivisionError("by nothing")

    def add_picture(self, pixels: Any, name: str) -> None:
        self.set(grey=int(pixels[0, 0, 0]))


class Slow(Shown):
    """Its picture takes long; at once there is a draft."""

    @staticmethod
    def draft(state: State) -> Scene | None:
        return None if state.kind else Scene((), words="draft")

    @staticmethod
    def scene(state: State) -> Scene:
        if state.grey == 99:
            raise ValueError("99 took too long")
        return Scene((), words="whole")

    def words(self) -> str:
        return f"grey {self.grey}"


class Sent:
    """Catches what a widget sends: its custom messages and the names of the traits in each state message."""

    def __init__(self, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
        self.messages: list[tuple[dict[str, Any], list[bytes]]] = []
        self.states: list[dict[str, Any]] = []
        monkeypatch.setattr(live, "send", lambda content, buffers=None: self.messages.append((content, buffers or [])))
        monkeypatch.setattr(live, "_send", lambda message, buffers=None: self.states.append(message["state"]))

    @property
    def images(self) -> list[str]:
        return [key for message, _ in self.messages if message["kind"] == "pictures" for key in message["keys"]]


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def live(shown: Shown) -> Live:
    return shown.widget


@pytest.fixture
def sent(live: Live, monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(live, monkeypatch)


def move(live: Live, number: int = 1, **values: Any) -> None:
    """What the widget manager does with a message of the page."""
    live.set_state({"moved": {"page": "p", "number": number, "values": values}})


def image_keys(live: Live) -> list[str]:
    return [layer["pixels"] for panel in live.scene["rows"][0] for layer in panel["layers"]]


# -- to the page -----------------------------------------------------------------------------------------------------


def test_a_scene_goes_as_json_without_the_pixels(live: Live) -> None:
    assert len(json.dumps(live.scene)) < 2000
    assert all(isinstance(key, str) and len(key) == 16 for key in image_keys(live))


def test_an_image_is_sent_once_as_long_as_it_stays(shown: Shown, live: Live, sent: Sent) -> None:
    shown.grey = 20
    shown.grey = 30
    photo, small = image_keys(live)
    assert sent.images.count(photo) == 1
    assert sent.images[-1] == small
    assert len(sent.images) == 3  # the photograph and two small ones
    shown.kind = 1
    assert len(sent.images) == 3


def test_a_page_that_lost_an_image_is_sent_it_again(shown: Shown, live: Live, sent: Sent) -> None:
    shown.grey = 20
    photo = image_keys(live)[0]
    live._on_message(live, {"kind": "need", "keys": [photo, "unknown"]}, [])
    message, buffers = sent.messages[-1]
    assert message == {"kind": "pictures", "keys": [photo]}
    assert decoded("photo", buffers).shape == PHOTO.shape


def test_a_change_is_one_message(shown: Shown, sent: Sent) -> None:
    shown.set(grey=21, kind=1)
    (state,) = sent.states
    assert {"scene", "values", "code"} <= set(state)
    assert "controls" not in state  # nor anything else that stayed


def test_small_images_are_exact_and_photographs_nearly(live: Live) -> None:
    small = PHOTO[:100, :100]
    assert np.array_equal(decoded("small", [encode(small)]), small)
    smooth = cv2.GaussianBlur(PHOTO, (0, 0), 8)
    assert np.abs(decoded("smooth", [encode(smooth)]).astype(int) - smooth).mean() < 2


def test_only_the_latest_images_are_kept(shown: Shown, live: Live) -> None:
    for grey in range(14, 120):
        shown.grey = grey
    assert len(live._encoded) <= 64
    assert set(image_keys(live)) <= set(live._encoded)


# -- from the page ---------------------------------------------------------------------------------------------------


def test_what_the_reader_moves_is_set_and_answered_in_one_message(shown: Shown, live: Live, sent: Sent) -> None:
    move(live, 7, grey=99, kind="large", objects=[[5, 6, 1, 2, 3]], place=[1, 2])
    assert (shown.grey, shown.kind, shown.objects, shown.place) == (99, 1, ((1, 2, 5, 6, 3),), (1, 2))
    answers = [state for state in sent.states if "seen" in state]
    assert len(answers) == 1
    assert answers[0]["seen"] == {"page": "p", "number": 7}
    assert answers[0]["values"]["objects"] == [[1, 2, 5, 6, 3]]


def test_the_page_can_set_nothing_but_its_controls(shown: Shown, live: Live) -> None:
    move(live, extra="other", result=None, nonsense=1, grey=11)
    assert shown.extra is None
    assert shown.grey == 11


def test_what_is_not_allowed_is_answered_with_the_value_that_stays(shown: Shown, live: Live, sent: Sent) -> None:
    move(live, 1, grey=999)
    assert shown.grey == 10
    assert live.refusals == {"grey": "grey lies between 0 and 255, not at 999"}
    assert live.seen["number"] == 1
    assert live.values["grey"] == 10


def test_without_a_result_the_scene_is_empty_and_the_sentence_there(shown: Shown, live: Live) -> None:
    move(live, grey=13)
    assert live.scene["rows"] == []
    assert live.message == "not 13"
    move(live, 2, grey=14)
    assert live.message == ""
    assert len(live.scene["rows"]) == 1


def test_buttons_call_only_what_the_explorer_offers(shown: Shown, live: Live) -> None:
    live._on_message(live, {"kind": "action", "method": "lighter", "page": "p", "number": 3}, [])
    assert shown.grey == 11
    assert live.seen == {"page": "p", "number": 3}
    live._on_message(live, {"kind": "action", "method": "_compute", "page": "p", "number": 4}, [])
    live._on_message(live, {"kind": "action", "method": "reset", "page": "p", "number": 5}, [])
    assert shown.grey == 10


def test_what_fails_is_a_sentence_and_no_traceback(
    shown: Shown, live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    live._on_message(live, {"kind": "action", "method": "broken", "page": "p", "number": 1}, [])
    assert live.message == shown.message == "ZeroDivisionError: by nothing"
    live._on_message(live, {"kind": "picture", "name": "a.png", "page": "p", "number": 2}, [b"torn"])
    assert live.message.startswith("a.png is not a picture")
    assert live.seen["number"] == 2
    assert capsys.readouterr() == ("", "")


def test_an_uploaded_picture_reaches_the_explorer(shown: Shown, live: Live) -> None:
    live._on_message(
        live,
        {"kind": "picture", "name": "a.png", "page": "p", "number": 1},
        [memoryview(encode(PHOTO[:9, :9] * 0 + 77))],
    )
    assert shown.grey == 77


# -- what takes long -------------------------------------------------------------------------------------------------


def scenes_while(monkeypatch: pytest.MonkeyPatch, *settings: dict[str, Any]) -> tuple[list[str], Slow]:
    """The words of the scenes that a page is sent where a kernel goes on after these changes, made without a pause."""
    w = Slow()
    sent = Sent(w.widget, monkeypatch)

    async def kernel() -> None:
        for setting in settings:
            w.set(**setting)
        assert w.state.grey == settings[-1].get("grey", w.state.grey)
        await asyncio.sleep(5 * REST)

    asyncio.run(kernel())
    return [state["scene"]["words"] for state in sent.states if "scene" in state], w


def test_a_draft_goes_at_once_and_the_whole_when_the_settings_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes, w = scenes_while(monkeypatch, {"grey": 20}, {"grey": 30}, {"grey": 40})
    assert scenes == ["draft", "whole"]  # the draft stays the same, and a scene that stays is not sent again
    assert w.widget.values["grey"] == 40


def test_a_change_that_is_drawn_at_once_needs_nothing_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes, w = scenes_while(monkeypatch, {"grey": 20}, {"kind": 1})
    assert scenes == ["draft", "whole"]
    assert w.widget._rest is None


def test_what_goes_wrong_afterwards_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    _, w = scenes_while(monkeypatch, {"grey": 99})
    assert w.message == w.widget.message == "99 took too long"


def test_without_a_kernel_everything_is_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    w = Slow()
    sent = Sent(w.widget, monkeypatch)
    w.grey = 20
    assert w.widget.scene["words"] == "whole"
    assert all(state["scene"]["words"] == "whole" for state in sent.states if "scene" in state)


# -- what goes along -------------------------------------------------------------------------------------------------


def test_plotly_is_sent_on_request_and_compressed(live: Live, sent: Sent) -> None:
    live._on_message(live, {"kind": "plotly"}, [])
    ((message, (data,)),) = sent.messages
    assert message == {"kind": "plotly"}
    assert data is plotly()
    assert len(data) < 2_500_000


def test_the_script_is_one_module_with_one_export() -> None:
    assert re.findall(r"^(?:import|export) .*", script("js"), re.MULTILINE) == [
        "export default { initialize, render };"
    ]


def test_every_module_of_the_page_is_in_the_script_after_those_it_imports() -> None:
    folder = files("walkthrough.render")
    assert {f"{name}.js" for name in MODULES} == {file.name for file in folder.iterdir() if file.name.endswith(".js")}
    for index, name in enumerate(MODULES):
        source = (folder / f"{name}.js").read_text(encoding="utf-8")
        assert set(re.findall(r'from "\./(\w+)\.js"', source)) <= set(MODULES[:index]), name


def test_the_page_knows_the_colours_of_the_style() -> None:
    assert set(look()["themes"]) == {"any", "light", "dark"}
    assert look()["shades"][0] == "#440154"
    assert len(json.dumps(look())) < 5000


def test_the_live_page_needs_no_matplotlib() -> None:
    code = (
        "import sys; from walkthrough import ScheduleExplorer; ScheduleExplorer().widget;"
        "print([name for name in ('matplotlib', 'plotly') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ran.stdout.strip() == "[]", ran.stderr
