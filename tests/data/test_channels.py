"""Images of 1, 4 and N channels: read, augmented, trained on, evaluated, predicted on; and what does not fit said."""

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

import yolo_lite as yl
from yolo_lite.augment.colour import HsvDraw, PhotometricDraw, apply_hsv, apply_photometric
from yolo_lite.augment.letterbox import letterbox, resize_longest
from yolo_lite.augment.objects import Objects
from yolo_lite.augment.warp import WarpDraw, apply_warp
from yolo_lite.cli import main
from yolo_lite.data.loader import create_dataloader
from yolo_lite.data.report import DatasetWarning
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.images.bands import read_channels
from yolo_lite.images.reading import ImageError, read_image
from yolo_lite.images.rgb import to_channels, to_rgb

NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 12)).astype(np.uint8)
LAYERS = {
    "nc": 1,
    "anchors": 2,
    "depth_multiple": 1.0,
    "width_multiple": 1.0,
    "backbone": [[-1, 1, "Conv", [8, 3, 4]], [-1, 1, "Conv", [16, 3, 4]]],
    "head": [[[0, 1], 1, "Detect", ["nc", "anchors"]]],
}
TINY = {"img_size": 32, "epochs": 1, "batch_size": 4, "device": "cpu"}


def scene(index: int, channels: int) -> tuple[np.ndarray, str]:
    """A bright square on noise, and its label."""
    rng = np.random.default_rng(index)
    pixels = rng.integers(0, 90, (40, 48, channels)).astype(np.uint8)
    x, y = rng.integers(0, 24, 2).tolist()
    pixels[y : y + 14, x : x + 14] = 200
    return pixels, f"0 {(x + 7) / 48} {(y + 7) / 40} {14 / 48} {14 / 40}\n"


