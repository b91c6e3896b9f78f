"""What holds for every explorer: settings as attributes that editors see, and results that hold plain data."""

import asyncio
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import walkthrough as wt
from tests.walkthrough.detectors import ByProtocol, Centres, pictures, two_levels
from walkthrough.explorers.base import Explorer
from walkthrough.explorers.controls import controls_of, slider
from walkthrough.scene import Key, Panel, PanelRows
from walkthrough.style import colour
from yolo_lite.train.trainer import Trainer

MADE = {
    "Stepper": lambda: wt.Stepper(),
    "AnchorExplorer": lambda: wt.AnchorExplorer(),
    "LossExplorer": lambda: wt.LossExplorer(),
    "GradientExplorer": lambda: wt.GradientExplorer(),
    "BackboneExplorer": lambda: wt.BackboneExplorer(),
    "FamilyExplorer": lambda: wt.FamilyExplorer(),
    "IouPlayground": lambda: wt.IouPlayground(),
    "DistributionExplorer": lambda: wt.DistributionExplorer(),
    "NmsExplorer": lambda: wt.NmsExplorer(),
    "LayerExplorer": lambda: wt.LayerExplorer(),
    "AugmentationLab": lambda: wt.AugmentationLab(size=64),
    "ScheduleExplorer": lambda: wt.ScheduleExplorer(),
    "WhyExplorer": lambda: wt.WhyExplorer(),
    "LiveTraining": lambda: wt.LiveTraining(epochs=1),
}
MACHINES = (nn.Module, Trainer, torch.optim.Optimizer, asyncio.Task, Iterator)


def test_every_explorer_is_looked_at() -> None:
    public = {name for name in wt.__all__ if inspect.isclass(of := getattr(wt, name)) and issubclass(of, Explorer)}
    assert public - {"Explorer"} == MADE.keys()


@pytest.fixture(scope="module", params=MADE)
def explorer(request: pytest.FixtureRequest) -> Explorer:
    return MADE[request.param]()


def test_settings_are_attributes_that_dir_and_help_show(explorer: Explorer) -> None:
    cls = type(explorer)
    for name in controls_of(cls.State):
        assert isinstance(inspect.getattr_static(cls, name), property)
        assert name in dir(explorer)
        assert getattr(explorer, name) is getattr(explorer.state, name)
    controls = {name for name, control in controls_of(cls.State).items() if control.kind != "given"}
    assert controls <= inspect.signature(cls).parameters.keys()


def test_an_unknown_attribute_is_an_error_with_the_settings(explorer: Explorer) -> None:
    with pytest.raises(AttributeError) as caught:
        explorer.no_such_thing = 1
    assert "no_such_thing" in str(caught.value)
    assert all(name in str(caught.value) for name in controls_of(explorer.State))


def test_a_result_holds_no_machine(explorer: Explorer) -> None:
    assert explorer.message == ""
    for result in (explorer.computed, explorer.result):
        found = [(path, type(value)) for path, value in held(result) if is_machine(value)]
        assert found == []


def test_a_legend_names_the_marks_of_its_own_rows(explorer: Explorer) -> None:
    scene = explorer.as_scene()
    stage, folded = marks_of(scene.rows), {more.title: marks_of(more.unfolded()) for more in scene.more}
    of_others = set[tuple[str, str]]().union(*folded.values()) - stage
    assert [key.text for key in scene.legend if look_of(key) in of_others] == []  # nothing of what is folded
    for more in scene.more:
        assert [key.text for key in more.legend if not is_shade(key) and look_of(key) not in folded[more.title]] == []


def look_of(key: Key) -> tuple[str, str]:
    return colour(key.colour)[:7], key.dash or key.hatch


def is_shade(key: Key) -> bool:
    """Whether it explains the pixels of an image, and not a mark."""
    return key.text == "largest gradient" or key.text.endswith(("times smaller", "half as large"))


def marks_of(rows: PanelRows) -> set[tuple[str, str]]:
    """Colour, and dash or hatch, of all marks in pictures."""
    layers = [layer for row in rows for panel in row if isinstance(panel, Panel) for layer in panel.layers]
    found = set()
    for layer in layers:
        colours = getattr(layer, "colours", (getattr(layer, "colour", "object"),))
        dash = getattr(layer, "dash", getattr(layer, "hatch", "solid"))
        found |= {(colour(paint)[:7], dash) for paint in colours}
    return found


def is_machine(value: Any) -> bool:
    return isinstance(value, MACHINES) or (isinstance(value, Tensor) and value.requires_grad)


def held(value: Any, path: str = "result", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """All that a result holds, however deep."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    yield path, value
    if isinstance(value, dict):
        parts = [(repr(key), part) for key, part in value.items()]
    elif hasattr(value, "_fields"):
        parts = list(zip(value._fields, value, strict=True))
    elif isinstance(value, list | tuple):
        parts = [(str(index), part) for index, part in enumerate(value)]
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [(field.name, getattr(value, field.name)) for field in fields(value)] + list(
            getattr(value, "__dict__", {}).items()
        )
    elif type(value).__module__.startswith("walkthrough") and hasattr(value, "__dict__"):
        parts = list(vars(value).items())
    else:
        parts = []
    for name, part in parts:
        yield from held(part, f"{path}.{name}", seen)


def test_a_setting_may_not_hide_what_explorers_have() -> None:

    @dataclass(frozen=True)
    class State:
        reset: float = slider(1.0, 0, 2)

    with pytest.raises(TypeError, match="reset"):

        class Wrong(Explorer[State, float]):
            pass


@pytest.mark.parametrize("kind", [wt.LossExplorer, wt.GradientExplorer])
def test_the_detector_protocol_is_all_that_is_asked_for(kind: type[Explorer], tmp_path: Path) -> None:
    torch.manual_seed(0)
    images, targets = pictures()
    model = two_levels(tmp_path).eval()
    with_all = kind(images=images, targets=targets, model=model)
    by_protocol = kind(images=images, targets=targets, model=ByProtocol(model))
    assert (with_all.message, by_protocol.message) == ("", "")
    assert by_protocol.words() == with_all.words()  # with the matches by level
    if kind is wt.LossExplorer:
        pairs = [(by_protocol.result.now, with_all.result.now)]
    else:
        assert by_protocol.result.strongest == with_all.result.strongest
        assert torch.equal(by_protocol.result.moved.after, with_all.result.moved.after)
        by_protocol.term = with_all.term = "obj positive"
        assert by_protocol.result.strongest == with_all.result.strongest
        pairs = [(by_protocol.result.maps, with_all.result.maps)]
    for ours, theirs in pairs:
        assert ours.parts == theirs.parts
        assert torch.equal(ours.norms, theirs.norms)


def test_what_only_anchors_can_show_says_so_of_another_detector(tmp_path: Path) -> None:
    for kind, model in ((wt.AnchorExplorer, Centres()), (wt.Stepper, ByProtocol(two_levels(tmp_path)))):
        w = kind(model=model)
        assert w.result is None
        assert all(word in w.message for word in (type(model).__name__, "YOLOv5", "anchors"))
