"""Why a run stopped: a loss that is no number, a GPU that is full."""

import torch
from torch import Tensor, nn

from yolo_lite.data.dataset import Batch


class TrainingError(RuntimeError):
    """A run that cannot go on, with the reason and what to do."""


class NonFiniteLossError(TrainingError):
    """A loss of NaN or infinity."""


def explain_non_finite(model: nn.Module, images: Tensor, parts: tuple[Tensor, ...], batch: Batch) -> NonFiniteLossError:
    """Names the loss terms, where in the network it began, and the images of the batch."""
    terms = ", ".join(f"{name} {float(value):g}" for name, value in parts._asdict().items() if name != "total")
    files = ", ".join(batch.paths[:8]) + (f" and {len(batch.paths) - 8} more" if len(batch.paths) > 8 else "")
    return NonFiniteLossError(
        f"the loss is no finite number ({terms}). {first_non_finite(model, images)}. The batch: {files}. "
        "Usual reasons: too high a rate (lr0), float16 where bfloat16 would do, weights that were broken before"
    )


@torch.no_grad()
def first_non_finite(model: nn.Module, images: Tensor) -> str:
    """The first place on the way through the network where a number is not finite, in words."""
    if not images.isfinite().all():
        return "It began in the images themselves"
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            return f"It began in the weights: {name} holds NaN or infinity"
    for layer, output in model.forward_layers(images):
        outputs = output if isinstance(output, list) else [output]
        if not all(tensor.isfinite().all() for tensor in outputs):
            return f"It began in layer {layer.index} ({layer.kind})"
    return "All layers give finite numbers, so it began in the loss"


def explain_out_of_memory(error: Exception, batch_size: int, images: Tensor) -> TrainingError:
    """Suggests a batch that fits, from what one image needed."""
    if images.device.type != "cuda":
        return TrainingError(f"out of memory with batch {batch_size}: try {max(batch_size // 2, 1)}")
    free, total = torch.cuda.mem_get_info(images.device)
    peak = torch.cuda.max_memory_allocated(images.device)
    fits = max(int(batch_size * 0.8 * total / max(peak, total)) // 2, 1)
    return TrainingError(
        f"out of GPU memory: batch {batch_size} at {tuple(images.shape[2:])} pixels needs more than the "
        f"{total / 2**30:.1f} GiB of the card ({free / 2**30:.1f} GiB free). Try batch_size={fits}, a smaller "
        "img_size, or precision='bfloat16'; accumulation keeps the nominal batch the same"
    )
