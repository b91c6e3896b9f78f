"""Classes are matched by name: which of one list is which of another, and what is said about it."""

import itertools
import warnings
from pathlib import Path

import pytest
import torch

from tests.checkpoints.official_files import SPEC
from yolo_lite.checkpoints.own import load, save
from yolo_lite.model.yolo import create_model
from yolo_lite.support.class_names import class_order, match_names

NAMES = ("cat", "dog", "bird")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_every_order(order: tuple[int, ...]) -> None:
    wanted = [NAMES[index] for index in order]
    matched = match_names(NAMES, wanted)
    if order == (0, 1, 2):
        assert (matched.same, matched.order) == (True, None)
    else:
        assert matched.order == order
        assert class_order(NAMES, wanted).order == order


@pytest.mark.parametrize(
    ("spelled", "same"),
    [
        (["Cat", "DOG", " bird "], True),
        (["cat", "dog", "bird\n"], True),
        (["kat", "dog", "bird"], False),
    ],
)
def test_capitals_and_spaces(spelled: list[str], same: bool) -> None:
    assert match_names(NAMES, spelled).same is same


def test_words_with_spaces_lines_and_hyphens() -> None:
    assert match_names(["traffic light", "stop sign"], ["Stop-Sign", "traffic_light"]).order == (1, 0)
    assert match_names(["straße", "a"], ["A", "STRASSE"]).order == (1, 0)


def test_names_that_differ_in_capitals_alone_are_different_classes() -> None:
    assert match_names(["a", "A"], ["A", "a"]).order == (1, 0)
    assert match_names(["a", "A"], ["a", "A"]).same


@pytest.mark.parametrize(("known", "wanted"), [(["x", "x"], ["x", "y"]), (["x", "y"], ["y", "y"])])
def test_a_name_that_stands_twice_says_nothing(known: list[str], wanted: list[str]) -> None:
    order, message = class_order(known, wanted)
    assert order is None
    assert "by number" in message


@pytest.mark.parametrize("wanted", [["0", "1", "2"], ["class0", "class1", "class2"], ["Katze", "Hund", "Vogel"]])
def test_no_name_in_common_is_a_message(wanted: list[str]) -> None:
    order, message = class_order(NAMES, wanted)
    assert order is None
    assert all(name in message for name in (*NAMES, *wanted))


def test_other_names_at_their_places_are_a_message() -> None:
    order, message = class_order(("motorbike", "dog"), ("motorcycle", "dog"))
    assert order is None
    assert "motorbike / motorcycle" in message


def test_some_names_at_other_places_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"'dog' is class 1 .* class 0 .*fox"):
        class_order(("cat", "dog", "bird"), ("dog", "fox", "bird"))


def test_another_number_of_classes_is_an_error_with_the_names() -> None:
    with pytest.raises(ValueError, match=r"3 classes.* 2.*cat.*horse"):
        class_order(NAMES, ("horse", "cow"))
    many = [f"n{index}" for index in range(80)]
    assert "72 more" in class_order(many, many[::-1]).message


# ---- load(names=) ---------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = create_model(SPEC, names=NAMES)
    generator = torch.Generator().manual_seed(0)
    for output in model.detect.m:
        output.weight.data.normal_(generator=generator)
        output.bias.data.normal_(generator=generator)
    save(model, tmp_path / "three.safetensors")
    return tmp_path / "three.safetensors"


def decoded(path: Path, names: list[str] | dict[int, str] | None = None, fuse: bool = False) -> torch.Tensor:
    model = load(path, names=names)
    model = model.fuse() if fuse else model
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.decode(model(images))[0]  # (n, 8)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_names_in_another_order_bring_their_outputs(saved: Path, order: tuple[int, ...]) -> None:
    before = decoded(saved)
    for names in ([NAMES[index] for index in order], {place: NAMES[index] for place, index in enumerate(order)}):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            after = decoded(saved, names)
        assert torch.equal(after[:, :5], before[:, :5])
        assert torch.equal(after[:, 5:], before[:, [5 + index for index in order]])
    assert load(saved, names=[NAMES[index] for index in order]).names == tuple(NAMES[index] for index in order)


def test_names_of_which_some_are_known_keep_those_and_name_the_others(saved: Path) -> None:
    before = decoded(saved)
    with pytest.warns(UserWarning, match=r"cat -> fox"):
        after = decoded(saved, ["dog", "fox", "bird"])
    assert torch.equal(after[:, 5:], before[:, [6, 5, 7]])


def test_other_names_altogether_rename_in_order(saved: Path) -> None:
    with pytest.warns(UserWarning, match=r"cat, dog.*x, y, z.*by its number"):
        assert torch.equal(decoded(saved, ["x", "y", "z"]), decoded(saved))
    save(create_model(SPEC, names=["class0", "1", "Class 2"]), saved)  # nobody named them
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(saved, names=["x", "y", "z"]).names == ("x", "y", "z")


def test_a_fused_head_is_put_in_order_too(saved: Path, tmp_path: Path) -> None:
    save(load(saved).fuse(), tmp_path / "fused.safetensors")
    before, after = decoded(tmp_path / "fused.safetensors"), decoded(tmp_path / "fused.safetensors", NAMES[::-1])
    assert torch.equal(after[:, 5:], before[:, [7, 6, 5]])


def test_a_fused_network_whose_other_layers_keep_a_batchnorm_comes_back(tmp_path: Path) -> None:
    spec = {
        "nc": 2,
        "anchors": 3,
        "backbone": [[-1, 1, "Conv", [16, 3, 8]], [-1, 1, "BottleneckCSP", [16]]],
        "head": [[[-1], 1, "Detect", ["nc", "anchors"]]],
    }
    fused, images = create_model(spec).fuse(), torch.rand(1, 3, 64, 64)
    save(fused, tmp_path / "csp.safetensors")
    with torch.no_grad():
        assert torch.equal(load(tmp_path / "csp.safetensors")(images)[0], fused(images)[0])


def test_a_file_without_an_image_size_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, path = create_model("yolov5n", num_classes=2), tmp_path / "a.safetensors"
    save(model, path)
    (record,) = caplog.records
    assert "a.safetensors: saved without an img_size" in record.getMessage()
    save(load(path), path)  # it has said so
    save(model, path, metadata={"img_size": 64})
    assert len(caplog.records) == 1


def test_the_image_size_stays_with_other_metadata(saved: Path, tmp_path: Path) -> None:
    model = load(saved)
    model.metadata = {"img_size": 192, "rule": "coco"}
    for given, expected in [
        (None, {"img_size": 192, "rule": "coco"}),
        ({"note": "x"}, {"img_size": 192, "note": "x"}),
        ({"img_size": 64}, {"img_size": 64}),
    ]:
        save(model, tmp_path / "again.safetensors", metadata=given)
        assert load(tmp_path / "again.safetensors").metadata == expected
