"""Keeps resized images, in memory or on disk, so that they are decoded once; samples stay the same.

YOLOv5: `cache_images`, `cache_images_to_disk`.
"""

import contextlib
import hashlib
import io
import math
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import platformdirs
import torch
from tqdm import tqdm

from yolo_lite.augment.objects import Image
from yolo_lite.data.labels import shared
from yolo_lite.data.report import DatasetError
from yolo_lite.images.reading import ImageError
from yolo_lite.writing import atomic_write

THREADS = min(8, os.cpu_count() or 1)  # OpenCV decodes and resizes without holding Python's lock
MEMORY_FRACTION = 0.9  # of what is available may be filled
LoadImage = Callable[[int], Image]  # index -> the image as the dataset resizes it


class ImageCache(Protocol):
    """Gives an image of the dataset, resized, by its index."""

    def load(self, index: int) -> Image: ...


class PartOfCache:
    """Some of the images of a cache."""

    def __init__(self, whole: ImageCache, which: np.ndarray) -> None:
        self._whole, self._which = whole, which  # (n,) indices in the whole

    def load(self, index: int) -> Image:
        """The image, (H, W, C) uint8."""
        return self._whole.load(int(self._which[index]))

    def __repr__(self) -> str:
        return f"{self._whole!r}[{len(self._which)} of them]"


class RamCache:
    """All images in one flat tensor in shared memory, which workers share instead of copying (see LabelStore)."""

    def __init__(
        self, load: LoadImage, sizes: np.ndarray, img_size: int, progress: bool = False, channels: int = 3
    ) -> None:
        """Loads every image.

        Args:
            sizes: (n, 2) height and width of the images before resizing. img_size: their longest side afterwards.
            channels: C.
        Raises:
            MemoryError: the images would not fit into the memory that is available.
        """
        shorter = -(-sizes.min(1) * img_size // sizes.max(1))  # (n,) rounded up
        self._channels = channels
        room = channels * img_size * shorter  # (n,) bytes
        _require_memory(int(room.sum()), len(sizes))
        self._start = shared(torch.from_numpy(np.concatenate([[0], np.cumsum(room)])))  # (n + 1,)
        self._shape = shared(torch.zeros((len(sizes), 2), dtype=torch.int64))  # height, width
        self._pixels = shared(torch.empty(int(room.sum()), dtype=torch.uint8))

        self._load = load

        def fill(index: int) -> None:
            try:
                image = load(index)
            except (ImageError, OSError):  # load() below meets it again, and whoever asks for this image hears of it
                return
            first = self._start[index].item()
            self._pixels[first : first + image.size] = torch.from_numpy(image.reshape(-1))
            self._shape[index] = torch.tensor(image.shape[:2])

        with ThreadPoolExecutor(THREADS) as pool:
            filled = pool.map(fill, range(len(sizes)))
            list(tqdm(filled, "caching images", len(sizes), unit="image", disable=not progress))

    @property
    def nbytes(self) -> int:
        return int(self._pixels.nbytes)

    def load(self, index: int) -> Image:
        """The image, (H, W, C) uint8, read-only; the error of reading it where it could not be read."""
        height, width = self._shape.numpy()[index].tolist()
        if height == 0:
            return self._load(index)
        first = int(self._start.numpy()[index])
        shape = height, width, self._channels
        image: Image = self._pixels.numpy()[first : first + math.prod(shape)].reshape(shape)
        image.flags.writeable = False
        return image

    def __repr__(self) -> str:
        return f"RamCache({len(self._shape)} images, {self.nbytes / 2**20:.0f} MiB)"


def _require_memory(needed: int, num_images: int) -> None:
    available = available_memory()
    if available is not None and needed > MEMORY_FRACTION * available:
        raise MemoryError(
            f"cache='ram': {num_images} images take {needed / 2**30:.2f} GiB, but only {available / 2**30:.2f} GiB of "
            "(shared) memory are available; use cache='disk', a smaller img_size, or no cache"
        )


def available_memory() -> int | None:
    """Bytes that can be put into shared memory now; None where the system does not say (macOS, Windows)."""
    limits = []
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        limits.append(int(fields["MemAvailable"].split()[0]) * 1024)
    group = Path("/sys/fs/cgroup")  # a container's own limit
    with contextlib.suppress(OSError, ValueError):  # no container, or no limit ("max")
        limits.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    if os.path.isdir("/dev/shm"):
        limits.append(shutil.disk_usage("/dev/shm").free)
    return min(limits, default=None)


class DiskCache:
    """One .npy file per image in a folder of its own, written when the image is first loaded.

    A file's name is a digest of the image's path, time of change, size and of the way it was resized: an image that
    changes gets a new one, and several datasets and processes can share the folder.
    """

    def __init__(
        self, load: LoadImage, paths: Sequence[str], key: str, folder: str | Path | None = None, channels: int = 3
    ) -> None:
        """
        Args:
            paths: of the images. key: says how they were resized. folder: left out = that of the user, user_cache_dir.
            channels: C.
        Raises:
            ValueError: the images are not files.
        """
        if not Path(paths[0]).is_file():
            raise ValueError(f"cache='disk' is for image files, and {paths[0]} is not one; use cache='ram' or no cache")
        self.folder = Path(folder).expanduser() if folder else user_cache_dir() / "images"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._load, self._paths, self._key, self._channels = load, paths, key, channels

    def load(self, index: int) -> Image:
        """The image, (H, W, C) uint8; FileNotFoundError where the original is gone."""
        file = self.folder / self._file_name(self._paths[index])
        with contextlib.suppress(OSError, ValueError, EOFError):  # not there yet, or damaged: (re)placed below
            cached: Image = np.load(file, allow_pickle=False)
            if cached.dtype == np.uint8 and cached.ndim == 3 and cached.shape[2] == self._channels:
                return cached
        image = self._load(index)
        try:
            atomic_write(file, _as_npy(image), flush=False)
        except OSError as error:  # of the cache, not of the image
            raise DatasetError(
                f"{self.folder}: cannot keep images there ({error.strerror or error}): make room, give another "
                "cache_dir, or use no cache"
            ) from None
        return image

    def _file_name(self, path: str) -> str:
        try:
            stat = os.stat(path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no such image file") from None
        identity = f"{os.path.abspath(path)}|{stat.st_mtime_ns}|{stat.st_size}|{self._key}"
        return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:32] + ".npy"

    def __repr__(self) -> str:
        return f"DiskCache({str(self.folder)!r})"


def _as_npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def user_cache_dir() -> Path:
    """The folder for what can be made again, in the place that the system has for such things."""
    return platformdirs.user_cache_path("yolo-lite", appauthor=False, opinion=False)
