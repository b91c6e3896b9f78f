"""A picture is the same picture, whatever it comes as."""

import io
import os
import pathlib
import re
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.loader import collate
from yolo_lite.images.reading import read_image
from yolo_lite.images.rgb import each_image, to_rgb


def scene(height: int = 24, width: int = 40) -> np.ndarray:
    """Smooth colours, no two sides alike."""
    rows, cols = np.mgrid[:height, :width]
    return np.dstack((rows * 255 // height, cols * 255 // width, (rows + cols) * 4)).astype(np.uint8)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def same_as_the_path(path: Path, tolerance: int = 0) -> None:
    """PIL, bytes, open files and the path agree."""
    expected = read_image(path)
    assert np.array_equal(to_rgb(path.read_bytes()), expected)
    with open(path, "rb") as file:
        assert np.array_equal(to_rgb(file), expected)
    with Image.open(path) as image:
        found = to_rgb(image)
    assert found.shape == expected.shape
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= tolerance


# ---- EXIF -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_every_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    path = saved(Image.fromarray(scene()), tmp_path / f"a.{suffix}", exif=exif, **options)
    expected = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a[::-1], 1),
        8: lambda a: np.rot90(a, 1),
    }.get(orientation, lambda a: a)(scene())
    with Image.open(path) as image:
        found = to_rgb(image)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= (8 if suffix == "jpg" else 0)
    same_as_the_path(path)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_rotation_that_only_xmp_gives_is_not_applied(tmp_path: Path, orientation: int) -> None:
    """OpenCV does not apply it, Pillow would."""
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
    segment = b"http://ns.adobe.com/xap/1.0/\0" + xmp.encode()
    data = saved(Image.fromarray(scene()), tmp_path / "a.jpg").read_bytes()
    path = tmp_path / "b.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:])
    with Image.open(path) as image:
        assert image.getexif().get(0x0112, 1) == orientation
    same_as_the_path(path)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # of Pillow
