"""The sizes that each anchor may be matched to."""

from typing import Any

import torch

from walkthrough.images import faded, to_rgb
from walkthrough.scene import Boxes, Key, Panel, Picture, Scene, table_of
from yolo_lite.boxes import xywh_to_xyxy, xyxy_to_xywh
from yolo_lite.loss.targets import ratio_test


def show_anchor_reach(image: Any, anchors: Any, box: Any, anchor_t: float = 4.0) -> Scene:
    """The sizes that each anchor may be matched to, at true scale around one object: a panel each, a row each level.

    An object is matched to an anchor whose sides are both within a factor of anchor_t: it fits between the two dashed
    boxes, in width and in height.

    Args:
        image: the network's input. anchors: (L, A, 2) pixels. box: (4) xyxy pixels of an object.
    Raises:
        ValueError: anchors of another shape; an anchor_t that is not above 1.

    >>> show_anchor_reach(torch.zeros(3, 64, 64), [[[10, 10], [40, 40]]], [20, 20, 32, 52])
    10 x 10: 2.5 to 40 wide, 2.5 to 40 high: matched
    40 x 40: 10 to 160 wide, 10 to 160 high: matched
    """
    sizes, edges = torch.as_tensor(anchors).float(), torch.as_tensor(box).float().view(1, 4)
    if sizes.dim() != 3 or sizes.shape[-1] != 2 or anchor_t <= 1:
        raise ValueError(f"anchors are (L, A, 2) and anchor_t is above 1, not {tuple(sizes.shape)} and {anchor_t}")
    pixels = faded(to_rgb(image))
    centre, wh = xyxy_to_xywh(edges).split(2, 1)  # (1, 2) each
    rows, words = [], []
    for level in sizes:
        panels = []
        for w, h in level.tolist():
            matched = bool(ratio_test(wh, torch.tensor([[w, h]])).worst.item() < anchor_t)
            sides = torch.tensor([[w, h]]) * torch.tensor([[1 / anchor_t], [1.0], [anchor_t]])  # (3, 2)
            small, own, large = xywh_to_xyxy(torch.cat((centre.expand(3, 2), sides), 1)).split(1)
            (low, _, high), (lowest, _, highest) = sides.T.tolist()
            verdict = "matched" if matched else "not matched"
            layers = (
                Picture(pixels),
                Boxes(table_of(large, 4, "boxes"), (), (), ("anchor",), "dashed", 1.5, fill=0.16),
                Boxes(table_of(small, 4, "boxes"), (), (), ("anchor",), "dashed", 1.5),
                Boxes(table_of(own, 4, "boxes"), (), (), ("anchor",), "solid", 1.5),
                Boxes(table_of(edges, 4, "boxes"), (verdict,), (), ("object",)),
            )
            reach = f"{low:g} to {high:g} wide, {lowest:g} to {highest:g} high"
            panels.append(Panel(layers, pixels.shape[1], pixels.shape[0], f"{w:g} x {h:g}", reach))
            words.append(f"{w:g} x {h:g}: {reach}: {verdict}")
        rows.append(tuple(panels))
    legend = (
        Key("the object", "object", dash="solid"),
        Key("the anchor", "anchor", dash="solid"),
        Key(f"1/{anchor_t:g} and {anchor_t:g} times the anchor", "anchor", dash="dashed"),
    )
    return Scene(tuple(rows), legend, "\n".join(words))
