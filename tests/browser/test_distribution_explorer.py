"""DistributionExplorer in a real JupyterLab: bars and the target are dragged, a point of a picture clicked."""

from ast import literal_eval
from collections.abc import Callable

import pytest

from tests.browser.explorer import OpenExplorer

CELL = "from walkthrough import DistributionExplorer\nw = DistributionExplorer()\nw"


def test_a_bar_and_the_target_follow_the_hand(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell(CELL)
    before = literal_eval(explorer.ask("w.logits"))
    x1, top, x2, _ = literal_eval(explorer.ask("w.bars[12]"))
    zero = literal_eval(explorer.ask("w.bars[2]"))[1]  # where a logit of 0 ends
    explorer.drag(((x1 + x2) / 2, top), ((x1 + x2) / 2 + 9, zero))
    after = literal_eval(explorer.ask("w.logits"))
    assert after[12] == pytest.approx(0, abs=0.2)
    assert (after[:12], after[13:]) == (before[:12], before[13:])

    left, above, right, below = literal_eval(explorer.ask("w.distance[0]"))
    explorer.drag((right, (above + below) / 2), ((left + right) / 2, below + 9))
    assert float(explorer.ask("w.target")) == pytest.approx(5.3 / 2, abs=0.1)

    loss = float(explorer.ask("w.result.loss"))
    explorer.press("gradient step")
    assert float(explorer.ask("w.result.loss")) < loss
    explorer.press("reset")
    assert literal_eval(explorer.ask("w.logits")) == before
    explorer.key("n ArrowUp ArrowUp")  # the first bar, two pixels up
    assert literal_eval(explorer.ask("w.logits"))[0] > before[0]
    assert explorer.message == ""
    assert explorer.errors == []


def test_a_click_near_a_point_of_the_picture_shows_its_numbers(open_cell: Callable[[str], OpenExplorer]) -> None:
    cell = (
        "import torch, yolo_lite as yl\nfrom walkthrough import DistributionExplorer\n"
        "model = yl.create_model({'family': 'yolov8', 'name': 'yolov8n', 'reg_max': 8}, num_classes=2)\n"
        "targets = torch.tensor([[0, 1, 0.5, 0.5, 0.6, 0.5], [0, 0, 0.25, 0.25, 0.1, 0.1]])\n"
        "w = DistributionExplorer(model=model, images=torch.zeros(1, 3, 64, 64), targets=targets)\nw"
    )
    explorer = open_cell(cell)
    last = literal_eval(explorer.ask("(w.reading.points[-1].x, w.reading.points[-1].y, len(w.reading.points))"))
    explorer.click((last[0] + 0.5, last[1] + 0.5))
    assert int(explorer.ask("w.prediction")) == last[2] - 1
    explorer.choose("side", "bottom")
    assert explorer.ask("w.logits == tuple(w.reading.points[-1].logits[3].tolist())") == "True"
    assert explorer.errors == []
