"""Bands of files: pages of a TIFF and the last axis of an .npy are what was saved, and a number is always one byte."""

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from yolo_lite.images.bands import channels_size, read_channels
from yolo_lite.images.reading import ImageError, read_image
from yolo_lite.images.rgb import to_channels, to_rgb

NOISE = np.random.default_rng(0).integers(0, 256, (12, 16, 12)).astype(np.uint8)
FRACTIONS = (NOISE / 255).astype(np.float32)


def pages(path: Path, bands: np.ndarray) -> Path:
    """A TIFF whose pages are these bands (H, W, n)."""
    path, bands = path.with_suffix(".tif"), bands[..., None] if bands.ndim == 2 else bands
    assert cv2.imwritemulti(str(path), [np.ascontiguousarray(bands[..., band]) for band in range(bands.shape[2])])
    return path


def array(path: Path, bands: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), bands)
    return path.with_suffix(".npy")


# ---- which bands ----------------------------------------------------------------------------------------------------


def test_three_gray_pages_are_three_channels(tmp_path: Path) -> None:
    path = pages(tmp_path / "a.tif", NOISE[..., :3])
    assert np.array_equal(read_channels(path, 3), NOISE[..., :3])
    assert np.array_equal(to_rgb(path), NOISE[..., :3])
    assert channels_size(path, 3) == (12, 16)
    assert np.array_equal(read_image(path), NOISE[..., [0, 0, 0]])  # the first picture of several
    images = [Image.fromarray(NOISE[..., band]) for band in range(3)]
    images[0].save(path, save_all=True, append_images=[*images[1:], Image.fromarray(NOISE[:6, :8, 0])])
    assert np.array_equal(read_channels(path, 3), NOISE[..., :3])  # the fourth, of another size, is a preview


@pytest.mark.parametrize("count", [2, 4, 5])
def test_of_other_pages_the_first_is_the_picture(tmp_path: Path, count: int) -> None:
    assert np.array_equal(read_channels(pages(tmp_path / "a.tif", NOISE[..., :count]), 3), NOISE[..., [0, 0, 0]])
    colours = [Image.fromarray(NOISE[..., start : start + 3]) for start in (0, 3, 6)]
    colours[0].save(tmp_path / "b.tif", save_all=True, append_images=colours[1:])
    assert np.array_equal(read_channels(tmp_path / "b.tif", 3), NOISE[..., :3])


