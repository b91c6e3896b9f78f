"""The loss on the validation images, added up while ``evaluate`` runs the network over them: no pass of its own."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from yolo_lite.data.dataset import Batch
from yolo_lite.loss.criterion import Criterion


class Watched:
    """A loader that shows each batch to a function before it gives it out; else it is the loader."""

    def __init__(self, loader: Any, see: Callable[[Batch], None]) -> None:
        self.loader, self.see = loader, see

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.loader:
            self.see(batch)
            yield batch

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


class ValidationLoss:
    """The mean of each part of a loss over the batches that a model is validated on.

    Args:
        loss: a copy of it is used, in evaluation mode and for this process alone.
        class_order: the model's class for each of the labels'.
    """

    def __init__(self, loss: Criterion, class_order: Sequence[int]) -> None:
        self.loss = copy.deepcopy(loss)
        if isinstance(self.loss, nn.Module):
            self.loss.eval()
        if hasattr(self.loss, "over_processes"):
            self.loss.over_processes = torch.clone  # only the main process validates
        self.class_order = torch.tensor(class_order)
        self.sums: dict[str, float] = {}
        self.batches = 0
        self._targets, self._images = torch.zeros(0, 6), 0
        self._parts: list[Any] = []  # maps of the batch so far: ``evaluate`` may run it in parts

    @contextmanager
    def over(self, model: nn.Module, loader: Any) -> Iterator[Watched]:
        """The loader to evaluate with: what the model says of its batches inside is added up."""
        hook = model.register_forward_hook(lambda module, inputs, maps: self._add(len(inputs[0]), maps))
        try:
            yield Watched(loader, self._see)
        finally:
            hook.remove()

    @property
    def means(self) -> dict[str, float]:
        """Part -> its mean over the batches; the total is left out, as in ``EpochResult.losses``."""
        return {name: total / self.batches for name, total in self.sums.items() if name != "total"}

    def _see(self, batch: Batch) -> None:
        self._targets, self._images, self._parts = batch.targets.clone(), len(batch.images), []
        self._targets[:, 1] = self.class_order.to(self._targets)[self._targets[:, 1].long()]

    def _add(self, count: int, maps: Any) -> None:
        self._parts.append(maps)
        self._images -= count
        if self._images > 0:
            return
        if len(self._parts) > 1:
            maps = [torch.cat(level) for level in zip(*self._parts, strict=True)]
        parts: dict[str, Tensor] = self.loss(maps, self._targets)._asdict()
        for name, value in parts.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
        self.batches += 1
