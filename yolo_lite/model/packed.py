"""A convolution and the activation after it as one operation of oneDNN, PyTorch's library for CPUs: for fused networks.

``Conv.forward`` and ``Detect.forward`` are the readable form; this stands beside it, for inference alone, and gives the
same numbers. It saves the pass over memory that SiLU takes, and PyTorch's rearranging of the weights at every call.

Shape letters: N batch, C channels, H rows, W columns.
"""

from typing import Any, Self, cast

import torch
from torch import Tensor, nn

ACTIVATIONS = {nn.Identity: "none", nn.SiLU: "swish", nn.ReLU: "relu"}  # oneDNN's names


class PackedConvolution:
    """The weights of a convolution in oneDNN's own order, made at the first call and when they change.

    A change through ``weight.data`` goes unnoticed. Copies and pickles of it begin empty.

    >>> conv, act, images = nn.Conv2d(3, 16, 3).requires_grad_(False), nn.SiLU(), torch.rand(1, 3, 32, 32)
    >>> packed = PackedConvolution()
    >>> not packed.is_for(conv, act, images) or torch.allclose(packed(conv, act, images), act(conv(images)), atol=1e-5)
    True
    """

    def __init__(self) -> None:
        # What weights were packed, for what input, and the packed ones: one tuple, as several threads may predict. The
        # weights themselves are in it, so that no others can take their place in memory and look like them.
        self._packed: tuple[Tensor, tuple[Any, ...], Tensor] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)()

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()

    def is_for(self, conv: nn.Module, act: nn.Module, x: Tensor) -> bool:
        """Whether it computes this: inference on a CPU, and nobody who watches the convolution or the activation."""
        return (
            x.device.type == "cpu"
            and type(x) is Tensor
            and torch.is_inference_mode_enabled()
            and not _traced()
            and not torch.is_autocast_enabled("cpu")
            and type(act) in ACTIVATIONS
            and type(conv) is nn.Conv2d
            and not (_watched(conv) or _watched(act))
            and conv.padding_mode == "zeros"
            and not isinstance(conv.padding, str)
            and conv.weight.dtype == x.dtype
            and not conv.weight.is_inference()  # it would not count its changes
            and _computes(x.dtype)
        )

    def __call__(self, conv: nn.Module, act: nn.Module, x: Tensor) -> Tensor:
        """act(conv(x)): (N, C, H, W) -> (N, out, H / stride, W / stride)."""
        conv = cast(nn.Conv2d, conv)
        weight, settings = conv.weight, (conv.padding, conv.stride, conv.dilation, conv.groups)
        state = weight.data_ptr(), weight._version, x.shape, x.dtype
        onednn: Any = torch.ops.mkldnn
        packed = self._packed
        if packed is None or packed[0] is not weight or packed[1] != state:
            ordered: Tensor = onednn._reorder_convolution_weight(weight.detach(), *settings, list(x.shape))
            self._packed = packed = weight, state, ordered
        name = ACTIVATIONS[type(act)]
        result: Tensor = onednn._convolution_pointwise(x, packed[2], conv.bias, *settings, name, [], "")
        return result


def _traced() -> bool:
    """Whether what runs is written down, to run elsewhere."""
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return bool(tracing or torch.compiler.is_compiling())


def _watched(module: nn.Module) -> bool:
    """Whether a hook waits for this module to be called."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _computes(dtype: torch.dtype) -> bool:
    """Whether this PyTorch has the operations, and this processor the number format."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    onednn: Any = torch.ops.mkldnn
    if not hasattr(onednn, "_convolution_pointwise") or not hasattr(onednn, "_reorder_convolution_weight"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(onednn._is_mkldnn_bf16_supported()))
