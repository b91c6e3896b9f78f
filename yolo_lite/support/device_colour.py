"""``apply_hsv`` for a batch that lies on a GPU already: the same pixels, computed in PyTorch. N batch, H W of an image.

Source: OpenCV's documentation of RGB <-> HSV for 8 bits, whose roundings are kept: quotients in 4096ths on the way
there; on the way back one rounding for 1 - saturation * weight (a fused multiply-add), and no rounding up at the end.
"""

import torch
from torch import Tensor

HUES = 180  # OpenCV counts the hue circle in steps of two degrees


def apply_hsv_tables(images: Tensor, tables: Tensor) -> Tensor:
    """Changes hue, saturation and value of each pixel by a table, as ``apply_hsv`` does. YOLOv5: `augment_hsv`.

    Equal to OpenCV 5 on processors with fused multiply-add. OpenCV itself differs by 1 at the end of a narrow image,
    and so may a device without float64 (MPS).

    Args:
        images: (N, 3, H, W) uint8 RGB. tables: (N, 3, 256) uint8 on the same device, of each image
            ``augment.colour.hsv_tables``.
    Returns:
        (N, 3, H, W) uint8, a new tensor.

    >>> red = torch.tensor([200, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    >>> darker = torch.arange(256).repeat(1, 3, 1) // torch.tensor([1, 1, 2]).view(3, 1)
    >>> apply_hsv_tables(red, darker.to(torch.uint8)).flatten().tolist()
    [100, 0, 0]
    """
    levels = torch.stack(_to_hsv(images), 1)  # (N, 3, H, W)
    hue, saturation, value = tables.gather(2, levels.long().flatten(2)).view(levels.shape).unbind(1)
    weights = _hue_weights().to(images.device, non_blocking=images.device.type == "cuda")
    precise = torch.float32 if images.device.type == "mps" else torch.float64
    saturation, value = (saturation.float() * (1 / 255)).to(precise), value.float() * (1 / 255)  # (N, H, W)
    channels = [value * (1 - saturation * weight[hue.long()]).float() * 255 for weight in weights]
    return torch.stack([channel.to(torch.uint8) for channel in channels], 1)


def _to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 3, H, W) uint8 RGB -> hue 0 to 179, saturation and value 0 to 255, each (N, H, W) int32."""
    red, green, blue = images.int().unbind(1)
    value = images.amax(1).int()
    spread = value - images.amin(1)
    sixths = torch.where(value == green, blue - red + 2 * spread, red - green + 4 * spread)
    hue = _quotient(torch.where(value == red, green - blue, sixths), HUES // 6, spread)
    return torch.where(hue < 0, hue + HUES, hue), _quotient(spread, 255, value), value


def _quotient(number: Tensor, factor: int, divisor: Tensor) -> Tensor:
    """number * factor / divisor, with factor / divisor in 4096ths; 0 where both are 0."""
    divisor = divisor.clamp(min=1)
    per_unit = torch.div(2 * 4096 * factor + divisor, 2 * divisor, rounding_mode="floor")
    return (number * per_unit + 2048) >> 12


def _hue_weights() -> Tensor:
    """(3, 180) float32: of red, green and blue at each hue, the fraction that full saturation takes away."""
    sixths = torch.arange(HUES) * (6 / HUES)
    sector, part = sixths.floor(), sixths.frac()
    place = (torch.tensor([[5], [3], [1]]) + sector) % 6  # 0: falls, 1 and 2: nothing left, 3: rises, 4 and 5: all
    flat = (place == 1) | (place == 2)
    return torch.where(place == 0, part, torch.where(place == 3, 1 - part, flat.float()))
