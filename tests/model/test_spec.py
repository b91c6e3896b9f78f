"""Specs: what a YAML row may say, and one clear sentence for what it may not."""

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from tests.checkpoints.official_files import SPEC
from yolo_lite.family.backbones import Backbone
from yolo_lite.model.registry import known_layers, register_layer
from yolo_lite.model.spec import SpecError, read_names
from yolo_lite.model.yolo import create_model


def changed(part: str, row: int, value: Any) -> dict[str, Any]:
    spec = copy.deepcopy(SPEC)
    spec[part][row] = value
    return spec


def test_a_yaml_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(SPEC))
    model = create_model(path)
    assert model.strides == (4, 8)
    assert model.num_classes == 3
    assert model.layers[0].conv.out_channels == 16  # ceil(32 * 0.35 / 8) * 8
    assert model.anchors[1].tolist() == [[15, 20], [30, 25], [40, 41.5]]
    assert create_model(str(path), num_classes=7).num_classes == 7
    assert create_model(model.spec).spec == model.spec


def test_words_stand_for_values_and_are_never_evaluated(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for word in (f"__import__('pathlib').Path({str(marker)!r}).touch()", "nn.Module.__init__", "[].append(1)"):
        with pytest.raises(SpecError, match="layer 3"):
            create_model(changed("head", 0, [-1, 1, "SPPF", [32, word]]))
        with pytest.raises(SpecError, match="activation"):
            create_model({**SPEC, "activation": f"nn.ReLU({word})"})
    assert not marker.exists()


def test_detect_from_one_layer_without_a_list() -> None:
    spec = {"nc": 1, "anchors": [[10, 10]], "backbone": [[-1, 1, "Conv", [8, 3, 8]]], "head": [[-1, 1, "Detect", []]]}
    assert create_model(spec)(torch.zeros(1, 3, 16, 16))[0].shape == (1, 1, 2, 2, 6)


def test_repeated_rows_stand_in_a_sequential() -> None:
    model = create_model(changed("backbone", 2, [-1, 3, "Conv", [64, 3, 1]]) | {"depth_multiple": 0.67})
    assert isinstance(model.layers[2], nn.Sequential)  # round(3 * 0.67) = 2
    assert [conv.conv.in_channels for conv in model.layers[2]] == [16, 24]


@pytest.mark.parametrize("text", ["nn.LeakyReLU(0.1)", "LeakyReLU(0.1)", "torch.nn.LeakyReLU(0.1, inplace=True)"])
def test_another_activation(text: str) -> None:
    model = create_model({**SPEC, "activation": text})
    assert {type(conv.act) for conv in model.modules() if hasattr(conv, "act")} == {nn.LeakyReLU}
    assert model.layers[0].act.negative_slope == 0.1


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            changed("backbone", 1, [-1, 1, "Convv", [32]]),
            r"layer 1 \(backbone row 1, Convv\): unknown layer.*C3.*register",
        ),
        (changed("head", 2, [[-1, 0], 1, "Concat"]), r"layer 5 \(head row 2\): a row is \[from, number"),
        (changed("head", 2, "Concat"), "layer 5.*Concat"),
        (
            changed("head", 2, [[-1, 6], 1, "Concat", [1]]),
            r"layer 5 \(head row 2, Concat\): `from` 6 points at layer 6.*0 to 4",
        ),
        (changed("head", 2, [[-1, -9], 1, "Concat", [1]]), "layer 5.*`from` -9.*-4"),
        (changed("head", 2, [[], 1, "Concat", [1]]), "layer 5.*`from`"),
        (changed("head", 2, [["a"], 1, "Concat", [1]]), "layer 5.*`from`.*'a'"),
        (changed("head", 2, [[-1, 2], 1, "Concat", [1]]), r"layer 5.*\(1, \d+, \d+, \d+\)"),
        (changed("backbone", 2, [-1, 0, "C3", [32]]), "layer 2.*number.* 0"),
        (changed("backbone", 2, [-1, 10**9, "C3", [32]]), "layer 2.*number.*1000000000"),
        (changed("backbone", 2, [-1, 1, "C3", []]), "layer 2.*output channels.*missing"),
        (changed("backbone", 2, [-1, 1, "C3", ["many"]]), "layer 2.*output channels.*'many'"),
        (changed("backbone", 2, [-1, 1, "C3", [32, 1, 1, 1, 1, 1]]), r"layer 2.*\(16, 1, 1, 1, 1, 1\)"),
        (changed("backbone", 2, [-1, 1, "C3", 32]), "layer 2.*arguments.* 32"),
        (changed("backbone", 2, [-1, 1, "C3", [32, True, 1, "wide"]]), "layer 2.*C3.*expansion.*above 0, not 'wide'"),
        (changed("backbone", 2, [-1, 1, "C3", [32, True, 1, 0]]), "layer 2.*C3.*expansion.*above 0, not 0"),
        (changed("backbone", 2, [-1, 1, "C3", [32, True, 1, True]]), "layer 2.*C3.*expansion.*above 0, not True"),
        (changed("backbone", 2, [-1, 1, "C3", [32, True, 1, 0.01]]), "layer 2.*C3.*expansion is 0.01: 16 .* are 0 in"),
        (changed("backbone", 2, [-1, 1, "Conv", [32, 0]]), "layer 2.*Conv.*kernel must be a whole number.*not 0"),
        (changed("backbone", 2, [-1, 1, "Conv", [32, 3, 0]]), "layer 2.*Conv.*stride must be a whole number.*not 0"),
        (changed("backbone", 2, [-1, 1, "nn.MaxPool2d", [2, [1, 0]]]), r"layer 2.*MaxPool2d.*stride.*not \[1, 0\]"),
        (
            changed("backbone", 2, [-1, 1, "Conv", [32, 3, 1, None, 5]]),
            r"layer 2.*Conv.*\(16, 3, 1, None, 5\): in_channels must be divisible by groups$",
        ),
        (  # the whole of a long sentence of PyTorch's
            changed("backbone", 2, [-1, 1, "Conv", [32, 99, 1, 0]]),
            r"layer 2.*Conv.*\(16, 99, 1, 0\) on inputs.*"
            r"(Kernel size can't be greater than actual input size|\[1, 16, -34, -34\])$",  # PyTorch 2.6: the latter
        ),
        (changed("head", 5, [[6, 7], 1, "Concat", [1]]), "Detect.*no row"),
        (changed("head", 0, [[-1], 1, "Detect", ["nc", "anchors"]]), r"Detect.*\[3, 8\]"),
        ({**SPEC, "anchors": SPEC["anchors"][:1]}, "1 levels.*anchors.*2"),
        ({**SPEC, "anchors": [[1, 2, 3], [4, 5, 6]]}, r"anchors.*\(2, 3\)"),
        ({**SPEC, "anchors": [[1, 2], [4, 5, 6, 7]]}, r"anchors.*\[\[1, 2\], \[4, 5, 6, 7\]\]"),
        ({**SPEC, "anchors": [[1, 2], [0, 5]]}, "anchor.* 0$"),
        ({**SPEC, "anchors": None}, "no anchors"),
        ({**SPEC, "anchors": 0}, "1 or more, not 0"),
        ({**SPEC, "nc": 0}, "nc.* 0$"),
        ({**SPEC, "width_multiple": -1}, "width_multiple.*-1"),
        ({**SPEC, "activation": "nn.Evil()"}, r"activation 'nn.Evil\(\)'"),
        ({"backbone": SPEC["backbone"], "anchors": 3}, "`head`"),
        ({**SPEC, "names": ["a", "b"]}, "2 names.*3 classes"),
        (changed("backbone", 2, [-1, 1, "nn.BatchNorm2d", [32]]), "channels are those of its input: leave them out"),
    ],
)
def test_a_wrong_spec_is_one_clear_sentence(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        create_model(spec)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_classes": 0}, "1 or more, not 0"),
        ({"num_classes": 2.5}, "whole number.*2.5"),
        ({"num_classes": 2, "names": ["a"]}, "1 names for 2 classes"),
        ({"names": "cat"}, "list of class names"),
        ({"names": {1: "cat"}}, "numbered from 0"),
        ({"anchors": torch.ones(2, 3, 2)}, "2 levels of anchors, but Detect has 3"),
        ({"anchors": torch.ones(3, 3)}, r"\(levels, anchors, 2\)"),
        ({"channels": 0}, "ch, must be"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        create_model("yolov5n", **arguments)


@pytest.mark.parametrize("key", ["channels", "Channels", "chanels"])
def test_a_key_that_is_called_otherwise_elsewhere(tmp_path: Path, key: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(SPEC | {key: 1}))
    with pytest.raises(SpecError, match=f"mine.yaml: unknown key '{key}': is ch meant"):
        create_model(str(path))
    with pytest.raises(SpecError, match=f"spec: unknown key '{key}': is ch meant"):
        create_model(SPEC | {key: 1})


def test_a_key_that_is_nearly_a_known_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(SPEC | {"width_multipel": 0.125}))
    with pytest.raises(SpecError, match=r"mine\.yaml: unknown key 'width_multipel': is width_multiple meant"):
        create_model(path)
    path.write_text(yaml.safe_dump(SPEC | {"author": "somebody", "stride": 8}))
    assert create_model(path).num_classes == 3


def test_wrong_sources(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"'yolov5q'.*yolov5"):
        create_model("yolov5q")
    with pytest.raises(SpecError, match=r"use load\(\)"):
        create_model("yolov5n.pt")
    with pytest.raises(FileNotFoundError, match="'yolov5n'"):
        create_model("yolov5n.yaml")
    for text, words in (("nc: [", "not valid YAML"), ("- 1", "found list"), ("", "found NoneType")):
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        with pytest.raises(SpecError, match=words):
            create_model(path)


def test_rows_without_a_number_of_classes_are_a_warning(tmp_path: Path) -> None:
    rows = {key: value for key, value in SPEC.items() if key not in ("nc", "names")}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(rows))
    with pytest.warns(UserWarning, match=r"mine\.yaml: no number of classes, so there are 80: give nc"):
        assert create_model(path).num_classes == 80
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert create_model(path, names=["a", "b"]).num_classes == create_model(rows, num_classes=2).num_classes == 2
        assert create_model({**rows, "names": ["a"]}).num_classes == 1
        for name in ("yolov5n", "yolov8n", "fcos"):
            assert create_model(name).num_classes == 80


