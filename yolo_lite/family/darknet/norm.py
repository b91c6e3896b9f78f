"""BatchNorm as the two Darknets compute it."""

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

Origin = Literal["pjreddie", "alexeyab"]
TINY = 1e-24  # added to no variance, but the least whose square root is taken: that of 0 has no finite gradient


class DarknetBatchNorm(nn.BatchNorm2d):
    """BatchNorm as Darknet computes it (Ioffe and Szegedy 2015, arXiv 1502.03167, with other details).

    ``(x - mean) / (sqrt(var) + 1e-6)`` in pjreddie's Darknet, ``(x - mean) / sqrt(var + 1e-5)`` in AlexeyAB's. In
    training the variance of the batch is the sum of squares over (count - 1), not count as in PyTorch; it moves the
    running one by 0.01 (pjreddie) or 0.1 (AlexeyAB) of the difference.

    Shape: (N, C, H, W) -> the same.

    >>> norm = DarknetBatchNorm(1, "pjreddie").eval()
    >>> norm.running_var.fill_(4.0).item(), round(norm(torch.ones(1, 1, 1, 1)).item(), 6)
    (4.0, 0.5)
    """

    def __init__(self, channels: int, origin: Origin) -> None:
        pjreddie = origin == "pjreddie"
        super().__init__(channels, eps=1e-6 if pjreddie else 1e-5, momentum=0.01 if pjreddie else 0.1)
        self.origin = origin

    def deviation(self, var: Tensor) -> Tensor:
        """What x - mean is divided by."""
        if self.origin == "pjreddie":
            return var.clamp(min=TINY).sqrt() + self.eps
        return (var + self.eps).sqrt()

    @property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """(C,), (C,): the running mean and variance."""
        return cast(Tensor, self.running_mean), cast(Tensor, self.running_var)

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """(C,), (C,): what a channel is multiplied by in evaluation mode, and what is then added."""
        mean, var = self.statistics
        scale = self.weight / self.deviation(var)
        return scale, self.bias - mean * scale

    def forward(self, x: Tensor) -> Tensor:
        count = x.numel() // x.shape[1]
        if self.training and count < 2:
            raise ValueError(f"BatchNorm needs more than one value per channel in training, not {tuple(x.shape)}")
        if self.origin == "alexeyab":
            return self._with_pytorch(x, 1 - 1 / count if self.training else 1.0)
        if not self.training:
            scale, shift = self.scale_and_shift()
        else:
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            var, mean = torch.var_mean(wide, (0, 2, 3), correction=1)
            self._move(mean.detach(), var.detach())
            scale = self.weight / self.deviation(var)
            shift = self.bias - mean * scale
        return (x * scale[:, None, None] + shift[:, None, None]).to(x.dtype)

    def _with_pytorch(self, x: Tensor, correction: float) -> Tensor:
        """The same by PyTorch's own kernel, which saves memory in training.

        It divides by count: the batch's variance there is ``correction`` times Darknet's, and
        ``1 / sqrt(var + eps) = sqrt(correction) / sqrt(correction * var + correction * eps)``.
        """
        if self.training:
            cast(Tensor, self.num_batches_tracked).add_(1)
        return functional.batch_norm(
            x,
            *self.statistics,
            self.weight * correction**0.5,
            self.bias,
            self.training,
            cast(float, self.momentum),
            self.eps * correction,
        )

    @torch.no_grad()
    def _move(self, *statistics: Tensor) -> None:
        for running, value in zip(self.statistics, statistics, strict=True):
            running.lerp_(value.to(running), cast(float, self.momentum))
        cast(Tensor, self.num_batches_tracked).add_(1)
