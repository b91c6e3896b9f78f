"""Quality focal and varifocal loss against the formulas of their papers."""

import math

import pytest
import torch

from yolo_lite.loss.focal import bce_with_focal, quality_focal_loss, varifocal_loss

LOGITS = torch.linspace(-6, 6, 13, dtype=torch.float64)
TARGETS = (0.0, 0.3, 0.5, 1.0)


def probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
def test_quality_focal_loss(target: float, beta: float) -> None:
    expected = [
        -(abs(target - p) ** beta) * ((1 - target) * math.log(1 - p) + target * math.log(p))
        for p in map(probability, LOGITS.tolist())
    ]
    ours = quality_focal_loss(LOGITS, torch.full_like(LOGITS, target), beta)
    torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_varifocal_loss(target: float, gamma: float) -> None:
    expected = [
        -target * (target * math.log(p) + (1 - target) * math.log(1 - p))
        if target > 0
        else -0.6 * p**gamma * math.log(1 - p)
        for p in map(probability, LOGITS.tolist())
    ]
    ours = varifocal_loss(LOGITS, torch.full_like(LOGITS, target), alpha=0.6, gamma=gamma)
    torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.float64))


def test_yolov5_balances_quality_focal_loss() -> None:
    targets = torch.linspace(0, 1, 13, dtype=torch.float64)
    balanced = bce_with_focal(LOGITS, targets, gamma=2.0, alpha=0.5, kind="quality")
    torch.testing.assert_close(balanced, quality_focal_loss(LOGITS, targets) / 2)


@pytest.mark.parametrize("loss", [quality_focal_loss, varifocal_loss])
def test_gradients_are_derivatives(loss) -> None:
    targets = torch.linspace(0, 1, 13, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda logits: loss(logits, targets), LOGITS.clone().requires_grad_())
