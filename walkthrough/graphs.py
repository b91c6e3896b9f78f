"""The look of graphs: of the layers of a model (LayerExplorer) and of the modules of a block (show_block)."""

import numpy as np

from walkthrough.scene import Key, Picture

GROUND, LABEL = "#18212B", "#C9D3DD"
FILLS = {"backbone": "#1F5F8B", "neck": "#7A5200", "head": "#00674B", "": "#455468"}
FLOW, SKIP, CHOSEN = "#8FA3B5", "#E69F00", "#FFFFFF"
LEGEND = (Key("what the layer before gives", FLOW, dash="solid"), Key("a skip", SKIP, dash="dashed"))


def ground(width: float, height: float, left: float = 0.0, top: float = 0.0) -> Picture:
    """A ground on which the colours are readable, whatever the theme of the page.

    >>> ground(8, 4, left=2).extent
    (2, 0.0, 10, 4.0)
    """
    rgb = [int(GROUND[k : k + 2], 16) for k in (1, 3, 5)]
    return Picture(np.array(rgb, np.uint8).reshape(1, 1, 3), (left, top, left + width, top + height))
