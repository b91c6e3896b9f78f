"""Official .pt files of YOLOv8 and later: equal to the recorded output, and read as inertly as YOLOv5's."""

import contextlib
import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from yolo_lite.checkpoints.own import CheckpointError, load, save
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.yolo import create_model

from .official_files import with_extra
from .official_modern_files import Package, in_training, people_s_yaml, randomised, save_modern, stripped

SCALES = {"n": [0.5, 0.25, 1024], "m": [0.5, 0.25, 256]}
SMALL: dict[str, Any] = {  # YOLOv5's and YOLO11's blocks, two levels
    "nc": 3,
    "scales": SCALES,
    "backbone": [
        *([-1, 1, "Conv", [64, 3, 2]], [-1, 2, "Bottleneck", [64]], [-1, 1, "Conv", [128, 3, 2]]),
        *([-1, 2, "C3k2", [256, False, 0.25]], [-1, 1, "SPPF", [256, 5]], [-1, 2, "C2PSA", [512]]),
    ],
    "head": [
        *([-1, 1, "nn.Upsample", ["None", 2, "nearest"]], [[-1, 1], 1, "Concat", [1]], [-1, 2, "C3", [128, False]]),
        *([-1, 1, "Conv", [256, 3, 2]], [-1, 2, "C3k2", [256, True]], [[8, 10], 1, "Detect", ["nc"]]),
    ],
}
GELAN: dict[str, Any] = {
    "nc": 2,
    "backbone": [
        *([-1, 1, "Conv", [16, 3, 2]], [-1, 1, "ELAN1", [16, 16, 8]], [-1, 1, "AConv", [16]]),
        *([-1, 1, "RepNCSPELAN4", [16, 16, 8, 2]], [-1, 1, "ADown", [32]], [-1, 1, "SPPELAN", [32, 16]]),
    ],
    "head": [
        *([-1, 1, "CBLinear", [[16, 32]]], [-2, 1, "nn.Identity", []], [[6, -1], 1, "CBFuse", [[1]]]),
        [[3, 8], 1, "Detect", ["nc"]],
    ],
}


def small(spec: Mapping[str, Any] = SMALL, **changes: Any) -> LayeredDetector:
    """The network that the package would build from these rows: its Bottlenecks have two windows of 3 x 3."""
    backbone = [
        [*row[:3], [*row[3], True, 1, 0.5, [3, 3]]] if row[2] == "Bottleneck" else row for row in spec["backbone"]
    ]
    return randomised(create_model({"family": "yolov8", **spec, "backbone": backbone, **changes}, seed=3))


def own_rows(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {part: copy.deepcopy(spec[part]) for part in ("backbone", "head")}


def outputs(model: LayeredDetector, seed: int = 0) -> Tensor:
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return model.decode(model(images))


def test_a_file_computes_the_recorded_boxes(shared: Path) -> None:
    model = load(shared / "weights" / "modern" / "yolov8n_three.pt")
    recorded = np.load(shared / "weights" / "modern" / "yolov8n_three.npz")
    images = torch.from_numpy(recorded["images"]).permute(0, 3, 1, 2).float() / 255  # (2, 3, 96, 128)
    with torch.no_grad():
        decoded = model.decode(model(images)).numpy()  # (2, 252, 5 + 3)
        fused = model.fuse().decode(model.fuse()(images)).numpy()
    expected = recorded["decoded"].transpose(0, 2, 1)  # (2, 252, 4 + 3)
    for found in (decoded, fused):
        np.testing.assert_allclose(found[..., :4], expected[..., :4], atol=0.05, rtol=0)
        np.testing.assert_allclose(found[..., 5:], expected[..., 4:], atol=1e-3, rtol=0)
    assert model.names == ("red", "green", "blue")
    assert (model.strides, model.metadata["img_size"]) == ((8, 16, 32), 320)


LARGE = (("yolov8n", False, True), ("yolo11n", True, False), ("yolov9t", False, True))  # as the package names them
TINY = [(name, half, fused) for name in ("small", "gelan") for half in (True, False) for fused in (True, False)]


@pytest.mark.parametrize(("name", "half", "fused"), [*LARGE, *TINY])
def test_networks_of_every_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, half: bool, fused: bool
) -> None:
    specs = {"small": SMALL, "gelan": GELAN}
    model = small(specs[name]) if name in specs else randomised(create_model(name, num_classes=3))
    changes = own_rows(specs[name]) if name in specs else {}
    if fused:
        model = model.fuse().half().float()
    again = load(save_modern(model, tmp_path / "best.pt", monkeypatch, half, **changes))
    assert (again.names, again.strides) == (model.names, model.strides)
    assert torch.equal(outputs(again), outputs(model))
    assert again.metadata == {"epoch": -1, "date": "now", "img_size": 96}
    save(again, tmp_path / "own.safetensors")  # and on, in our own format
    assert torch.equal(outputs(load(tmp_path / "own.safetensors")), outputs(model))


