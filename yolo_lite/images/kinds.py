"""Which files are pictures, by their names and first bytes; and which of those are not read, with what to do."""

import os
import re
from pathlib import Path

from yolo_lite.images.whole import JPEG_START, PNG_START

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|data:image")  # "C:/" is a drive
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".avif", ".jp2", ".mpo"),
    *(".jpe", ".jfif", ".pjpeg", ".pjp", ".dib", ".pbm", ".pgm", ".pnm", ".ppm"),
)
ARRAY_SUFFIX = ".npy"  # NumPy's; pictures where they are named, and in folders without others: see pictures_below
VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".wmv", ".mpg", ".mpeg", ".3gp", ".mts", ".m2ts", ".flv"),
)
UNFINISHED_SUFFIXES = (".crdownload", ".part", ".partial", ".download", ".opdownload")  # of browsers' downloads
# Pictures by their names that are not read: passed over, but counted and named.
UNREAD_SUFFIXES = (
    *(".heic", ".heif", ".hif", ".jxl", ".jxr", ".psd", ".psb", ".xcf", ".svg", ".tga", ".exr", ".hdr", ".dcm"),
    *(".raw", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf"),
    *(".pef", ".srw", ".x3f", ".3fr", ".erf", ".kdc", ".mrw", ".rwl", ".iiq", ".j2k", ".jpx", ".jpf", ".ico"),
    *VIDEO_SUFFIXES,
)


def advice(path: str | Path) -> str:
    """What to do with a file of a kind that is not read, by its name.

    >>> advice("a.heic"), advice("a.MP4"), advice("a.jpg.crdownload")
    ('convert it to JPEG', 'a video: save its frames as pictures', 'a download that was not finished: fetch it again')
    """
    suffix = Path(path).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return "a video: save its frames as pictures"
    if suffix == ARRAY_SUFFIX:
        return "an array beside pictures: keep arrays in a folder of their own, or name all in a list of images"
    if suffix in UNFINISHED_SUFFIXES:
        return "a download that was not finished: fetch it again"
    return "convert it to JPEG" if suffix else "a picture without a suffix: give it one"


def looks_like_image(path: str | Path) -> bool:
    """Whether a file begins as pictures do, whatever its name ends in; False where it cannot be opened."""
    try:
        with open(path, "rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return (
        start.startswith((JPEG_START, PNG_START, b"GIF8", b"II*\0", b"MM\0*"))
        or (start[:4] == b"RIFF" and start[8:] == b"WEBP")
        or (start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"avif"))
    )


def require_file(path: str | os.PathLike[str]) -> None:
    """Raises ValueError for an address in place of a path, as nothing is fetched here; as it was given.

    >>> require_file("rtsp://camera/1")
    Traceback (most recent call last):
    ValueError: rtsp://camera/1: an address, not a file. Nothing is fetched here: download it, then pass the path; ...
    """
    text = os.fsdecode(path)
    if ADDRESS.match(text) and not os.path.exists(text):
        if isinstance(path, os.PathLike) and "://" not in text:
            text = text.replace(":/", "://", 1)  # pathlib has made one stroke of two
        shown = text[:60] + ("..." if len(text) > 60 else "")
        raise ValueError(
            f"{shown}: an address, not a file. Nothing is fetched here: download it, then pass the path; of a network "
            "camera pass a cv2.VideoCapture that you opened, with stream=True"
        )
