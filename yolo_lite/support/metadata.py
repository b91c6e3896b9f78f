"""What a file says about the training of its weights: about this one, and about an earlier one under "parent"."""

from collections.abc import Mapping
from typing import Any

SIMPLE = (str, int, float, bool)


def of_parent(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """The entries that are numbers and text, without those of the parent's own parent.

    >>> of_parent({"epoch": 3, "parent": {"epoch": 9}})
    {'epoch': 3}
    """
    if not isinstance(metadata, Mapping):
        return {}
    return {str(name): value for name, value in metadata.items() if isinstance(value, SIMPLE)}


def trained_on(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What may still be said of weights that were trained on since, in a loop that reported nothing: their image size.

    >>> trained_on({"epoch": 3, "img_size": 64})
    {'img_size': 64, 'parent': {'epoch': 3, 'img_size': 64}}
    """
    kept = {name: metadata[name] for name in ("img_size",) if name in metadata}
    return kept | {"parent": described} if (described := of_parent(metadata)) else kept
