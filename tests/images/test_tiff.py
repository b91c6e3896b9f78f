"""TIFF files with a fourth channel are the same picture as a path, bytes, a PIL image and an array."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.images.test_rgb import same_as_the_path, saved, scene
from yolo_lite.images.headers import image_size
from yolo_lite.images.reading import ImageError, read_image
from yolo_lite.images.rgb import to_rgb


def with_alpha() -> np.ndarray:
    """(24, 40, 4): colours, and alpha from 0 to 255 along the rows."""
    alpha = np.broadcast_to(np.linspace(0, 255, 40).astype(np.uint8), (24, 40))
    return np.dstack((scene(), alpha))


def tiff(pixels: np.ndarray, alpha: int | None, order: str = "<", is_big: bool = False) -> bytes:
    """A TIFF, or a BigTIFF, of (H, W, 4) pixels; alpha: the value of ExtraSamples, None for no such tag."""
    height, width, channels = pixels.shape
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    header = 16 if is_big else 8
    bits = struct.pack(order + "H" * channels, *[pixels.dtype.itemsize * 8] * channels)
    entries = [(256, width), (257, height), (258, bits), (259, 1), (262, 2), (273, header), (277, channels)]
    entries += [(278, height), (279, len(data)), (284, 1), *([] if alpha is None else [(338, alpha)])]
    directory = struct.pack(order + ("Q" if is_big else "H"), len(entries))
    for tag, value in entries:
        count = channels if tag == 258 else 1
        field = struct.pack(order + "H", value) if tag != 258 else bits
        if len(field) > (8 if is_big else 4):
            field = struct.pack(order + "I", header + len(data))
        directory += struct.pack(order + ("HHQ" if is_big else "HHI"), tag, 3, count)
        directory += field.ljust(8 if is_big else 4, b"\0")
    start = header + len(data) + len(bits)
    begin = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if is_big else 42)
    begin += struct.pack(order + "HHQ", 8, 0, start) if is_big else struct.pack(order + "I", start)
    return begin + data + bits + directory + bytes(8)


@pytest.mark.parametrize(
    ("compression", "orientation"),
    [
        *((compression, turned) for compression in ("tiff_lzw", "tiff_adobe_deflate") for turned in (1, 3, 6, 8)),
        *((None, turned) for turned in (1, 3)),  # Pillow 13.0 mixes up the sides of others, where it maps the file
    ],
)
def test_alpha_is_dropped(tmp_path: Path, compression: str | None, orientation: int) -> None:
    path = saved(
        Image.fromarray(with_alpha()), tmp_path / "a.tif", compression=compression, tiffinfo={274: orientation}
    )
    expected = np.rot90(scene(), {1: 0, 3: 2, 6: -1, 8: 1}[orientation])
    assert np.array_equal(read_image(path), expected)
    assert np.array_equal(to_rgb(with_alpha()), scene())
    assert image_size(path) == expected.shape[:2]
    same_as_the_path(path)


@pytest.mark.parametrize("is_big", [False, True], ids=["TIFF", "BigTIFF"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("alpha", [None, 0, 2])
@pytest.mark.parametrize("bits", [8, 16])
def test_every_kind_of_fourth_channel(tmp_path: Path, bits: int, alpha: int | None, order: str, is_big: bool) -> None:
    pixels = with_alpha() if bits == 8 else with_alpha().astype(np.uint16) * 257
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(pixels, alpha, order, is_big))
    assert np.array_equal(read_image(path), scene())
    assert np.array_equal(to_rgb(path.read_bytes()), scene())
    assert np.array_equal(to_rgb(pixels), scene())
    if not is_big:  # Pillow does not open every BigTIFF
        same_as_the_path(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
def test_colours_that_were_multiplied_with_alpha_are_divided_again(tmp_path: Path, bits: int, order: str) -> None:
    pixels = with_alpha()
    pixels[..., :3] = (pixels[..., :3].astype(int) * pixels[..., 3:] + 127) // 255
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(pixels if bits == 8 else pixels.astype(np.uint16) * 257, 1, order))
    half = 20  # beyond it there is enough alpha to tell the colours
    assert np.abs(read_image(path)[:, half:].astype(int) - scene()[:, half:]).max() <= 2
    assert not read_image(path)[:, 0].any()
    same_as_the_path(path)


def test_sixteen_bits_as_opencv_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    cv2.imwrite(str(path), cv2.cvtColor(with_alpha(), cv2.COLOR_RGBA2BGRA).astype(np.uint16) * 257)
    assert np.array_equal(read_image(path), scene())
    same_as_the_path(path)


def test_lab_is_refused_as_a_path_and_as_a_pil_image(tmp_path: Path) -> None:
    path = saved(Image.frombytes("LAB", (40, 24), scene().tobytes()), tmp_path / "lab.tif")
    with pytest.raises(ImageError, match=r"lab\.tif.*RGB"):
        read_image(path)
    with Image.open(path) as image, pytest.raises(ImageError, match=r"lab\.tif.*RGB"):
        to_rgb(image)


@pytest.mark.parametrize("length", [4, 8, 2000, 3850])
def test_a_tiff_that_breaks_off_is_an_error(length: int) -> None:
    with pytest.raises(ImageError):
        to_rgb(tiff(with_alpha(), 2)[:length])
