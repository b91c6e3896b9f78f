"""Who pulls on what: the gradient of each loss term, by level, by cell and by layer.

A term's pull is what it adds to the gradient of the total, the number that training differentiates; so the pulls of
all terms add up to the gradient that training gets. Everything is differentiated by autograd through the very loss
that training calls. The model comes out as it went in: its mode, BatchNorm's statistics, .grad and requires_grad.
"""

from walkthrough.gradients.layers import LayerPulls, Pass, layers_of, maps_of, pull_on_layers
from walkthrough.gradients.maps import CellPull, MapPulls, pull_on_maps, shares_of, strongest_cells

__all__ = [
    "CellPull",
    "LayerPulls",
    "MapPulls",
    "Pass",
    "layers_of",
    "maps_of",
    "pull_on_layers",
    "pull_on_maps",
    "shares_of",
    "strongest_cells",
]