def save(pixels: np.ndarray, path: Path) -> None:
    """As .npy, as pages of a TIFF, or as one gray, RGB or RGBA picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".tif" and pixels.shape[2] > 4:
        cv2.imwritemulti(str(path), [np.ascontiguousarray(pixels[..., band]) for band in range(pixels.shape[2])])
    else:
        PillowImage.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path)


def folder(path: Path, channels: int, suffix: str, count: int = 8) -> Path:
    """A data.yaml with pictures to train on and to validate on."""
    for split in ("train", "val"):
        (path / "images" / split).mkdir(parents=True)
        (path / "labels" / split).mkdir(parents=True)
        for index in range(count):
            pixels, label = scene(index + 100 * (split == "val"), channels)
            save(pixels, path / "images" / split / f"{index}{suffix}")
            (path / "labels" / split / f"{index}.txt").write_text(label)
    data = path / "data.yaml"
    data.write_text("train: images/train\nval: images/val\nnames: [square]\n")
    return data


def tiny(channels: int) -> torch.nn.Module:
    return yl.create_model({**LAYERS, "ch": channels}, names=["square"])


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "suffix"), [(1, ".png"), (1, ".npy"), (4, ".png"), (4, ".tif"), (4, ".npy"), (6, ".tif"), (6, ".npy")]
)
def test_a_file_gives_the_bands_that_were_saved(tmp_path: Path, channels: int, suffix: str) -> None:
    path, pixels = tmp_path / f"a{suffix}", NOISE[..., :channels]
    save(pixels, path)
    assert np.array_equal(read_channels(path, channels), pixels)
    assert np.array_equal(to_channels(path.read_bytes(), channels), pixels)
    with path.open("rb") as file:
        assert np.array_equal(to_channels(file, channels), pixels)
    if suffix == ".png":
        assert np.array_equal(to_channels(PillowImage.open(path), channels), pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_16_bits_give_their_high_byte(tmp_path: Path, suffix: str) -> None:
    path, deep = tmp_path / f"deep{suffix}", NOISE[..., 0].astype(np.uint16) * 256 + 77
    if suffix == ".npy":
        np.save(path, deep)
    else:
        cv2.imwrite(str(path), deep)
    assert np.array_equal(read_channels(path, 1)[..., 0], NOISE[..., 0])
    assert np.array_equal(to_channels(deep, 1)[..., 0], NOISE[..., 0])
    pages = tmp_path / "pages.tif"
    cv2.imwritemulti(str(pages), [deep, deep // 2])
    assert np.array_equal(read_channels(pages, 2)[..., 1], (deep // 2 >> 8))


def test_colour_becomes_luma_and_gray_becomes_three(tmp_path: Path) -> None:
    colour, gray = tmp_path / "colour.png", tmp_path / "gray.png"
    save(NOISE[..., :3], colour)
    save(NOISE[..., :1], gray)
    luma = cv2.cvtColor(np.ascontiguousarray(NOISE[..., :3]), cv2.COLOR_RGB2GRAY)
    assert np.array_equal(read_channels(colour, 1)[..., 0], luma)
    assert np.array_equal(to_channels(NOISE[..., :3], 1)[..., 0], luma)
    assert np.array_equal(to_channels(torch.from_numpy(NOISE[..., :3]).permute(2, 0, 1), 1)[..., 0], luma)
    assert np.array_equal(read_channels(gray, 3), read_image(gray))
    for path in (colour, gray):
        assert np.array_equal(to_rgb(path), read_image(path))


@pytest.mark.parametrize(("orientation", "turned"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_alpha_is_turned_with_the_colours(tmp_path: Path, orientation: int, turned: int) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    for suffix in ("png", "tif"):
        path = tmp_path / f"a.{suffix}"
        PillowImage.fromarray(NOISE[..., :4]).save(path, exif=exif)
        assert np.array_equal(read_channels(path, 4), np.rot90(NOISE[..., :4], turned))
    assert np.array_equal(to_channels(PillowImage.open(tmp_path / "a.png"), 4), np.rot90(NOISE[..., :4], turned))


@pytest.mark.parametrize(
    ("image", "channels"),
    [
        (NOISE[..., 0], 1),
        (NOISE[..., :1], 1),
        (NOISE[..., :4], 4),
        (NOISE[..., :6], 6),
        (np.moveaxis(NOISE[..., :6], 2, 0), 6),
        (torch.from_numpy(NOISE).permute(2, 0, 1), 12),
        (NOISE[..., :5].astype(np.float32) / 255, 5),
    ],
    ids=str,
)
def test_arrays_and_tensors(image: np.ndarray | torch.Tensor, channels: int) -> None:
    assert np.array_equal(to_channels(image, channels), NOISE[..., :channels])


def _saved(pixels: np.ndarray, suffix: str) -> Callable[[Path], Path]:
    def make(place: Path) -> Path:
        path = place / f"wrong{suffix}"
        save(pixels, path)
        return path

    return make


@pytest.mark.parametrize(
    ("make", "found", "channels"),
    [
        (_saved(NOISE[..., :3], ".png"), 3, 4),
        (_saved(NOISE[..., :1], ".png"), 1, 6),
        (_saved(NOISE[..., :6], ".tif"), 6, 1),
        (_saved(NOISE[..., :6], ".tif"), 6, 5),
        (_saved(NOISE[..., :6], ".npy"), 6, 3),
        (_saved(NOISE[..., :2], ".npy"), 2, 1),
    ],
)
def test_other_channels_are_an_error_with_file_found_and_needed(
    tmp_path: Path, make: Callable[[Path], Path], found: int, channels: int
) -> None:
    path = make(tmp_path)
    for function in (read_channels, to_channels):
        with pytest.raises(ImageError, match=rf"wrong\.\w+.* {found} channels?\b.* {channels} "):
            function(path, channels)
    with pytest.raises(ValueError, match=r"\b7\b"):
        to_channels(NOISE[..., :2], 7)


def test_arrays_in_files_that_are_no_pictures(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for array, says in ((np.zeros(5, np.uint8), r"\(5,\)"), (np.zeros((4, 4, 1), complex), "complex")):
        np.save(path, array)
        with pytest.raises(ImageError, match=says):
            read_channels(path, 1)
    np.save(path, np.array([[None]]))
    with pytest.raises(ImageError, match=r"a\.npy"):
        read_channels(path, 1)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ImageError, match=r"a\.npy"):
        read_channels(path, 1)


# ---- augmentation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 6, 8, 12])
def test_each_band_is_moved_as_it_would_be_by_itself(channels: int) -> None:
    many, none = NOISE[..., :channels], Objects.empty()
    skewed = WarpDraw(angle=12, scale=0.8, perspective=(1e-4, 0))
    for function in (
        lambda image: letterbox(image, 96, auto=False).image,
        lambda image: resize_longest(image, 40, augment=False).image,  # averages areas
        lambda image: resize_longest(image, 80, augment=True).image,
        lambda image: apply_warp(image, none, WarpDraw(angle=12, scale=0.8)).image,
        lambda image: apply_warp(image, none, skewed).image,
    ):
        whole = function(many)
        assert whole.shape[2] == channels
        for band in range(channels):
            alone = function(np.repeat(many[..., band : band + 1], 3, axis=2))
            assert np.array_equal(whole[..., band], alone[..., 0])


@pytest.mark.parametrize("channels", [1, 6])
def test_samples_keep_their_channels_through_all_steps(
    tmp_path: Path, channels: int, caplog: pytest.LogCaptureFixture
) -> None:
    data = folder(tmp_path, channels, ".npy", count=4)
    on = dict.fromkeys(
        ("mosaic", "mixup", "copy_paste", "flipud", "fliplr", "random_resized_crop", "perspective"), 1.0
    ) | dict.fromkeys(("blur", "median_blur", "to_gray", "clahe", "brightness_contrast", "gamma", "jpeg"), 1.0)
    hyp = yl.Hyperparameters(degrees=10, **on | {"perspective": 1e-4})
    with caplog.at_level(logging.WARNING, "yolo_lite"):
        dataset = yl.YoloDataset(data, 64, hyp, augment=True, channels=channels)
    (message,) = caplog.messages
    assert all(name in message for name in ("hsv_h", "to_gray", "clahe", "jpeg", f"{channels} channel"))
    assert "gamma" not in message
    stages = list(dataset.stages(dataset.draw(0, epoch=3)))
    names = [stage.name for stage in stages]
    assert "hsv" not in names
    assert {"mosaic", "mixup", "crop", "photometric", "flip"} <= set(names)
    assert {stage.image.shape[2] for stage in stages} == {channels}
    sample = dataset[0]
    assert sample.image.shape == (channels, 64, 64)
    assert sample.image.dtype == torch.uint8
    plain = yl.YoloDataset(data, 64, yl.Hyperparameters(mosaic=0), augment=True, channels=channels)
    assert plain[1].image.shape == (channels, 64, 64)


def test_colour_functions_refuse_what_has_none() -> None:
    with pytest.raises(ValueError, match=r"\(48, 64, 1\)"):
        apply_hsv(NOISE[..., :1], HsvDraw())
    with pytest.raises(ValueError, match=r"\(48, 64, 1\)"):
        apply_photometric(NOISE[..., :1], PhotometricDraw(to_gray=True))


def test_caches_give_the_same_images(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", 6, ".npy", count=3)
    plain = yl.YoloDataset(data, 64, channels=6)
    for cache in ("ram", "disk", "disk"):  # written, then read
        cached = yl.YoloDataset(data, 64, channels=6, cache=cache, cache_dir=tmp_path / "cache")
        assert all(torch.equal(cached[index].image, plain[index].image) for index in range(3))


# ---- from end to end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "suffix"), [(1, ".png"), (4, ".png"), (6, ".tif")])
def test_trained_resumed_evaluated_predicted(tmp_path: Path, channels: int, suffix: str) -> None:
    data = folder(tmp_path / "data", channels, suffix)
    run = tmp_path / "run"
    trainer = yl.Trainer(tiny(channels), str(data), out_dir=run, **TINY).fit()
    assert trainer.train_set.channels == channels
    assert "mAP50" in trainer.history[-1]
    longer = yl.Trainer.resume(run, epochs=2).fit()
    assert longer.epoch == 2
    model = yl.load(run / "last.safetensors")
    metrics = yl.evaluate(model, data, img_size=32)
    assert metrics.num_images == 8
    picture = data.parent / "images" / "val" / f"0{suffix}"
    pixels = scene(100, channels)[0]
    by_path, by_array = yl.predict(model, [picture, pixels], conf_thres=0.001, img_size=32)
    assert torch.equal(by_path.xyxy, by_array.xyxy)
    assert by_path.channels == channels
    drawn = by_path[:0].draw()
    assert drawn.shape == (40, 48, 3)
    assert np.array_equal(drawn[..., 0], pixels[..., 0])
    assert np.array_equal(drawn, by_array[:0].draw(pixels))
    (streamed,) = yl.predict(model, str(picture), stream=True, img_size=32)
    assert streamed.image.shape == (40, 48, channels)
    assert streamed.draw().shape == (40, 48, 3)


def test_a_loop_of_plain_pytorch(tmp_path: Path) -> None:
    model = tiny(6)
    loader = create_dataloader(folder(tmp_path, 6, ".npy", 4), 4, img_size=32, channels=6)
    (batch,) = loader
    assert batch.images.shape == (4, 6, 32, 32)
    loss = model.criterion(yl.Hyperparameters(), 32)(model(batch.images / 255), batch.targets).total
    loss.backward()
    assert float(loss.detach()) > 0


def test_on_the_command_line(tmp_path: Path) -> None:
    data, run, spec = folder(tmp_path / "data", 1, ".png"), tmp_path / "run", tmp_path / "gray.yaml"
    spec.write_text(json.dumps({**LAYERS, "ch": 1}))
    options = ["--img-size", "32", "--epochs", "1", "--batch-size", "4", "--out", str(run), "--device", "cpu"]
    assert main(["train", "--data", str(data), "--model", str(spec), *options]) == 0
    weights = str(run / "best.safetensors")
    assert main(["val", "--data", str(data), "--weights", weights, "--device", "cpu"]) == 0
    pictures = [str(data.parent / "images" / "val")]
    drawn = tmp_path / "drawn"
    assert main(["predict", *pictures, "--weights", weights, "--save", str(drawn), "--device", "cpu"]) == 0
    assert len(list(drawn.glob("*.png"))) == 8


def test_a_data_yaml_says_the_channels(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", 6, ".npy", 2)
    data.write_text(data.read_text() + "channels: 6\n")
    assert yl.YoloDataset(data, 32).channels == 6
    with pytest.raises(ValueError, match=r"channels: 6.*\b3\b"):
        yl.Trainer(tiny(3), str(data), **TINY)
    data.write_text(data.read_text().replace("6", "six"))
    with pytest.raises(ValueError, match="six"):
        yl.YoloDataset(data, 32)


# ---- what does not fit ----------------------------------------------------------------------------------------------


def test_a_dataset_of_other_channels_than_the_model(tmp_path: Path) -> None:
    dataset = yl.YoloDataset(folder(tmp_path, 1, ".png", 2), 32, channels=1)
    with pytest.raises(ValueError, match=r"\b3 channels.*\b1\b"):
        yl.Trainer(tiny(3), dataset, img_size=32, epochs=1, device="cpu")
    with pytest.raises(ValueError, match=r"\b3 channels.*\b1\b"):
        yl.evaluate(tiny(3), dataset)
    with pytest.raises(ValueError, match=r"\(N, 1, H, W\).*channels=1"):
        tiny(1)(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"shapes.*\b3\b.*\b2\b"):
        yl.YoloDataset(Shapes(size=64, count=2), 64, channels=2)
    with pytest.raises(ValueError, match=r"\b0\b"):
        yl.YoloDataset(Shapes(size=64, count=2), 64, channels=0)


def test_an_image_of_other_channels_is_left_out_and_counted(tmp_path: Path) -> None:
    data = folder(tmp_path, 6, ".npy", 4)
    wrong = tmp_path / "images" / "train" / "1.npy"
    save(NOISE[..., :5], wrong)
    with pytest.warns(DatasetWarning, match="5 channels"):
        dataset = yl.YoloDataset(data, 32, channels=6)
    assert len(dataset) == 3
    save(NOISE[:40, :48, :5], Path(dataset.paths[0]))  # afterwards: the next takes its place
    dataset.replace_unreadable = True
    assert "5 channels" in dataset[0].unreadable[0].message
    right = tmp_path / "images" / "train" / "2.npy"
    with pytest.warns(UserWarning, match="1 of 2 images left out.*5 channels"):
        found = yl.predict(tiny(6), [wrong, right], img_size=32)
    assert "5 channels" in found[0].unreadable
    assert not found[1].unreadable


@pytest.mark.parametrize("pages", [2, 3, 4, 5])
def test_gray_pages_are_no_colours(tmp_path: Path, pages: int) -> None:
    path = tmp_path / "pages.tif"
    assert cv2.imwritemulti(str(path), [NOISE[..., page] for page in range(pages)])
    with pytest.raises(ImageError, match=f"pages.tif: has {pages} channels, and 1 are needed"):
        read_channels(path, 1)


def test_npy_files_beside_pictures_are_copies_of_them(tmp_path: Path) -> None:
    data = folder(tmp_path, 3, ".png", 2)
    np.save(tmp_path / "images" / "train" / "0.npy", NOISE)  # as other programs cache them
    assert len(yl.YoloDataset(data, 32)) == 2
    np.save(tmp_path / "images" / "train" / "other.npy", NOISE)  # of no picture here
    with pytest.warns(DatasetWarning, match="pictures passed over: 1"):
        dataset = yl.YoloDataset(data, 32)
    assert len(dataset) == 2
    assert "keep arrays in a folder of their own" in str(dataset.report)


def test_labels_of_arrays_that_are_passed_over_have_a_picture(tmp_path: Path) -> None:
    for split, names in (("train", ("a.png", "b.npy")), ("val", ("c.png", "d.npy"))):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "labels").mkdir(exist_ok=True)  # one folder for both splits
        for name in names:
            save(scene(0, 3)[0], tmp_path / "images" / split / name)
            (tmp_path / "labels" / f"{name[0]}.txt").write_text(scene(0, 3)[1])
    for split, array in (("train", "b.npy"), ("val", "d.npy")):
        with pytest.warns(DatasetWarning, match="pictures passed over: 1"):
            (problem,) = yl.YoloDataset(tmp_path, 32, split=split).report.problems
        assert problem.path.endswith(array)
        assert "not read" not in problem.message  # they are, where they lie by themselves
    some = tmp_path / "some.txt"  # a list that names one of two arrays
    for letter in "ef":
        save(scene(0, 3)[0], tmp_path / "arrays" / "images" / f"{letter}.npy")
        (tmp_path / "arrays" / "labels").mkdir(exist_ok=True)
        (tmp_path / "arrays" / "labels" / f"{letter}.txt").write_text(scene(0, 3)[1])
    some.write_text("arrays/images/e.npy\n")
    assert not yl.YoloDataset(some, 32).report.problems


def test_arrays_that_are_no_pictures_are_counted_when_the_dataset_is_opened(tmp_path: Path) -> None:
    data = folder(tmp_path, 3, ".npy", 6)
    wrong = [tmp_path / "images" / "train" / f"{index}.npy" for index in range(5)]
    whole = wrong[4].read_bytes()
    np.save(wrong[0], NOISE[None, ..., :3])
    np.save(wrong[1], NOISE[..., :3].astype(complex))
    np.save(wrong[2], NOISE[..., :4])
    wrong[3].write_bytes(whole.replace(b"descr", b"d'scr"))
    wrong[4].write_bytes(whole[:-1])
    with pytest.warns(DatasetWarning, match="images left out: 5"):
        dataset = yl.YoloDataset(data, 32)
    assert [problem.path for problem in dataset.report.problems] == list(map(str, wrong))
    for problem, fact in zip(
        dataset.report.problems, (r"(1, ", "complex128", "4 channels", "read", "read"), strict=True
    ):
        assert fact in problem.message
    assert len(dataset) == 1


def test_scenes_of_the_library_in_gray() -> None:
    colour, gray = (yl.YoloDataset(Shapes(size=64, count=2), 64, channels=channels) for channels in (3, 1))
    assert np.array_equal(gray.image(0), to_channels(colour.image(0), 1))
    assert np.array_equal(gray.sample(0).image.numpy(), gray.image(0).transpose(2, 0, 1))


def test_npy_bytes() -> None:
    file = io.BytesIO()
    np.save(file, NOISE[..., :3])
    assert np.array_equal(to_rgb(file.getvalue()), NOISE[..., :3])
