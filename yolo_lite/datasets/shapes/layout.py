"""What stands in a drawn scene, and where: everything that chance decides, in fractions of the scene's side.

A scene is drawn in two halves, like every augmentation of this library: `draw_layout` throws the dice and knows the
labels, `drawing.paint` makes pixels of it at any size. Only the silhouette shows the class: the box, the colours
and the texture of an object are drawn alike for all classes, and the silhouette is fitted into the box.

Coordinates: x to the right, y down, 0 to 1 over the scene.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from yolo_lite.datasets.shapes.canvas import Canvas, Placed
from yolo_lite.datasets.shapes.outlines import KINDS, Contours, fitted_outline
from yolo_lite.datasets.shapes.palettes import Palette, colour_distance, mix, palettes

# Shares of the scenes that have 1, 2, ... 12 objects.
COUNT_FRACTIONS = (0.06, 0.11, 0.16, 0.19, 0.16, 0.11, 0.07, 0.05, 0.04, 0.02, 0.02, 0.01)
SMALLEST, LARGEST = 0.08, 0.5  # square root of a box's area, log-uniform in between
MOST_FILLED = 0.6  # of the scene, by boxes
CUT_FRACTION = 0.3  # of the objects may stick out of the scene
MAX_TURN = 25.0  # degrees: further round, a square stands on its corner and a triangle looks like a heart
LEAST_CONTRAST = 30.0  # Delta E of an object's colours to every colour of the background
LEAST_OVERLAP_CONTRAST = 25.0  # Delta E to the objects that it lies on, where the palette allows
TRIES = 24  # places tried before an object is left out

FILLS = ("flat", "gradient", "stripes", "dots", "checks", "rings")
PATTERNS = ("plain", "stripes", "dots", "checks", "waves", "blobs")
FINISHES = ("plain", "shadow", "outline", "print")  # print: a hard shadow, as if from a second plate


class Fill(NamedTuple):
    """How an object is coloured."""

    ink: np.ndarray  # (3,) float32 RGB, 0 to 255
    tone: np.ndarray  # (3,) the second colour: a lighter or darker ink
    texture: str  # one of FILLS
    angle: float  # of the texture, degrees
    pitch: float  # of the texture, in fractions of the object's side


class PlacedShape(NamedTuple):
    """One object of a scene."""

    cls: int
    contours: Contours  # the whole object: its outline, and its hole if it has one
    fill: Fill
    polygon: np.ndarray  # (k, 2) outline of what can be seen of it; a hole hangs on a seam of no width
    hidden: float  # fraction of its area within the scene that other objects cover
    cut: float  # fraction of its area that lies outside the scene


class Background(NamedTuple):
    """What lies behind the objects."""

    colours: np.ndarray  # (4, 3) float32 RGB: two papers, the pattern's ink, the strokes' ink
    fractions: np.ndarray  # (4, 4) float32: how much of the second paper; a coarse picture, enlarged smoothly
    pattern: str  # one of PATTERNS
    angle: float  # of the pattern, degrees
    pitch: float  # of the pattern, in fractions of the scene's side
    strokes: tuple[np.ndarray, ...]  # each (k, 2): curves that are not an object
    stroke_width: float
    seed: int  # of the paper's grain and of the blobs


class Layout(NamedTuple):
    """One scene. A shape lies on top of those before it."""

    shapes: tuple[PlacedShape, ...]
    background: Background
    finish: str  # one of FINISHES
    shadow: np.ndarray  # (2,) how far a shadow falls


def draw_layout(
    generator: np.random.Generator,
    choices: Sequence[Palette] | None = None,
    inks_of: Mapping[int, np.ndarray] | None = None,
) -> Layout:
    """All that chance decides about a scene.

    Args:
        choices: the palettes; by default all of them.
        inks_of: (k, 2, 3) for each class, its colours with their second tones; by default those of the palette, which
            are the same for all classes.

    >>> layout = draw_layout(np.random.default_rng(0))
    >>> len(layout.shapes) == len([shape.polygon for shape in layout.shapes])
    True
    """
    choices = palettes() if choices is None else choices
    palette = _jittered(choices[int(generator.integers(len(choices)))], generator)
    background = _draw_background(palette, generator)
    inks = _readable_inks(palette, background)  # (k, 2, 3)
    canvas = Canvas()
    placed: list[tuple[int, Contours, Fill]] = []
    for width, height in _draw_boxes(generator):
        cls = int(generator.integers(len(KINDS)))
        turn, mirrored = generator.uniform(-MAX_TURN, MAX_TURN), generator.random() < 0.5
        found = _find_place(canvas, fitted_outline(cls, turn, mirrored), (width, height), generator)
        if found is not None:
            below = [placed[index][2].ink for index in found.covered]
            own = inks if inks_of is None else inks_of[cls]
            placed.append((cls, found.contours, _draw_fill(own, below, generator)))
    shapes = tuple(PlacedShape(*shape, *canvas.visible(index)) for index, shape in enumerate(placed))
    finish = FINISHES[generator.integers(len(FINISHES))]
    direction = generator.uniform(0.15, 0.85) * math.pi  # always downwards
    return Layout(shapes, background, finish, 0.012 * np.array([math.cos(direction), math.sin(direction)]))


def _jittered(palette: Palette, generator: np.random.Generator) -> Palette:
    """The palette, each ink of it a little off, as no two printings are the same."""
    shifts = generator.uniform(-10, 10, palette.inks.shape)
    return palette._replace(inks=np.clip(palette.inks + shifts, 0, 255).astype(np.float32))


def _draw_background(palette: Palette, generator: np.random.Generator) -> Background:
    paper = palette.papers[0]
    first, second = palette.inks[generator.permutation(len(palette.inks))[:2]]
    pattern_ink = mix(paper, first, generator.uniform(0.07, 0.17))
    stroke_ink = mix(paper, second, generator.uniform(0.15, 0.28))
    return Background(
        colours=np.stack([*palette.papers, pattern_ink, stroke_ink]).astype(np.float32),
        fractions=generator.random((4, 4), np.float32),
        pattern=PATTERNS[generator.integers(len(PATTERNS))],
        angle=generator.uniform(0, 180),
        pitch=math.exp(generator.uniform(math.log(0.04), math.log(0.16))),
        strokes=tuple(_draw_stroke(generator) for _ in range(generator.integers(5))),
        stroke_width=generator.uniform(0.006, 0.022),
        seed=int(generator.integers(2**31)),
    )


def _draw_stroke(generator: np.random.Generator) -> np.ndarray:
    """A curve like a loose brush stroke: a walk whose heading bends steadily and sways."""
    points, length = 24, generator.uniform(0.15, 0.7)
    along = np.linspace(0, 1, points)
    sway = generator.uniform(0, 1.2) * np.sin(2 * math.pi * (generator.uniform(0.5, 2) * along + generator.random()))
    heading = generator.uniform(0, 2 * math.pi) + generator.uniform(-2, 2) * along + sway
    steps = np.stack([np.cos(heading), np.sin(heading)], axis=1) * length / points
    return generator.random(2) + np.cumsum(steps, axis=0)


def _readable_inks(palette: Palette, background: Background) -> np.ndarray:
    """Pairs of a colour and its second tone that both stand out from everything behind them, (k, 2, 3)."""
    tones = [mix(palette.inks, np.float32(pole), fraction) for pole, fraction in ((255, 0.32), (0, 0.28))]
    pairs = np.concatenate([np.stack([palette.inks, tone], axis=1) for tone in tones])  # (12, 2, 3)
    distance = colour_distance(pairs.reshape(-1, 3), background.colours).min(axis=1).reshape(-1, 2)
    readable: np.ndarray = pairs[(distance >= LEAST_CONTRAST).all(axis=1)]
    return readable


def _draw_boxes(generator: np.random.Generator) -> list[tuple[float, float]]:
    """Widths and heights, the largest first: as in a picture book, small things stand in front."""
    count = 1 + int(np.searchsorted(np.cumsum(COUNT_FRACTIONS), generator.random()))
    side = np.exp(generator.uniform(math.log(SMALLEST), math.log(LARGEST), count))
    aspect = np.exp2(generator.uniform(-0.5, 0.5, (2, count)).sum(axis=0))  # 1:2 to 2:1, most often near 1
    side = side[np.cumsum(side**2) <= MOST_FILLED]
    order = np.argsort(-side)
    return [(float(side[i] * aspect[i] ** 0.5), float(side[i] / aspect[i] ** 0.5)) for i in order]


def _find_place(
    canvas: Canvas, outline: Contours, box: tuple[float, float], generator: np.random.Generator
) -> Placed | None:
    """Lays the outline where all objects stay recognisable; None where a few tries find no such place."""
    scale = np.array(box)
    margin = scale * 0.1 if generator.random() < CUT_FRACTION else scale / 2
    for _ in range(TRIES):
        centre = margin + generator.random(2) * (1 - 2 * margin)
        place = canvas.place(tuple(contour * scale + centre for contour in outline))
        if place is not None:
            return place
    return None


def _draw_fill(inks: np.ndarray, below: list[np.ndarray], generator: np.random.Generator) -> Fill:
    inks = generator.permutation(inks)
    chosen = 0
    if below:  # the first that stands out from what lies below, or else the one that does so best
        distance = colour_distance(inks[:, 0], np.array(below)).min(axis=1)
        chosen = np.minimum(distance, LEAST_OVERLAP_CONTRAST).argmax()
    ink, tone = inks[chosen]
    texture = FILLS[generator.integers(len(FILLS))]
    return Fill(ink, tone, texture, generator.uniform(0, 180), generator.uniform(0.14, 0.3))
