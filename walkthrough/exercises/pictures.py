"""A difference as a picture: yours beside the library's."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from walkthrough.images import faded
from walkthrough.scene import Boxes, Key, Layer, Panel, Picture, Rows, Scene, table_of

YOURS, LIBRARY = "prediction", "own"  # colours; dashed and solid as well
LEGEND = (Key("the library's", LIBRARY, dash="solid"), Key("yours", YOURS, dash="dashed"))


def two_boxes(
    yours: Sequence[float],
    library: Sequence[float],
    pixels: np.ndarray | None = None,
    words: str = "",
) -> Scene | None:
    """The first box that differs, as it is and as it should be.

    Args:
        yours, library: (4,) xyxy. pixels: what they lie on; None: an empty plane as large as they need.
        words: the picture in words.
    """
    pair = np.array([yours, library], np.float64)
    if not np.isfinite(pair).all():
        return None
    left, top, right, bottom = window(pair, pixels)
    layers: tuple[Layer, ...] = ()
    if pixels is not None:
        layers = (Picture(faded(pixels)),)

    layers += (
        Boxes(rows(pair[1:]), colours=(LIBRARY,)),
        Boxes(rows(pair[:1]), colours=(YOURS,), dash="dashed"),
    )

    panel = Panel(layers, right - left, bottom - top, left=left, top=top)
    return Scene(((panel,),), LEGEND, words or "yours and the library's box, one over the other")


def rows(boxes: np.ndarray | Tensor) -> Rows:
    """(n, 4) numbers as a scene holds them."""
    return table_of(boxes, 4, "boxes")


def window(boxes: np.ndarray, pixels: np.ndarray | None = None) -> tuple[float, float, float, float]:
    """xyxy of what is shown: all boxes with some room around them; of a picture at least a quarter of each side."""
    low, high = boxes.reshape(-1, 2).min(0), boxes.reshape(-1, 2).max(0)
    if pixels is None:
        room = max(float((high - low).max()) / 10, 1e-3)
        return (*(low - room).tolist(), *(high + room).tolist())
    size = np.array(pixels.shape[1::-1], np.float64)
    low, high = np.clip(low, -3 * size, 3 * size), np.clip(high, -3 * size, 3 * size)  # a box may be anywhere
    room = np.maximum((high - low).max() / 5, (size / 4 - (high - low)) / 2)
    return (*(low - room).tolist(), *(high + room).tolist())


def pair_scene(a: Tensor, b: Tensor) -> Scene:
    """Two boxes, (4,) xyxy each, and the box that encloses both."""
    both = torch.stack((a, b)).detach()
    around = torch.cat((both[:, :2].amin(0), both[:, 2:].amax(0)))[None]
    layers = (
        Boxes(rows(around.numpy()), colours=("accent",), dash="dotted"),
        Boxes(rows(both[:1].numpy()), colours=(YOURS,), dash="dashed"),
        Boxes(rows(both[1:].numpy()), colours=(LIBRARY,)),
    )
    legend = (
        Key("a", YOURS, dash="dashed"),
        Key("b", LIBRARY, dash="solid"),
        Key("box around both", "accent", dash="dotted"),
    )
    return _plane(layers, both.numpy(), legend, "the two boxes a and b that differ, and the box that encloses both")


def shapes_scene(thing: Tensor, anchor: Tensor) -> Scene:
    """An object and an anchor, (4,) xyxy each, at true scale."""
    layers = (
        Boxes(rows(thing[None].numpy()), colours=(LIBRARY,)),
        Boxes(rows(anchor[None].numpy()), colours=(YOURS,), dash="dashed"),
    )
    legend = (Key("object", LIBRARY, dash="solid"), Key("anchor", YOURS, dash="dashed"))
    return _plane(layers, torch.stack((thing, anchor)).numpy(), legend, "the object and the anchor, one over the other")


def _plane(layers: tuple[Layer, ...], boxes: np.ndarray, legend: tuple[Key, ...], words: str) -> Scene:
    left, top, right, bottom = window(boxes)
    return Scene(((Panel(layers, right - left, bottom - top, left=left, top=top),),), legend, words)
