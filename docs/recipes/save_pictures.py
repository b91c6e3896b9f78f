"""Pictures for a paper, a talk or a page: the ending of the file says the format."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from walkthrough import row, show_image, show_series

rows, cols = np.mgrid[:480, :640]
photograph = np.stack([rows * 255 // 480, cols * 255 // 640, (rows + cols) % 256], -1).astype(np.uint8)
boxes, labels = [[40, 60, 300, 400]], ["cat"]
scene = row(show_image(photograph, boxes, labels), show_series({"loss": [3.0, 2.0, 1.5]}))

with tempfile.TemporaryDirectory() as folder:
    for ending in (".png", ".jpg", ".webp", ".svg", ".pdf", ".html"):
        scene.save(Path(folder) / f"figure{ending}")  # theme="dark" for dark pages
    assert (Path(folder) / "figure.svg").read_text().startswith("<?xml")
    show_image(photograph).save(Path(folder) / "photograph.png")
    pixels = np.asarray(Image.open(Path(folder) / "photograph.png"))
    found = [
        (y, x)
        for y in range(pixels.shape[0] - 479)
        for x in range(pixels.shape[1] - 639)
        if np.array_equal(pixels[y : y + 480, x : x + 640], photograph)
    ]
    assert len(found) == 1  # in all colours, pixel for pixel
    try:
        scene.save(Path(folder) / "figure.bmp")
    except ValueError as reason:
        assert ".svg" in str(reason)  # it lists the formats
