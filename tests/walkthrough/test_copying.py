""" "Copy as code": cells that run as they are, with boxes, anchors and settings as they stand on the page."""

from typing import Any

import numpy as np
import pytest
import torch

import walkthrough
from walkthrough.explorers.copying import free_names, target_lines


def run(cell: str, **names: Any) -> dict[str, Any]:
    exec(cell, names)
    return names


@pytest.mark.parametrize(
    "name", ["IouPlayground", "DistributionExplorer", "AnchorExplorer", "AugmentationLab", "Stepper"]
)
def test_a_cell_runs_in_a_fresh_notebook(name: str) -> None:
    run(getattr(walkthrough, name)().as_cell())


@pytest.mark.parametrize("name", ["GradientExplorer", "LiveTraining"])
def test_a_cell_leaves_no_name_open(name: str) -> None:
    assert free_names(getattr(walkthrough, name)().as_cell()) == ()


def test_moved_boxes_and_anchors_are_in_the_cell() -> None:
    w = walkthrough.AnchorExplorer()
    w.set(level=1, anchor=2, anchor_w=80, anchor_t=3)
    w.objects = ((30, 40, 200, 300, 7),)
    made = run(w.as_cell())
    expected = w.result.matches
    assert [len(match.row) for match in made["matches"]] == [len(match.row) for match in expected]
    assert torch.equal(made["matches"][1].anchor_wh, expected[1].anchor_wh)


def test_a_cell_gives_the_losses_that_the_explorer_shows() -> None:
    w = walkthrough.LossExplorer(box=0.2)
    w.objects = w.objects[:1]
    made = run(w.as_cell())
    assert made["parts"].total.item() == pytest.approx(w.result.now.parts.total.item(), rel=1e-4)


def test_what_the_reader_gave_stays_a_name_that_a_comment_explains() -> None:
    model = walkthrough.NmsExplorer().state.model
    w = walkthrough.NmsExplorer(images=np.zeros((64, 64, 3), np.uint8), model=model)
    cell = w.as_cell()
    assert free_names(cell) == ("explorer", "model")
    assert "# explorer: this NmsExplorer" in cell
    assert f"# model: the {type(model).__name__} that was given to NmsExplorer as model=" in cell
    assert len(run(cell, explorer=w, model=model)["found"]) == 1


def test_many_targets_are_not_written_out() -> None:
    assert target_lines(torch.zeros(61, 6), lambda: "named") == "named"
    assert run("import torch\n" + target_lines(torch.zeros(0, 6), str))["targets"].shape == (0, 6)
