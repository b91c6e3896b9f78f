"""Rules as tables: for each output cell along an axis, the first and the last input cell that it reads."""

import numpy as np

from walkthrough.layers.fields import FAR, REPEATED, Interval, Rule, whole

MOST_ALIKE = 0.6  # the part of the middle cells that must repeat a pattern


class Table:
    """A rule that was measured, or that differs from cell to cell: of m cells, first and last (m,) that each reads.

    A cell that reads nothing has FAR and -FAR. ``endless`` goes on beyond the borders as it goes in the middle.
    """

    def __init__(self, first: np.ndarray, last: np.ndarray) -> None:
        self.first, self.last = first.astype(np.int64), last.astype(np.int64)
        self._start, self._period, self._step = self._pattern()

    def __call__(self, first: np.ndarray, last: np.ndarray) -> Interval:
        end = len(self.first) - 1
        low, high = np.empty_like(first), np.empty_like(last)
        for k, (a, b) in enumerate(zip(first.clip(0, end).tolist(), last.clip(0, end).tolist(), strict=True)):
            b = max(a, b)  # an empty interval stays one, whatever stands here
            low[k], high[k] = self.first[a : b + 1].min(), self.last[a : b + 1].max()
        return low, high

    def endless(self, first: np.ndarray, last: np.ndarray) -> Interval:
        """As in an endless image, where there are no borders."""
        middle = len(self.first) // 2
        if self.first[middle] > self.last[middle]:  # only cells at a border read this
            return np.full_like(first, FAR), np.full_like(last, -FAR)
        if self._grows:
            return whole(first, last)
        return self._beyond(self.first, first), self._beyond(self.last, last)

    def _beyond(self, table: np.ndarray, cells: np.ndarray) -> np.ndarray:
        times = (cells - self._start) // self._period
        return table[cells - times * self._period] + times * self._step

    @property
    def _middle(self) -> np.ndarray:
        count = len(self.first)
        return np.arange(count // 4, max(count - count // 4, count // 4 + 1))

    @property
    def _grows(self) -> bool:
        """Whether each cell reads more than the one before, or less, as in a cumulative sum."""
        read = (self.last - self.first)[self._middle]
        read = read[read >= 0]
        return bool(len(read)) and read.max() - read.min() > len(self.first) // 4

    def _pattern(self) -> tuple[int, int, int]:
        """The cells that repeat: the first of them, how many, and by how many input cells they move each time.

        Where a map is rolled some are out of order, so that not all need to fit: the period that most do fit.
        """
        count, best, read = len(self.first), (0.0, 0, 1, 0), self.first <= self.last
        for period in range(1, count // 4 + 1):
            cells = self._middle[self._middle + period < count]
            cells = cells[read[cells] & read[cells + period]]
            if not len(cells):
                continue
            moves = self.first[cells + period] - self.first[cells]
            both = moves == self.last[cells + period] - self.last[cells]
            steps, counts = np.unique(moves[both], return_counts=True)
            for step, fitting in zip(steps.tolist(), counts.tolist(), strict=True):
                good = both & (moves == step)
                starts = [k for k in np.flatnonzero(good) if len(good) >= k + period and good[k : k + period].all()]
                starts = [k for k in starts if cells[k + period - 1] == cells[k] + period - 1]
                alike = fitting / len(cells)
                if alike > best[0] and starts and (step or alike == 1):
                    best = (alike, int(cells[starts[0]]), period, step)
        if best[0] >= MOST_ALIKE:
            return best[1:]
        start, period = int(self._middle[0]), max(count // 2, 1)
        end = min(start + period, count - 1)
        return start, period, int(self.first[end] - self.first[start])


def tabulated(first: np.ndarray, last: np.ndarray, cells_in: int) -> Rule:
    """A rule from a table; every cell of a map of one, or all of them, are simpler ones."""
    if cells_in == 1 and not first.any():
        return REPEATED
    if cells_in > 1 and len(first) and (first <= 0).all() and (last >= cells_in - 1).all():
        return whole
    return Table(first, last)


def reflected(cells_in: int, before: int, after: int) -> Rule:
    """Of padding by reflection, which does not repeat the border."""
    place = np.abs(np.arange(-before, cells_in + after))
    place = np.where(place >= cells_in, 2 * (cells_in - 1) - place, place)
    return Table(place, place)


def repeated(cells_in: int, before: int, after: int) -> Rule:
    """Of padding that repeats the border."""
    place = np.arange(-before, cells_in + after).clip(0, cells_in - 1)
    return Table(place, place)


def reversed_in(cells: int) -> Rule:
    """Of an axis that runs the other way."""
    place = np.arange(cells)[::-1]
    return Table(place, place)


def wrapped(cells_in: int, before: int, after: int) -> Rule:
    """Of circular padding: what comes in from the other side."""
    place = np.arange(-before, cells_in + after) % cells_in
    return Table(place, place)


def found_in(changed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(cells out, cells in) bool -> the first and the last cell that each output cell reads."""
    reads = changed.any(1)
    first, last = changed.argmax(1), changed.shape[1] - 1 - changed[:, ::-1].argmax(1)
    return np.where(reads, first, FAR), np.where(reads, last, -FAR)
