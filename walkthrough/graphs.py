"""The look of graphs: of the layers of a model (LayerExplorer) and of the modules of a block (show_block)."""

from walkthrough.scene import Key

GROUND, LABEL = "#18212B", "#C9D3DD"
FILLS = {"backbone": "#1F5F8B", "neck": "#7A5200", "head": "#00674B", "": "#455468"}
FLOW, SKIP, CHOSEN = "#8FA3B5", "#E69F00", "#FFFFFF"
LEGEND = (Key("what the layer before gives", FLOW, dash="solid"), Key("a skip", SKIP, dash="dashed"))
