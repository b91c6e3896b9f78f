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
DASHES = ("solid", "dashed", "dotted", "dashdot")
MARKERS = ("o", "s", "^", "D", "v", "X")


@dataclass(frozen=True)
class Theme:
    """What a picture needs to know about the page it stands on."""

    background: str | None  # None: transparent, the page shows through
    text: str
    muted: str
    rule: str  # axes, table rules, frames
    series: tuple[str, ...] = SERIES


THEMES = {
    # A notebook does not tell a picture its theme: middle tones, with a contrast of 4 on white and on black alike.
    "any": Theme(None, "#7B7B7B", "#858585", "#8A8A8A66", ("#2A85C7", "#DB6413", "#0F9B74", "#C571A0", "#B98200")),
    "light": Theme("#FFFFFF", "#1F2328", "#59636E", "#D1D9E0"),
    "dark": Theme("#111111", "#E6E6E6", "#A0A0A0", "#454545", ("#56A5E6", "#F2803A", "#2BC79A", "#E39AC4", "#F0B429")),
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


def readable_on(background: str) -> str:
    """Black or white, whichever stands out more on a colour (relative luminance, WCAG 2.1).

    >>> readable_on("#F0E442"), readable_on("#0072B2")
    ('#000000', '#FFFFFF')
    """
    channels = [int(background[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#FFFFFF"
