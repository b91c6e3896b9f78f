"""Videos and cameras as RGB frames, one at a time, and frames as a video: what OpenCV reads and writes.

YOLOv5: `LoadImages`, `LoadStreams`. Frames are (H, W, 3) uint8 RGB, turned as the file says.
"""

import math
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import cv2
import numpy as np

from yolo_lite.augment.objects import Image
from yolo_lite.images.kinds import VIDEO_SUFFIXES, require_file
from yolo_lite.images.reading import ImageError

CUT_SHORT = 0.95  # of the frames that a file announces; announced numbers are often estimates
ODD_RATES = (0.0, 1000.0)  # frames per second; outside, a file does not know its own
USUAL_RATE = 30.0
LARGEST_CAMERA = 2**31 - 1  # OpenCV takes a C int, and breaks down at negative ones
MPEG4, MOTION_JPEG = "mp4v", "MJPG"  # what OpenCV's wheels write everywhere, and what it writes without FFmpeg


class VideoFacts(NamedTuple):
    """What a video file says of itself."""

    frames: int  # announced, often an estimate; 0 where it is not known
    rate: float  # frames per second; 30 where the file does not say
    codec: str  # its four letters: "avc1", "hvc1", "av01" ...


def is_video(path: object) -> bool:
    """Whether a path is one of a video, by its name.

    >>> is_video("clip.MP4"), is_video("photo.jpg")
    (True, False)
    """
    return Path(str(path)).suffix.lower() in VIDEO_SUFFIXES


def video_facts(path: str | Path) -> VideoFacts:
    """What a video file says of itself; its frames are not read.

    Raises:
        FileNotFoundError: no such file. ImageError: OpenCV cannot open it.
    """
    capture = _open_file(path)
    try:
        return _facts(capture)
    finally:
        capture.release()


def read_frames(source: "str | Path | int | cv2.VideoCapture") -> Generator[Image, None, None]:
    """The frames of a video file, of a camera, or of a capture that you opened, one at a time.

    Closing the generator closes the file or camera; a capture that was given stays open.

    Args:
        source: a path; the number of a camera; an open ``cv2.VideoCapture``, of a network camera for example.
    Yields:
        (H, W, 3) uint8 RGB.
    Raises:
        FileNotFoundError: no such file. ImageError: it cannot be opened, or not one frame can be decoded. ValueError:
        an address; a number that no camera has.
    """
    if isinstance(source, cv2.VideoCapture):
        if not source.isOpened():
            raise ImageError(
                "capture: a cv2.VideoCapture that is not open: its file or camera is not there, or cannot be read"
            )
        yield from _frames(source)
        return
    capture = _open_camera(source) if isinstance(source, int) else _open_file(source)
    try:
        count = 0
        for count, frame in enumerate(_frames(capture), start=1):  # noqa: B007
            yield frame
        if not count:
            codec = _facts(capture).codec
            name = f"camera {source}" if isinstance(source, int) else str(source)
            raise ImageError(
                f"{name}: no frame can be decoded: damaged, or of a codec ({codec}) that this OpenCV does not have"
            )
    finally:
        capture.release()


def cut_short(frames: int, facts: VideoFacts) -> str:
    """The sentence about a video of which fewer frames can be read than it announces; empty where all is well.

    >>> cut_short(30, VideoFacts(120, 25.0, "avc1"))
    'breaks off after 30 of 120 frames: the file is damaged or not whole'
    >>> cut_short(119, VideoFacts(120, 25.0, "avc1"))
    ''
    """
    if frames >= min(facts.frames * CUT_SHORT, facts.frames - 1):
        return ""
    return f"breaks off after {frames} of {facts.frames} frames: the file is damaged or not whole"


class VideoSaver:
    """Writes frames as a video, a context manager: MPEG-4 in ``<path>.mp4``; without FFmpeg Motion JPEG in .avi.

    Args:
        path: without a suffix. rate: frames per second.
    Raises:
        OSError: this OpenCV can write neither.
    """

    def __init__(self, path: str | Path, rate: float = USUAL_RATE) -> None:
        self.path = Path(path)  # with its suffix, once the first frame is written
        self.frames = 0
        self._rate = rate
        self._size = (0, 0)
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: Image) -> None:
        """Adds a frame, (H, W, 3) uint8 RGB, all of one size. MPEG-4 drops an odd last row or column.

        Raises:
            ValueError: a frame of another size.
        """
        height, width = frame.shape[:2]
        if self._writer is None:
            self._writer, self._size = self._open(width, height), (height, width)
        if (height, width) != self._size:
            raise ValueError(
                f"{self.path}: a frame of {height} x {width} in a video of {self._size[0]} x {self._size[1]}"
            )
        self._writer.write(np.ascontiguousarray(frame[..., ::-1]))
        self.frames += 1

    def _open(self, width: int, height: int) -> cv2.VideoWriter:
        stem = self.path
        for suffix, codec in ((".mp4", MPEG4), (".avi", MOTION_JPEG)):
            self.path = stem.with_name(stem.name + suffix)
            writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*codec), self._rate, (width, height))
            if writer.isOpened():
                return writer
        raise OSError(f"{stem}: this OpenCV writes neither MPEG-4 nor Motion JPEG: save the frames as pictures")

    def close(self) -> None:
        """Finishes the file; without it, it cannot be played."""
        if self._writer is not None:
            self._writer.release()

    def __enter__(self) -> "VideoSaver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open_file(given: str | Path) -> cv2.VideoCapture:
    require_file(given)
    path = Path(given)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such video file")
    if path.is_file() and not path.stat().st_size:
        raise ImageError(f"{path}: the file is empty (0 bytes)")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise ImageError(
            f"{path}: a video that OpenCV {cv2.__version__} cannot open: it is damaged or not whole, or its codec is "
            "missing; convert it, for example with `ffmpeg -i in out.mp4`"
        )
    return capture


def _open_camera(number: int) -> cv2.VideoCapture:
    if not 0 <= number <= LARGEST_CAMERA:
        raise ValueError(f"camera {number}: cameras are numbered from 0 to {LARGEST_CAMERA}")
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise ImageError(f"camera {number}: cannot be opened: not there, in use, or not permitted")
    return capture


def _facts(capture: cv2.VideoCapture) -> VideoFacts:
    frames, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    known = ODD_RATES[0] < rate < ODD_RATES[1]
    letters = max(int(capture.get(cv2.CAP_PROP_FOURCC)), 0).to_bytes(4, "little").decode("ascii", "replace")
    return VideoFacts(
        max(int(frames), 0) if math.isfinite(frames) else 0, rate if known else USUAL_RATE, letters.strip("\0 ")
    )


def _frames(capture: cv2.VideoCapture) -> Iterator[Image]:
    while True:
        is_read, bgr = capture.read()
        if not is_read:
            return
        yield cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
