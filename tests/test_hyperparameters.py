"""Hyperparameters and options of a run: defaults, YAML in and out, scaling, descriptions, and what is refused."""

import copy
import dataclasses
import json
import pickle
import re
import runpy
from pathlib import Path

import pytest

from walkthrough import ScheduleExplorer
from walkthrough.explorers.page import control_on_page, used_controls
from yolo_lite.hyperparameters import UNUSED_KEYS, Hyperparameters, descriptions
from yolo_lite.train.options import TrainOptions

OFFICIAL = """
# hyperparameters in the form of the official files
lr0: 0.0032
lrf: 1e-1
momentum: 0.843
weight_decay: 0.00036
warmup_epochs: 2.0
warmup_momentum: 0.5
warmup_bias_lr: 0.05
box: 0.0296
cls: 0.243
cls_pw: 0.631
obj: 0.301
obj_pw: 0.911
iou_t: 0.2
anchor_t: 2.91
# anchors: 3.63
anchors: 3.63
fl_gamma: 0.0
hsv_h: 0.0138
hsv_s: 0.664
hsv_v: 0.464
degrees: 0.373
translate: 0.245
scale: 0.898
shear: 0.602
perspective: 0.0
flipud: 0.00856
fliplr: 0.5
mosaic: 1.0
mixup: 0.243
copy_paste: 0.0
"""


def test_defaults_are_the_references():
    hyp = Hyperparameters()
    assert (hyp.lr0, hyp.lrf, hyp.momentum, hyp.box, hyp.cls, hyp.obj, hyp.anchor_t) == (
        0.01,
        0.01,
        0.937,
        0.05,
        0.5,
        1,
        4,
    )
    assert (hyp.hsv_h, hyp.hsv_s, hyp.hsv_v, hyp.translate, hyp.scale, hyp.mosaic) == (0.015, 0.7, 0.4, 0.1, 0.5, 1)


def test_scaled_gains():
    hyp = Hyperparameters().scaled(levels=4, num_classes=20, img_size=1280)
    assert (hyp.box, hyp.cls, hyp.obj) == pytest.approx((0.05 * 3 / 4, 0.5 * 20 / 80 * 3 / 4, 1 * 4 * 3 / 4))
    assert hyp.anchor_t == Hyperparameters().anchor_t


def test_official_files_load_and_ours_round_trip(tmp_path):
    official = tmp_path / "hyp.yaml"
    official.write_text(OFFICIAL)
    hyp = Hyperparameters.from_yaml(official)
    assert (hyp.lrf, hyp.anchor_t, hyp.mixup) == (0.1, 2.91, 0.243)
    hyp.to_yaml(tmp_path / "ours.yaml")
    assert Hyperparameters.from_yaml(tmp_path / "ours.yaml") == hyp


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Hyperparameters().box = 1


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("anchor_tt: 3", ["'anchor_tt'", "anchor_t"]),
        ("zzz: 3", ["'zzz'", "lr0", "random_resized_crop"]),
        ("box: big", ["box", "'big'"]),
        ("box: .nan", ["box", "nan"]),
        ("box: -1", ["box", "0", "-1"]),
        ("mosaic: 1.5", ["mosaic", "0", "1", "1.5"]),
        ("copy_paste: 1.5", ["copy_paste", "1.5"]),
        ("anchor_t: 0.5", ["anchor_t", "1", "0.5"]),
        ("lr0: [1, 2]", ["lr0", "[1, 2]"]),
        ("- 1", ["list"]),
        ("{", ["YAML"]),
    ],
)
def test_bad_files_are_explained(tmp_path, text, facts):
    path = tmp_path / "hyp.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        Hyperparameters.from_yaml(path)
    said = str(caught.value).removeprefix(str(path))
    assert all(fact in said for fact in facts), said


def test_replace_names_what_it_does_not_know():
    with pytest.raises(ValueError, match="'bocks'"):
        Hyperparameters().replace(bocks=1)


# ---- descriptions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [Hyperparameters, TrainOptions])
def test_every_setting_is_described_and_its_default_is_in_range(settings):
    found = descriptions(settings)
    assert list(found) == [field.name for field in dataclasses.fields(settings)]
    for name, description in found.items():
        default = getattr(settings, name)
        assert description.text
        assert description.text[-1] != "."
        if isinstance(default, int | float):
            assert description.low <= default <= description.high


def test_every_key_of_official_files_is_a_field():
    keys = {line.split(":")[0] for line in OFFICIAL.splitlines() if line and not line.startswith("#")}
    assert keys - set(UNUSED_KEYS) <= set(descriptions(Hyperparameters))


def test_descriptions_survive_pickling_and_copies_of_the_settings():
    hyp = pickle.loads(pickle.dumps(Hyperparameters(box=0.1)))
    assert hyp == dataclasses.replace(Hyperparameters(), box=0.1) == copy.deepcopy(hyp)
    assert descriptions(type(hyp))["degrees"].unit == "degrees"
    assert dataclasses.asdict(hyp)["box"] == 0.1


@pytest.mark.parametrize(
    ("values", "facts"),
    [
        ({"epochs": 0}, ["epochs", "1", "0"]),
        ({"epochs": 1.5}, ["epochs", "whole", "1.5"]),
        ({"epochs": True}, ["epochs", "True"]),
        ({"patience": -1}, ["patience", "-1"]),
        ({"clip_norm": float("inf")}, ["clip_norm", "inf"]),
        ({"freeze": (1, -2)}, ["freeze", "-2"]),
        ({"optimizer": "sgd"}, ["optimizer", "'sgd'", "SGD", "AdamW"]),
        ({"box_loss": "CIoU"}, ["box_loss", "'CIoU'", "ciou"]),
        ({"focal": "plain"}, ["focal", "'plain'", "quality"]),
        ({"collisions": "first"}, ["collisions", "'first'", "last"]),
        ({"rule": "voc"}, ["rule", "'voc'", "coco"]),
        ({"cache": "disc"}, ["cache", "'disc'", "disk"]),
        ({"cosine": "no"}, ["cosine", "'no'"]),
        ({"epoch": 3}, ["'epoch'", "epochs"]),
    ],
)
def test_options_that_cannot_be_are_explained(values, facts):
    with pytest.raises(ValueError) as caught:
        TrainOptions.from_dict(values)
    assert all(fact in str(caught.value) for fact in facts), str(caught.value)


def test_options_survive_json():
    options = TrainOptions(freeze=(0, 2), names=("dog", "cat"), cache="ram")
    assert TrainOptions.from_dict(json.loads(json.dumps(dataclasses.asdict(options)))) == options


def test_explorers_show_descriptions_as_help():
    state = ScheduleExplorer.State()
    for name in ("weight_decay", "warmup_momentum"):
        shown = control_on_page(name, used_controls(state)[name], state)["help"]
        assert shown == str(descriptions(Hyperparameters)[name])


def test_the_site_lists_descriptions():
    conf = runpy.run_path(str(Path(__file__).parent.parent / "docs" / "conf.py"))
    for settings in (Hyperparameters, TrainOptions):
        lines = ["Its docstring."]
        conf["list_settings"](None, "class", settings.__name__, settings, None, lines)
        for name, description in descriptions(settings).items():
            place = lines.index(f"``{name}`` = {getattr(settings, name)!r}")
            assert lines[place - 1 : place + 2 : 2] == ["", f"    {description}"]
    lines = ["Its docstring."]
    conf["list_settings"](None, "class", "Description", ScheduleExplorer, None, lines)
    assert lines == ["Its docstring."]
