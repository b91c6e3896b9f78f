"""show_block: the graph of a block's modules and operations."""

import pytest
import torch
from torch import nn

from walkthrough import show_block
from walkthrough.blocks import steps_of
from walkthrough.scene import Arrows, Boxes
from yolo_lite.model.block_variants import GhostBottleneck
from yolo_lite.model.blocks import C3, SPPF, Bottleneck, Conv, Focus


def inputs_by_what(block: nn.Module, x: torch.Tensor) -> list[tuple[str, list[str]]]:
    steps = steps_of(block, x)
    return [(step.name or step.what, [steps[k].name or steps[k].what for k in step.inputs]) for step in steps]


def test_the_sum_of_a_bottleneck_reads_its_input_and_is_missing_without_a_shortcut() -> None:
    x = torch.zeros(1, 8, 6, 6)
    assert inputs_by_what(Bottleneck(8, 8), x)[-1] == ("add", ["input", "cv2"])
    assert inputs_by_what(Bottleneck(8, 8, shortcut=False), x)[-1] == ("cv2", ["cv1"])


def test_a_c3_has_two_branches_and_as_many_bottlenecks_as_asked_for() -> None:
    found = inputs_by_what(C3(8, 16, number=3), torch.zeros(1, 8, 6, 6))
    assert found == [
        ("input", []), ("cv1", ["input"]), ("m.0", ["cv1"]), ("m.1", ["m.0"]), ("m.2", ["m.1"]), ("cv2", ["input"]),
        ("concat", ["m.2", "cv2"]), ("cv3", ["concat"]),
    ]  # fmt: skip


def test_the_pool_of_an_sppf_is_called_three_times_and_all_meet_in_one_concatenation() -> None:
    steps = steps_of(SPPF(16, 24), torch.zeros(2, 16, 8, 8))
    assert [step.what for step in steps].count("MaxPool2d 5x5") == 3
    joined = next(step for step in steps if step.what == "concat")
    assert joined.shape == (2, 32, 8, 8)
    assert len(joined.inputs) == 4
    assert steps[-1].shape == SPPF(16, 24)(torch.zeros(2, 16, 8, 8)).shape


@pytest.mark.parametrize(
    "block", [Bottleneck(8, 8), C3(8, 8, 12), SPPF(8, 8), Focus(8, 4, 3), GhostBottleneck(8, 8), nn.Conv2d(8, 2, 1)]
)
def test_every_step_is_a_box_that_no_other_overlaps_and_every_reading_an_arrow(block: nn.Module) -> None:
    x = torch.zeros(1, 8, 8, 8)
    steps, panel = steps_of(block, x), show_block(block, x).rows[0][0]
    (boxes,) = [layer.xyxy for layer in panel.layers if isinstance(layer, Boxes)]
    assert len(boxes) == len(steps)
    assert sum(isinstance(layer, Arrows) for layer in panel.layers) == sum(len(step.inputs) for step in steps)
    for k, (left, top, right, bottom) in enumerate(boxes):
        assert 0 <= left < right <= panel.width
        assert 0 <= top < bottom <= panel.height
        assert not any(a < right and left < c and b < bottom and top < d for a, b, c, d in boxes[k + 1 :])


def test_a_block_is_left_in_its_mode_with_its_statistics() -> None:
    block = Conv(3, 4, 3).train()
    before = {name: value.clone() for name, value in block.state_dict().items()}
    show_block(block, torch.rand(2, 3, 8, 8))
    assert block.training
    assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())


def test_an_input_that_does_not_fit_and_a_way_that_depends_on_values_are_said() -> None:
    with pytest.raises(ValueError, match=r"Conv cannot take an input of shape \(1, 5, 8, 8\)"):
        show_block(Conv(3, 4), torch.zeros(1, 5, 8, 8))

    class Choosing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="Choosing cannot be drawn"):
        show_block(Choosing(), torch.zeros(1, 1, 2, 2))


def test_words_tell_the_modules_in_order() -> None:
    words = repr(show_block(Bottleneck(16, 16), torch.zeros(1, 16, 8, 8), "mine"))
    assert words.startswith("mine: input (16 x 8 x 8) -> cv1 Conv 1x1 (8 x 8 x 8) -> cv2 Conv 3x3")


def test_an_input_that_does_not_fit_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="Conv2d cannot take an input"):
        show_block(nn.Conv2d(3, 4, 3), torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="a tensor as its input, not list"):
        show_block(nn.Conv2d(3, 4, 3), [1])
    assert capfd.readouterr() == ("", "")


class Named(nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"half": x[:, ::2], "all": x.relu_()}


def test_a_module_that_gives_several_tensors_has_the_shape_of_the_first_and_the_input_stays() -> None:
    x = torch.full((1, 4, 8, 8), -1.0)
    steps = steps_of(nn.Sequential(Named()), x)
    assert [(step.what, step.shape) for step in steps] == [("input", (1, 4, 8, 8)), ("Named", (1, 2, 8, 8))]
    assert (x == -1).all()


def test_windows_are_told_for_one_to_three_dimensions() -> None:
    one = nn.Sequential(nn.Conv1d(3, 4, 3), nn.MaxPool1d(2), nn.ReLU())
    assert [step.what for step in steps_of(one, torch.zeros(1, 3, 8))[1:]] == ["Conv1d 3", "MaxPool1d 2", "ReLU"]
    three = nn.Sequential(nn.Conv3d(1, 1, (1, 3, 5)), nn.AvgPool3d(2))
    assert [step.what for step in steps_of(three, torch.zeros(1, 1, 8, 8, 8))[1:]] == [
        "Conv3d 1x3x5",
        "AvgPool3d 2x2x2",
    ]
    assert "Conv1d 3 (4 x 6)" in repr(show_block(one, torch.zeros(1, 3, 8)))
