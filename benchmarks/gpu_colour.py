"""Augmentation on the device: colours as the Trainer changes them there, and what a warp would cost. Part of gpu.py.

N batch, C channels, H W of a canvas, h w of the network's input.
"""

import numpy as np
import torch
from gpu_checks import STEPS, Finding, Machine, new_trainer, run_steps
from gpu_limits import seconds
from torch import Tensor
from torch.nn import functional

from yolo_lite.augment.colour import HsvDraw, apply_hsv, draw_hsv, hsv_tables
from yolo_lite.augment.objects import PADDING_VALUE
from yolo_lite.augment.warp import draw_warp, warp_image, warp_matrices
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.support.device_colour import apply_hsv_tables

HYP = Hyperparameters(degrees=10.0, shear=5.0)
HSV_APART = (1, 0.01)  # levels at most, in at most this fraction of the values
WARP_APART = 4.0  # levels of 255 on a smooth picture: OpenCV may round places to a 32nd of a pixel
LOSS_APART = 0.01  # of runs that differ in their colours by no more than that

Pictures = tuple[np.ndarray, list[HsvDraw], list[np.ndarray]]


def check_augmentation(machine: Machine) -> Finding:
    """Colours and warps of a batch on the device against OpenCV's, and what each of them takes."""
    count, size = (4, 64) if machine.small else (16, 640)
    canvases, colours, warps = pictures(count, size)
    rows: list[tuple[str, ...]] = [("what", "off by at most (of 255)", "ms an image, device", "ms an image, OpenCV")]
    off, part, row = compare_colours(canvases[:, :size, :size], colours, machine)
    rows.append(row)
    warp_off, row = compare_warps(canvases, warps, size, machine)
    rows.append(row)
    rows += transfers(canvases, size, machine)
    runs = [_losses(machine, hsv_on_device=choice) for choice in (False, True)]
    loss_off = max(abs(one / other - 1) for one, other in zip(*runs, strict=True))
    rows.append((f"losses of {len(runs[0])} steps with hsv_on_device, relative", f"{loss_off:.1e}", "", ""))
    same = off <= HSV_APART[0] and part <= HSV_APART[1] and warp_off <= WARP_APART and loss_off <= LOSS_APART
    words = f"batch {count} at {size}; {part:.2%} of the values of the colours differ; the warp is no option of the "
    words += "Trainer: its canvas has four times the bytes, whose transfer stands below"
    return Finding(same, words, rows)


def pictures(count: int, size: int) -> Pictures:
    """Smooth canvases (N, 2 size, 2 size, 3), where a place that is off by little is off by little; and draws."""
    chance = np.random.default_rng(0)
    y, x = np.mgrid[: 2 * size, : 2 * size] / size
    waves = chance.uniform(1, 4, (count, 3, 2))
    canvases = np.empty((count, 2 * size, 2 * size, 3), np.uint8)
    for canvas, wave in zip(canvases, waves, strict=True):
        for channel, (across, down) in enumerate(wave):
            canvas[..., channel] = 127.5 + 127 * np.sin(across * x + down * y + channel)
    colours = [draw_hsv(HYP, size, chance) for _ in range(count)]
    matrices = [warp_matrices(draw_warp(HYP, size, chance), 2 * size, size).combined for _ in range(count)]
    return canvases, colours, matrices


def compare_colours(images: np.ndarray, draws: list[HsvDraw], machine: Machine) -> tuple[float, float, tuple[str, ...]]:
    """The largest difference, the fraction of values that differ, and a row."""
    images = np.ascontiguousarray(images)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(machine.device)
    tables = torch.from_numpy(np.stack([np.stack(hsv_tables(drawn)) for drawn in draws])).to(machine.device)
    expected = np.stack([apply_hsv(image, drawn) for image, drawn in zip(images, draws, strict=True)])
    apart = _apart(apply_hsv_tables(pixels, tables), expected)
    on_device = seconds(lambda: apply_hsv_tables(pixels, tables), machine, 3, 3)
    on_cpu = seconds(lambda: apply_hsv(images[0], draws[0]), machine, 3, 3)
    off, part = float(apart.max()), float((apart > 0).mean())
    return off, part, ("hue, saturation, value", f"{off:.0f}", *_times(on_device / len(images), on_cpu))


