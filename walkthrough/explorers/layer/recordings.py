"""A model's passes over pictures: made once, kept for the last few pictures."""

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from walkthrough.explorers.pictures import Annotated, images_of, taking
from walkthrough.layers.effective import CellGradients
from walkthrough.layers.record import LayerRecord, record_layers

KEPT = 4  # pictures whose records stay in memory


class Recordings:
    """A model's passes over pictures: made once, kept for the last few pictures."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._records: OrderedDict[int, tuple[Annotated, list[LayerRecord]]] = OrderedDict()
        self._gradients: tuple[Any, CellGradients] | None = None

    def records(self, picture: Annotated) -> list[LayerRecord]:
        """All layers for a picture. Raises ValueError where the model does not accept it."""
        key = id(picture.pixels)  # the picture is kept along, so that the number stays its own
        if key not in self._records:
            self._records[key] = (picture, self._recorded(picture))
            if len(self._records) > KEPT:
                self._records.popitem(last=False)
        return self._records[key][1]

    def gradients(self, picture: Annotated, record: LayerRecord, output: int) -> CellGradients:
        """What gives the gradients of a layer's cells; kept for the last layer that was asked for."""
        key = (id(picture.pixels), record, output)
        if self._gradients is None or self._gradients[0] != key:
            self._gradients = None  # frees the pass before the next one is made
            self._gradients = key, CellGradients(self.model, self._input(picture), record, output)
        return self._gradients[1]

    def _recorded(self, picture: Annotated) -> list[LayerRecord]:
        with taking(picture):
            return record_layers(self.model, self._input(picture), depth=None, kept_depth=1)

    def _input(self, picture: Annotated) -> torch.Tensor:
        weight = next(iter((*self.model.parameters(), *self.model.buffers())), None)
        images = images_of((picture,), self.model)
        return images if weight is None or not weight.is_floating_point() else images.to(weight.device, weight.dtype)
