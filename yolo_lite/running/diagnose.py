"""Why a run stopped: NaN or infinity in its numbers, or a device that is full."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from yolo_lite.data.dataset import Batch
from yolo_lite.loss.criterion import LossTerms
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.running.distributed import World

Parts = TypeVar("Parts")

SHOWN = 8  # file names of a batch
RESERVE = 0.9  # of the memory is planned with: the allocator needs some room of its own


class TrainingError(RuntimeError):
    """A run that cannot go on, with the reason and what to do."""


class NonFiniteLossError(TrainingError):
    """NaN or infinity in a loss, a gradient or a weight."""


class BatchTooLargeError(TrainingError):
    """A batch that is too large for the device."""


def explain_non_finite(model: nn.Module, images: Tensor, parts: LossTerms, batch: Batch) -> NonFiniteLossError:
    """Names the loss terms, where in the network it began, and the images of the batch."""
    terms = ", ".join(f"{name} {value.item():g}" for name, value in parts._asdict().items() if name != "total")
    return NonFiniteLossError(
        f"the loss is not finite ({terms}). {first_non_finite(model, images)}. The batch: {_files(batch)}. "
        "Usual reasons: too high a learning rate (lr0), float16 where bfloat16 would do, weights that were broken "
        "before"
    )


def explain_gradient(model: nn.Module, batch: Batch) -> NonFiniteLossError:
    """Names the parameters whose gradient is not finite, although the loss was, and the images of the batch."""
    bad = [name for name, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    where = f"of {bad[-1]}" if bad else "of all weights together"  # backward begins at the end
    return NonFiniteLossError(
        f"the loss is finite, but the gradient {where} is not ({len(bad)} tensors in all), so no step was taken. "
        f"The last batch: {_files(batch)}. Usual reasons: too high a learning rate (lr0), a division by nearly 0 in a "
        "loss"
    )


def require_finite(*named: Iterable[tuple[str, Tensor]]) -> None:
    """Raises NonFiniteLossError with the name of the first of these weights that holds NaN or infinity."""
    for name, value in chain(*named):
        if not value.isfinite().all():
            raise NonFiniteLossError(
                f"the weights {name} hold NaN or infinity, so they were not saved: the last checkpoint is older. "
                "Usual reason: too high a learning rate (lr0)"
            )


@torch.no_grad()
def first_non_finite(model: nn.Module, images: Tensor) -> str:
    """The first place on the way through the network where a number is not finite, in words."""
    if not images.isfinite().all():
        return "It began in the images themselves"
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            return f"It began in the weights: {name} holds NaN or infinity"
    with _first_bad_module(model) as found:
        model(images)
    if not found:
        return "All layers give finite numbers, so it began in the loss"
    path = found[0]
    for row in model.rows if isinstance(model, LayeredDetector) else ():
        if path == f"layers.{row.index}" or path.startswith(f"layers.{row.index}."):
            return f"It began in layer {row.index} ({row.kind}), in {path}"
    return f"It began in {path or 'the network itself'} ({type(model.get_submodule(path)).__name__})"


@contextmanager
def _first_bad_module(model: nn.Module) -> Iterator[list[str]]:
    """Fills a list with the paths of modules whose outputs are not finite, in the order they ran."""
    found: list[str] = []

    def look(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if not all(tensor.isfinite().all() for tensor in _tensors(output)):
                found.append(path)

        return hook

    hooks = [module.register_forward_hook(look(path)) for path, module in model.named_modules()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, list | tuple):
        for part in output:
            yield from _tensors(part)
    elif isinstance(output, dict):
        yield from _tensors(list(output.values()))


def _files(batch: Batch) -> str:
    more = f" and {len(batch.paths) - SHOWN} more" if len(batch.paths) > SHOWN else ""
    return ", ".join(batch.paths[:SHOWN]) + more


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device has no room left, in the words of CUDA, MPS or the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    )


class Memory(NamedTuple):
    """Of a GPU, in bytes."""

    available: int  # to this process, what it holds already included
    of_one: int  # most that a forward and backward pass of one image needs, with all that is there anyway
    of_two: int  # the same of two images


def batch_that_fits(memory: Memory, batch_size: int) -> int:
    """The largest batch that should fit: memory grows by the same amount with each image.

    >>> batch_that_fits(Memory(available=1000, of_one=200, of_two=300), batch_size=16)
    8
    """
    per_image = max(memory.of_two - memory.of_one, 1)
    fixed = memory.of_one - per_image
    return min(max(int((RESERVE * memory.available - fixed) / per_image), 1), max(batch_size - 1, 1))


def within_memory(gradients: Callable[[Tensor, Tensor], Parts], images: Tensor, targets: Tensor) -> Parts:
    """``gradients(images, targets)``, a forward and backward pass.

    Raises:
        BatchTooLargeError: with a batch that fits: from what one and two images need on a GPU, else half of it.
    """
    try:
        return gradients(images, targets)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    # outside of `except`: the error would keep the graph alive, and with it the memory
    fits = max(len(images) // 2, 1)
    if images.device.type == "cuda" and World.current().size == 1:
        try:
            fits = batch_that_fits(_measured(gradients, images, targets), len(images))
        except torch.OutOfMemoryError:
            fits = 1
    height, width = images.shape[2:]
    try_this = f"batch_size={fits}, " if fits < len(images) else ""
    raise BatchTooLargeError(
        f"out of memory: {len(images)} images of {height} x {width} pixels do not fit on {images.device}: try "
        f"{try_this}a smaller img_size or precision='bfloat16'. Gradients are added up to the nominal batch anyway"
    )


def _measured(gradients: Callable[[Tensor, Tensor], object], images: Tensor, targets: Tensor) -> Memory:
    device, peaks = images.device, []
    torch.cuda.empty_cache()
    available = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    for count in (1, 2):
        torch.cuda.reset_peak_memory_stats(device)
        gradients(images[:count], targets[targets[:, 0] < count])
        peaks.append(torch.cuda.max_memory_allocated(device))
    return Memory(available, *peaks)
