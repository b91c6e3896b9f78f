"""AugmentationLab in a real JupyterLab: settings are dragged, a picture uploaded, a box drawn on it."""

from ast import literal_eval
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import expect

from tests.browser.explorer import OpenExplorer

CELL = "from walkthrough import AugmentationLab\nw = AugmentationLab(size=256)\nw"


def test_a_turned_mosaic_and_a_box_on_a_picture_of_ones_own(
    open_cell: Callable[[str], OpenExplorer], tmp_path: Path
) -> None:
    explorer = open_cell(CELL)
    before = explorer.picture()
    explorer.drag_slider("degrees", 0.2)
    assert float(explorer.ask("w.degrees")) > 20
    assert explorer.picture() != before
    explorer.choose("view", "grid of samples")
    expect(explorer.root.locator(".wt-is-Panel canvas")).to_have_count(8)
    explorer.choose("view", "one sample")
    expect(explorer.root.locator(".wt-is-Panel canvas")).to_have_count(2)

    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    explorer.upload(tmp_path / "noise.png")
    assert explorer.ask("(w.index, w.objects)") == "(6, ())"
    explorer.drag((40, 30), (120, 90), panel=0)
    ((x1, y1, x2, y2, cls),) = literal_eval(explorer.ask("w.objects"))
    assert np.abs(np.array((x1, y1, x2, y2)) - (40, 30, 120, 90)).max() < 2
    assert cls == 0
    assert explorer.message == ""
    assert explorer.errors == []
