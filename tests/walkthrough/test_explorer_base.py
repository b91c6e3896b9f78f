"""What every explorer has from its base: settings, sentences, reset, watchers, links, code, words, the mime bundle."""

import base64
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from walkthrough.explorers.base import Explorer
from walkthrough.explorers.controls import (
    Boxes,
    boxes,
    checked_boxes,
    choice,
    controls_of,
    given,
    number,
    point,
    slider,
    toggle,
)
from walkthrough.explorers.iou import IouPlayground
from walkthrough.explorers.linking import link
from walkthrough.render.still import words_html
from walkthrough.scene import Scene, Table

VIEW = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class State:
    """One field of every kind."""

    gain: float = slider(1.0, 0, 10, label="gain of it")
    steps: int = slider(3, 1, lambda state: 10 * state.gain)
    seed: int = number(0)
    mode: str = choice("sum", {"sum of both": "sum", "difference": "minus"})
    sign: bool = toggle(False)
    areas: Boxes = boxes(((0.0, 0.0, 2.0, 2.0),))
    at: Any = point()
    values: Any = given()


class Toy(Explorer):
    """Multiplies."""

    State = State
    title = "Toy"

    @classmethod
    def prepare(cls, values: Any = None) -> dict[str, Any]:
        if values is not None and len(values) == 0:
            raise ValueError("values holds nothing: give at least one number")
        return {"values": torch.tensor([1.0, 2.0] if values is None else values)}

    def settle(self, before: State, after: State) -> State:
        if len(after.areas) > 2:
            raise ValueError(f"areas are two at most, not {len(after.areas)}")
        return replace(after, steps=min(after.steps, 9)) if after.mode == "minus" else after

    @staticmethod
    def compute(state: State) -> torch.Tensor:
        if state.seed == 13:
            raise ValueError("seed 13 has no answer: choose another")
        return state.values * state.gain

    @staticmethod
    def scene(result: torch.Tensor) -> Scene:
        return Scene(((Table(("value",), tuple((f"{value:g}",) for value in result.tolist())),),))


class Other(Explorer):
    """Shares gain with Toy, within narrower bounds, and nothing else."""

    @dataclass(frozen=True)
    class State:
        gain: float = slider(1.0, 0, 5)
        areas: Boxes = boxes()
        own: int = slider(1, 0, 9)

    compute = staticmethod(lambda state: state.gain + state.own)
    scene = staticmethod(lambda result: Scene((), words=f"{result:g}"))


def test_setting_from_python_computes_at_once():
    w = Toy()
    assert w.result.tolist() == [1, 2]
    w.gain = 2
    assert (w.gain, w.state.gain, w.result.tolist(), w.message) == (2.0, 2.0, [2, 4], "")
    assert Toy(gain=3, values=[5.0]).result.tolist() == [15]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("gain", 11, "gain of it (gain) lies between 0 and 10, not at 11"),
        ("gain", "much", "gain of it (gain) is a number between 0 and 10, not 'much'"),
        ("gain", float("nan"), "gain of it (gain) lies between 0 and 10, not at nan"),
        ("gain", None, "gain of it (gain) is a number between 0 and 10, not None"),
        ("steps", 2.5, "steps is a whole number, not 2.5"),
        ("steps", 11, "steps lies between 1 and 10, not at 11"),
        ("seed", -1, "seed lies between 0 and"),
        ("mode", "product", "mode is one of sum of both, difference, not 'product'"),
        ("sign", "yes", "sign is True or False, not 'yes'"),
        ("areas", 5, "areas is a list of boxes x1, y1, x2, y2, not 5"),
        ("areas", [(1, 2, 3)], "areas: a box is x1, y1, x2, y2"),
        ("areas", [(1, 2, 3, float("inf"))], "all of them finite"),
        ("areas", [(0, 0, 1, 1)] * 3, "areas are two at most, not 3"),
        ("at", "here", "at is (x, y), or the index of a row or a box, or None, not 'here'"),
    ],
)
def test_a_value_that_is_not_allowed_stays_out_and_is_answered_by_a_sentence(name, value, sentence):
    w = Toy()
    before = w.state
    setattr(w, name, value)
    assert sentence in w.message
    assert sentence in repr(w)
    assert w.state == before
    assert w.result.tolist() == [1, 2]
    w.gain = 2
    assert w.message == ""


def test_of_several_settings_the_allowed_ones_are_taken():
    w = Toy()
    w.set(gain=2, seed=-1, steps=20)
    assert (w.gain, w.seed, w.steps) == (2, 0, 20)
    assert "seed" in w.message


