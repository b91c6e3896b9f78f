"""Colours by meaning, dashes beside them, and the themes a picture may be drawn for.

The palette is Okabe and Ito's (2008), which people with any common colour blindness can tell apart. Colour is
never the only sign: what differs in colour differs in dash, hatch, marker or label too.
"""

from dataclasses import dataclass

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

MEANING = {
    "object": "#FFFFFF",  # what a person labelled
    "prediction": VERMILLION,  # what the model predicts
    "own": SKY,  # the cell that holds an object's centre
    "neighbour": ORANGE,  # a cell beside it that is responsible too
    "anchor": YELLOW,
    "grid": "#FFFFFF",
    "accent": PURPLE,
}
CLASSES = (ORANGE, SKY, GREEN, PURPLE, YELLOW, VERMILLION, BLUE)  # boxes on photographs
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE)  # lines and bars on paper: no yellow
MIDDLE = ("#2A85C7", "#DB6413", "#0F9B74", "#C571A0", "#B98200")  # 3:1 and more on white and on dark grounds
BRIGHT = ("#56A5E6", "#F2803A", "#2BC79A", "#E39AC4", "#F0B429")  # on dark grounds
DASHES = ("solid", "dashed", "dotted", "dashdot")
MARKERS = ("o", "s", "^", "D", "v", "X")


@dataclass(frozen=True)
class Theme:
    """What a picture needs to know about the page it stands on."""

    background: str
    text: str
    muted: str
    rule: str  # table rules and grids, which divide and say nothing
    edge: str  # borders of controls, tracks of sliders: at least 3:1 on the background
    series: tuple[str, ...] = SERIES


THEMES = {
    # No picture knows the theme of its notebook, and no colour has 4.5:1 on white and on JupyterLab's dark ground
    # alike: so a still picture brings a ground of its own.
    "any": Theme("#FFFFFF", "#1F2328", "#59636E", "#D1D9E0", "#848D97", MIDDLE),
    "light": Theme("#FFFFFF", "#1F2328", "#59636E", "#D1D9E0", "#848D97"),
    "dark": Theme("#111111", "#E6E6E6", "#A0A0A0", "#454545", "#757575", BRIGHT),
}


def theme(name: str) -> Theme:
    """The theme of a name: "any", "light" or "dark".

    >>> theme("dark").background
    '#111111'
    """
    if name not in THEMES:
        raise ValueError(f"{name!r} is not a theme; choose one of {', '.join(THEMES)}")
    return THEMES[name]


def colour(value: str | int) -> str:
    """A meaning ("own"), a class index (3) or a colour ("#D55E00") -> "#RRGGBB".

    >>> colour("own"), colour(0), colour("#123456")
    ('#56B4E9', '#E69F00', '#123456')
    """
    if isinstance(value, int):
        return CLASSES[value % len(CLASSES)]
    if value.startswith("#") and len(value) in (7, 9):
        return value
    if value not in MEANING:
        raise ValueError(f"{value!r} is not a colour; use '#RRGGBB', a class index, or one of {', '.join(MEANING)}")
    return MEANING[value]


def faint(value: str | int) -> str:
    """The colour of what lies behind something chosen: it lets the picture through, and lines in it have no rim.

    >>> faint(0)
    '#E69F0070'
    """
    return colour(value)[:7] + "70"


def readable_on(background: str) -> str:
    """Black or white, whichever stands out more on a colour.

    >>> readable_on("#F0E442"), readable_on("#0072B2")
    ('#000000', '#FFFFFF')
    """
    return "#000000" if _luminance(background) > 0.179 else "#FFFFFF"


def contrast(one: str, other: str) -> float:
    """How much two colours "#RRGGBB" stand out from each other: 1 to 21 (contrast ratio, WCAG 2.2).

    WCAG asks for 4.5 of words on their ground, and for 3 of the borders of controls.

    >>> contrast("#FFFFFF", "#000000"), round(contrast("#767676", "#FFFFFF"), 2)
    (21.0, 4.54)
    """
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
