"""What an explorer puts on its stage: stories, takeaway, primary controls, and rows that are computed when opened."""

from dataclasses import dataclass
from typing import Any

import pytest

from walkthrough import AnchorExplorer, IouPlayground
from walkthrough.explorers.base import Explorer
from walkthrough.explorers.controls import choice, slider, toggle
from walkthrough.explorers.stage import Story
from walkthrough.render.layout import layout
from walkthrough.scene import Boxes, More, Panel, Scene, Table
from walkthrough.serialise import from_json, to_json

TABLE = Table(("name",), (("one",),), "numbers")


@dataclass(frozen=True)
class State:
    one: int = slider(1, 0, 9)
    two: int = slider(2, 0, 9)
    three: str = choice("a", ("a", "b"))
    four: bool = toggle(False)


class Told(Explorer[State, State]):
    """An explorer that counts how often its numbers are asked for."""

    stories = (Story("high", {"one": 9}, "nine"), Story("twice", lambda state: {"two": 2 * state.one}, "double"))
    primary = "two"
    part_of = "loss"
    asked: list[int] = []  # noqa: RUF012  # a test clears it

    @staticmethod
    def compute(state: State) -> State:
        return state

    @staticmethod
    def scene(state: State) -> Scene:
        def numbers() -> Any:
            Told.asked.append(state.one)
            return ((TABLE,),)

        return Scene(((Panel((), 10, 10),),), more=(More("numbers", numbers),))

    def words(self) -> str:
        return f"one is {self.one}; two is {self.two}.\nthree"


def stage(explorer: Explorer[Any, Any]) -> Any:
    return explorer.page_state()["stage"]


def test_a_story_sets_its_settings_and_puts_others_back() -> None:
    explorer = Told(two=3)
    assert stage(explorer)["story"] == ""
    explorer.set(two=7, four=True)
    explorer.show_story("high")
    assert explorer.state == State(9, 3, "a", False)
    assert stage(explorer)["story"] == "high"
    explorer.page_story("twice")
    assert explorer.state == State(1, 2, "a", False)
    assert stage(explorer)["story"] == "twice"


def test_an_unknown_story_is_an_error_that_lists_them() -> None:
    with pytest.raises(ValueError, match=r"Told.*'low'.*'high', 'twice'"):
        Told().show_story("low")


def test_the_takeaway_is_the_first_sentence_of_the_words_unless_there_is_one() -> None:
    explorer = Told()
    assert explorer.headline == explorer.page_state()["headline"] == "one is 1"
    explorer.one = 5
    assert explorer.headline == "one is 5"


def test_a_class_name_with_a_line_break_does_not_split_the_headline() -> None:
    class Named(Told):
        @staticmethod
        def takeaway(state: State) -> str:
            return "The traffic\nlight is matched."

    assert Named().headline == "The traffic light is matched."


def test_only_the_primary_control_is_not_folded() -> None:
    shown = stage(Told())
    assert shown["primary"] == ["two"]
    assert (shown["part"], shown["start"]["three"]) == ("loss", "a")
    assert stage(IouPlayground())["primary"] == ["box_loss", "step"]


@pytest.mark.parametrize(
    ("attributes", "fact"),
    [
        ({"part_of": "kitchen"}, "photograph"),
        ({"primary": "five"}, "one, two, three, four"),
        ({"stories": (Story("high", {"five": 1}, ""),)}, "'high'.*'five'"),
    ],
)
def test_what_is_declared_wrongly_is_an_error_at_once(attributes: dict[str, Any], fact: str) -> None:
    with pytest.raises(TypeError, match=fact):
        type("Wrong", (Told,), attributes)


def test_more_rows_are_computed_for_the_page_when_they_are_opened_and_for_pictures_always() -> None:
    Told.asked.clear()
    explorer = Told()
    assert explorer.widget.scene["more"] == [{"title": "numbers", "legend": [], "rows": None}]
    explorer.one = 4
    assert Told.asked == []
    explorer.widget.opened = ["numbers"]
    assert Told.asked == [4]
    assert explorer.widget.scene["more"][0]["rows"][0][0]["kind"] == "Table"
    explorer.widget.opened = []
    assert explorer.widget.scene["more"][0]["rows"] is None
    scene = explorer.as_scene()
    assert [place.panel for place in layout(scene, 400)[0]] == [scene.rows[0][0], TABLE]
    assert from_json(to_json(scene)) == scene


def test_refs_are_one_for_each_mark_or_none() -> None:
    with pytest.raises(ValueError, match="2 boxes, but 1 refs"):
        Boxes(((0, 0, 1, 1), (1, 1, 2, 2)), refs=("one",))
    with pytest.raises(ValueError, match="1 rows, but 2 refs"):
        Table(("name",), (("one",),), refs=("one", "two"))


@pytest.mark.parametrize("story", [story.label for story in IouPlayground.stories])
def test_stories_of_the_playground_are_what_they_are_called(story: str) -> None:
    explorer = IouPlayground()
    explorer.show_story(story)
    assert explorer.message == ""
    assert stage(explorer)["story"] == story
    overlap, gradient = explorer.require().overlap, explorer.require().by_autograd
    facts = {
        "apart": overlap["iou"] == 0 and not gradient.any() and "no gradient" in explorer.headline,
        "touching": overlap["iou"] == overlap["giou"] == 0 and bool(gradient.any()),
        "inside": overlap["giou"] == pytest.approx(overlap["iou"]) and "inside the truth" in explorer.headline,
        "thin": overlap["diou"] == pytest.approx(overlap["iou"]) and overlap["ciou"] < overlap["diou"],
    }
    assert facts[story]


def test_stories_of_anchors_are_made_for_the_picture() -> None:
    explorer = AnchorExplorer()
    explorer.show_story("why was it rejected?")
    assert "not matched to the spoon" in explorer.headline
    explorer.show_story("a good fit")
    assert "is matched" in explorer.headline
    level, anchor = explorer.level, explorer.anchor
    explorer.pair = (4,)
    assert (explorer.level, explorer.anchor, explorer.pair) == (1, 1, None) != (level, anchor, None)
    assert "Anchor 62 x 45" in explorer.headline
    explorer.objects = ()
    assert explorer.headline.startswith("There is no object")
