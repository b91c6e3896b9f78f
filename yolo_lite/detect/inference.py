"""Running a detector without disturbing it: for predict and evaluate."""

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from yolo_lite.model.protocol import Detector

DEFAULT_SIZE = 640  # pixels, the reference's
CPU_BATCH, GPU_BATCH = 4, 16
CPU_PIXELS = 2 * 640 * 640  # of the images that run together on a CPU; with more, maps leave its caches


@contextmanager
def inference(model: Detector) -> Iterator[None]:
    """Evaluation mode and no gradients inside; afterwards every module has the mode that it had before.

    Several threads may be inside with one model: they run side by side, and the last to leave puts the modes back.
    Only a thread that trains this model must not run meanwhile, as its steps would be in evaluation mode, too.

    >>> model = nn.Sequential(nn.BatchNorm2d(3).eval(), nn.ReLU()).train(False)
    >>> model[1].training = True
    >>> with inference(model):
    ...     print(model[1].training, torch.is_grad_enabled())
    False False
    >>> model[0].training, model[1].training
    (False, True)
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    switched = _MODES.enter(modules)
    try:
        with torch.inference_mode():
            yield
    finally:
        _MODES.leave(switched)


class _Modes:
    """Modules in training mode that run in evaluation mode for a while, and how many threads need them so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held while modes change hands, not while a model runs
        self._users: dict[int, int] = {}  # by id: a module that is used does not go away

    def enter(self, modules: Sequence[nn.Module]) -> list[nn.Module]:
        """Switches to evaluation mode; gives those that were in training mode before the first thread came."""
        with self._lock:
            switched = [module for module in modules if module.training or id(module) in self._users]
            for module in switched:
                self._users[id(module)] = self._users.get(id(module), 0) + 1
                module.training = False
        return switched

    def leave(self, switched: Sequence[nn.Module]) -> None:
        """The last to leave a module puts it back into training mode."""
        with self._lock:
            for module in switched:
                self._users[id(module)] -= 1
                if not self._users[id(module)]:
                    del self._users[id(module)]
                    module.training = True


_MODES = _Modes()  # one for all: modules may belong to several models


def network_input(images: Tensor, model: Detector) -> Tensor:
    """(N, C, H, W) uint8 -> the same in [0, 1], where the model's weights are and in their number format.

    For fused networks on a CPU its channels come last in memory, and so do those of all that the network makes of it:
    that is faster. The model itself, and images that you hand it yourself, keep their layout.
    """
    weights = _weights(model)
    is_faster = weights.device.type == "cpu" and _takes_any_layout(model)
    layout = torch.channels_last if is_faster else torch.contiguous_format
    return images.to(weights.device).to(weights.dtype, memory_format=layout) / 255


def _takes_any_layout(model: Any) -> bool:
    """A fused network of the library's layers alone: those of others may call view, which needs one layout."""
    own = ("yolo_lite.", "torch.nn.")
    is_fused = isinstance(model, nn.Module) and getattr(model, "is_fused", False) is True
    return is_fused and all(type(module).__module__.startswith(own) for module in model.modules())


def trained_size(model: Any) -> int | None:
    """The image size in pixels that a model was trained at, by its metadata; None where they do not.

    >>> from yolo_lite.checkpoints.own import load
    >>> trained_size(load("shapes-n"))
    256
    """
    metadata = getattr(model, "metadata", None)
    size = metadata.get("img_size") if isinstance(metadata, Mapping) else None
    return size if type(size) is int and size > 0 else None


def size_multiple(model: Any) -> int:
    """Pixels; sides of the network input must be multiples of it: the largest stride, unless the model says another."""
    multiple = getattr(model, "size_multiple", None)
    return max(int(stride) for stride in model.strides) if multiple is None else int(multiple)


def input_size(model: Any, img_size: int | None = None) -> int:
    """The longest side of the network input, a multiple of the largest stride.

    As asked for, else as in training, else as the network's own description says (``img_size`` of a Darknet), else 640.
    A network of one ``fixed_size`` has no other.

    Raises:
        ValueError: img_size is not a whole number from 1 on, or not the size of a network that has one.

    >>> from yolo_lite.model.yolo import create_model
    >>> input_size(create_model("yolov5n")), input_size(create_model("yolov5n"), 100)
    (640, 128)
    """
    is_whole = isinstance(img_size, Integral | float | np.floating) and not isinstance(img_size, bool)
    if img_size is not None and not (is_whole and img_size >= 1 and img_size % 1 == 0):
        raise ValueError(
            f"img_size must be one whole number of pixels from 1 on, or two, (height, width), not {img_size!r}"
        )
    if (fixed := getattr(model, "fixed_size", None)) is not None:
        require_size(model, img_size)
        return int(max(fixed))
    described = getattr(model, "img_size", None)
    size = img_size or trained_size(model) or (max(described) if described else DEFAULT_SIZE)
    multiple = size_multiple(model)
    return math.ceil(int(size) / multiple) * multiple


