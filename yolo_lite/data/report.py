"""What was found wrong in a dataset, and where. YOLOv5: what `verify_image_label` counts as `nm, nf, ne, nc`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

UNLABELLED = "images without a label file"
READ_ELSEWHERE = "images of another folder"
SHOWN_PER_KIND = 20  # str(report) lists this many problems of one kind, then counts the rest


class Problem(NamedTuple):
    """One thing that was found, and what became of it.

    >>> print(Problem("labels/a.txt", 3, "class 7, but there are 3 classes (0 to 2); row left out"))
    labels/a.txt:3: class 7, but there are 3 classes (0 to 2); row left out
    """

    path: str
    line: int | None  # 1 for the first line; None where the file as a whole is meant
    message: str
    kind: str = "rows left out"  # problems of one kind are listed together under this heading
    note: bool = False  # True: worth knowing, but nothing was left out

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.message}"


@dataclass(frozen=True)
class Report:
    """All problems of a dataset, and how much of it is usable.

    ``bool(report)`` is True where something was left out; notes (a background image, a duplicate row) do not count.
    ``report.summary`` says all of it in one line.

    >>> report = Report.of([2, 0], [Problem("a.txt", 1, "the same as line 3", "duplicate rows", note=True)])
    >>> print(report)
    2 images (1 with objects, 1 background), 2 objects
    duplicate rows: 1
      a.txt:1: the same as line 3
    >>> bool(report)
    False
    """

    images: int = 0
    labelled: int = 0  # images with at least one object
    objects: int = 0
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, objects_per_image: Iterable[int] | np.ndarray, problems: Iterable[Problem] = ()) -> "Report":
        """From the number of objects in each image (n,), ``LabelStore.objects_per_image`` for example."""
        counts = np.asarray(list(objects_per_image), dtype=np.int64)
        return cls(len(counts), int((counts > 0).sum()), int(counts.sum()), tuple(problems))

    @property
    def background(self) -> int:
        """Images without objects."""
        return self.images - self.labelled

    @property
    def counts(self) -> dict[str, int]:
        """images, labelled, background, objects, and one entry for each kind of problem found."""
        return {
            "images": self.images,
            "labelled": self.labelled,
            "background": self.background,
            "objects": self.objects,
        } | {kind: len(problems) for kind, problems in self.by_kind().items()}

    @property
    def unlabelled(self) -> int:
        """Images without a label file: background, unless the labels lie elsewhere."""
        return sum(problem.kind == UNLABELLED for problem in self.problems)

    @property
    def is_doubtful(self) -> bool:
        """Whether something was left out, most images have no label file, or another folder is read: a warning."""
        elsewhere = any(problem.kind == READ_ELSEWHERE for problem in self.problems)
        return bool(self) or elsewhere or 2 * self.unlabelled > self.images

    @property
    def summary(self) -> str:
        """One line: how much is usable, what was left out of it or noted, and the first of that.

        >>> Report.of([1], [Problem("a.txt", 3, "class 7, but there are 3 classes (0 to 2); row left out")]).summary
        '1 image (1 with objects, 0 background), 1 object; rows left out: 1; a.txt:3: class 7, but there are 3 classes \
(0 to 2); row left out'
        """
        groups = self.by_kind()
        kinds = [", ".join(f"{kind}: {len(problems)}" for kind, problems in groups.items())] if groups else []
        first = [str(problem).replace("\n", " ") for problems in groups.values() for problem in problems[:1]]
        return "; ".join([self._usable(), *kinds, *first[:1]])

    def by_kind(self) -> dict[str, list[Problem]]:
        """The problems under their headings: what was left out first, then the notes."""
        groups: dict[str, list[Problem]] = {}
        for problem in sorted(self.problems, key=lambda problem: problem.note):
            groups.setdefault(problem.kind, []).append(problem)
        return groups

    def __bool__(self) -> bool:
        return any(not problem.note for problem in self.problems)

    def __str__(self) -> str:
        lines = [self._usable()]
        for kind, problems in self.by_kind().items():
            lines.append(f"{kind}: {len(problems)}")
            lines += [f"  {problem}" for problem in problems[:SHOWN_PER_KIND]]
            if len(problems) > SHOWN_PER_KIND:
                lines.append(f"  ... and {len(problems) - SHOWN_PER_KIND} more (all of them: report.problems)")
        return "\n".join(lines)

    def _usable(self) -> str:
        images = f"{_counted(self.images, 'image')} ({self.labelled} with objects, {self.background} background)"
        return f"{images}, {_counted(self.objects, 'object')}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class DatasetWarning(UserWarning):
    """Something was left out of a dataset, or most of it has no labels."""


class DatasetError(ValueError):
    """A dataset that cannot be used as it is; ``report`` says why, where there is one."""

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report

    def __reduce__(self) -> tuple[type["DatasetError"], tuple[str, Report | None]]:
        return DatasetError, (str(self), self.report)  # so that it comes whole out of a worker process
