"""Undo and redo: the states that an explorer was in."""

from typing import Generic, TypeVar

StateT = TypeVar("StateT")
MOST = 30  # states that are remembered: each may hold the maps of a picture


class History(Generic[StateT]):
    """States before and after the present one.

    >>> history = History[int]()
    >>> history.keep(1); history.keep(2)
    >>> history.back(3), history.back(2), history.back(1)
    (2, 1, None)
    >>> history.forward(1)
    2
    """

    def __init__(self) -> None:
        self._past: list[StateT] = []
        self._future: list[StateT] = []
        self._gesture = ""

    def keep(self, state: StateT, gesture: str = "") -> None:
        """Remember a state that is left. Of one gesture of the reader, such as a drag, only the first is kept."""
        if not gesture or gesture != self._gesture:
            self._past.append(state)
            del self._past[:-MOST]
        self._future.clear()
        self._gesture = gesture

    def back(self, now: StateT) -> StateT | None:
        """The state before; None where there is none."""
        return self._step(self._past, self._future, now)

    def forward(self, now: StateT) -> StateT | None:
        """The state that was left by going back; None where there is none."""
        return self._step(self._future, self._past, now)

    @property
    def has_past(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._past)

    @property
    def has_future(self) -> bool:
        """Whether there is something to redo."""
        return bool(self._future)

    def _step(self, source: list[StateT], target: list[StateT], now: StateT) -> StateT | None:
        self._gesture = ""
        if not source:
            return None
        target.append(now)
        return source.pop()