def input_shape(model: Any, img_size: int | tuple[int, int] | None = None) -> int | tuple[int, int]:
    """What ``letterbox`` makes images fit into: one side, see ``input_size``, or (height, width).

    Raises:
        ValueError: img_size is neither, or not the size of a network that has one.

    >>> from yolo_lite.model.yolo import create_model
    >>> input_shape(create_model("yolov5n"), (100, 320))
    (128, 320)
    """
    fixed: tuple[int, int] | None = getattr(model, "fixed_size", None)
    if not isinstance(img_size, tuple | list):
        size = input_size(model, img_size)
        return size if fixed is None else fixed
    if len(img_size) != 2:
        raise ValueError(f"img_size must be one whole number of pixels, or (height, width), not {img_size!r}")
    if fixed is None:
        return input_size(model, img_size[0]), input_size(model, img_size[1])
    if tuple(img_size) != fixed:
        raise ValueError(f"img_size={img_size!r}, but this {type(model).__name__} takes {fixed} and no others")
    return fixed


def default_batch(model: Any) -> int:
    """How many images run together where nobody says: as many as are fastest, as ``benchmarks/`` measures it.

    >>> from yolo_lite.model.yolo import create_model
    >>> default_batch(create_model("yolov5n"))
    4
    """
    return CPU_BATCH if _weights(model).device.type == "cpu" else GPU_BATCH


def in_parts(images: Tensor, model: Detector) -> tuple[Tensor, ...]:
    """A batch (N, C, H, W) in the parts that run fastest: whole on a GPU; of large images, two at a time on a CPU.

    >>> from yolo_lite.model.yolo import create_model
    >>> [len(part) for part in in_parts(torch.zeros(5, 3, 640, 640), create_model("yolov5n"))]
    [2, 2, 1]
    """
    if _weights(model).device.type != "cpu":
        return (images,)
    parts: tuple[Tensor, ...] = images.split(max(CPU_PIXELS // max(images.shape[2] * images.shape[3], 1), 1))
    return parts


def require_size(model: Any, img_size: int | None) -> None:
    """Raises ValueError for square images of another size than a network of one ``fixed_size`` takes."""
    fixed = getattr(model, "fixed_size", None)
    if fixed is not None and img_size is not None and int(img_size) != max(fixed):
        height, width = fixed
        raise ValueError(
            f"img_size={img_size}, but this {type(model).__name__} takes images of {height} x {width} (H x W) and no "
            f"others: img_size={max(fixed)}"
        )


def image_channels(model: Any) -> int | None:
    """The channels of the images that a model takes, by its attribute ``channels``; None where it has none: three.

    >>> from yolo_lite.model.yolo import create_model
    >>> image_channels(create_model("yolov5n", channels=1)), image_channels(nn.ReLU())
    (1, None)
    """
    channels = getattr(model, "channels", None)
    return channels if type(channels) is int else None


def require_channels(model: Any, dataset: Any) -> None:
    """Raises ValueError where the images of a dataset have other channels than the model takes."""
    takes, has = image_channels(model), getattr(dataset, "channels", None)
    if None not in (takes, has) and takes != has:
        raise ValueError(
            f"the model takes images of {takes} channel{'s' * (takes != 1)}, those of the dataset have {has}: make the "
            f"dataset with channels={takes}, or the model with channels={has} (ch: {has} in its YAML)"
        )


class Stopwatch:
    """Adds up the seconds of named stages, waiting for the model's GPU where it has one.

    >>> stopwatch = Stopwatch(nn.Linear(1, 1))
    >>> with stopwatch.measure("nms"):
    ...     pass
    >>> stopwatch.seconds["nms"] >= 0
    True
    """

    def __init__(self, model: Detector) -> None:
        self.seconds: dict[str, float] = {}
        self._device = _weights(model).device

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Adds what happens inside to ``stage``."""
        self._wait()
        start = time.perf_counter()
        yield
        self._wait()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()


def _weights(model: Detector) -> Tensor:
    """Any weight of the model: they all lie on one device; a float32 on the CPU where it has none."""
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next(parameters, torch.zeros(0))
