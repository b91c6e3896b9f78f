"""Frozen explorers: which scenes they have, how little room they take, and what is not in them."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import walkthrough as wt
from walkthrough import AnchorExplorer, DistributionExplorer, Frozen, IouPlayground, ScheduleExplorer, frozen_script
from walkthrough.frozen.parts import Parts
from walkthrough.frozen.pictures import MOST_BYTES, Pictures

HELD = re.compile(r'<script type="application/json">(.*)</script></div>$', re.DOTALL)
SCRIPT, EXPLORER = 200_000, 1_000_000  # bytes at most


def held(frozen: Frozen) -> dict[str, Any]:
    return json.loads(HELD.search(frozen.fragment())[1])


def unpacked(frozen: Frozen) -> list[dict[str, Any]]:
    """The scenes, put together again as frozen.js does it."""
    packed = json.loads(gzip.decompress(base64.b64decode(held(frozen)["scenes"])))
    whole: list[Any] = []

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(part) for part in value]
        if isinstance(value, dict):
            return whole[value["$"]] if "$" in value else {name: put(part) for name, part in value.items()}
        return value

    for part in packed["parts"]:
        whole.append(put(part))
    return [put(scene) for scene in packed["scenes"]]


@pytest.fixture(scope="module")
def schedule() -> ScheduleExplorer:
    return ScheduleExplorer(epochs=4)


@pytest.fixture(scope="module")
def anchors() -> AnchorExplorer:
    return AnchorExplorer()


def test_each_scene_is_what_the_explorer_shows_there(schedule: ScheduleExplorer) -> None:
    scenes = unpacked(schedule.freeze(warmup_epochs=[0, 3], cosine=[False, True]))
    settings = [(warmup, cosine) for warmup in (0, 3) for cosine in (False, True)]
    for scene, (warmup, cosine) in zip(scenes, settings, strict=True):
        live = ScheduleExplorer(epochs=4, warmup_epochs=warmup, cosine=cosine)
        assert (scene["words"], scene["code"]) == (live.words(), live.as_code())
        assert scene["values"] == {"warmup_epochs": warmup, "cosine": "cosine" if cosine else "linear"}
        drawn = scene["scene"]["rows"][0][0]["marks"][0]["y"]
        assert drawn == pytest.approx(live.page_scene().rows[0][0].marks[0].y, rel=1e-5)


def test_the_explorer_and_who_watches_it_notice_nothing(schedule: ScheduleExplorer) -> None:
    seen: list[dict[str, Any]] = []
    end, before = schedule.watch(seen.append), repr(schedule)
    schedule.freeze("cosine")
    end()
    assert (seen, repr(schedule)) == ([], before)


def test_a_name_alone_spreads_values_over_the_range_with_the_present_one_among_them(anchors: AnchorExplorer) -> None:
    control = anchors.freeze("anchor_t").controls[0]
    assert (control.settings[0], control.settings[-1], len(control.settings)) == (1.1, 10, 13)
    assert anchors.anchor_t in control.settings
    assert list(control.settings) == sorted(set(control.settings))
    assert anchors.freeze(anchor_t=3).controls[0].settings == (1.1, 4.0, 10)
    assert [len(control.settings) for control in anchors.freeze("anchor_t", "level").controls] == [7, 3]


def test_it_opens_where_the_explorer_stands(anchors: AnchorExplorer) -> None:
    assert held(anchors.freeze(anchor_t=[2, 4.5, 8]))["start"] == [1]
    first = held(DistributionExplorer(target=3.0).freeze(target=[1, 2, 3]))
    assert first["start"] == [2]


@pytest.mark.parametrize(
    ("names", "values", "facts"),
    [
        (("no_such",), {}, ("no_such", "anchor_t")),
        ((), {}, ("name a control",)),
        ((), {"anchor_t": [2, 40]}, ("anchor_t", "10", "40")),
        ((), {"anchor_t": [4]}, ("anchor_t", "2 values")),
        ((), {"anchor_t": [4, 4]}, ("anchor_t", "2 values")),
        ((), {"anchor_t": 1}, ("anchor_t", "2 to 144 values")),
        ((), {"anchor_t": 4.0}, ("anchor_t", "list")),
        ((), {"anchor_t": 1000}, ("anchor_t", "144")),
        ((), {"anchor_t": 120}, ("anchor_t", "90 values")),
        ((), {"level": "0"}, ("level", "list")),
        ((), {"anchor_t": 60, "level": [0, 1, 2]}, ("60 of anchor_t x 3 of level", "180", "144")),
        ((), {"level": 2}, ("level", "list")),
        (("objects",), {}, ("objects", "list")),
        (("anchor_t", "level", "object"), {}, ("3 controls", "at most 2")),
    ],
)
def test_what_cannot_be_frozen_is_refused_with_a_sentence(
    anchors: AnchorExplorer, names: tuple[str, ...], values: dict[str, Any], facts: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError) as caught:
        anchors.freeze(*names, **values)
    assert [fact for fact in facts if fact not in str(caught.value)] == []


def test_stories_are_scenes_of_their_own() -> None:
    explorer = IouPlayground()
    frozen = explorer.freeze("box_loss", stories=True)
    scenes = unpacked(frozen)
    for story, scene in zip(explorer.stories, scenes[-len(explorer.stories) :], strict=True):
        live = IouPlayground()
        live.show_story(story.label)
        assert (scene["words"], scene["stage"]["story"]) == (live.words(), story.label)
        assert {"label": story.label, "look_for": story.look_for} in scene["stage"]["stories"]
    assert held(explorer.freeze(stories=True))["controls"] == []
    with pytest.raises(ValueError, match="no stories"):
        Plain().freeze(stories=True)
    with pytest.raises(ValueError, match="no-such-file"):
        AnchorExplorer(model="no-such-file.pt").freeze("anchor_t")


class Plain(DistributionExplorer):
    stories = ()


def test_equal_parts_and_equal_images_are_stored_once(anchors: AnchorExplorer) -> None:
    few, many = anchors.freeze(anchor_t=[2, 8]), anchors.freeze(anchor_t=22)
    assert many.size < EXPLORER
    assert many.size - few.size < 20 * 5_000
    assert len(frozen_script()) < SCRIPT
    assert "plotly.js v" not in frozen_script()


def test_true_is_not_one_and_large_numbers_stay() -> None:
    parts = Parts()
    value = {"a": [True, False, 1, 0, 1.0], "b": [1, 0], "c": [True, False], "d": 1_234_567_890, "e": None}
    assert json.dumps(parts.written([parts.add(value)])["scenes"][0]) == json.dumps(
        value | {"a": [True, False, 1, 0, 1]}
    )


def test_photographs_get_coarser_where_they_are_many() -> None:
    noise = np.random.default_rng(0)
    pictures = Pictures()
    for _ in range(4):
        pictures.key(noise.integers(0, 256, (640, 640, 3), dtype=np.uint8))
    files = pictures.encoded().values()
    assert len(files) == 4
    assert sum(len(base64.b64decode(file)) for file in files) < MOST_BYTES


def test_maps_are_kept_exactly() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    pictures = Pictures()
    key = pictures.key(pixels)
    read = cv2.imdecode(np.frombuffer(base64.b64decode(pictures.encoded()[key]), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(read[..., ::-1], pixels)


def test_the_same_explorer_freezes_to_the_same_bytes(anchors: AnchorExplorer) -> None:
    assert anchors.freeze(anchor_t=[2, 4]).fragment() == AnchorExplorer().freeze(anchor_t=[2, 4]).fragment()


def test_nothing_of_the_makers_machine_is_in_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "private-folder"
    folder.mkdir()
    for name in ("holiday", "harbour"):
        pixels = np.random.default_rng(2).integers(0, 256, (64, 96, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), pixels)
        (folder / f"{name}.txt").write_text("0 0.5 0.5 0.25 0.25\n", encoding="utf-8")
    explorer = wt.AugmentationLab(dataset=str(folder), size=64)
    assert "private-folder" in explorer.as_code()
    frozen = explorer.freeze("index", seed=2)
    frozen.save(tmp_path / "frozen.html")
    text = (tmp_path / "frozen.html").read_text(encoding="utf-8") + json.dumps(unpacked(frozen))
    assert "harbour" in text
    for private in (str(tmp_path), str(Path.home()) + "/"):
        assert private not in text


def test_it_is_saved_as_a_page_of_its_own_or_refused(tmp_path: Path, schedule: ScheduleExplorer) -> None:
    frozen = schedule.freeze("cosine")
    frozen.save(tmp_path / "schedule.html")
    text = (tmp_path / "schedule.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["']?\w+:""", text)
    assert schedule.words().split("\n")[0] in text.replace("<br>", "\n")
    with pytest.raises(ValueError, match=r"schedule\.png.*\.html"):
        frozen.save(tmp_path / "schedule.png")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        frozen.save(tmp_path / "nowhere" / "schedule.html")


