"""The gradient of each loss term, by level, by cell and by layer.

A term's gradient is what it adds to the gradient of the total, the number that training differentiates; so those of
all terms add up to the gradient that training gets. Everything is differentiated by autograd through the very loss
that training calls. The model comes out as it went in: its mode, BatchNorm's statistics, .grad and requires_grad.
"""

from functools import partial
from typing import TYPE_CHECKING

from walkthrough._moved import moved_name
from walkthrough.gradients.layers import LayerGradients, Pass, layer_gradients, layers_of, maps_of
from walkthrough.gradients.maps import CellGradient, MapGradients, fractions_of, map_gradients, strongest_cells

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # names of 0.1.0
__all__ = [
    "CellGradient",
    "LayerGradients",
    "MapGradients",
    "Pass",
    "fractions_of",
    "layer_gradients",
    "layers_of",
    "map_gradients",
    "maps_of",
    "strongest_cells",
]
