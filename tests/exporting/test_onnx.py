"""Exported files compute what the library computes, in every generation, and run without it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.exporting.small import SMALL
from tests.family.tiny import TINY, tiny_model
from yolo_lite.detect.nms import non_max_suppression
from yolo_lite.exporting.check import ExportError, check_onnx, check_torchscript
from yolo_lite.exporting.export import export
from yolo_lite.exporting.network import Thresholds, for_export
from yolo_lite.exporting.onnx_file import to_onnx
from yolo_lite.exporting.torchscript_file import DESCRIPTION
from yolo_lite.family.backbones import Backbone
from yolo_lite.family.resnet import Residual
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.yolo import create_model

ort = pytest.importorskip("onnxruntime", reason="ONNX files need the extra: pip install 'yolo-lite[export]'")
onnx = pytest.importorskip("onnx", reason="ONNX files need the extra: pip install 'yolo-lite[export]'")
pytest.importorskip("onnxscript", reason="ONNX files need the extra: pip install 'yolo-lite[export]'")

FIXED = ("v1", "ssd")
OLD = ("v1", "v2", "v3", "v4-ciou", "csp", "ssd", "retinanet", "fcos")  # in the form that learns by heart
PYRAMIDS = ("retinanet", "fcos")  # whose towers and stages say the same thing several times
# The others in that form have many layers, and take long; v4-mse differs from v4-ciou in its loss alone
DEEP = (*PYRAMIDS, *(name for name in TINY if name not in OLD and name != "v4-mse"))
NAMES = (*OLD, *SMALL)


def model_of(name: str) -> LayeredDetector:
    model = create_model(SMALL[name], names=["ring", "cross", "star"]) if name in SMALL else tiny_model(name)
    if name in PYRAMIDS:
        shorten(model)
    return uneven(model)


def shorten(model: LayeredDetector) -> None:
    """Each tower one convolution with its norm and ReLU, each stage of ResNet one block: all kinds, all five levels."""
    for name, part in list(model.named_modules()):
        if isinstance(part, nn.Sequential) and name.endswith("_tower"):
            del part[len(part) // 4 :]
        elif isinstance(part, nn.Sequential) and isinstance(part[0], Residual):
            del part[1:]


def uneven(model: LayeredDetector) -> LayeredDetector:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():  # a start is too even: all boxes alike, all scores ties
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)
    return model


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with NMS, of six classes at several sizes."""
    path = tmp_path_factory.mktemp("file") / "v3.onnx"
    export(model_of("v3"), path, nms=True, conf_thres=0.3, max_det=7)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_onnx_of_every_generation(name: str, tmp_path: Path) -> None:
    """Each with two batches of two sizes, which is what the check does."""
    model = model_of(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    written = export(model, tmp_path / "model.onnx", nms=True)
    checked = written.check
    assert checked is not None
    sizes = checked.sizes[:2]  # with GroupNorm there is a third, large
    assert [size[0] for size in sizes] == [1, 3]
    assert len({size[1:] for size in sizes}) == (1 if name in FIXED else 2)
    assert written.dynamic_size is (name not in FIXED)
    assert checked.maps <= 1e-4
    assert checked.pixels is not None
    assert checked.pixels <= 0.01
    assert checked.detections is not None
    assert checked.detections > 10
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("name", ["v1", "v5"])
def test_raw_maps_are_outputs(name: str, tmp_path: Path) -> None:
    model = model_of(name).eval()
    assert export(model, tmp_path / "raw.onnx").check is not None
    images = torch.rand(2, 3, *(model.fixed_size or (32, 48)))
    outputs = session(tmp_path / "raw.onnx").run(None, {"images": images.numpy()})
    with torch.no_grad():
        expected = model(images)
    assert len(outputs) == len(expected)
    for raw, other in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(raw, other.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", DEEP)
def test_onnx_of_deep_networks(name: str, tmp_path: Path) -> None:
    checked = export(uneven(tiny_model(name)), tmp_path / "model.onnx", nms=True).check
    assert checked is not None
    assert checked.detections is not None
    assert checked.detections > 10


@pytest.mark.parametrize("name", NAMES)
def test_torchscript_of_every_generation(name: str, tmp_path: Path) -> None:
    """Maps and boxes are inside a file with NMS, and checked; as outputs they are tried with two networks."""
    for options in ({}, {"decode": True}, {"nms": True}) if name in ("v1", "v5") else ({"nms": True},):
        checked = export(model_of(name), tmp_path / "a.torchscript", **options).check
        assert checked is not None
        assert checked.maps <= 1e-4
        assert (checked.pixels or 0) <= 0.01
        assert checked.detections is None or checked.detections > 10


def test_the_branch_of_pgi_is_not_exported() -> None:
    """What is left is the network without it, number by number."""
    pgi, images = model_of("yolov9-pgi").eval(), torch.rand(2, 3, 32, 48)
    exported = for_export(pgi)
    assert [row.kind for row in exported.rows] == [row.kind for row in for_export(model_of("yolov9")).rows]
    maps = exported(images)
    for raw, other in zip(maps, pgi(images), strict=True):
        torch.testing.assert_close(raw, other, atol=1e-4, rtol=1e-4)
    assert len(pgi.train()(images)) == 2 * len(maps)


def test_a_fixed_vocabulary_exports_as_the_texts_do(tmp_path: Path) -> None:
    """``fixed`` first, or ``export`` does it: one file."""
    model = model_of("world").eval()
    export(model.fixed(), tmp_path / "fixed.onnx", decode=True, check=False)
    images = torch.rand(2, 3, 32, 48)
    (boxes,) = session(tmp_path / "fixed.onnx").run(["boxes"], {"images": images.numpy()})
    with torch.no_grad():
        expected = model.decode(model(images)).numpy()  # with texts and their encoder
    np.testing.assert_allclose(boxes, expected, atol=1e-2)
    described = session(tmp_path / "fixed.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(described["names"]) == ["ring", "cross", "star"]


def test_decoded_boxes_are_an_output(tmp_path: Path) -> None:
    model = model_of("v2").eval()
    export(model, tmp_path / "boxes.onnx", decode=True)
    images = torch.rand(3, 3, 32, 80)
    (boxes,) = session(tmp_path / "boxes.onnx").run(["boxes"], {"images": images.numpy()})
    with torch.no_grad():
        expected = model.decode(model(images)).numpy()
    assert boxes.shape == expected.shape
    np.testing.assert_allclose(boxes, expected, atol=1e-3)


def session(path: Path) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def test_thresholds_have_defaults_and_may_be_given(written: Path) -> None:
    model = for_export(model_of("v3"))
    images = torch.rand(2, 3, 96, 64, generator=torch.Generator().manual_seed(5))
    boxes = model.decode(model(images))
    given = {"conf_thres": np.array([0.1], np.float32), "iou_thres": np.array([0.2], np.float32)}
    given["max_det"] = np.array([40])
    for feed, options in (
        ({}, {"conf_thres": 0.3, "max_det": 7}),
        (given, {"conf_thres": 0.1, "iou_thres": 0.2, "max_det": 40}),
    ):
        (found,) = session(written).run(None, {"images": images.numpy(), **feed})
        for image, expected in enumerate(non_max_suppression(boxes, **options)):
            rows = found[found[:, 0] == image]
            assert rows.shape == (len(expected), 7)
            np.testing.assert_allclose(rows[:, 1:], expected.numpy(), atol=1e-3)
        assert len(found)


def test_nothing_found_is_an_empty_table(written: Path) -> None:
    feed = {"images": np.zeros((2, 3, 64, 64), np.float32), "conf_thres": np.array([1.0], np.float32)}
    assert session(written).run(None, feed)[0].shape == (0, 7)


def test_the_file_says_what_it_is(written: Path, tmp_path: Path) -> None:
    described = session(written).get_modelmeta().custom_metadata_map
    model = model_of("v3")
    assert json.loads(described["names"]) == list(model.names)
    assert json.loads(described["strides"]) == list(model.strides)
    assert json.loads(described["img_size"]) == [96, 96]
    assert json.loads(described["size_multiple"]) == model.size_multiple
    export(model, tmp_path / "a.torchscript", check=False)
    extra = {DESCRIPTION: ""}
    torch.jit.load(str(tmp_path / "a.torchscript"), _extra_files=extra)
    assert json.loads(extra[DESCRIPTION])["names"] == described["names"]
    assert json.loads(described["thresholds"]) == ["conf_thres", "iou_thres", "max_det"]
    export(model, tmp_path / "b.torchscript", nms=True, check=False)
    network, images = torch.jit.load(str(tmp_path / "b.torchscript"), _extra_files=extra), torch.rand(1, 3, 64, 64)
    assert json.loads(json.loads(extra[DESCRIPTION])["thresholds"]) == ["conf_thres", "iou_thres", "max_det"]
    assert len(network(images, 0.0, max_det=3)) == len(network(images, conf_thres=0.0, max_det=3)) == 3
    with pytest.raises(FileNotFoundError, match=r"x\.onnx: there is no folder .*nodir"):
        export(model, tmp_path / "nodir" / "x.onnx")


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_a_file_runs_where_this_library_is_not(runtime: str, written: Path, tmp_path: Path) -> None:
    path = written
    if runtime == "torch":
        path = tmp_path / "v3.torchscript"
        export(model_of("v3"), path, nms=True, conf_thres=0.3, max_det=7)
    run = {
        "onnxruntime": "import numpy as np, onnxruntime as ort\n"
        "session = ort.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
        "shape = session.run(None, {'images': np.ones((2, 3, 64, 32), np.float32)})[0].shape\n",
        "torch": "import torch\nshape = tuple(torch.jit.load(sys.argv[1])(torch.ones(2, 3, 64, 32)).shape)\n",
    }[runtime]
    script = (
        "import sys\n"
        "class Refused:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'yolo_lite':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Refused())\n"
        f"{run}"
        "try:\n    import yolo_lite\nexcept ModuleNotFoundError:\n    print(shape[1])\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert answer.stdout.strip() == "7", answer.stderr


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_the_check_finds_a_file_of_another_network(kind: str, tmp_path: Path) -> None:
    model, other = for_export(model_of("v3")), model_of("v3")
    with torch.no_grad():
        next(iter(other.parameters())).mul_(1.1)
    for options in ({}, {"nms": True}):
        path = tmp_path / f"other.{kind}"
        export(other, path, check=False, **options)
        check = check_onnx if kind == "onnx" else check_torchscript
        with pytest.raises(ExportError):
            check(model, path, False, Thresholds() if options else None)


def test_a_file_that_fails_its_check_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolo_lite.exporting.check.MAP_TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="raw maps"):
        export(model_of("v2"), tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_is_fused() -> None:
    kinds = {node.op_type for node in to_onnx(for_export(model_of("v5")), False, 18).graph.node}
    assert "Conv" in kinds
    assert "BatchNormalization" not in kinds


WRONG: Mapping[str, tuple[dict[str, Any], str]] = {
    "no ending": ({"path": "model"}, r"\.onnx"),
    "another ending": ({"path": "a.onnx", "format": "torchscript"}, "torchscript"),
    "another format": ({"path": "a.engine", "format": "tensorrt"}, "tensorrt"),
    "an old opset": ({"path": "a.onnx", "opset": 11}, "11"),
    "a percentage": ({"path": "a.onnx", "nms": True, "conf_thres": 25}, "conf_thres"),
}


@pytest.mark.parametrize(("options", "fact"), WRONG.values(), ids=WRONG)
def test_bad_input_is_one_sentence(options: dict[str, Any], fact: str, tmp_path: Path) -> None:
    options = {**options, "path": tmp_path / options["path"]}
    with pytest.raises(ValueError, match=fact):
        export(model_of("v2"), **options)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ModuleNotFoundError, match=r"yolo-lite\[export\]"):
        export(model_of("v2"), tmp_path / "a.onnx")
    export(model_of("v2"), tmp_path / "a.torchscript", check=False)  # needs none


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from yolo_lite.checkpoints.own import save
    from yolo_lite.cli import main

    checkpoint = tmp_path / "best.safetensors"
    save(model_of("v2"), checkpoint)
    assert main(["export", str(checkpoint), "--nms", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == str(tmp_path / "best.onnx")
    assert document["check"]["detections"] > 10
    out = tmp_path / "shapes"  # also a name of a dataset
    assert main(["export", str(checkpoint), "--format", "torchscript", "--decode", "--out", f"{out}.torchscript"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{out}.torchscript"
    assert "px" in lines[1]


def test_group_norm_of_a_large_map_with_a_flat_region(tmp_path: Path) -> None:
    rows = [*([-1, 1, "Conv", [8, 3, 2]] for _ in range(2)), [-1, 1, "C2f", [16]]]
    head = [[-1, 1, "Conv", [16, 3, 2]], [[2, 3], 1, "Detect", ["nc"]]]
    model = create_model({"nc": 2, "norm": "GroupNorm", "backbone": rows, "head": head}).eval()
    images = torch.rand(1, 3, 640, 640, generator=torch.Generator().manual_seed(0))
    images[:, :, :320] = 0.447
    export(model, tmp_path / "net.onnx")
    outputs = ort.InferenceSession(str(tmp_path / "net.onnx")).run(None, {"images": images.numpy()})
    with torch.inference_mode():
        for found, raw in zip(outputs, model(images), strict=True):
            assert ((torch.from_numpy(found) - raw).abs() / (1 + raw.abs())).max() < 5e-5


def test_a_network_that_went_astray_is_named(tmp_path: Path) -> None:
    model = create_model(Backbone(width=0.125, depth=0.33, taps=("P3",), neck="FPN").spec(2)).eval()
    next(iter(model.parameters())).data.fill_(torch.nan)
    with pytest.raises(ExportError, match="not finite"):
        export(model, tmp_path / "net.torchscript", nms=True)
    assert not list(tmp_path.iterdir())
