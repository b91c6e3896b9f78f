"""What ``yolo-lite predict`` prints and saves of one file: a line, drawings, label files, a video."""

from collections import Counter
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from yolo_lite.detect.detections import Detections
    from yolo_lite.images.video import VideoFacts, VideoSaver


class Source(NamedTuple):
    """A file to look at, and what its results are called."""

    path: Path
    name: PurePath  # of what is saved, without the suffix; below the folder to save in


class Found(NamedTuple):
    """One image and what is in it."""

    source: Source
    detections: "Detections"  # with their image
    seconds: float  # reading, network and suppression; the mean of its batch

    @property
    def is_frame(self) -> bool:
        """Whether it is a frame of a video."""
        return self.detections.frame is not None


class Output:
    """Of one picture, or of one video whose frames are added one after the other. A context manager.

    Args:
        save, save_txt: the folders for drawings and label files; None: no such files.
        save_conf: the confidence as the last number of each row of label files.
    """

    def __init__(self, source: Source, save: Path | None, save_txt: Path | None, save_conf: bool = False) -> None:
        self.source = source
        self.images = 0
        self.seconds = 0.0
        self.is_video = False
        self.problem = ""  # of a video that breaks off
        self._save, self._save_txt, self._save_conf = save, save_txt, save_conf
        self._counts: Counter[str] = Counter()  # frames in which there is something of a class
        self._words = ""
        self._saver: VideoSaver | None = None
        self._facts: VideoFacts | None = None

    def add(self, found: Found) -> None:
        """Saves one image or frame, and counts it."""
        self.images += 1
        self.seconds += found.seconds
        self.is_video = found.is_frame
        self._words = str(found.detections)
        self._counts.update({detection.name for detection in found.detections})
        if self._save and found.is_frame:
            self._add_frame(found.detections, self._save)
        elif self._save:
            self._save_drawing(found.detections, self._save)
        if self._save_txt:
            self._save_labels(found.detections, self._save_txt)

    def __str__(self) -> str:
        milliseconds = f"{f'{1000 * self.seconds / max(self.images, 1):.0f} ms':>8}"
        if not self.is_video:
            return f"{milliseconds}  {self._words}"
        seen = ", ".join(f"{name} in {count}" for name, count in self._counts.most_common())
        return f"{milliseconds}  {self.images} frame{'s' * (self.images != 1)}: {seen or 'nothing found'}"

    def video_dict(self) -> dict[str, Any]:
        """A video as plain values."""
        facts = self._video_facts()
        saved = str(self._saver.path) if self._saver else None
        return {
            "path": str(self.source.path),
            "frames": self.images,
            "announced": facts.frames,
            "frames_per_second": facts.rate,
            "saved": saved,
        }

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, *error: object) -> None:
        if self._saver:
            self._saver.close()
        if self.is_video and error == (None, None, None):
            from yolo_lite.images.video import cut_short

            self.problem = cut_short(self.images, self._video_facts())

    def _video_facts(self) -> "VideoFacts":
        from yolo_lite.images.video import video_facts

        self._facts = self._facts or video_facts(self.source.path)
        return self._facts

    def _add_frame(self, found: "Detections", folder: Path) -> None:
        from yolo_lite.images.video import VideoSaver

        if self._saver is None:
            self._saver = VideoSaver(_file(folder, self.source.name, ""), self._video_facts().rate)
        self._saver.write(found.draw())

    def _save_drawing(self, found: "Detections", folder: Path) -> None:
        """The image with its boxes, as ``folder/<name>.png``."""
        import cv2

        bgr = cv2.cvtColor(found.draw(), cv2.COLOR_RGB2BGR)
        path = _file(folder, self.source.name, ".png")
        path.write_bytes(cv2.imencode(".png", bgr)[1].tobytes())  # cv2.imwrite fails on Windows for names beyond ASCII

    def _save_labels(self, found: "Detections", folder: Path) -> None:
        """The boxes as a YOLO label file, ``folder/<name>.txt``, of a frame ``folder/<name>/<frame>.txt``."""
        import numpy as np

        from yolo_lite.boxes import xyxy_to_xywh
        from yolo_lite.datasets.yolo_folder import label_row

        height, width = found.size or (1, 1)
        values = xyxy_to_xywh(found.xyxy.double().numpy()) / (width, height, width, height)  # (n, 4)
        if self._save_conf:
            values = np.column_stack((values, found.conf.numpy()))  # (n, 5)
        rows = [label_row(cls, row) for cls, row in zip(found.cls.tolist(), values, strict=True)]
        name = self.source.name if found.frame is None else self.source.name / f"{found.frame:06d}"
        _file(folder, name, ".txt").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


def _file(folder: Path, name: PurePath, suffix: str) -> Path:
    path = folder / name.with_name(name.name + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
