"""Every explorer that walkthrough exports, without an argument, in a real JupyterLab: shown, moved, and silent.

A new explorer is one more row: its name, what a reader does (see tests/browser/explorer.py), and an expression whose
value in the kernel must be another one afterwards. What is special about an explorer has a file of its own.
"""

from collections.abc import Callable
from typing import NamedTuple

import pytest

import walkthrough
from tests.browser.explorer import OpenExplorer

NAMED = "fields => fields.filter(f => !(f.labels?.length || f.ariaLabel || f.textContent.trim())).map(f => f.outerHTML)"
OVERFLOWS = """root => [...root.querySelectorAll(".wt-panel, .wt-control")]
    .filter(part => part.getBoundingClientRect().right > root.getBoundingClientRect().right + 1)
    .map(part => part.className)"""


class Row(NamedTuple):
    name: str
    act: Callable[[OpenExplorer], None]
    changed: str


ROWS = (
    Row("AnchorExplorer", lambda e: e.drag_slider("anchor_t", 0.9), "w.words()"),
    Row("AugmentationLab", lambda e: e.type_number("seed", 3), "w.seed"),
    Row("DistributionExplorer", lambda e: e.drag_slider("target", 0.9), "w.words()"),
    Row("GradientExplorer", lambda e: e.drag_slider("box", 0.9), "w.as_code()"),
    Row("BackboneExplorer", lambda e: e.choose("pooling", "none"), "w.words()"),
    Row("FamilyExplorer", lambda e: e.choose("left", "YOLOv3"), "w.words()"),
    Row("IouPlayground", lambda e: e.key("n Shift+ArrowRight"), "w.words()"),
    Row("LayerExplorer", lambda e: e.drag_slider("channel", 0.9), "w.channel"),
    Row("LiveTraining", lambda e: e.press("step"), "w.words()"),
    Row("LossExplorer", lambda e: e.drag_slider("box", 0.9), "w.as_code()"),
    Row("NmsExplorer", lambda e: e.drag_slider("conf_thres", 0.9), "w.words()"),
    Row("ScheduleExplorer", lambda e: e.choose("cosine", "cosine"), "w.as_code()"),
    Row("WhyExplorer", lambda e: e.drag_slider("conf_thres", 0.9), "w.words()"),
    Row("Stepper", lambda e: e.drag_slider("step", 0.5), "w.words()"),
)


def test_every_exported_explorer_has_a_row() -> None:
    kinds = {name: getattr(walkthrough, name) for name in walkthrough.__all__}
    exported = {
        name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, walkthrough.Explorer)
    }
    assert exported - {"Explorer"} == {row.name for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_an_explorer_is_shown_moved_and_reset(row: Row, open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell(f"from walkthrough import {row.name}\nw = {row.name}()\nw")
    assert explorer.message == ""
    assert explorer.root.locator("input, select, button").evaluate_all(NAMED) == []
    assert explorer.root.evaluate(OVERFLOWS) == []
    before, value = explorer.picture(), explorer.ask(row.changed)
    row.act(explorer)
    assert explorer.ask(row.changed) != value
    assert explorer.message == ""
    assert explorer.picture() != before
    explorer.press("reset")
    assert explorer.errors == []
