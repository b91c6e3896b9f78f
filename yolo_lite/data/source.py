"""Where images and labels come from: files, or a generator of scenes."""

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np
import torch

from yolo_lite.data.labels import LabelStore, shared
from yolo_lite.data.report import Report

# Names of sources -> "module:function" with the signature of open_source; another source is files.
SOURCES = {"shapes": "yolo_lite.datasets.shapes:open_shapes", "photos": "yolo_lite.datasets.photos:open_photos"}
FILES = "yolo_lite.datasets.files.source:open_files"
NAMES_OF_FILES = "yolo_lite.datasets.files.source:class_names_of_files"
CHANNELS_OF_FILES = "yolo_lite.datasets.files.source:channels_of_files"


class PathStore(Sequence[str]):
    """Many strings in two flat tensors, which worker processes share instead of copying (see LabelStore).

    >>> store = PathStore(["images/a.jpg", "images/ü b.jpg"])
    >>> store[1], len(store), list(store)[0]
    ('images/ü b.jpg', 2, 'images/a.jpg')
    """

    def __init__(self, paths: Iterable[str]) -> None:
        encoded = [path.encode("utf-8", "surrogateescape") for path in paths]
        self._count = len(encoded)
        starts = np.concatenate([[0], np.cumsum([len(path) for path in encoded])]).astype(np.int64)
        self.start = shared(torch.from_numpy(starts))  # (n + 1,) int64
        text = bytearray(b"".join(encoded) or b"\0")
        self.text = shared(torch.frombuffer(text, dtype=torch.uint8))  # (bytes,)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]  # negative ones count from the end, others raise IndexError
        first, last = self.start.numpy()[place : place + 2].tolist()
        text: str = self.text.numpy()[first:last].tobytes().decode("utf-8", "surrogateescape")
        return text

    def __repr__(self) -> str:
        return f"PathStore({len(self)} paths)"


@runtime_checkable
class ImageSource(Protocol):
    """What YoloDataset asks of "shapes", "photos" or a folder: nothing else is known of where an image comes from."""

    names: tuple[str, ...]  # class names
    paths: Sequence[str]  # one per image; "shapes/train/000012" where there is no file
    sizes: np.ndarray  # (n, 2) int64, height and width of each image, without reading it again
    labels: LabelStore
    report: Report

    def __len__(self) -> int: ...

    def read(self, index: int) -> np.ndarray:
        """The image, (H, W, 3) uint8 RGB or (H, W, C), EXIF rotation applied."""
        ...


def open_source(
    source: str | Path | Sequence[str | Path],
    split: str = "train",
    names: Sequence[str] | None = None,
    progress: bool = False,
    draw_size: int = 320,
    channels: int | None = None,
) -> ImageSource:
    """Opens a dataset: finds its images, reads and checks its labels.

    Args:
        source: ``"shapes"`` (drawn scenes) or ``"photos"`` (free photographs), which need no files; the path of a
            data.yaml, of Darknet's obj.data, of a folder, or of a ``.txt`` list of images; or a list of such folders,
            lists and images. A folder of your own called shapes is ``"./shapes"``.
        split: which part of it: "train", "val" or "test".
        names: class names that replace those of the source; left out: its data.yaml's, or those of the classes.txt,
            obj.names ... that all its splits agree on.
        progress: draws a bar while the files are checked.
        draw_size: side of drawn scenes in pixels; drawn at the size of the network input they need no resizing.
        channels: of images in files: 1 gray, 3 RGB, 4 RGBA, N those of a TIFF's pages or an ``.npy`` (H, W, N); see
            ``yolo_lite.images.bands``. Left out: what a data.yaml says under ``channels:``, else 3.
    Raises:
        FileNotFoundError: a path that does not exist, with all the places that were tried.
        DatasetError: no images, or a data.yaml or lists of classes that contradict each other.

    >>> source = open_source("shapes", "val")
    >>> source.read(0).dtype
    dtype('uint8')
    """
    target = SOURCES.get(source, FILES) if isinstance(source, str) else FILES
    of_files = {"channels": channels} if target == FILES else {}
    opened: ImageSource = _resolved(target)(source, split, names, progress, draw_size, **of_files)
    return opened


def declared_channels(source: str | Path | Sequence[str | Path]) -> int | None:
    """The channels that a source says its images have, without a look at them; None where it does not.

    >>> declared_channels("shapes") is None
    True
    """
    if isinstance(source, str) and source in SOURCES:
        return None
    channels: int | None = _resolved(CHANNELS_OF_FILES)(source)
    return channels


def class_names(source: str | Path | Sequence[str | Path], split: str = "train") -> tuple[str, ...] | None:
    """The names that a source has for its classes, without a look at its images; None where it has none.

    >>> class_names("shapes")[:2]
    ('ring', 'tile')

    Raises:
        FileNotFoundError, DatasetError: see open_source.
    """
    if isinstance(source, str) and source in SOURCES:
        return open_source(source, split).names
    names: tuple[str, ...] | None = _resolved(NAMES_OF_FILES)(source, split)
    return names


def _resolved(target: str) -> Callable[..., Any]:
    """The function of "module:function", imported when it is asked for: data sets stand below this chapter."""
    module, _, function = target.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found
