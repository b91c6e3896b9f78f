"""A dataset of very many tiny pictures with label files, to measure how long it takes to open."""

import time
from pathlib import Path

import cv2
import numpy as np

IN_A_FOLDER = 1000  # images


def many_images(root: Path, images: int) -> Path:
    """A data.yaml of this many images in ``root``; those of an earlier call stay and are used again.

    Pictures of 32 x 24 pixels with 0 to 9 boxes each, in folders of a thousand.
    """
    base = (root / "many").resolve()
    folders = -(-images // IN_A_FOLDER)
    generator = np.random.default_rng(0)
    picture = cv2.imencode(".jpg", generator.integers(0, 255, (24, 32, 3), dtype=np.uint8))[1].tobytes()
    is_new = False
    for folder in range(folders):
        done = base / "labels" / f"{folder:03}.done"
        if done.exists():
            continue
        is_new = True
        _write_folder(base, folder, picture)
        done.touch()
    if is_new:
        time.sleep(3)  # files that have just changed are not kept
    data = base / f"{images}.yaml"
    train = [f"images/{folder:03}" for folder in range(folders)]
    data.write_text(f"path: {base}\ntrain: {train}\nval: {train}\nnames: [a, b, c]\n", encoding="utf-8")
    return data


def _write_folder(base: Path, folder: int, picture: bytes) -> None:
    generator = np.random.default_rng(folder)
    for kind in ("images", "labels"):
        (base / kind / f"{folder:03}").mkdir(parents=True, exist_ok=True)
    for index in range(IN_A_FOLDER):
        (base / "images" / f"{folder:03}" / f"{index:06}.jpg").write_bytes(picture)
        rows = [
            f"{cls} {' '.join(f'{value:.6f}' for value in generator.uniform(0.2, 0.4, 4))}\n"
            for cls in generator.integers(0, 3, generator.integers(0, 10))
        ]
        (base / "labels" / f"{folder:03}" / f"{index:06}.txt").write_text("".join(rows), encoding="utf-8")