@pytest.mark.parametrize(("bands", "channels"), [(4, 3), (4, 1), (3, 1), (2, 3), (3, 4)])
def test_bands_of_an_npy_are_no_colours(tmp_path: Path, bands: int, channels: int) -> None:
    path = array(tmp_path / "a.npy", NOISE[..., :bands])
    for function in (read_channels, channels_size, to_channels):
        with pytest.raises(ImageError, match=rf"a\.npy: has {bands} channels, and {channels} are needed"):
            function(path, channels)
    assert np.array_equal(read_channels(array(path, NOISE[..., 0]), 3), NOISE[..., [0, 0, 0]])  # one is gray


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_no_page_is_multiplied_with_its_alpha(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "a.tif"
    images = [Image.fromarray(NOISE[..., start : start + 4]) for start in (0, 4, 8)]
    images[0].save(path, save_all=True, append_images=images[1:], compression=compression)
    assert np.array_equal(read_channels(path, 12), NOISE)
    assert np.array_equal(read_channels(path, 3), NOISE[..., :3])


# ---- which bytes ----------------------------------------------------------------------------------------------------


WHOLE = {0: 0, 7: 7, 255: 255}
DEEP = {0: 0, 255: 0, 256: 1, 65535: 255}
FLOAT = {0: 0, 0.25: 64, 1: 255}


@pytest.mark.parametrize(
    ("save", "kind", "expected"),
    [
        *((save, kind, WHOLE) for save in (pages, array) for kind in ("u1", "i2", "i4")),
        *((save, kind, FLOAT) for save in (pages, array) for kind in ("f4", "f8")),
        *((pages, "u2", DEEP), (array, "u2", DEEP), (array, ">u2", DEEP), (array, ">f4", FLOAT), (array, "f2", FLOAT)),
        *((array, "i8", WHOLE), (array, "u4", WHOLE), (array, "?", {0: 0, 1: 255})),
    ],
)
def test_a_number_is_the_same_byte_beside_any_others(
    tmp_path: Path, save: Callable[[Path, np.ndarray], Path], kind: str, expected: dict[float, int]
) -> None:
    for number, byte in expected.items():
        alone = np.full((4, 6, 2), number, kind)
        beside = alone.copy()
        beside[0, :2, 1] = max(expected)
        for bands in (alone, beside):
            found = read_channels(save(tmp_path / "a", bands), 2)
            assert (found[1:] == byte).all()
        assert (read_channels(save(tmp_path / "a", alone[..., 0]), 1) == byte).all()  # in a single page


@pytest.mark.parametrize("save", [pages, array])
@pytest.mark.parametrize(
    ("values", "facts"),
    [
        (FRACTIONS * 255, r"floats.*\[0, 1\], found \d+ to 2\d\d:"),
        (FRACTIONS - 0.5, r"floats.*\[0, 1\], found -0\.\d+ to 0"),
        (np.where(NOISE > 9, FRACTIONS, np.nan), "NaN"),
        (NOISE.astype(np.int16) * 10, r"int16.*\[0, 255\], found \d+ to 2\d\d0:"),
        (NOISE.astype(np.int32) - 20, r"int32.*found -\d+ to"),
    ],
)
def test_numbers_that_no_rule_covers_get_a_sentence(
    tmp_path: Path, save: Callable[[Path, np.ndarray], Path], values: np.ndarray, facts: str
) -> None:
    for count in (1, 3, 5):
        with pytest.raises(ImageError, match=rf"a\.\w+: .*{facts}"):
            read_channels(save(tmp_path / "a", values[..., :count]), count)


def test_floats_in_one_page(tmp_path: Path) -> None:
    path, plain = str(tmp_path / "a.tif"), [cv2.IMWRITE_TIFF_COMPRESSION, 1]  # OpenCV 4 would change floats
    cv2.imwrite(path, FRACTIONS[..., 0], plain)
    assert np.array_equal(read_channels(path, 1), NOISE[..., :1])
    assert np.array_equal(read_channels(path, 3), NOISE[..., [0, 0, 0]])
    cv2.imwrite(path, FRACTIONS[..., [2, 1, 0]], plain)
    assert np.array_equal(read_image(path), NOISE[..., :3])
    cv2.imwrite(path, FRACTIONS[..., [2, 1, 0, 3]], plain)
    assert np.array_equal(read_channels(path, 3), NOISE[..., :3])
    assert np.array_equal(read_channels(path, 4), NOISE[..., :4])


# ---- .npy files, when a dataset is opened ---------------------------------------------------------------------------


def test_headers_of_npy_files_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    wrong = {
        r"\(12,\)": NOISE[:, 0, 0],
        r"\(1, 12, 16, 3\)": NOISE[None, ..., :3],
        "complex64": NOISE[..., :3].astype(np.complex64),
        "datetime64": NOISE[..., :3].astype("datetime64[s]"),
        r"has 5 channels.*\b3\b": NOISE[..., :5],
    }
    for facts, values in wrong.items():
        np.save(path, values)
        with pytest.raises(ImageError, match=rf"a\.npy: .*{facts}"):
            channels_size(path, 3)
    np.save(path, np.array([[[None]] * 3]), allow_pickle=True)
    with pytest.raises(ImageError, match=r"a\.npy: .*object"):
        channels_size(path, 3)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # of Python, about a header
def test_damaged_npy_files_are_an_image_error(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.save(file, NOISE[..., :3])
    whole, path, rng = file.getvalue(), tmp_path / "a.npy", np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(whole)
        data[rng.integers(6, 128)] = rng.integers(0, 256)
        path.write_bytes(data[: rng.integers(7, len(data))])
        for function in (channels_size, read_channels):
            with pytest.raises(ImageError, match=r"a\.npy: "):
                function(path, 3)


# ---- PIL images -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_pil_images_of_several_pages(tmp_path: Path, orientation: int, compression: str | None) -> None:
    path = tmp_path / "a.tif"
    images = [Image.fromarray(NOISE[..., band]) for band in range(5)]
    for count, channels in ((5, 5), (3, 3), (1, 1), (1, 3)):
        options = {"compression": compression, "tiffinfo": {0x0112: orientation}}
        images[0].save(path, save_all=True, append_images=images[1:count], **options)
        expected = np.rot90(
            NOISE[..., :count] if count > 1 else NOISE[..., [0] * channels], {6: -1, 3: 2}.get(orientation, 0)
        )
        with Image.open(path) as image:
            assert np.array_equal(to_channels(image, channels), expected)
            assert image.tell() == 0
            with Image.open(path) as another:
                assert np.array_equal(np.asarray(image), np.asarray(another))  # it can still be decoded
        assert np.array_equal(read_channels(path, channels), expected)
    images[0].save(path, save_all=True, append_images=images[1:])
    with Image.open(path) as image:
        image.seek(2)  # to this page, and no other
        assert np.array_equal(to_channels(image, 1), NOISE[..., 2:3])
    with Image.open(path) as image, pytest.raises(ImageError, match=r"a\.tif: has 5 channels"):
        to_channels(image, 4)


@pytest.mark.filterwarnings("ignore:Palette images with Transparency:UserWarning")  # of Pillow
@pytest.mark.parametrize("transparency", [3, bytes(range(0, 160, 10)), "RGB"], ids=["one", "each", "RGB"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_transparent_colours_of_pil_are_alpha(tmp_path: Path, transparency: object, orientation: int) -> None:
    exif, path = Image.Exif(), tmp_path / "a.png"
    exif[0x0112] = orientation
    image = Image.fromarray(NOISE[..., :3])
    if transparency == "RGB":
        image.save(path, transparency=tuple(NOISE[0, 0, :3].tolist()), exif=exif)
    else:
        image.quantize(16).save(path, transparency=transparency, exif=exif)
    expected = read_channels(path, 4)
    assert len(np.unique(expected[..., 3])) > 1
    for channels in (1, 3, 4):
        with Image.open(path) as opened:
            assert np.array_equal(to_channels(opened, channels), read_channels(path, channels))


def test_floats_of_pil_by_the_rule_of_files(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(FRACTIONS[..., 0]).save(path)
    with Image.open(path) as image:
        assert np.array_equal(to_channels(image, 1), NOISE[..., :1])
    Image.fromarray(FRACTIONS[..., 0] * 255).save(path)
    with Image.open(path) as image, pytest.raises(ImageError, match=r"a\.tif: floats.*\[0, 1\]"):
        to_rgb(image)


# ---- what decoders print --------------------------------------------------------------------------------------------


def test_opencv_says_nothing_of_files_that_break_off(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = getattr(cv2.utils, "logging", cv2)  # OpenCV 5, OpenCV 4
    before = log.getLogLevel()
    images = [Image.fromarray(NOISE[..., band]) for band in range(4)]
    images[0].save(tmp_path / "pages.tif", save_all=True, append_images=images[1:], compression="tiff_lzw")
    for suffix in ("png", "tif", "bmp", "ppm", "webp", "jp2", *(["gif"] if cv2.haveImageWriter(".gif") else [])):
        Image.fromarray(np.kron(NOISE[..., :3], np.ones((4, 4, 1), np.uint8))).save(tmp_path / f"a.{suffix}")
    for path in sorted(tmp_path.iterdir()):
        whole, channels = path.read_bytes(), 4 if path.stem == "pages" else 3
        for length in (len(whole) // 2, 30):
            path.write_bytes(whole[:length])
            with pytest.raises(ImageError, match=rf"{path.name}: "):
                read_channels(path, channels)
        assert capfd.readouterr().err == "", path.name
    assert log.getLogLevel() == before
