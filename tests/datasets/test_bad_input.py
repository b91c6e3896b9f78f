"""Images as they are found: odd formats, broken files, strange names. Good ones are kept, bad ones named."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.datasets.yolo_folders import encoded, picture, with_exif_orientation, write_folder, write_image
from yolo_lite.datasets.files.source import FileSource
from yolo_lite.images.headers import image_size
from yolo_lite.images.reading import ImageError, decode_image, read_image

JPEG, PNG = encoded(picture(), ".jpg"), encoded(picture(), ".png")
PROGRESSIVE = cv2.imencode(".jpg", picture(200, 300)[..., ::-1], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


def png_of(width: int, height: int, data: bytes, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """A PNG from its parts: ``data`` is what IDAT compresses."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def with_thumbnail(jpeg: bytes) -> bytes:
    """As cameras write it: a small JPEG inside an APP1 segment."""
    body = b"Exif\0\0MM\0*\0\0\0\x08" + bytes(6) + encoded(picture(8, 8), ".jpg")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def with_restarts() -> bytes:
    """A JPEG of picture() with a restart marker after each block row."""
    return cv2.imencode(".jpg", picture()[..., ::-1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1].tobytes()


def gray_alpha_png() -> bytes:
    rows = b"".join(b"\0" + bytes([90, 128]) * 5 for _ in range(4))
    return png_of(5, 4, rows, colour=4)


CORRUPT_PNG = bytearray(PNG)
CORRUPT_PNG[len(PNG) // 2] ^= 0xFF


# ------------------------------------------------------------------------------------------------------ good images


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp", ".ppm", ".gif"])
def test_formats(tmp_path, suffix):
    image = picture(33, 47)
    if not cv2.haveImageWriter(suffix):
        pytest.skip(f"OpenCV {cv2.__version__} does not write {suffix}")
    if suffix == ".gif":  # has 256 colours at most, and the encoder's own choice of them
        image = np.full((33, 47, 3), (255, 0, 0), np.uint8)
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(encoded(image, suffix))

    assert image_size(path) == (33, 47)
    difference = np.abs(read_image(path).astype(int) - image)  # channels in the right order
    assert difference.mean() < 4


def test_a_gif_is_read_or_refused_with_a_way_out(tmp_path):
    red_dot = "474946383961 01000100 800000 ff0000 000000 2c00000000 0100010000 02024401003b"
    path = tmp_path / "dot.gif"
    path.write_bytes(bytes.fromhex(red_dot))
    if cv2.haveImageWriter(".gif"):
        assert (read_image(path) == [[[255, 0, 0]]]).all()
        path.write_bytes(bytes.fromhex(red_dot[:38]))
        with pytest.raises(ImageError, match=r"dot\.gif: .*damaged"):
            read_image(path)
    else:
        with pytest.raises(ImageError, match=rf"dot\.gif: .*GIF.* {cv2.__version__} .*PNG"):
            read_image(path)


def test_gray_becomes_three_equal_channels():
    image = decode_image(encoded(picture()[..., 0], ".png"))

    assert image.shape == (48, 64, 3)
    assert (image == picture()[..., :1]).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_scaled_to_8(suffix):
    deep = picture().astype(np.uint16) * 257
    np.testing.assert_array_equal(decode_image(encoded(deep, suffix)), picture())


def test_alpha_is_dropped():
    rgba = np.dstack([picture()[..., ::-1], np.full((48, 64), 3, np.uint8)])

    np.testing.assert_array_equal(decode_image(encoded(rgba, ".png")), picture())
    assert (decode_image(gray_alpha_png()) == 90).all()


def test_cmyk(tmp_path):
    pillow = pytest.importorskip("PIL.Image", reason="only Pillow, which comes with matplotlib, writes CMYK files")
    path = tmp_path / "cmyk.jpg"
    pillow.fromarray(picture()).convert("CMYK").save(path, quality=95)

    assert image_size(path) == (48, 64)
    assert np.abs(read_image(path).astype(int) - picture()).mean() < 5


@pytest.mark.parametrize("order", ["II", "MM"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_once(tmp_path, orientation, order):
    path = tmp_path / "rotated.jpg"
    path.write_bytes(with_exif_orientation(JPEG, orientation, order))
    turned = {  # the transformation that EXIF 2.3 gives each of the eight
        1: lambda image: image,
        2: lambda image: image[:, ::-1],
        3: lambda image: image[::-1, ::-1],
        4: lambda image: image[::-1],
        5: lambda image: image.transpose(1, 0, 2),
        6: lambda image: np.rot90(image, -1),
        7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
        8: lambda image: np.rot90(image, 1),
    }[orientation](decode_image(JPEG))

    np.testing.assert_array_equal(read_image(path), turned)
    assert image_size(path) == turned.shape[:2]


@pytest.mark.parametrize("size", [(1, 1), (1, 12_000), (12_000, 1), (2, 3)])
def test_very_small_and_very_long_images(tmp_path, size):
    path = write_image(tmp_path / "odd.png", *size)

    assert image_size(path) == size
    assert read_image(path).shape == (*size, 3)


def test_an_image_of_12_000_pixels_a_side(tmp_path):
    path = tmp_path / "large.png"
    cv2.imwrite(str(path), np.zeros((12_000, 12_000), np.uint8))

    assert image_size(path) == (12_000, 12_000)


@pytest.mark.parametrize(
    "name", ["ein bild.jpg", "größe.jpg", "写真.png", "смотри 1.5.jpg", "a#b%20'c'.png", "noise..jpg"]
)
def test_names(tmp_path, name):
    write_folder(tmp_path, {name: "0 0.5 0.5 0.5 0.5"})
    source = FileSource.open(tmp_path)

    assert not source.report.problems
    assert Path(source.paths[0]).name == name
    assert source.read(0).shape == (48, 64, 3)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(JPEG + bytes(1000), id="zeros behind the end"),
        pytest.param(JPEG + b"\r\n", id="a line end behind the end"),
        pytest.param(JPEG + b"TRAILER" * 2000, id="a camera's data behind the end"),
        pytest.param(JPEG + JPEG, id="a second picture"),
        pytest.param(JPEG[:-1], id="half an end marker"),
        pytest.param(JPEG[:-2], id="no end marker, but every pixel"),
        pytest.param(JPEG[:-2] + bytes(500), id="no end marker, zeros instead"),
        pytest.param(PROGRESSIVE, id="progressive"),
        pytest.param(with_thumbnail(JPEG), id="a preview with an end marker of its own"),
        pytest.param(JPEG[:2] + b"\xff\xff\xff" + JPEG[3:], id="fill bytes before a marker"),
        pytest.param(with_restarts(), id="restart markers"),
        pytest.param(PROGRESSIVE[:-2], id="progressive, no end marker"),
        pytest.param(PNG + b"TRAILER" * 2000, id="PNG with data behind the end"),
        pytest.param(
            png_of(2, 1, b"\0" + bytes(6), extra=bytes.fromhex("00000001 74455874 61 00000000")), id="bad text"
        ),
    ],
)
def test_unusual_but_whole_images_are_never_refused(tmp_path, data):
    path = tmp_path / "whole.jpg"
    path.write_bytes(data)
    image = read_image(path)

    assert image_size(path) == image.shape[:2]
    whole = {b"\xff\xd8": JPEG, b"\x89P": PNG}[data[:2]]
    if image.shape == (48, 64, 3):
        np.testing.assert_array_equal(image, decode_image(whole))


# ------------------------------------------------------------------------------------------------------- bad images

BAD = {
    "empty.jpg": (b"", "the file is empty (0 bytes)"),
    "zeros.png": (bytes(5000), "the file is empty (5000 bytes)"),
    "half.jpg": (JPEG[: len(JPEG) // 2], "breaks off before its end"),
    "almost.jpg": (JPEG[:-40], "breaks off before its end"),
    "header.jpg": (JPEG[:30], "breaks off before its end"),
    "progressive.jpg": (PROGRESSIVE[: len(PROGRESSIVE) * 2 // 3], "breaks off before its end"),
    "preallocated.jpg": (JPEG[: len(JPEG) // 2] + bytes(len(JPEG) // 2), "breaks off before its end"),
    "half.png": (PNG[: len(PNG) // 2], "breaks off before its end"),
    "almost.png": (PNG[:-14], "breaks off before its end"),
    "corrupt.png": (bytes(CORRUPT_PNG), "damaged"),
    "page.jpg": (b"<!DOCTYPE html><html>404</html>", "it begins with '<!DOCTYPE html><'"),
    "archive.png": (b"PK\x03\x04" + bytes(range(256)), "it begins with 'PK"),
    "iphone.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "HEIC"),
    "half.webp": (encoded(picture(), ".webp")[:200], "not an image that can be read"),
    "half.bmp": (encoded(picture(), ".bmp")[:2000], "not an image that can be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_broken_image_is_refused_with_the_reason(tmp_path, name):
    data, says = BAD[name]
    path = tmp_path / name
    path.write_bytes(data)

    for check in (image_size, read_image):
        with pytest.raises(ImageError) as error:
            check(path)
        assert says in str(error.value)
        assert str(path) in str(error.value)


def test_broken_images_are_left_out_of_a_dataset_and_the_good_ones_stay(tmp_path):
    write_folder(tmp_path, {"good.jpg": "0 0.5 0.5 0.5 0.5", "good.png": "0 0.5 0.5 0.5 0.5"})
    for name, (data, _) in BAD.items():
        (tmp_path / "images" / "train" / name).write_bytes(data)
    (tmp_path / "images" / "train" / "folder.jpg").mkdir()
    source = FileSource.open(tmp_path)

    assert [Path(path).name for path in source.paths] == ["good.jpg", "good.png"]
    left_out = source.report.by_kind()["images left out"]
    assert sorted(Path(problem.path).name for problem in left_out) == sorted(BAD)
    assert all(problem.message.endswith("image left out") for problem in left_out)


def test_every_cut_of_a_jpeg_or_png_is_noticed(tmp_path):
    path = tmp_path / "cut"
    for data in (JPEG, PNG, PROGRESSIVE, with_restarts()):
        for end in np.linspace(1, len(data) - 30, 40).astype(int):
            path.write_bytes(data[:end])
            with pytest.raises(ImageError):
                image_size(path)


def test_a_cut_jpeg_is_noticed_although_its_preview_is_whole(tmp_path):
    path = tmp_path / "camera.jpg"
    data = with_thumbnail(JPEG)
    for end in (len(data) - 40, len(data) - len(JPEG) // 2, len(data) - len(JPEG) + 10):
        path.write_bytes(data[:end])
        for check in (image_size, read_image):
            with pytest.raises(ImageError, match=r"camera\.jpg: .*breaks off"):
                check(path)


def test_a_file_that_breaks_or_changes_later_is_named(tmp_path):
    write_folder(tmp_path, {"a.jpg": "", "b.jpg": "", "c.jpg": ""})
    source = FileSource.open(tmp_path)
    folder = tmp_path / "images" / "train"
    (folder / "a.jpg").unlink()
    (folder / "b.jpg").write_bytes(JPEG[:100])
    write_image(folder / "c.jpg", 20, 30)

    with pytest.raises(FileNotFoundError, match=r"a\.jpg: "):
        source.read(0)
    with pytest.raises(ImageError, match=r"b\.jpg: "):
        source.read(1)
    with pytest.raises(ImageError, match=r"c\.jpg: 48 x 64.*20 x 30"):
        source.read(2)