def compare_warps(
    canvases: np.ndarray, matrices: list[np.ndarray], size: int, machine: Machine
) -> tuple[float, tuple[str, ...]]:
    """The largest difference away from the canvas's edges, and a row."""
    pixels = torch.from_numpy(canvases).permute(0, 3, 1, 2).contiguous().to(machine.device)
    given = torch.from_numpy(np.stack(matrices))
    expected = np.stack([warp_image(c, m, (size, size)) for c, m in zip(canvases, matrices, strict=True)])
    off = float(_apart(warp_batch(pixels, given, size), expected).max())
    on_device = seconds(lambda: warp_batch(pixels, given, size), machine, 3, 3)
    on_cpu = seconds(lambda: warp_image(canvases[0], matrices[0], (size, size)), machine, 3, 3)
    return off, ("warp of a double canvas", f"{off:.0f}", *_times(on_device / len(canvases), on_cpu))


def warp_batch(images: Tensor, matrices: Tensor, size: int) -> Tensor:
    """``warp_image`` on the device: (N, C, H, W) uint8 through (N, 3, 3) on the CPU -> (N, C, size, size) uint8.

    Bilinear at the very places; gray where nothing lands.
    """
    rows, cols = images.shape[2:]
    back = torch.linalg.inv(matrices.double()).to(images.device)  # inverted on the CPU: a GPU would be waited for
    places = torch.arange(size, dtype=torch.float64, device=images.device)
    y, x = torch.meshgrid(places, places, indexing="ij")
    points = torch.stack((x, y, torch.ones_like(x)), -1).view(1, -1, 3) @ back.mT  # (N, size * size, 3)
    xs, ys = (points[..., axis] / points[..., 2] * 2 / (end - 1) - 1 for axis, end in ((0, cols), (1, rows)))
    grid = torch.stack((xs, ys), -1).float().view(-1, size, size, 2)  # -1 and 1: the middles of the outermost pixels
    found = functional.grid_sample(images.float() - PADDING_VALUE, grid, align_corners=True)  # zeros outside: gray
    return (found + PADDING_VALUE).round().clamp(0, 255).to(torch.uint8)


def transfers(canvases: np.ndarray, size: int, machine: Machine) -> list[tuple[str, ...]]:
    """What it takes to send a batch: bytes, floats, and the canvases that a warp on the device would need."""
    bytes_ = torch.from_numpy(np.ascontiguousarray(canvases[:, :size, :size]))
    rows = []
    for name, values in (("bytes", bytes_), ("floats", bytes_.float()), ("canvases", torch.from_numpy(canvases))):
        source = values.pin_memory() if machine.device.type == "cuda" else values
        once = seconds(lambda: source.to(machine.device, non_blocking=True, copy=True), machine, 2, 3)  # noqa: B023
        rows.append((f"sending {name}, {values.nbytes / 2**20:.1f} MiB", "", f"{1000 * once / len(canvases):.3f}", ""))
    return rows


def _losses(machine: Machine, hsv_on_device: bool) -> list[float]:
    trainer = new_trainer(machine, machine.device, augment=True, hsv_on_device=hsv_on_device)
    return [step.parts.total.item() for step in run_steps(trainer, min(STEPS, 4))]


def _apart(found: Tensor, expected: np.ndarray) -> np.ndarray:
    """(N, C, h, w) on the device against (N, h, w, C): how many levels each value is off by."""
    return np.abs(found.permute(0, 2, 3, 1).cpu().numpy().astype(np.int16) - expected)


def _times(on_device: float, on_cpu: float) -> tuple[str, str]:
    return f"{1000 * on_device:.3f}", f"{1000 * on_cpu:.3f}"
