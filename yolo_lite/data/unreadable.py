"""Images that turn out to be damaged, or are gone, when they are read: the header was good, the body is not.

Which image takes the place of one that cannot be read depends on the files alone, not on who reads them or when: the
next index that can be read. So a sample stays a function of (seed, epoch, index), for any number of workers.
"""

import errno
from collections.abc import Sequence

from yolo_lite.data.report import DatasetError, Problem, Report
from yolo_lite.data.samples import Load, Loaded
from yolo_lite.images.reading import ImageError

READ_ERRORS = (ImageError, OSError)
OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # too many open files, no memory: no file is to blame
LEFT_OUT = "images left out"


class Reader:
    """Loads the images of one sample: in place of one that cannot be read, the next that can."""

    def __init__(self, load: Load, paths: Sequence[str], replace_first: bool = True, strict: bool = False) -> None:
        """
        Args:
            load: reads an image of the dataset. paths: of all images.
            replace_first: whether the sample's own image may be replaced too; its partners in a mosaic always may.
            strict: replace none.
        """
        self._load, self._paths, self._replace_first, self._strict = load, paths, replace_first, strict
        self.indices: list[int] = []  # of the images that were read, in the order that they were asked for
        self.problems: list[Problem] = []  # what could not be read

    def __call__(self, index: int) -> Loaded:
        """An image, and its objects.

        Raises:
            ImageError, OSError: it cannot be read and is not to be replaced. DatasetError: not one can be read.
        """
        problems: list[Problem] = []
        for place in range(index, index + len(self._paths)):
            place %= len(self._paths)
            try:
                loaded = self._load(place)
            except READ_ERRORS as error:
                if self._strict or not (self.indices or self._replace_first) or is_of_the_machine(error):
                    raise
                problems.append(describe(self._paths[place], error))
            else:
                for problem in problems:
                    message = f"{problem.message}, {self._paths[place]} takes its place"
                    self.problems.append(problem._replace(message=message))
                self.indices.append(place)
                return loaded
        raise DatasetError(
            f"not one of {len(self._paths)} images can be read any more: {problems[0]}",
            Report(problems=tuple(problems)),
        )


def describe(path: str, error: Exception) -> Problem:
    """The Problem of an image that cannot be read."""
    reason = (isinstance(error, OSError) and error.strerror) or str(error).removeprefix(f"{path}: ")
    return Problem(path, None, f"{reason}; image left out", LEFT_OUT)


def is_of_the_machine(error: Exception) -> bool:
    """Whether an error says nothing about the file that was read."""
    return isinstance(error, OSError) and error.errno in OF_THE_MACHINE
