"""What predict looks at, one picture after the other: of a list, a folder, a pattern, a video, a camera.

YOLOv5: ``LoadImages``, ``LoadStreams``.
"""

import os
import warnings
from collections.abc import Generator, Iterable
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from yolo_lite.data.unreadable import READ_ERRORS
from yolo_lite.images.folders import describe_passed_over, find_files
from yolo_lite.images.kinds import ADDRESS
from yolo_lite.images.rgb import each_image
from yolo_lite.images.video import cut_short, is_video, read_frames, video_facts


class Source(NamedTuple):
    """One picture, not read yet."""

    image: Any  # what to_rgb reads; or the error that kept it from being read
    name: str  # what errors call it
    path: str = ""  # of its file, where there is one
    frame: int | None = None  # of a video or camera, from 0


class Sources(NamedTuple):
    """Pictures, one after the other."""

    each: Generator[Source, None, None]
    is_one: bool  # one picture, video or camera was given: there is nothing to go on with where it cannot be read


def each_source(images: Any) -> Sources:
    """One picture or several, none of them a folder or a video: see ``each_image``.

    Raises:
        ValueError: another kind.
    """
    several = each_image(images)
    return Sources(_of_pictures(several), several is not images)


def open_stream(images: Any) -> Sources:
    """Pictures of any origin, lazily and in order.

    Args:
        images: what ``each_image`` takes, an endless iterable too, and in it or by itself: a folder (with those in it),
            a pattern, a video. By itself also the number of a camera, or a ``cv2.VideoCapture`` that you opened.
    Raises:
        FileNotFoundError: at once, for a path by itself: no such file, or nothing matches. ValueError: another kind.

    >>> [source.name for source in open_stream(iter(["a.jpg", "b.jpg"])).each]
    ['image 0', 'image 1']
    """
    if isinstance(images, cv2.VideoCapture):
        return Sources(_of_frames(images, "capture", ""), True)
    if isinstance(images, Integral) and not isinstance(images, bool):
        return Sources(_of_frames(int(images), f"camera {images}", ""), True)
    if isinstance(images, str | os.PathLike):
        files = _expanded(images)  # now; they are read later
        return Sources(_of_files(files), len(files) == 1)
    several = each_image(images)
    return Sources(_of_each(several), several is not images)


def is_live(images: Any) -> bool:
    """Whether pictures come at their own pace, so that none may wait for a batch to fill.

    >>> is_live(0), is_live("clip.mp4")
    (True, False)
    """
    return isinstance(images, cv2.VideoCapture | Integral)


def _of_picture(image: Any, place: int) -> Source:
    path = os.fsdecode(image) if isinstance(image, str | os.PathLike) else ""
    return Source(image, f"image {place}", path)


def _of_pictures(images: Iterable[Any]) -> Generator[Source, None, None]:
    for place, image in enumerate(images):
        if is_video(image) and os.path.isfile(image):
            raise ValueError(f"{image}: a video: predict(..., stream=True) goes through its frames")
        yield _of_picture(image, place)


def _of_each(images: Iterable[Any]) -> Generator[Source, None, None]:
    for place, image in enumerate(images):
        if not stands_for_more(image):
            yield _of_picture(image, place)
            continue
        try:
            files = _expanded(image)
        except READ_ERRORS as error:  # one that cannot be read is left out, as among single pictures
            yield Source(error, f"image {place}", os.fsdecode(image))
        else:
            yield from _of_files(files)


def _expanded(path: str | os.PathLike[str]) -> list[str]:
    """The pictures and videos that a path, a folder or a pattern stands for; an address as it is."""
    text = os.fsdecode(path)
    if ADDRESS.match(text) and not os.path.exists(text):
        return [text]  # to_rgb says what to do
    found = find_files(text)
    if found.passed_over:
        warnings.warn(describe_passed_over(found.passed_over), stacklevel=3)
    return [file.path for file in found.files]


def stands_for_more(image: Any) -> bool:
    """Whether something is a folder, a video or a pattern: pictures, and not one picture.

    >>> stands_for_more("clip.mp4"), stands_for_more("photos/*.jpg"), stands_for_more("photo.jpg")
    (True, True, False)
    """
    if not isinstance(image, str | os.PathLike):
        return False
    is_pattern = any(mark in os.fsdecode(image) for mark in "*?[") and not os.path.exists(image)
    return os.path.isdir(image) or is_video(image) or is_pattern


def _of_files(files: Iterable[str]) -> Generator[Source, None, None]:
    for path in files:
        if is_video(path):
            yield from _of_frames(path, path, path)
        else:
            yield Source(path, path, path)


def _of_frames(opened: Any, name: str, path: str) -> Generator[Source, None, None]:
    """The frames of a video or camera; one source that holds the error where it cannot be opened."""
    count = 0
    frames = read_frames(opened)
    try:
        for frame in frames:
            yield Source(frame, f"{name}, frame {count}", path, count)
            count += 1
    except READ_ERRORS as error:
        yield Source(error, name, path)
        return
    finally:
        frames.close()  # the file or camera, too
    if path and (problem := cut_short(count, video_facts(Path(path)))):
        warnings.warn(f"{path}: {problem}", stacklevel=2)