def test_a_damaged_exif_block_is_passed_over(tmp_path: Path) -> None:
    path = saved(Image.fromarray(scene()), tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    same_as_the_path(path)


def test_a_copy_that_pil_made_is_still_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(Image.fromarray(scene()), tmp_path / "a.png", exif=exif)
    with Image.open(path) as image:
        assert np.array_equal(to_rgb(image.convert("RGB")), read_image(path))


# ---- modes of PIL ---------------------------------------------------------------------------------------------------


def test_sixteen_bits(tmp_path: Path) -> None:
    values = (np.arange(24 * 40).reshape(24, 40) * 68).astype(np.uint16)
    path = saved(Image.fromarray(values), tmp_path / "deep.png")
    expected = np.repeat((values >> 8).astype(np.uint8)[..., None], 3, 2)
    assert np.array_equal(read_image(path), expected)
    same_as_the_path(path)
    same_as_the_path(saved(Image.fromarray(values), tmp_path / "deep.tif"))
    big_endian = Image.frombytes("I;16B", (40, 24), values.astype(">u2").tobytes())
    as_ints = Image.fromarray(values.astype(np.int32))  # mode I, as older releases open such files
    for image in (values, values[..., None], torch.from_numpy(values.astype(np.int32)), big_endian, as_ints):
        assert np.array_equal(to_rgb(image), expected)
    colours = np.dstack((values, values[::-1], values[:, ::-1]))
    cv2.imwrite(str(tmp_path / "colours.png"), colours[..., ::-1])
    assert np.array_equal(to_rgb(colours), read_image(tmp_path / "colours.png"))
    same_as_the_path(tmp_path / "colours.png")


@pytest.mark.parametrize("mode", ["1", "L", "P", "PA", "LA", "La", "RGB", "RGBA", "RGBX", "RGBa", "YCbCr", "HSV"])
def test_modes_of_pil(mode: str) -> None:
    gray = mode in ("1", "L", "LA", "La")
    drawn = np.repeat((scene()[..., :1] > 100) * np.uint8(255), 3, 2) if gray else scene()
    image = Image.fromarray(drawn)
    steps = {"PA": ["P", "PA"], "La": ["LA", "La"], "RGBa": ["RGBA", "RGBa"]}.get(mode, [mode])
    for step in steps:
        image = image.quantize() if step == "P" else image.convert(step)
    assert image.mode == mode
    assert np.abs(to_rgb(image).astype(int) - drawn).max() <= (24 if mode in ("P", "PA") else 6)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *(("1", "png"), ("L", "png"), ("P", "png"), ("P", "gif"), ("LA", "png"), ("RGBA", "png"), ("RGBA", "webp")),
        *(("CMYK", "jpg"), ("L", "jpg"), ("1", "tif"), ("RGB", "bmp"), ("L", "pgm"), ("RGB", "ppm"), ("RGB", "jp2")),
    ],
)
def test_files_of_every_mode(tmp_path: Path, mode: str, suffix: str) -> None:
    if not cv2.haveImageWriter(f".{suffix}"):
        pytest.skip(f"OpenCV {cv2.__version__} does not read {suffix}")
    image = Image.fromarray(scene())
    image = image.quantize() if mode == "P" else image.convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(scene()[..., 1]))
    path = saved(image, tmp_path / f"a.{suffix}", **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    same_as_the_path(path, tolerance=2 if mode == "CMYK" else 1 if suffix == "jp2" else 0)


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    path = saved(Image.fromarray(scene()).quantize(), tmp_path / "a.png", transparency=3)
    same_as_the_path(path)


def test_floats_and_whole_numbers_of_pil() -> None:
    values = scene()[..., 0]
    expected = np.repeat(values[..., None], 3, 2)
    for image in (
        Image.fromarray(values.astype(np.float32)),
        Image.fromarray(values.astype(np.float32) / 255),
        Image.fromarray(values.astype(np.int32)),
    ):
        assert np.array_equal(to_rgb(image), expected)


def test_images_of_pil_without_pixels_or_cut_off(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\(4, 0, 3\)"):
        to_rgb(Image.new("RGB", (0, 4)))
    path = saved(Image.fromarray(scene(200, 200)), tmp_path / "cut.png")
    path.write_bytes(path.read_bytes()[:-200])
    with Image.open(path) as image, pytest.raises(ValueError, match=r"cut\.png: .*damaged"):
        to_rgb(image)


# ---- arrays and tensors ---------------------------------------------------------------------------------------------

RGB = scene()
GRAY = np.repeat(RGB[..., :1], 3, 2)
PLANES = torch.from_numpy(RGB).permute(2, 0, 1)


class Wrapped:
    """Has what NumPy asks of an array, and nothing else."""

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return RGB


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (RGB, RGB),
        (RGB.transpose(2, 0, 1), RGB),
        (np.asfortranarray(RGB), RGB),
        (RGB[::-1, ::-1][::-1, ::-1], RGB),
        (np.dstack((RGB, RGB[..., 0])), RGB),
        (np.dstack((RGB, RGB[..., 0])).transpose(2, 0, 1), RGB),
        (np.dstack((RGB[..., 0], RGB[..., 1])), GRAY),  # gray with alpha
        (RGB[..., 0], GRAY),
        (RGB[..., :1], GRAY),
        (RGB[..., 0][None], GRAY),
        (RGB / 255, RGB),
        ((RGB / 255).astype(np.float16), RGB),
        (RGB / 255 * (1 + 5e-4), RGB),  # as resizing in floats leaves it
        (RGB.astype(np.float32), RGB),
        (RGB.astype(np.int64), RGB),
        (RGB.astype(np.int16), RGB),
        (RGB.astype(np.uint32) * 257, RGB),
        (RGB.astype(np.uint16) * 257, RGB),
        (RGB > 100, (RGB > 100) * np.uint8(255)),
        (PLANES, RGB),
        (PLANES.permute(1, 2, 0), RGB),
        (PLANES.float(), RGB),
        (PLANES.double() / 255, RGB),
        (PLANES[0], GRAY),
        (PLANES[:1], GRAY),
        (torch.cat((PLANES, PLANES[:1])), RGB),
        (PLANES.long(), RGB),
        ((PLANES / 255).requires_grad_(), RGB),
        (torch.from_numpy(RGB > 100).permute(2, 0, 1), (RGB > 100) * np.uint8(255)),
        (Wrapped(), RGB),
        (np.zeros((4, 4, 3), np.uint16), np.zeros((4, 4, 3), np.uint8)),
    ],
)
def test_arrays_and_tensors(image: object, expected: np.ndarray) -> None:
    found = to_rgb(image)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert np.array_equal(found, expected)


def test_bfloat16_is_as_near_as_it_can_be() -> None:
    assert np.abs(to_rgb((PLANES / 255).bfloat16()).astype(int) - RGB).max() <= 1


def test_a_shape_that_can_be_read_both_ways() -> None:
    narrow = np.zeros((3, 20, 3), np.uint8)
    narrow[0] = 255
    assert to_rgb(narrow).shape == (3, 20, 3)
    assert to_rgb(torch.from_numpy(narrow)).shape == (20, 3, 3)