def test_names_and_classes() -> None:
    assert create_model("yolov5n", names={0: "a", 1: "b"}).num_classes == 2
    assert create_model("yolov5n", num_classes=np.int64(2)).names == ("class0", "class1")
    assert create_model({**SPEC, "names": ["a", "b", "c"]}).names == ("a", "b", "c")
    assert create_model({**SPEC, "names": ["a", "b", "c"]}, num_classes=1).names == ("class0",)
    assert read_names(["x"], 1) == ("x",)


def test_a_registered_layer_is_built_scaled_and_listed() -> None:
    @register_layer("Halving")
    class Halving(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, kernel: int = 2) -> None:
            super().__init__()
            self.conv = nn.Conv2d(in_channels, out_channels, kernel, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x)

    model = create_model(changed("backbone", 1, [-1, 1, "Halving", [32]]))
    assert isinstance(model.layers[1], Halving)
    assert model.layers[1].conv.out_channels == 16  # scaled by the width
    assert model.strides == (4, 8)
    assert "Halving" in known_layers()


def test_a_registered_layer_of_several_inputs() -> None:
    @register_layer("WeightedSum", takes="in")
    class WeightedSum(nn.Module):
        def __init__(self, in_channels: list[int]) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.ones(len(in_channels)))

        def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
            return sum(weight * feature for weight, feature in zip(self.weights, maps, strict=True))

    model = create_model(changed("head", 2, [[-1, 0], 1, "WeightedSum", []]))
    assert model.layers[5].weights.shape == (2,)


def test_the_registry_guards_its_names() -> None:
    for name in ("Conv", "nn.Upsample", "Detect"):
        with pytest.raises(ValueError, match="built-in"):
            register_layer(name)
    with pytest.raises(ValueError, match="takes"):
        register_layer("Mine", takes="out")


def test_modules_are_left_as_they_are_and_described_by_the_rows() -> None:
    @register_layer("Labelled", takes="none")
    class Labelled(nn.Identity):
        index, kind = 7, "mine"

    model = create_model(changed("backbone", 2, [-1, 1, "Labelled", []]))
    assert (model.layers[2].index, model.layers[2].kind) == (7, "mine")
    assert (model.rows[2].index, model.rows[2].kind, model.rows[2].inputs) == (2, "Labelled", (1,))
    names = {"index", "inputs", "kind", "arguments", "takes_list"}
    assert [row.index for row in model.rows if names & vars(model.layers[row.index]).keys()] == []


def test_a_backbone_is_no_spec_and_the_sentence_says_what_gives_one() -> None:
    with pytest.raises(SpecError, match=r"Backbone.*backbone\.spec\(num_classes\)"):
        create_model(Backbone())  # type: ignore[arg-type]
