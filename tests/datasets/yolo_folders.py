"""Small datasets on disk for the tests."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """A smooth coloured picture, (H, W, 3) uint8 RGB: JPEG keeps it almost as it is."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)


def encoded(image: np.ndarray, suffix: str) -> bytes:
    bgr = image[..., ::-1] if image.ndim == 3 and image.shape[2] == 3 else image
    return cv2.imencode(suffix, np.ascontiguousarray(bgr))[1].tobytes()


def write_image(path: Path, height: int = 48, width: int = 64, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(picture(height, width, seed), path.suffix))
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_folder(root: Path, labels: Mapping[str, str | None], split: str = "train", size: tuple[int, int] = (48, 64)):
    """images/<split>/<name> and labels/<split>/<stem>.txt for each name; None = no label file."""
    for seed, (name, text) in enumerate(labels.items()):
        write_image(root / "images" / split / name, *size, seed)
        if text is not None:
            write_text(root / "labels" / split / f"{Path(name).stem}.txt", text)
    return root


def with_exif_orientation(jpeg: bytes, orientation: int, order: str = "II") -> bytes:
    """The JPEG with an EXIF segment of one entry, the orientation."""
    endian = {"II": "little", "MM": "big"}[order]
    entry = b"".join(
        (
            (0x0112).to_bytes(2, endian),
            (3).to_bytes(2, endian),  # SHORT
            (1).to_bytes(4, endian),
            orientation.to_bytes(2, endian) + bytes(2),
        )
    )
    tiff = (
        order.encode() + (42).to_bytes(2, endian) + (8).to_bytes(4, endian) + (1).to_bytes(2, endian) + entry + bytes(4)
    )
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + jpeg[2:]
