"""Layer by layer: what each module of a network takes in, gives out, holds, costs and sees."""

from walkthrough.layers.effective import CellGradients, EffectiveField, effective_field
from walkthrough.layers.fields import ReceptiveField
from walkthrough.layers.record import LayerRecord, record_layers
from walkthrough.layers.statistics import FeatureStatistics, feature_statistics
from walkthrough.layers.table import show_layers

__all__ = [
    "CellGradients",
    "EffectiveField",
    "FeatureStatistics",
    "LayerRecord",
    "ReceptiveField",
    "effective_field",
    "feature_statistics",
    "record_layers",
    "show_layers",
]
