"""Which device computes, and in which number format."""

import torch
from torch import nn

from yolo_lite.running.distributed import World


def default_device() -> torch.device:
    """The accelerator that PyTorch finds on this machine (CUDA, Apple's MPS, XPU ...), or the CPU where there is none.

    >>> default_device().type in {"cpu", "cuda", "mps", "xpu"}
    True
    """
    # current_accelerator() alone names what this PyTorch was built for; its check_available= came after 2.6.
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def best_device(name: str | None, world: World) -> torch.device:
    """The device asked for; else this process's GPU, else another accelerator, else the CPU. YOLOv5: `select_device`.

    Raises:
        ValueError: an unknown name, or a GPU that this machine does not have.
    """
    if name is None and not torch.cuda.is_available():
        return default_device()
    try:
        device = torch.device(name or "cuda")
    except RuntimeError:
        raise ValueError(f"device {name!r}: PyTorch knows no such device; write cpu, cuda, cuda:1, mps ...") from None
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise ValueError(f"device {name!r}: PyTorch finds no CUDA GPU here; leave the device out to use what there is")
    if world.size > 1 and device.index is None:
        device = torch.device("cuda", world.local_rank)
    if (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"{device} was asked for, but there are {torch.cuda.device_count()} GPUs: start fewer processes"
        )
    return device


def weights_dtype(model: nn.Module) -> torch.dtype:
    """The number format to compute in, that of the weights: float32 or float64."""
    dtype = next(model.parameters()).dtype
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"weights in {str(dtype).removeprefix('torch.')} are too coarse for small steps: pass model.float(), and "
            "precision='bfloat16' or 'float16' for the passes through the network"
        )
    return dtype


def memory_layout(device: torch.device, precision: str, channels_last: bool | None) -> torch.memory_format:
    """The layout of images, weights and feature maps: as asked for, else the faster one in half precision.

    With the channels last a training step in float32 on a CPU takes a tenth less time. But BatchNorm sums in another
    order there, which rounds its statistics at 1e-4 instead of 1e-6: it has to be asked for.

    >>> memory_layout(torch.device("cpu"), "float32", None), memory_layout(torch.device("cpu"), "bfloat16", None)
    (torch.contiguous_format, torch.channels_last)
    """
    faster = device.type in ("cpu", "cuda") and precision != "float32"
    return torch.channels_last if (faster if channels_last is None else channels_last) else torch.contiguous_format
