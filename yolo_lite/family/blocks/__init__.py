"""The blocks of the generations after YOLOv5. Any YAML may name those of ``KINDS`` in its rows."""

from collections.abc import Mapping
from types import MappingProxyType

from yolo_lite.model.registry import LayerKind

KINDS: Mapping[str, LayerKind] = MappingProxyType({})
