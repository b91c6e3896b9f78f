"""The colours of the drawn scenes: papers, and the inks that stand out on them.

Colour distance is Delta E (CIE 1976), the Euclidean distance in CIE L*a*b*: 2 is just visible, 100 black to white.
"""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

# Two tones of paper, then the inks, as hexadecimal RGB.
_PALETTES = (
    "F6EBD9 F0DFC3  E4572E 17577E 2E7F6B E9A820 3B2C3F D6557F",  # cream
    "DCEBF2 C9DFEA  F25F5C 1D6A94 50514F F2A93B 2F6F4F 8E4A8B",  # pale blue
    "F9E1DC F4CFC6  B5243B 1D4E5F E98A15 5C3D7A 2D8C7F 34324A",  # blush
    "E3EBD6 D3DFC0  C8553D 2B4C3F 8C3B6B D99A12 1F6E8C 43302B",  # sage
    "E8E2F2 D8CFEA  5B3FA0 E0527E 0F7C87 EF8A2C 2C2A4A 3E8E41",  # lavender
    "F3D27A EDC35A  1F3A5F C0392B 1B7A6E 6B2D5C 2B2B2B FFFBF2",  # mustard
    "E9E7E2 DAD7CF  D1495B 00798C EDAE49 30638E 2E4057 3F7F5F",  # stone
    "1B2845 22345A  F4D35E EE964B F95738 EBEBD3 7BC8E0 E58FB1",  # night
    "3A2440 4A2E52  F7C59F FF6B6B 9AD1D4 EFEFD0 F2B134 8FD694",  # aubergine
    "1F3B33 2A4E42  F2E8CF F4A259 E56B6F A7C957 8ECAE6 FFD166",  # forest
    "2B2D33 383B43  FFB703 FB8500 8ECAE6 F1FAEE E63980 7AD39B",  # charcoal
    "0F5257 176A70  FFF1D0 F6AE2D F26419 F7B2C4 D9F0A3 D5F2F0",  # teal
    "B8553A A84A31  FFF3E0 F7C873 1E2D3A 9FD8CB 2A1A3A F9D5DC",  # terracotta
    "5F9FC4 5795BA  FFFDF5 1D2F4F D7263D F5E663 5B2A86 0B6E4F",  # sky
)


class Palette(NamedTuple):
    """Colours that go together."""

    papers: np.ndarray  # (2, 3) float32 RGB, 0 to 255
    inks: np.ndarray  # (6, 3) float32 RGB


@cache
def palettes() -> tuple[Palette, ...]:
    """All of them.

    >>> len(palettes())
    14
    """
    return tuple(_parse(line) for line in _PALETTES)


def colour_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Delta E of every colour of (n, 3) with every colour of (m, 3), RGB 0 to 255 -> (n, m).

    >>> black, white = np.zeros((1, 3)), np.full((1, 3), 255.0)
    >>> round(float(colour_distance(black, white)[0, 0]))
    100
    """
    distance: np.ndarray = np.linalg.norm(_lab(first)[:, None] - _lab(second)[None], axis=-1)
    return distance


def mix(first: np.ndarray, second: np.ndarray | np.float32, fraction: float) -> np.ndarray:
    """`fraction` of the second colour in the first."""
    mixed: np.ndarray = first + (second - first) * fraction
    return mixed


def _parse(line: str) -> Palette:
    colours = np.array([tuple(bytes.fromhex(code)) for code in line.split()], np.float32)  # (8, 3)
    return Palette(papers=colours[:2], inks=colours[2:])


def _lab(colours: np.ndarray) -> np.ndarray:
    scaled = np.asarray(colours, np.float32)[None] / 255  # (1, n, 3): cv2 needs an image
    lab: np.ndarray = cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB)[0]
    return lab