def test_values_come_in_the_forms_that_python_and_the_page_use():
    w = Toy()
    w.set(mode="difference", sign=1, at=4, gain=[7], areas=[[5, 6, 1, 2, 3]])
    assert (w.mode, w.sign, w.at, w.gain) == ("minus", True, (4.0,), 7.0)
    assert w.areas == ((1.0, 2.0, 5.0, 6.0, 3.0),)
    w.set(mode="sum", at=None)
    assert (w.mode, w.at) == ("sum", None)
    assert isinstance(w.steps, int)
    assert checked_boxes("areas", torch.tensor([[3, 4, 1, 2]])) == ((1.0, 2.0, 3.0, 4.0),)


def test_unknown_names_are_errors_that_name_what_there_is():
    w = Toy()
    with pytest.raises(AttributeError, match="has no setting 'gian'; it has gain, steps"):
        w.gian = 2
    with pytest.raises(AttributeError, match="has no setting 'gian'"):
        w.set(gain=2, gian=2)
    with pytest.raises(AttributeError, match="has no setting 'gian'"):
        _ = w.gian
    with pytest.raises(TypeError, match="Toy takes no 'gian'; it takes values, gain"):
        Toy(gian=2)
    assert w.gain == 1
    assert {"gain", "mode", "reset", "result"} <= set(dir(w))


def test_settings_that_depend_on_each_other_settle():
    w = Toy()
    w.set(steps=10, mode="minus")
    assert w.steps == 9


def test_where_there_is_no_answer_a_sentence_stands_in_the_picture_too():
    w = Toy(seed=13)
    assert w.result is None
    assert w.message == "seed 13 has no answer: choose another"
    assert w.message in repr(w)
    assert repr(w.as_scene()) == w.message
    assert w.as_scene().all_rows[0][0].rows == ((w.message,),)
    w.seed = 14
    assert (w.result.tolist(), w.message) == ([1, 2], "")


def test_inputs_that_cannot_be_used_leave_their_sentence_whatever_is_set():
    w = Toy(values=[])
    assert w.message == "values holds nothing: give at least one number"
    w.gain = 2
    w.reset()
    assert w.result is None
    assert w.message == "values holds nothing: give at least one number"
    with pytest.raises(AttributeError, match="has no setting"):
        w.set(gian=2)


def test_reset_goes_back_to_what_it_was_made_with():
    w = Toy(gain=4, values=[3.0])
    w.set(gain=1, mode="minus", areas=())
    w.reset()
    assert (w.gain, w.mode, w.areas, w.result.tolist()) == (4, "sum", ((0, 0, 2, 2),), [12])


def test_undo_and_redo_go_through_all_changes():
    w = Toy(gain=4)
    w.undo()
    assert w.gain == 4  # what it was made with is no change
    w.set(gain=1, mode="minus")
    w.gain = 99  # refused
    w.areas = ()
    w.reset()
    w.undo()
    assert (w.gain, w.areas) == (1, ())
    w.undo()
    w.undo()
    assert (w.gain, w.mode, w.areas, w.result.tolist()) == (4, "sum", ((0, 0, 2, 2),), [4, 8])
    w.redo()
    assert (w.gain, w.mode) == (1, "minus")
    w.seed = 5
    w.redo()  # after another change there is nothing to do again
    assert (w.seed, w.areas) == (5, ((0, 0, 2, 2),))


def test_what_one_gesture_on_the_page_changes_is_undone_together():
    w = Toy()
    for gain in (2, 3, 4):
        w.page_moved({"gain": gain}, "drag 1")
    w.page_moved({"gain": 5}, "drag 2")
    w.undo()
    assert w.gain == 4
    w.undo()
    assert w.gain == 1


def test_a_valid_value_ends_a_refusal_even_where_it_is_the_present_one():
    w = Toy()
    w.page_moved({"gain": 99})
    shown = w.page_state()
    assert shown["refusals"] == {"gain": "gain of it (gain) lies between 0 and 10, not at 99"}
    assert shown["message"] == ""
    w.page_moved({"gain": 1.0})
    assert w.page_state()["refusals"] == {}
    assert w.message == ""


def test_watchers_hear_what_changed_until_they_are_ended():
    w, heard = Toy(), []
    end = w.watch(heard.append)
    w.set(gain=2, steps=3)
    w.gain = 2
    w.gain = 99
    end()
    end()
    w.gain = 3
    assert heard == [{"gain": 2.0}, {}, {}]


def test_linked_explorers_share_settings_but_not_their_own_boxes():
    one, other = Toy(), Other()
    unlink = link(one, other)
    one.set(gain=2, areas=((0, 0, 1, 1),))
    assert (other.gain, other.result, other.areas) == (2, 3, ())
    other.gain = 4
    assert one.result.tolist() == [4, 8]
    one.gain = 7  # more than the other allows
    assert (one.gain, other.gain) == (7, 4)
    assert "gain lies between 0 and 5" in other.message
    unlink()
    one.gain = 1
    assert other.gain == 4


def test_links_by_name_move_those_alone():
    one, two = Toy(), Toy()
    unlink = link(one, two, names=("areas", "mode"))
    one.set(areas=((1, 1, 4, 4),), mode="minus", gain=5)
    assert (two.areas, two.mode, two.gain) == (((1, 1, 4, 4),), "minus", 1)
    unlink()


