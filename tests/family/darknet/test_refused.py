"""What is refused, and what is said about it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.family.darknet.cfgs import BODY, CSP, NET, V1, V1_HEAD, V2, V3, V4
from yolo_lite.family.darknet.cfg import parse_cfg
from yolo_lite.family.darknet.network import Darknet
from yolo_lite.family.darknet.plan import MAX_FLOATS, plan_network
from yolo_lite.model.spec import SpecError
from yolo_lite.model.yolo import create_model

MISFITS = {
    "filters": (
        V3.replace("filters=16\nsize=1", "filters=18\nsize=1", 1),
        ["2 * (5 + 3) = 16 filters", "which has 18"],
    ),
    "connected": (V1.replace("output=88", "output=90"), ["2 * 2 * (2 * 5 + 12) = 88", "which has 90"]),
    "mask": (V3.replace("mask=0,1", "mask=0,4"), ["mask=0,4", "from 0 to 3"]),
    "anchors": (V3.replace("num=4", "num=5"), ["num=5", "10 numbers", "8"]),
    "more anchors": (V3.replace("num=4", "num=3"), ["line 35", "num=3", "6 numbers", "8"]),
    "odd anchors": (V3.replace("32,32", "32"), ["line 35", "num=4", "8 numbers", "7"]),
    "anchors without commas": (V3.replace("4,4, 8,8", "4 4 8 8"), ["line 35", "num=4", "commas"]),
    "infinite anchor": (V3.replace("32,32", "32,inf"), ["line 35", "'inf'"]),
    "anchor beyond float32": (V3.replace("32,32", "32,1e60"), ["line 35", "1e+60"]),
    "absurd anchor": (V3.replace("32,32", "32,1e38"), ["line 35", "1e+38"]),
    "anchor of no size": (V3.replace("4,4, 8,8", "4,1e-60, 8,8"), ["line 35", "1e-60"]),
    "absurd anchor of cells": (V2.replace("2,2", "2,1e6"), ["anchors=.5,.5,2,1e6", "1.6e+07"]),
    "other anchors": (V3.replace("4,4, 8,8", "4,5, 8,8", 1), ["anchors=4,4,8,8,16,16,32,32"]),
    "classes": (V2.replace("classes=3", "classes=4"), ["2 * (5 + 4) = 18"]),
    "logistic": (CSP.replace("logistic", "linear"), ["new_coords=1", "logistic", "linear"]),
    "route": (V3.replace("layers=1\n", "layers=9\n"), ["layers=9", "layer 9", "0 to 4"]),
    "route back": (V3.replace("layers=1\n", "layers=-9\n"), ["layers=-9", "layer 9 back", "0 to 4"]),
    "route of the first": (NET + "[route]\nlayers=-1\n[yolo]\n", ["layers=-1", "first"]),
    "route of boxes": (V3.replace("layers=1\n", "layers=-1\n"), ["layer 4", "[yolo]"]),
    "sizes": (V3.replace("layers=1\n", "layers=0,1\n"), ["layers=0,1", "8 x 16 x 16", "16 x 8 x 8"]),
    "shortcut": (NET + BODY + "[shortcut]\nfrom=0\n[yolo]\n", ["from=0", "16 x 4 x 4", "8 x 16 x 16"]),
    "groups": (NET + "[conv]\ngroups=2\nfilters=4\n[yolo]\n", ["groups=2", "3 channels"]),
    "activation": (V3.replace("leaky", "lucky", 1), ["activation=lucky", "leaky"]),
    "nothing left": (NET + "[conv]\nsize=99\nfilters=4\n[yolo]\n", ["4 x -34 x -34"]),
    "no head": (NET + BODY, ["[detection], [region] or [yolo]"]),
    "two kinds": (V2 + V1_HEAD, ["reads layer 4"]),
    "no width": (V3.replace("width=64\n", ""), ["[net]", "width"]),
    "side": (V1.replace("side=2", "side=3"), ["side=3", "64 x 64"]),
    "coords": (V1.replace("coords=4", "coords=5"), ["coords=5"]),
    "stride": (V3.replace("width=64", "width=60"), ["64 x 60"]),
    "crop": (NET + "[crop]\ncrop_height=65\ncrop_width=8\n", ["65 x 8"]),
    "dropout": (NET + "[dropout]\nprobability=1\n", ["probability=1"]),
    "local": (NET + "[local]\nsize=5\npad=1\n", ["pad=1"]),
    "kernel": (NET + "[conv]\nsize=9999\npad=1\n[yolo]\n", ["size=9999", "3 x 64 x 64"]),
    "dilation": (NET + "[conv]\nsize=3\npad=1\ndilation=9999\n[yolo]\n", ["size=3", "19999"]),
    "window": (NET + "[maxpool]\nsize=9999\nstride=1\n[yolo]\n", ["size=9999", "3 x 64 x 64"]),
    "alpha": (NET + "[conv]\nfilters=3\n[shortcut]\nfrom=-1\nalpha=.5\n", ["alpha=.5", "alpha=1"]),
    "weights_type": (NET + "[conv]\n[shortcut]\nfrom=-1\nweights_type=per_feature\n", ["weights_type=per_feature"]),
    "maxpool": (NET + "[maxpool]\nsize=2\npadding=9\n", ["padding=9"]),
}


@pytest.mark.parametrize("what", MISFITS)
def test_what_does_not_fit_is_said_with_file_line_and_value(what: str) -> None:
    text, facts = MISFITS[what]
    with pytest.raises(SpecError) as caught:
        Darknet(text, where="my.cfg")
    assert all(fact in str(caught.value) for fact in ["my.cfg", *facts])
    assert "line" in str(caught.value) or what == "no head"


ROUTES = "".join(f"[route]\nlayers={index},{index},{index}\n" for index in range(300))  # 3^300 channels


@pytest.mark.parametrize(
    "text",
    [
        NET + "[conv]\nfilters=2000000000\nsize=101\npad=1\n[yolo]\n",
        NET + "[connected]\noutput=2000000000\n[yolo]\n",
        NET + "[upsample]\nstride=2000000000\n[yolo]\n",
        NET + "[conv]\npadding=1000000\nstride=250001\n[yolo]\n",
        NET.replace("64", "10000") + "[maxpool]\nsize=20000\nstride=5000\n[yolo]\n",
        NET + "[local]\nfilters=100000\nsize=31\n[yolo]\n",
        NET + "[conv]\nfilters=8\n" + ROUTES + "[yolo]\n",
        NET.replace("64", "2000000000") + "[conv]\n[yolo]\n",
    ],
)
def test_absurd_memory_is_refused_before_it_is_allocated(text: str) -> None:
    with pytest.raises(SpecError, match=f"{MAX_FLOATS:,}"):
        Darknet(text)


def test_the_limit_can_be_raised() -> None:
    needed = plan_network(parse_cfg(V2), "pjreddie")
    limit = sum(layer.numbers for layer in needed.layers)
    assert limit > needed.floats + sum(layer.shape.size for layer in needed.layers)  # padding
    with pytest.raises(SpecError, match=f"{limit - 1:,}.*create_model.*max_floats"):
        create_model({"family": "darknet", "cfg": V2, "max_floats": limit - 1})
    model = create_model({"family": "darknet", "cfg": V2, "max_floats": limit})
    assert model.num_classes == 3
    assert "max_floats" not in model.spec  # no checkpoint can raise it


@pytest.mark.parametrize("limit", ["many", 0, -1, 1e9, None, True])
def test_a_limit_that_is_none_is_named(limit: Any) -> None:
    with pytest.raises(SpecError, match=f"max_floats.*{limit}"):
        create_model({"family": "darknet", "cfg": V2, "max_floats": limit})


@pytest.mark.parametrize("entry", [{"max_flots": 9}, {"settings": {}}])
def test_an_unknown_entry_of_a_spec_is_refused(entry: dict) -> None:
    with pytest.raises(SpecError, match=rf"{next(iter(entry))}.*max_floats"):
        create_model({"family": "darknet", "cfg": V2, **entry})


@pytest.mark.parametrize("anchors", ["abc", [["a", "b"]], 7, [[[5, 5], [6, float("inf")]], [[4, 4], [5, 5]]]])
def test_anchors_that_are_none_are_refused(anchors: Any) -> None:
    with pytest.raises(SpecError, match="anchor"):
        create_model({"family": "darknet", "cfg": V3}, anchors=anchors)


RANGES = {
    V1: ("object_scale=-1", "noobject_scale=-1", "coord_scale=-5", "num=0", "side=0"),
    V2: ("thresh=6", "object_scale=-5", "noobject_scale=-1", "class_scale=-1", "coord_scale=-1", "max=0"),
    V3: ("ignore_thresh=7", "truth_thresh=-1", "max=0"),
    V4: ("ignore_thresh=7", "truth_thresh=.5", "max_delta=-5", "max_delta=0", "label_smooth_eps=3", "iou_thresh=2"),
    CSP: ("iou_normalizer=-1", "obj_normalizer=-1", "cls_normalizer=-1", "iou_loss=siou", "scale_x_y=.5", "max=0"),
}


@pytest.mark.parametrize(("text", "wrong"), [(text, wrong) for text, many in RANGES.items() for wrong in many])
def test_a_setting_out_of_range_is_named_as_the_file_names_it(text: str, wrong: str) -> None:
    name = wrong.split("=")[0]
    lines = [line for line in text.splitlines() if not line.startswith(f"{name}=")]
    last = max(index for index, line in enumerate(lines) if line.startswith("["))
    lines.insert(last + 1, wrong)
    with pytest.raises(SpecError) as caught:
        Darknet("\n".join(lines), where="my.cfg")
    assert f"my.cfg, line {last + 2}: {lines[last]} {wrong}:" in str(caught.value)
    assert "Settings" not in str(caught.value)


def test_pictures_of_three_channels_in_a_network_of_one() -> None:
    model = Darknet(V3.replace("channels=3", "channels=1"))
    for channels in (3, 2):
        with pytest.raises(ValueError, match=rf"1, H, W.*\(1, {channels}, 64, 64\).*YoloDataset.*channels=1"):
            model(torch.zeros(1, channels, 64, 64))


@pytest.mark.parametrize("name", ["darknet-yolov3", "ssd300", "retinanet", "fcos"])
def test_no_generation_takes_images_without_channels(name: str) -> None:
    with pytest.raises(SpecError, match=r"channels.*0"), torch.device("meta"):
        create_model(name, channels=0)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nope\.cfg: no such file"):
        create_model(tmp_path / "nope.cfg")
    with pytest.raises(FileNotFoundError, match=r"yolov2\.cfg: no such file.*'darknet-yolov2'"):
        create_model("yolov2.cfg")
    for suffix in (".cfg", ".yaml"):
        folder = tmp_path / f"folder{suffix}"
        folder.mkdir()
        with pytest.raises(SpecError, match=rf"folder\{suffix}.*folder"):
            create_model(folder)


@pytest.mark.parametrize("name", ["yolov2", "yolov1-tiny", "yolov3.1"])
def test_a_name_without_darknet_suggests_the_one_with_it_first(name: str) -> None:
    with pytest.raises(SpecError, match=r"\.yaml or \.cfg") as caught:
        create_model(name)
    if name != "yolov3.1":
        assert f"not darknet-{name}" in str(caught.value)