@pytest.mark.parametrize("name", ["yolov5nu", "yolov3u"])
def test_older_backbones_with_the_head_of_yolov8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """YOLOv5's and YOLOv3's rows, in small: C3, SPPF, a stem of 6 x 6; Bottlenecks in a row, which repeat."""
    stems = {"yolov5nu": [-1, 1, "Conv", [64, 6, 2, 2]], "yolov3u": [-1, 1, "Conv", [32, 3, 2]]}
    blocks = {"yolov5nu": [-1, 3, "C3", [128]], "yolov3u": [-1, 4, "Bottleneck", [64]]}
    spec = {
        "nc": 2,
        "depth_multiple": 0.5,
        "width_multiple": 0.5,
        "backbone": [stems[name], [-1, 1, "Conv", [64, 3, 2]], blocks[name], [-1, 1, "SPPF", [64, 5]]],
        "head": [[-1, 1, "Bottleneck", [64, False]], [[3, 4], 1, "Detect", ["nc"]]],
    }
    head = [[-1, 1, "Bottleneck", [64, False, 1, 0.5, [3, 3]]], spec["head"][1]]
    model = small(spec, head=head)
    again = load(save_modern(model, tmp_path / "u.pt", monkeypatch, **own_rows(spec)))
    assert torch.equal(outputs(again), outputs(model))


def test_the_kind_of_c3k2_and_of_the_head_is_read_from_the_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = small(scale="m")  # at which every C3k2 has C3k, whatever its row says
    again = load(save_modern(large, tmp_path / "m.pt", monkeypatch, **own_rows(SMALL)))
    assert torch.equal(outputs(again), outputs(large))
    assert [row[3][1] for row in again.spec["backbone"] + again.spec["head"] if row[2] == "C3k2"] == [True, True]
    plain = small(depthwise=False)
    again = load(save_modern(plain, tmp_path / "plain.pt", monkeypatch, **own_rows(SMALL)))
    assert again.spec["depthwise"] is False
    assert torch.equal(outputs(again), outputs(plain))


def test_a_width_that_equals_the_number_of_classes_is_not_scaled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package leaves it as it is: 128 classes make 128 channels where there would be 32."""
    rows = own_rows(SMALL)
    unscaled = own_rows(SMALL)
    for row in unscaled["backbone"] + unscaled["head"]:
        if row[2] in ("Conv", "C3", "C3k2", "SPPF", "C2PSA", "Bottleneck"):
            row[3][0] = row[3][0] if row[3][0] == 128 else row[3][0] // 4
    model = small({**SMALL, **unscaled, "scales": {"n": [0.5, 1, 1024]}}, nc=128)
    again = load(save_modern(model, tmp_path / "many.pt", monkeypatch, **rows, scales=SCALES))
    assert torch.equal(outputs(again), outputs(model))


def test_early_releases_kept_all_layers_in_one_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()
    again = load(save_modern(model, tmp_path / "flat.pt", monkeypatch, flat=True, **own_rows(SMALL)))
    assert torch.equal(outputs(again), outputs(model))


class YOLO(nn.Module):
    """Stands for the package's own wrapper, and others around it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.task, self.ckpt_path = model, "detect", Path("best.pt")


