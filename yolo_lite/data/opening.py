"""What a YoloDataset does with its arguments: its source opened, its classes named and chosen, its options checked."""

import operator
import warnings
from collections.abc import Sequence
from pathlib import Path

from yolo_lite.data.report import DatasetError, DatasetWarning, Report
from yolo_lite.data.source import ImageSource, open_source
from yolo_lite.support.arguments import require_listed, require_whole

SOURCE_MEMBERS = ("names", "paths", "sizes", "labels", "report", "read", "__len__")  # of the protocol ImageSource


def opened(
    source: str | Path | Sequence[str | Path] | ImageSource,
    split: str,
    names: Sequence[str] | None,
    progress: bool,
    draw_size: int,
    channels: int | None = None,
) -> ImageSource:
    """A source as it is, or opened; see open_source.

    Raises:
        TypeError: neither, with what it lacks.
    """
    if isinstance(source, ImageSource):
        return source
    if isinstance(source, str | Path | Sequence):
        return open_source(source, split, names, progress, draw_size, channels)
    lacking = [name for name in SOURCE_MEMBERS if not hasattr(source, name)]
    raise TypeError(f"{type(source).__name__} cannot be a source of images: it lacks {', '.join(lacking)}")


def class_numbers(names: Sequence[str], classes: Sequence[str | int]) -> list[int]:
    """The numbers of classes that are given by name or number.

    Raises:
        ValueError: one that is not there, or is given twice; none at all.

    >>> class_numbers(["cat", "dog", "owl"], ["owl", 0])
    [2, 0]
    """
    require_listed("names or numbers", classes=classes)
    numbers = []
    for given in classes:
        known = list(names).count(given) if isinstance(given, str) else 0 <= operator.index(given) < len(names)
        if not known:
            listed = ", ".join(f"{number} {name}" for number, name in enumerate(names[:20]))
            raise ValueError(f"class {given!r} is not one of the dataset: {listed}{' ...' * (len(names) > 20)}")
        numbers.append(names.index(given) if isinstance(given, str) else operator.index(given))
    twice = [number for number in numbers if numbers.count(number) > 1]
    if twice or not numbers:
        what = f"class {twice[0]} ({names[twice[0]]}) is given twice" if twice else "no class is given"
        raise ValueError(f"classes: {what}; give each class to keep once")
    return numbers


def named_classes(found: Sequence[str], given: Sequence[str] | None, single_cls: bool) -> tuple[str, ...]:
    """The names given for the classes that were found, in their place."""
    expected = 1 if single_cls else len(found)
    if given is not None and len(given) != expected:
        raise ValueError(f"{len(given)} names given for {expected} classes ({', '.join(found[:20])})")
    return tuple(given or (("object",) if single_cls else found))


def complain(report: Report, strict: bool) -> None:
    """Says what was left out of a dataset: as an error where it is strict, else as a warning."""
    if strict and report:
        raise DatasetError(str(report), report)
    warnings.warn(f"{report.summary}; print(dataset.report) shows all", DatasetWarning, stacklevel=3)


def require_options(
    img_size: int, stride: int, seed: int, batch_size: int, cache: str | None, channels: int | None = None
) -> None:
    """Raises ValueError with what would be right."""
    require_whole(img_size=img_size)
    require_whole(1, stride=stride, batch_size=batch_size)
    require_whole(0, seed=seed)
    if channels is not None:
        require_whole(1, channels=channels)
    if img_size < 1 or img_size % stride:
        above = max(-(-img_size // stride), 1) * stride
        raise ValueError(f"img_size {img_size} must be a multiple of the stride {stride}: the next one is {above}")
    if cache not in (None, "ram", "disk"):
        raise ValueError(f"cache {cache!r} must be 'ram', 'disk' or None")
