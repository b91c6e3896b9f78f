"""What recordings of Darknet's heads have in common: settings, and the arrays of heads with anchors."""

import json
from typing import Any

from tests.golden.family.compare import Recording
from tests.golden.family.layout import Layout, Missing, layout_of, optional

# Files of these names are recorded with boxes in an image that had been letterboxed; others may be.
LETTERBOXED = ("v2_coco_", "v2_voc_", "v3_ig05_", "v4_cfg_")


class NamedSettings(dict[str, Any]):
    """Settings by their names in the recording; one that is not there is said to be missing."""

    def __missing__(self, name: str) -> Any:
        raise Missing(f"{name} among the settings")


def settings_of(recorded: Recording) -> NamedSettings:
    if "settings" not in recorded:
        raise Missing("settings")
    given = json.loads(recorded["settings"].item())
    if not isinstance(given, dict):
        raise ValueError(f"settings hold {given!r}, not names and values")
    return NamedSettings(given)


def letterbox_layout(recorded: Recording, name: str) -> Layout:
    return optional(recorded, layout_of("letterbox_image", "letterbox_boxes"), name.startswith(LETTERBOXED))


def head_layout(recorded: Recording, name: str) -> Layout:
    """The arrays of YOLOv3, which YOLOv4 has, too; the layer's own gradient where it is recorded."""
    always = layout_of(
        "raw targets all_anchors mask net_size stride settings", "grad decoded anchors cost obj_state assigned"
    )
    return always | letterbox_layout(recorded, name) | optional(recorded, layout_of("", "grad_layer"))