class DistributedDataParallel(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


WAYS: Mapping[str, Callable[[nn.Module], Any]] = {
    "averaged": in_training,
    "averaged only": lambda root: {**in_training(root), "model": None},
    "alone": lambda root: root,
    "wrapped": YOLO,
    "wrapped twice": lambda root: {"model": DistributedDataParallel(YOLO(root))},
}


@pytest.mark.parametrize("way", WAYS)
def test_where_the_network_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    model = small()
    again = load(save_modern(model, tmp_path / "x.pt", monkeypatch, content=WAYS[way], **own_rows(SMALL)))
    assert torch.equal(outputs(again), outputs(model))
    assert again.metadata["img_size"] == 96  # of the training's arguments, or the network's own


@pytest.mark.parametrize(
    "names", [{0: "red", 1: "green", 2: "blue"}, ["red", "green", "blue"], {"0": "red", "1": "green", "2": "blue"}]
)
def test_names_of_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: object) -> None:
    def named(root: nn.Module) -> object:
        root.names = names
        return stripped(root)

    file = save_modern(small(), tmp_path / "x.pt", monkeypatch, content=named, **own_rows(SMALL))
    assert load(file).names == ("red", "green", "blue")


def test_other_classes_keep_what_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small(names=["red", "green", "blue"])
    file = save_modern(model, tmp_path / "x.pt", monkeypatch, **own_rows(SMALL))
    turned = load(file, names=["blue", "red", "green"])
    assert torch.equal(outputs(turned)[..., 5:], outputs(model)[..., [7, 5, 6]])
    more = load(file, num_classes=7)
    assert outputs(more).shape[-1] == 5 + 7
    assert torch.equal(more.layers[0].conv.weight, model.layers[0].conv.weight)


# What is refused -----------------------------------------------------------------------------------------------------

OTHERS = {
    "SegmentationModel": "segmentation",
    "PoseModel": "pose",
    "OBBModel": "oriented",
    "ClassificationModel": "classification",
    "RTDETRDetectionModel": "RT-DETR",
    "WorldModel": "YOLO-World",
}
OTHER_HEADS = {
    "Segment": "segmentation",
    "Pose": "pose",
    "OBB": "oriented",
    "Classify": "classification",
    "RTDETRDecoder": "RT-DETR",
    "v10Detect": "YOLOv10",
    "WorldDetect": "YOLO-World",
    "FutureDetect": "FutureDetect",
}


def refused(file: Path, words: str) -> None:
    """One sentence, which names the file."""
    with pytest.raises(CheckpointError, match=words) as error:
        load(file)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", OTHERS)
def test_other_models_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    file = save_modern(small(), tmp_path / "x.pt", monkeypatch, kind=kind, **own_rows(SMALL))
    refused(file, OTHERS[kind])


@pytest.mark.parametrize("head", OTHER_HEADS)
def test_other_heads_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str) -> None:
    package, model = Package(), small()
    root = package.network(model, people_s_yaml(model))
    package.pretend(root.model[-1], head, "ultralytics.nn.modules.head")
    refused(package.save(stripped(root), tmp_path / "x.pt", monkeypatch), OTHER_HEADS[head])


def end_to_end(root: nn.Module) -> None:
    root.model[-1].one2one_cv2 = copy.deepcopy(root.model[-1].cv2)


def no_distribution(root: nn.Module) -> None:
    root.model[-1].dfl = nn.Identity()


def other_bins(root: nn.Module) -> None:
    root.model[-1].dfl.conv.weight.data[0, 3] = 7


def other_eps(root: nn.Module) -> None:
    root.model[0].bn.eps = 1e-5


def linear_pool(root: nn.Module) -> None:
    root.model[4].cv1.act = nn.Identity()


def other_stride(root: nn.Module) -> None:
    root.model[1].cv1.conv.dilation = (2, 2)


def no_shortcut(root: nn.Module) -> None:
    root.model[3].m[0].add = False


def other_activation(root: nn.Module) -> None:
    root.model[0].act = nn.ReLU()


def other_heads(root: nn.Module) -> None:
    root.model[5].m[0].attn.num_heads = 2


def fewer_layers(root: nn.Module) -> None:
    root.yaml["head"] = root.yaml["head"][-3:]


