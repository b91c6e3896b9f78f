"""Explorers whose long computations are all seen in what is folded: they begin when a reader unfolds it."""

from dataclasses import replace
from functools import partial
from typing import ClassVar

from walkthrough.explorers.adjusting import ResultT, StateT
from walkthrough.explorers.base import Explorer
from walkthrough.scene import PanelRows, Scene


class Unfolding(Explorer[StateT, ResultT]):
    """An explorer whose ``finish`` adds what only some titles of ``Scene.more`` show.

    On the live page ``finish`` is called while one of them is open: a change of settings costs no more than what is
    seen of it. ``w.result`` and still pictures are whole, as always. In the scene of a result that is not finished,
    panels under such a title are marked as late.

    Attributes:
        unfolded: the titles that show what finish adds.
    """

    unfolded: ClassVar[tuple[str, ...]] = ()

    def page_scene(self) -> Scene:
        """The picture; what finish adds is computed when its title is open."""
        if self.computed is None:
            return Scene(())
        quick = self.scene(self.computed)
        more = (replace(m, rows=partial(self._rows, m.title)) if m.title in self.unfolded else m for m in quick.more)
        return replace(quick, more=tuple(more))

    def page_draft(self) -> Scene | None:
        """What can be shown at once, where an open title waits for more; None where nothing is late."""
        opened = self._live.opened if self._live is not None else ()
        return super().page_draft() if set(self.unfolded) & set(opened) else None

    def _rows(self, title: str) -> PanelRows:
        """The rows under a title, of the finished result."""
        return next(more for more in self.scene(self.result).more if more.title == title).unfolded()
