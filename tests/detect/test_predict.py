"""predict: every kind of input, and boxes that land where the object is."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.detect.detectors import BrightSpot
from yolo_lite.detect.predict import Detections, predict


def picture(height: int = 60, width: int = 100, box: tuple[int, int, int, int] = (20, 10, 60, 40)) -> np.ndarray:
    """Black, with one white patch."""
    image = np.zeros((height, width, 3), np.uint8)
    left, top, right, bottom = box
    image[top:bottom, left:right] = 255
    return image


@settings(deadline=None, max_examples=60)
@given(data=st.data(), auto=st.booleans(), img_size=st.sampled_from([64, 160, 320]))
def test_boxes_are_in_pixels_of_the_original(data: st.DataObject, auto: bool, img_size: int) -> None:
    height, width = data.draw(st.integers(40, 500)), data.draw(st.integers(40, 500))
    left, top = data.draw(st.integers(0, width - 30)), data.draw(st.integers(0, height - 30))
    right, bottom = data.draw(st.integers(left + 30, width)), data.draw(st.integers(top + 30, height))
    (found,) = predict(BrightSpot(), picture(height, width, (left, top, right, bottom)), img_size=img_size, auto=auto)
    assert len(found) == 1
    assert found.xyxy.dtype == found.conf.dtype == torch.float32
    assert found.cls.dtype == torch.int64
    pixel = max(height, width) / img_size  # of the network input, in the original
    expected = torch.tensor([left, top, right, bottom], dtype=torch.float32)
    assert (found.xyxy[0] - expected).abs().max() <= 2 * pixel + 1
    limits = torch.tensor([width, height, width, height])
    assert ((found.xyxy >= 0) & (found.xyxy <= limits)).all()


def test_every_kind_of_input_finds_the_same(tmp_path: Path) -> None:
    rgb = picture()
    path = tmp_path / "bild ü.png"
    path.write_bytes(cv2.imencode(".png", rgb)[1].tobytes())
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)
    kinds = [
        rgb,
        rgb[..., 0],
        rgb[..., :1],
        np.dstack((rgb, np.full(rgb.shape[:2], 7, np.uint8))),
        rgb / 255,
        rgb[:, ::-1][:, ::-1],  # strides of either sign
        np.asfortranarray(rgb),
        tensor,
        tensor[:1],
        tensor / 255,
        tensor.half() / 255,
        rgb.astype(np.float32),  # in [0, 255]
        tensor.double() / 255,
        path,
        str(path),
        path.read_bytes(),
        io.BytesIO(path.read_bytes()),
    ]
    together = predict(BrightSpot(), kinds, img_size=64)
    assert len(together) == len(kinds)
    for kind, found in zip(kinds, together, strict=True):
        assert torch.equal(found.xyxy, together[0].xyxy)
        assert torch.equal(predict(BrightSpot(), kind, img_size=64)[0].xyxy, found.xyxy)
    for several in (torch.stack([tensor, tensor]), np.stack([rgb, rgb]), (image for image in (rgb, rgb))):
        assert [str(found) for found in predict(BrightSpot(), several, img_size=64)] == ["1 wide bus"] * 2


def test_channels_are_red_green_blue(tmp_path: Path) -> None:
    class Colours(BrightSpot):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.mean = images.mean((0, 2, 3))
            return super().forward(images)

    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    path = tmp_path / "red.png"
    path.write_bytes(cv2.imencode(".png", red[..., ::-1])[1].tobytes())
    for source in (red, path, torch.from_numpy(red).permute(2, 0, 1)):
        model = Colours()
        predict(model, source, img_size=64)
        assert model.mean.tolist() == [1, 0, 0]


def test_a_pil_image() -> None:
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    image = image_module.fromarray(picture())
    for converted in (image, image.convert("P"), image.convert("L"), image.convert("RGBA")):
        assert str(predict(BrightSpot(), converted, img_size=64)[0]) == "1 wide bus"


def test_one_shape_is_one_batch_and_the_order_stays() -> None:
    wide, high = picture(60, 100), picture(100, 60, (10, 20, 40, 60))
    nothing = np.zeros((60, 100, 3), np.uint8)
    model = BrightSpot()
    found = predict(model, [wide, high, nothing, high, wide], img_size=64, batch_size=2)
    assert [str(each) for each in found] == ["1 wide bus", "1 person", "nothing found", "1 person", "1 wide bus"]
    assert sorted(model.inputs) == [(1, 3, 64, 64), (2, 3, 64, 64), (2, 3, 64, 64)]
    model = BrightSpot()
    images = [picture(30, 100), picture(30, 100), picture(100, 30, (5, 20, 25, 60))]
    predict(model, images, img_size=64, batch_size=16)
    assert sorted(model.inputs) == [(1, 3, 64, 32), (2, 3, 32, 64)]


def test_the_size_is_that_of_training_where_the_model_knows_it() -> None:
    for metadata, asked, expected in [
        ({"img_size": 192}, None, 192),
        ({"img_size": 192}, 96, 96),
        ({"img_size": 100}, None, 128),
        ({}, None, 640),
        ({"img_size": "large"}, None, 640),
        ({"img_size": True}, None, 640),
        ({"img_size": -3}, None, 640),
        (None, None, 640),
    ]:
        model = BrightSpot()
        model.metadata = metadata
        predict(model, picture(100, 100), img_size=asked)
        assert model.inputs == [(1, 3, expected, expected)]


def test_the_size_is_rounded_up_to_the_stride() -> None:
    model = BrightSpot()
    predict(model, picture(100, 100), img_size=70)
    assert model.inputs == [(1, 3, 96, 96)]


def test_the_model_is_left_as_it_was() -> None:
    model = BrightSpot()
    model.norm.eval()  # a frozen layer of a model that is being trained
    assert model.training
    weight = model.norm.weight
    weight.grad = torch.ones(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    predict(model, picture(), img_size=64)
    assert model.training
    assert not model.norm.training
    assert weight.grad.tolist() == [1, 1, 1]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(FileNotFoundError):
        predict(model, "no_such_file.jpg")
    assert model.training
    assert not model.norm.training


class Overlapping(BrightSpot):
    """The first thread inside waits for the second, and the second until the first is through."""

    def __init__(self) -> None:
        super().__init__()
        self.first_inside, self.second_inside, self.first_through = (threading.Event() for _ in range(3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not self.first_inside.is_set():
            self.first_inside.set()
            assert self.second_inside.wait(20)
        else:
            self.second_inside.set()
            assert self.first_through.wait(20)
        return super().forward(images)


def test_threads_share_a_model_in_training_mode() -> None:
    model = Overlapping().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(predict, model, picture(), img_size=64)
        assert model.first_inside.wait(20)
        second = threads.submit(predict, model, picture(), img_size=64)
        assert len(first.result()[0]) == 1
        model.first_through.set()
        assert len(second.result()[0]) == 1
    assert model.training
    assert model.norm.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_in_half_precision() -> None:
    model = BrightSpot().to(torch.bfloat16)
    assert str(predict(model, picture(), img_size=64)[0]) == "1 wide bus"


def test_detections_can_be_computed_with() -> None:
    (found,) = predict(BrightSpot(), picture(), img_size=64)
    shift = torch.zeros(4, requires_grad=True)
    ((found.xyxy * (1 + shift)) ** 2).sum().backward()
    assert shift.grad is not None
    assert shift.grad.isfinite().all()


def test_filters_reach_nms() -> None:
    assert len(predict(BrightSpot(), picture(), img_size=64, classes=[1])[0]) == 0
    assert len(predict(BrightSpot(), picture(), img_size=64, max_det=0)[0]) == 0
    with pytest.raises(ValueError, match="conf_thres"):
        predict(BrightSpot(), picture(), conf_thres=2)


def test_no_images_no_detections() -> None:
    assert predict(BrightSpot(), []) == []
    assert predict(BrightSpot(), torch.zeros(0, 3, 32, 32)) == []


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (7, "a path.* not int"),
        ([picture(), 7], "image 1: .* not int"),
        (np.full((8, 8, 3), 400.0), r"image 0: .*\[0, 255\], found 400 to 400"),
        (torch.full((2, 3, 8, 8), 255.0), r"image 0: .*float32.* 255: .*\[0, 1\]"),
        ([picture(), torch.full((3, 8, 8), 1.5, dtype=torch.float16)], r"image 1: .*float16.* 1\.5: .*\[0, 1\]"),
        (np.full((8, 8, 3), np.nan), "image 0: .*NaN"),
        (np.zeros((8, 8, 3), complex), "complex128"),
        ("https://example.org/bus.jpg", "^https://example.org/bus.jpg: an address"),
        ({"a": picture()}, "not dict"),
        (np.zeros((0, 8, 3), np.uint8), "image 0"),
    ],
)
def test_what_is_no_image_gets_a_sentence(images: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        predict(BrightSpot(), images)  # type: ignore[arg-type]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"this is no picture")
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        predict(BrightSpot(), path)
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        predict(BrightSpot(), [path, path])  # nothing is left
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        predict(BrightSpot(), [picture(), path], strict=True)


def test_a_broken_file_of_several_is_left_out_and_named(tmp_path: Path) -> None:
    broken, gone = tmp_path / "broken.jpg", tmp_path / "gone.png"
    broken.write_bytes(b"this is no picture")
    with pytest.warns(UserWarning, match=r"2 of 4 images .*broken\.jpg.*gone\.png"):
        found = predict(BrightSpot(), [picture(), broken, gone, picture()], img_size=64)
    assert [len(each) for each in found] == [1, 0, 0, 1]  # in the order of the images
    assert [bool(each.unreadable) for each in found] == [False, True, True, False]
    assert str(broken) in str(found[1])
    assert found[1].named() == []
    assert found[1].xyxy.shape == (0, 4)


def test_a_folder_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a folder; pass the images in it"):
        predict(BrightSpot(), tmp_path)


def test_detections_in_words() -> None:
    boxes = torch.tensor([[1.0, 2, 3, 4], [0, 0, 9, 9], [0, 0, 5, 5], [0, 0, 7, 7]])
    found = Detections(
        boxes, torch.tensor([0.75, 0.5, 0.5, 0.25]), torch.tensor([2, 0, 2, 1]), ("person", "bus", "box")
    )
    assert str(found) == "1 person, 1 bus, 2 boxes"
    assert repr(found) == "Detections(1 person, 1 bus, 2 boxes)"
    assert found.named()[0] == ("box", 0.75, (1, 2, 3, 4))
    assert [each.name for each in found.named()] == ["box", "person", "box", "bus"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(
            ("img_size", value)
            for value in ((256,), (64, 0), ("64", 64), "256", -3, 0, 64.5, float("nan"), float("inf"), True)
        ),
        *(("classes", value) for value in (["spot"], "spot", 2, True, [9], [0.5], [None], b"a")),
        *(("max_det", value) for value in ("9", 1.5, None)),
        *(("conf_thres", value) for value in ("0.5", None, (0.1, 0.2))),
        *(("iou_thres", "0.5"), ("batch_size", "8"), ("batch_size", 0), ("batch_size", -1)),
    ],
)
def test_an_option_of_the_wrong_kind_is_named(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=option) as refused:
        predict(BrightSpot(), picture(), **({"img_size": 64} | {option: value}))
    asked = value if not isinstance(value, tuple) or len(value) == 1 else next(v for v in value if v != 64)
    assert repr(asked) in str(refused.value)


def test_whole_numbers_of_other_kinds_are_sizes_and_classes() -> None:
    plain = predict(BrightSpot(), picture(), img_size=64, classes=[0])[0]
    for size, classes in ((np.int64(64), np.array([0])), (64.0, torch.tensor([0])), (64, {0}), (64, (0.0,))):
        assert torch.equal(predict(BrightSpot(), picture(), img_size=size, classes=classes)[0].xyxy, plain.xyxy)


@pytest.mark.parametrize("model", ["yolov5n", Path("best.pt")])
def test_a_model_given_as_text_is_to_be_loaded(model: object) -> None:
    with pytest.raises(TypeError, match=rf"model.*{model}.*yl\.load"):
        predict(model, picture())
