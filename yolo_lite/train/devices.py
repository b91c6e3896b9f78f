"""Which device computes where nobody chose one."""

import torch


def default_device() -> torch.device:
    """The accelerator that PyTorch finds on this machine (CUDA, Apple's MPS, XPU ...), or the CPU where there is none.

    >>> default_device().type in {"cpu", "cuda", "mps", "xpu"}
    True
    """
    # current_accelerator() alone names what this PyTorch was built for; its check_available= came after 2.6.
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")
