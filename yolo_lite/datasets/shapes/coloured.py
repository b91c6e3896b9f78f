"""Drawn scenes whose classes are pairs of a colour and a shape: "red ring", "blue star" ...

As in "shapes", but a class names the colour, too. Six colours and six shapes make 36 classes; scenes may have some of
them only, so that a detector can be asked for pairs that it has never seen.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from yolo_lite.data.labels import LabelStore
from yolo_lite.data.report import Report
from yolo_lite.datasets.shapes import SPLITS, Shapes, labels_of_layout
from yolo_lite.datasets.shapes.layout import Layout, draw_layout
from yolo_lite.datasets.shapes.outlines import KINDS
from yolo_lite.datasets.shapes.palettes import Palette, mix

COLOURED = 4  # sets these draws apart from those of other scenes, samples, orders and batch sizes
COLOURS: Mapping[str, tuple[int, int, int]] = MappingProxyType(  # RGB
    {
        "red": (214, 40, 57),
        "yellow": (242, 200, 32),
        "green": (46, 140, 64),
        "blue": (36, 92, 190),
        "purple": (140, 62, 160),
        "black": (38, 38, 42),
    }
)
# Papers and the inks of patterns and strokes, all without a colour of their own
PAPERS = Palette(
    papers=np.array([(236, 234, 229), (222, 219, 212)], np.float32),
    inks=np.array([(200, 198, 192), (180, 178, 172), (210, 206, 198)] * 2, np.float32),
)
TONES = ((255, 0.25), (0, 0.2))  # the second tone of an object: so much of white or of black in its colour


def colour_shape_pairs() -> tuple[str, ...]:
    """All classes, colour by colour.

    >>> len(colour_shape_pairs()), colour_shape_pairs()[:2]
    (36, ('red ring', 'red tile'))
    """
    return tuple(f"{colour} {shape}" for colour in COLOURS for shape in KINDS)


class ColouredShapes(Shapes):
    """The scenes of one split, an ImageSource whose classes are pairs of a colour and a shape.

    Args:
        split, size, count, seed: as in ``Shapes``.
        pairs: the classes; no other pair is in the scenes. By default all 36. Each of the six shapes must be among
            them.
    Raises:
        ValueError: as ``Shapes``; a pair that is not known, or none of a shape.

    Attributes:
        pairs: the classes; ``names`` says the same unless it is given other phrases.

    >>> source = ColouredShapes("val", size=96, count=3)
    >>> source.read(0).shape, len(source.names)
    ((96, 96, 3), 36)
    """

    def __init__(
        self,
        split: str = "train",
        size: int = 320,
        count: int | None = None,
        seed: int = 0,
        pairs: Sequence[str] | None = None,
    ) -> None:
        self.names = self.pairs = colour_shape_pairs() if pairs is None else tuple(pairs)
        if unknown := [pair for pair in self.pairs if pair not in colour_shape_pairs()]:
            raise ValueError(f"unknown pair {unknown[0]!r}: a colour ({', '.join(COLOURS)}) and a shape of {KINDS}")
        if missing := set(KINDS) - {pair.split()[1] for pair in self.pairs}:
            raise ValueError(f"pairs must have a {min(missing)} of some colour: scenes have all six shapes")
        super().__init__(split, size, count, seed)
        self.labels = _coloured_labels(split, len(self), self.seed, self.pairs)
        self.report = Report.of(self.labels.objects_per_image)

    def layout(self, index: int) -> Layout:
        """All that chance decided about a scene."""
        return _coloured_layout(self.split, range(len(self))[index], self.seed, self.pairs)


def _coloured_layout(split: str, index: int, seed: int, pairs: tuple[str, ...]) -> Layout:
    place = [seed, list(SPLITS).index(split), index]
    generator = np.random.default_rng(np.random.SeedSequence(place, spawn_key=(COLOURED,)))
    inks = {cls: _inks_of_shape(shape, pairs) for cls, shape in enumerate(KINDS)}
    layout = draw_layout(generator, [PAPERS], inks)
    colours = list(COLOURS)
    table = np.array(list(COLOURS.values()), np.float32)  # (6, 3)
    shapes = []
    for shape in layout.shapes:
        colour = colours[int(np.abs(table - shape.fill.ink).sum(axis=1).argmin())]
        shapes.append(shape._replace(cls=pairs.index(f"{colour} {KINDS[shape.cls]}")))
    return layout._replace(shapes=tuple(shapes))


def _inks_of_shape(shape: str, pairs: Sequence[str]) -> np.ndarray:
    """The colours that a shape may have, each with a lighter and with a darker second tone: (k, 2, 3)."""
    inks = [np.array(rgb, np.float32) for colour, rgb in COLOURS.items() if f"{colour} {shape}" in pairs]
    return np.stack([np.stack([ink, mix(ink, np.float32(pole), part)]) for ink in inks for pole, part in TONES])


@lru_cache(maxsize=8)
def _coloured_labels(split: str, count: int, seed: int, pairs: tuple[str, ...]) -> LabelStore:
    return LabelStore.build([labels_of_layout(_coloured_layout(split, index, seed, pairs)) for index in range(count)])
