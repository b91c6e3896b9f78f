"""Explorers whose settings move together."""

from collections.abc import Callable
from typing import Any

from walkthrough.explorers.adjusting import differs
from walkthrough.explorers.base import Explorer
from walkthrough.explorers.controls import controls_of


def link(*explorers: Explorer[Any, Any], names: tuple[str, ...] = ()) -> Callable[[], None]:
    """Settings of the same name move together in all explorers; returns what ends it.

    Args:
        names: only these, pictures and objects too if asked for; without names, all but an explorer's own pictures.

    >>> from walkthrough import AnchorExplorer, LossExplorer              # doctest: +SKIP
    >>> unlink = link(anchors := AnchorExplorer(), losses := LossExplorer())  # doctest: +SKIP
    """
    ends = [explorer.watch(_passing_on(explorer, explorers, names)) for explorer in explorers]

    def unlink() -> None:
        for end in ends:
            end()

    return unlink


def _passing_on(
    source: Explorer[Any, Any], explorers: tuple[Explorer[Any, Any], ...], names: tuple[str, ...]
) -> Callable[[dict[str, Any]], None]:
    def pass_on(changed: dict[str, Any]) -> None:
        for other in explorers:
            shared = {
                name: value
                for name, value in changed.items()
                if other is not source
                and name in controls_of(other.State)
                and (name in names or (not names and controls_of(other.State)[name].linked))
                and differs(source.state, other.state, name)
            }
            if shared:
                other.set(**shared)

    return pass_on
