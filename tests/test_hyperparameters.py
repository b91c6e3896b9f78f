"""Hyperparameters: defaults, YAML in and out, scaling, and what is refused."""

import dataclasses

import pytest

from yolo_lite.hyperparameters import Hyperparameters

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
    ("text", "message"),
    [
        ("anchor_tt: 3", r"hyp.yaml: unknown hyperparameter 'anchor_tt'; did you mean anchor_t"),
        ("zzz: 3", r"unknown hyperparameter 'zzz'; the known ones are lr0"),
        ("box: big", r"hyp.yaml: box must be a number, not 'big'"),
        ("box: .nan", r"box must lie between 0 and inf"),
        ("mosaic: 1.5", r"mosaic must lie between 0 and 1, not 1.5"),
        ("anchor_t: 0.5", r"anchor_t must lie between 1"),
        ("lr0: [1, 2]", r"lr0 must be a number"),
        ("- 1", r"expected lines of `name: number`"),
        ("{", r"not valid YAML"),
    ],
)
def test_bad_files_are_explained(tmp_path, text, message):
    path = tmp_path / "hyp.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        Hyperparameters.from_yaml(path)


def test_replace_names_what_it_does_not_know():
    with pytest.raises(ValueError, match="unknown hyperparameter 'bocks'"):
        Hyperparameters().replace(bocks=1)