def test_what_was_given_is_left_as_it_was() -> None:
    image = RGB.astype(np.float32)
    before = image.copy()
    to_rgb(image)[:] = 0
    assert np.array_equal(image, before)


@pytest.mark.parametrize(
    ("image", "facts"),
    [
        (np.full((4, 4, 3), -0.5), "-0.5 to -0.5"),
        (np.array([[0.0, 1.3]]), "0 to 1.3"),
        (np.array([[0.0, 300.0]]), "0 to 300"),
        (np.array([[0.0, np.inf]]), "infinite"),
        (np.array([[0, -1]]), "-1 to 0"),
        (np.array([[0, 70000]]), "0 to 70000"),
        (RGB.astype(np.uint16), r"no value above 2\d\d.*astype"),
        (np.zeros((4, 4), complex), "complex128"),
        (np.array([["a"]]), "<U1"),
        (np.zeros((2, 4, 4, 3)), r"\(2, 4, 4, 3\)"),
        (np.zeros((6, 4, 5)), r"\(6, 4, 5\)"),
        (np.zeros(4), r"\(4,\)"),
        (np.zeros((0, 4, 3)), r"\(0, 4, 3\)"),
        (torch.zeros(6, 4, 5), r"\(6, 4, 5\)"),
        (b"", "empty"),
        (b"no picture", "begins with 'no picture'"),
        (io.StringIO("text"), "mode 'rb'"),
        (7, "int"),
        (None, "NoneType"),
    ],
)
def test_what_is_not_a_picture_gets_a_sentence(image: object, facts: str) -> None:
    with pytest.raises(ValueError, match=f"^picture 3: .*{facts}"):
        to_rgb(image, "picture 3")


# ---- files and addresses --------------------------------------------------------------------------------------------


def test_files_however_they_are_given(tmp_path: Path) -> None:
    path = saved(Image.fromarray(RGB), tmp_path / "bild ü.png")
    data = path.read_bytes()
    written = io.BytesIO()
    Image.fromarray(RGB).save(written, "png")  # and the position is at its end
    for image in (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), written):
        assert np.array_equal(to_rgb(image), RGB)
    assert np.array_equal(to_rgb(next(iter(os.scandir(tmp_path)))), RGB)  # a PathLike
    with tempfile.TemporaryFile() as file:
        file.write(data)
        assert np.array_equal(to_rgb(file), RGB)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "inside.png")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, archive.open("inside.png") as inside:
        assert np.array_equal(to_rgb(inside), RGB)


@pytest.mark.parametrize(
    "address",
    [
        *("http://example.org/a.jpg", "https://example.org/a.jpg?b=1", "s3://bucket/a.jpg", "file:///tmp/a.jpg"),
        *("data:image/png;base64,iVBORw0KGgo=", pathlib.PurePosixPath("https://example.org/a.jpg")),
    ],
)
def test_an_address_is_refused(address: object) -> None:
    with pytest.raises(ValueError, match="address"):
        to_rgb(address)


def test_a_path_that_only_looks_like_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:").mkdir()
    saved(Image.fromarray(RGB), tmp_path / "http:" / "a.png")
    assert np.array_equal(to_rgb("http:/a.png"), RGB)
    with pytest.raises(FileNotFoundError):
        to_rgb("C:/photos/a.jpg")
    with pytest.raises(ValueError, match=re.escape(str(tmp_path))):
        to_rgb(tmp_path)


# ---- one or several -------------------------------------------------------------------------------------------------


def test_one_picture_or_several(tmp_path: Path) -> None:
    path = saved(Image.fromarray(RGB), tmp_path / "a.png")
    one = [RGB, RGB[..., 0], PLANES, path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), Wrapped()]
    for image in [*one, Image.fromarray(RGB)]:
        assert len(list(each_image(image))) == 1
    several = [np.stack([RGB, RGB]), torch.stack([PLANES, PLANES]), one[:2], tuple(one[:2]), iter(one[:2])]
    for images in several:
        assert len(list(each_image(images))) == 2
    assert list(each_image([])) == []
    dataset = YoloDataset("shapes", img_size=32)
    batch = collate([dataset[0], dataset[1]])
    assert len(list(each_image(batch))) == 2
    assert len(list(each_image(dataset[0]))) == 1


@pytest.mark.parametrize(
    ("images", "facts"),
    [(7, "int"), (None, "NoneType"), ({"a": RGB}, "dict"), (YoloDataset("shapes", 32), r"dataset\.paths")],
)
def test_what_does_not_list_pictures(images: object, facts: str) -> None:
    with pytest.raises(ValueError, match=facts):
        each_image(images)