def test_a_notebook_shows_it_with_the_script_and_a_page_has_the_script_once(schedule: ScheduleExplorer) -> None:
    frozen = schedule.freeze("cosine")
    assert frozen._repr_html_() == frozen.fragment() + frozen_script()
    assert "2 scenes" in repr(frozen)
    assert frozen.host("a/b.js").count("</script>") == 0
    assert json.loads(frozen.script_text().split(" = ", 1)[1].rstrip(";\n")) == held(frozen)


def test_a_refused_scene_keeps_its_sentence() -> None:
    scenes = unpacked(Odd().freeze(target=[2, 3]))
    assert (scenes[0]["message"], scenes[1]["message"]) == ("", "not at 3")
    assert scenes[1]["scene"]["rows"] == []


class Odd(DistributionExplorer):
    @staticmethod
    def compute(state: Any) -> Any:
        if state.target == 3:
            raise ValueError("not at 3")
        return DistributionExplorer.compute(state)


def test_freezing_takes_no_step_that_could_be_undone() -> None:
    w = ScheduleExplorer()
    w.lr0, w.momentum = 0.02, 0.8
    w.undo()
    w.freeze("lr0", cosine=[False, True])
    w.redo()
    assert w.momentum == 0.8
    w.undo()
    w.undo()
    assert w.state == ScheduleExplorer().state


def test_only_what_sets_a_frozen_control_can_be_touched(anchors: AnchorExplorer) -> None:
    def touched(frozen: Frozen) -> set[str]:
        text = json.dumps(unpacked(frozen))
        return {f"{kind} {name}" for kind, name in re.findall(r'"(pick|drag|draw)": "(\w+)"', text)}

    assert touched(anchors.freeze("level")) == set()
    assert touched(anchors.freeze(anchor_t=[2, 4])) == {"drag anchor_t"}  # a chart's line
    assert touched(anchors.freeze("object", anchor_t=[2, 4])) == {"pick object", "drag anchor_t"}
