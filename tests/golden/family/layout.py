"""Which arrays a recording holds: those that a check needs, and those that it compares."""

from collections.abc import Iterable
from dataclasses import dataclass


class Missing(Exception):
    """Raised where a recording lacks what its check needs; says what."""

    def __init__(self, what: str) -> None:
        super().__init__(f"missing: {what}")


@dataclass(frozen=True)
class Layout:
    """The keys of one recording. Each of them has to be there, and no others."""

    inputs: frozenset[str]  # what was put in, or says how
    outputs: frozenset[str]  # each of them has to be compared

    def __or__(self, other: "Layout") -> "Layout":
        return Layout(self.inputs | other.inputs, self.outputs | other.outputs)

    def missing(self, recorded: Iterable[str]) -> list[str]:
        return sorted((self.inputs | self.outputs) - set(recorded))

    def unknown(self, recorded: Iterable[str]) -> list[str]:
        return sorted(set(recorded) - self.inputs - self.outputs)


def layout_of(inputs: str, outputs: str, part: str = "") -> Layout:
    """Keys from names with spaces between; with ``part``, those of that part of the file.

    >>> sorted(layout_of("a b", "iou", "box_iou").inputs)
    ['box_iou/a', 'box_iou/b']
    """
    before = f"{part}/" if part else ""
    return Layout(*(frozenset(before + name for name in names.split()) for names in (inputs, outputs)))


def optional(recorded: Iterable[str], layout: Layout, required: bool = False) -> Layout:
    """All of the layout where any array of it is recorded, or ``required``; else nothing."""
    return layout if required or (layout.inputs | layout.outputs) & set(recorded) else layout_of("", "")