def endless_rows(root: nn.Module) -> None:
    root.yaml["backbone"][3][1] = 1000


def no_yaml(root: nn.Module) -> None:
    del root.yaml


def no_stride(root: nn.Module) -> None:
    root.model[-1].stride = None


def odd_classes(root: nn.Module) -> None:
    root.model[-1].nc, root.names = 5, list("abcde")


def many_classes(root: nn.Module) -> None:
    root.model[-1].nc = 10**9


def classes_as_text(root: nn.Module) -> None:
    root.model[-1].nc = "3"


def cut_stride(root: nn.Module) -> None:
    root.model[-1].stride = torch.tensor([4.5, 8.0])


def no_number_as_stride(root: nn.Module) -> None:
    root.model[-1].stride = torch.tensor([4.0, torch.nan])


def no_number_as_width(root: nn.Module) -> None:
    root.yaml["scales"] = {"n": [0.5, float("nan"), 256]}


def foreign_layer(root: nn.Module) -> None:
    root.model[3].m[0] = nn.LayerNorm(4)


BREAKS: Mapping[Callable[[nn.Module], None], str] = {
    end_to_end: "one-to-one",
    no_distribution: "DFL",
    other_bins: "dfl",
    other_eps: "eps",
    linear_pool: r"layers\.4\.cv1\.act",
    other_stride: "dilation",
    no_shortcut: r"layers\.3\.m\.0.*add",
    other_activation: "activations",
    other_heads: "num_heads",
    fewer_layers: "rows",
    endless_rows: "layers.3|weights do not fit",
    no_yaml: "yaml",
    no_stride: "stride",
    odd_classes: "weights do not fit",
    many_classes: "number of classes, nc, must be .*, not 1000000000",
    classes_as_text: "number of classes, nc, must be .*, not '3'",
    cut_stride: r"strides must be whole numbers of 1 or more, not \[4.5, 8.0\]",
    no_number_as_stride: r"strides must be whole numbers of 1 or more, not \[4.0, nan\]",
    no_number_as_width: "x.pt: its yaml: width_multiple must be a positive number, not nan",
    foreign_layer: "LayerNorm",
}


@pytest.mark.parametrize("broken", BREAKS, ids=lambda change: change.__name__)
def test_a_file_that_computes_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Callable[[nn.Module], None]
) -> None:
    def change(root: nn.Module) -> object:
        broken(root)
        return stripped(root)

    refused(save_modern(small(), tmp_path / "x.pt", monkeypatch, content=change, **own_rows(SMALL)), BREAKS[broken])


def test_numbers_that_ask_for_much_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, row in ((3, [-1, 1, "RepNCSPELAN4", [16, 16, 8, 10**9]]), (0, [-1, 1, "Conv", [10**12, 3, 2]])):
        rows = own_rows(GELAN)
        rows["backbone"][index] = row
        refused(save_modern(small(GELAN), tmp_path / "x.pt", monkeypatch, **rows), "weights do not fit|cannot be built")


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch hacked",)


def test_nothing_in_the_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def attack(root: nn.Module) -> object:
        return {**stripped(root), "train_args": Attack()}

    refused(save_modern(small(), tmp_path / "x.pt", monkeypatch, content=attack, **own_rows(SMALL)), "system")
    sound = save_modern(small(), tmp_path / "x.pt", monkeypatch, **own_rows(SMALL))
    file = with_extra(
        sound, tmp_path / "y.pt", b"cultralytics.utils\nunknown_function\n(Vsecret\ntR"
    )  # beside it: inert
    assert torch.equal(outputs(load(file)), outputs(small()))
    assert not (tmp_path / "hacked").exists()


def test_damaged_files_load_or_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty times up to eight bytes changed."""
    data = save_modern(small(), tmp_path / "x.pt", monkeypatch, **own_rows(SMALL)).read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(60):
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[generator.integers(0, min(len(data), 60_000), 8)] = generator.integers(0, 256, 8)
        (tmp_path / "damaged.pt").write_bytes(damaged.tobytes())
        with contextlib.suppress(CheckpointError):
            load(tmp_path / "damaged.pt")