def test_three_explorers_in_a_ring_come_to_rest():
    ring = [Toy(), Other(), Toy()]
    link(*ring)
    ring[2].gain = 3
    assert [w.gain for w in ring] == [3, 3, 3]


def test_the_code_holds_what_differs_from_the_defaults():
    assert Toy().as_code() == "Toy()"
    w = Toy(gain=4)
    w.mode = "difference"
    assert w.as_code() == "Toy(gain=4.0, mode='minus')"
    assert eval(w.as_code(), {"Toy": Toy}).state == w.state


def test_the_repr_is_settings_and_result_in_words_without_addresses():
    text = repr(Toy(values=[1.5]))
    first, *words = text.splitlines()
    assert first == "Toy: gain 1, steps 3, seed 0, mode sum, sign False"
    assert words == repr(Toy(values=[1.5]).as_scene()).splitlines()
    assert "1.5" in text
    assert "0x" not in text


def test_the_page_speaks_without_a_kernel():
    data, metadata = IouPlayground()._repr_mimebundle_()
    assert data["text/plain"] == repr(IouPlayground())
    png = base64.b64decode(data["image/png"])
    assert png[:4] == b"\x89PNG"
    assert metadata["image/png"]["width"] > 0
    assert data[VIEW] == metadata[VIEW]  # where it is not saved, the page knows which it was
    refused, _ = Toy(values=[])._repr_mimebundle_()
    assert "values holds nothing" in refused["text/plain"]
    assert "values holds nothing" in refused["text/html"]  # a sentence is text, not a picture of it


def test_the_widget_shows_the_same_as_the_explorer():
    w = Toy(gain=2)
    assert w.widget._repr_mimebundle_(include=None, exclude=None) == w._repr_mimebundle_()


def test_in_a_notebook_the_words_are_an_output_of_their_own(monkeypatch):
    published = []
    monkeypatch.setattr("IPython.display.publish_display_data", lambda *output: published.append(output))
    w = Toy(values=[])
    w._ipython_display_()
    (picture, metadata), (words,) = published
    assert (picture, metadata) == w._repr_mimebundle_()
    assert words == {"text/html": words_html(repr(w))}


def test_words_are_no_markup():
    assert words_html("a < b & c\n  d").endswith(">a &lt; b &amp; c<br>&emsp;d</div>")


def test_controls_are_declared_once_with_bounds_that_may_depend_on_the_state():
    controls = controls_of(State)
    assert controls["gain"].label == "gain of it"
    assert controls["values"].kind == "given"
    w = Toy(gain=0.5)
    w.steps = 6
    assert w.message == "steps lies between 1 and 5, not at 6"


def test_saving_writes_a_png(tmp_path):
    Toy().save(tmp_path / "toy.png", theme="dark")
    assert (tmp_path / "toy.png").read_bytes()[:4] == b"\x89PNG"


# -- inputs that cannot be worked with ------------------------------------------------------------------------------


@pytest.mark.parametrize("values", ["text", None, object()])
def test_an_input_that_cannot_be_worked_with_is_told_and_all_stays(values: Any) -> None:
    w = Toy()
    w.gain = 2
    before = w.state, w.result
    w.values = values
    assert w.message
    assert (w.state, w.result) == before
    w.gain = 3  # and everything goes on
    assert w.message == ""
    assert w.gain == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("gain", value) for value in (10**400, "x", None, [1, 2], float("nan"))),
        *(("mode", value) for value in (torch.tensor([1, 2]), np.array([0, 1]), {}, None, 3)),
        *(("sign", value) for value in (torch.tensor([1, 2]), np.array([0, 1]), "yes", 2)),
        *(("at", value) for value in ((), (1, 2, 3), (float("nan"), 0), float("inf"), "x", 10**400)),
    ],
)
def test_a_value_of_another_kind_is_told_and_the_old_one_stays(name: str, value: Any) -> None:
    w = Toy()
    before = w.state
    setattr(w, name, value)
    assert w.message.startswith(name)
    assert "ambiguous" not in w.message
    assert w.state is before


def test_what_is_no_setting_is_not_offered_as_one() -> None:
    with pytest.raises(AttributeError, match="has no setting 'images'; it has gain, steps"):
        Toy().images = 3


def test_boxes_of_widgets_take_explorers_themselves():
    from ipywidgets import HBox, VBox

    one, other = Toy(), Toy()
    box = HBox([one, VBox([other])])
    assert box.get_state("children")["children"][0] == f"IPY_MODEL_{one.widget.model_id}"
    assert {"gain", "undo", "result"} <= set(dir(one))  # what a notebook completes
    assert type(one) is Toy
    one.layout.width = "40%"
    assert one.widget.layout.width == "40%"
