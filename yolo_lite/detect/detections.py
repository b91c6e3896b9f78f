"""What was found in an image: counted, listed, chosen from, drawn.

Shape letters: n detections, m chosen ones, H W height and width of the original image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from yolo_lite.augment.objects import Image
from yolo_lite.detect.drawing import draw_detections
from yolo_lite.images.bands import as_picture
from yolo_lite.images.rgb import to_channels

Choice = slice | Sequence[int] | Sequence[bool] | np.ndarray | Tensor


class Detection(NamedTuple):
    """One object, in words and numbers."""

    name: str
    conf: float
    xyxy: tuple[float, float, float, float]  # pixels of the original image


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one image, best first. Tensors on the CPU.

    A sequence of ``Detection``: ``len(found)``, ``found[0]``, ``for detection in found``. A slice, a mask of n bools or
    several numbers choose from it and give Detections. ``str()`` counts by class.

    >>> found = Detections(torch.zeros(3, 4), torch.tensor([0.9, 0.6, 0.3]), torch.tensor([0, 1, 0]), ("person", "bus"))
    >>> len(found), str(found)
    (3, '2 persons, 1 bus')
    >>> [detection.name for detection in found], found[found.conf > 0.5]
    (['person', 'bus', 'person'], Detections(1 person, 1 bus))
    """

    xyxy: Tensor  # (n, 4) float32, pixels of the original image
    conf: Tensor  # (n,) float32
    cls: Tensor  # (n,) int64
    names: tuple[str, ...]  # of all classes of the model
    unreadable: str = ""  # why the image could not be read: nothing was looked for
    path: str = ""  # of the file, where there is one
    frame: int | None = None  # of a video or camera, from 0
    size: tuple[int, int] | None = None  # (height, width) of the original image, where it is known
    image: Image | None = None  # (H, W, C) uint8, three channels RGB, the original: kept by streams
    channels: int = 3  # C, as the model takes them

    def __len__(self) -> int:
        return len(self.cls)

    def __iter__(self) -> Iterator[Detection]:
        return iter(self.named())

    @overload
    def __getitem__(self, which: int) -> Detection: ...
    @overload
    def __getitem__(self, which: Choice) -> "Detections": ...
    def __getitem__(self, which: Any) -> "Detection | Detections":
        chosen = _numbers(which, len(self))
        if isinstance(chosen, int):
            return self.named()[chosen]
        return replace(self, xyxy=self.xyxy[chosen], conf=self.conf[chosen], cls=self.cls[chosen])

    def __str__(self) -> str:
        if self.unreadable:
            return f"not read: {self.unreadable}"
        counts = torch.bincount(self.cls, minlength=len(self.names)).tolist()
        found = [
            f"{count} {_plural(name) if count > 1 else name}"
            for name, count in zip(self.names, counts, strict=True)
            if count
        ]
        return ", ".join(found) or "nothing found"

    def __repr__(self) -> str:
        return f"Detections({self})"

    def named(self) -> list[Detection]:
        """The detections one by one, with the names of their classes."""
        rows = zip(self.cls.tolist(), self.conf.tolist(), self.xyxy.tolist(), strict=True)
        return [Detection(self.names[cls], conf, tuple(box)) for cls, conf, box in rows]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The detections as plain values that ``json.dumps`` takes; xyxy in pixels of the original image.

        >>> Detections(torch.ones(1, 4), torch.ones(1), torch.tensor([0]), ("cat",)).to_dicts()
        [{'class': 0, 'name': 'cat', 'conf': 1.0, 'xyxy': [1.0, 1.0, 1.0, 1.0]}]
        """
        return [
            {"class": cls, "name": self.names[cls], "conf": conf, "xyxy": box}
            for cls, conf, box in zip(self.cls.tolist(), self.conf.tolist(), self.xyxy.tolist(), strict=True)
        ]

    def draw(self, image: Any = None) -> Image:
        """The original image with a box and a label for each detection, the surest one on top.

        A gray one is drawn on as gray, one of more than three channels as its first three.

        Args:
            image: the original, of any kind that ``predict`` takes, left as it is; None: the one kept by a stream, or
                the file that was read.
        Returns:
            (H, W, 3) uint8 RGB, of the image's own size.
        Raises:
            ValueError: no image, or one of another size than the one that was looked at.

        >>> found = Detections(torch.tensor([[5.0, 5, 30, 30]]), torch.ones(1), torch.tensor([0]), ("cat",))
        >>> found.draw(np.zeros((40, 60, 3), np.uint8)).shape
        (40, 60, 3)
        """
        picture = as_picture(self._original() if image is None else to_channels(image, self.channels))
        if self.size is not None and picture.shape[:2] != self.size:
            raise ValueError(
                f"image of {picture.shape[0]} x {picture.shape[1]} (H x W), but these boxes are in pixels of one of "
                f"{self.size[0]} x {self.size[1]}: pass the original"
            )
        return draw_detections(picture, self)

    def _original(self) -> Image:
        if self.image is not None:
            return self.image
        if not self.path or self.frame is not None:
            raise ValueError("draw() needs the image, as it was not kept: found.draw(image)")
        return to_channels(self.path, self.channels)


def _numbers(which: Any, count: int) -> int | Tensor:
    """What stands in the brackets -> a place, or places (m,) int64; an IndexError or TypeError otherwise."""
    if isinstance(which, slice):
        return torch.tensor(range(count)[which], dtype=torch.long)
    if isinstance(which, Integral) and not isinstance(which, bool):
        return _place(int(which), count)
    if isinstance(which, str | bytes | bool) or not hasattr(which, "__len__"):
        raise TypeError(f"detections are chosen by a number, a slice, several numbers or a mask, not by {which!r}")
    try:
        chosen = which.detach().cpu() if isinstance(which, Tensor) else torch.as_tensor(np.asarray(which))
    except (TypeError, ValueError):
        raise TypeError(f"detections are chosen by whole numbers (m,) or a mask of bools (n,), not {which!r}") from None
    if chosen.ndim == 0:
        return _place(int(chosen), count)
    if chosen.dtype == torch.bool:
        if chosen.shape != (count,):
            raise IndexError(f"a mask of the shape {tuple(chosen.shape)} for {count} detections: it must be ({count},)")
        return chosen.nonzero()[:, 0]
    if chosen.numel() and (chosen.ndim != 1 or chosen.is_floating_point() or chosen.is_complex()):
        raise TypeError(f"detections are chosen by whole numbers (m,) or a mask of bools (n,), not {chosen.dtype}")
    places = [_place(place, count) for place in chosen.long().tolist()]
    return torch.tensor(places, dtype=torch.long)


def _place(place: int, count: int) -> int:
    if not -count <= place < count:
        raise IndexError(f"detection {place} of {count}")
    return place % count


def _plural(name: str) -> str:
    return name + ("es" if name.endswith(("s", "x", "ch", "sh")) else "s")
