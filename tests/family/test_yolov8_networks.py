"""YOLOv8, YOLOv9 and YOLO11 as recorded (parameters, layers, convolutions); people's files; the branch of PGI."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from tests.family.tiny import tiny_yolov9
from yolo_lite.checkpoints.own import load, save
from yolo_lite.family.yolov8.network import SPECS, Yolov8, build, named_spec
from yolo_lite.family.yolov9.auxiliary import with_auxiliary
from yolo_lite.family.yolov9.gradients import compare_gradients
from yolo_lite.model.families import NAMED
from yolo_lite.model.rows import count_blocks, read_multiples, read_rows
from yolo_lite.model.spec import SpecError, read_spec, with_family
from yolo_lite.model.yolo import create_model

FACTS = json.loads((Path(__file__).parents[1] / "golden/family/modern/facts.json").read_text(encoding="utf-8"))
RECORDED: dict[str, Any] = {
    name: facts
    for name, facts in FACTS["ultralytics_models"].items()
    if name.startswith(("yolov8", "yolov9", "yolo11")) and "world" not in name
}
TABLES = [name for name, facts in RECORDED.items() if "layers" in facts]


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def on_meta(name: str) -> Yolov8:
    """Shapes without memory, for networks that are large."""
    with torch.device("meta"):
        return build(NAMED[name], name)


def convolution(conv: nn.Conv2d) -> list[int]:
    """As the facts have it: out, in, kernel, stride, padding, groups, bias."""
    sizes = (conv.out_channels, conv.in_channels, *conv.kernel_size, conv.stride[0], conv.padding[0])
    return [*map(int, sizes), conv.groups, int(conv.bias is not None)]


@pytest.mark.parametrize("name", RECORDED)
def test_parameters_are_the_recorded_ones(name: str) -> None:
    """The 16 numbers of the fixed projection are counted, as in the facts; after fusing too."""
    model, facts = on_meta(name), RECORDED[name]
    assert parameters(model) == facts["params_total"]
    learnt = sum(each.numel() for each in model.parameters() if each.requires_grad)
    assert learnt == facts["params_trainable"] == facts["params_total"] - 16
    assert list(model.strides) == facts["strides"]
    assert sum(isinstance(each, nn.BatchNorm2d) for each in model.modules()) == facts["n_batchnorm2d"]
    assert parameters(model.fuse()) == facts["params_fused"]


@pytest.mark.parametrize("name", TABLES)
def test_the_layer_table_is_the_recorded_one(name: str) -> None:
    model = on_meta(name)
    summary = model.summary(640)
    assert len(summary.rows) == len(RECORDED[name]["layers"])
    for row, facts in zip(summary.rows, RECORDED[name]["layers"], strict=True):
        sources = facts["from"] if isinstance(facts["from"], list) else [facts["from"]]
        read = [row.index + source if source < 0 else source for source in sources]
        assert (row.index, row.kind, row.parameters) == (facts["i"], facts["type"], facts["params"])
        assert list(row.inputs) == read
        if "out_shape" in facts:
            shapes = facts["out_shape"] if isinstance(facts["out_shape"][0], list) else [facts["out_shape"]]
            assert [list(shape) for shape in row.output_shapes] == shapes
        convs = [each for each in model.layers[row.index].modules() if isinstance(each, nn.Conv2d)]
        assert sorted(map(convolution, convs)) == sorted(facts["convs"])


def test_decoded_predictions_have_the_recorded_shape() -> None:
    model = create_model("yolov8n").eval()
    with torch.no_grad():
        decoded = model.decode(model(torch.zeros(1, 3, 640, 640)))
    _, columns, points = RECORDED["yolov8n"]["layers"][-1]["decoded_shape"]
    assert decoded.shape == (1, points, columns + 1)
    assert (decoded[..., 4] == 1).all()


# People's own


def people(**entries: Any) -> dict[str, Any]:
    return yaml.safe_load((SPECS / "yolov8.yaml").read_text(encoding="utf-8")) | entries


def test_a_yaml_file_without_a_family(tmp_path: Path) -> None:
    """The first scale where none is named; the spec goes through JSON."""
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(people(nc=3), sort_keys=False), encoding="utf-8")
    model = create_model(file, names=["a", "b", "c"])
    assert isinstance(model, Yolov8)
    named = create_model("yolov8n", names=["a", "b", "c"])
    assert {k: v.shape for k, v in model.state_dict().items()} == {k: v.shape for k, v in named.state_dict().items()}
    assert parameters(create_model(json.loads(json.dumps(model.spec)))) == parameters(model)


@pytest.mark.parametrize(
    ("name", "scale", "own"),
    [
        *(("yolov8s-mine", "s", None), ("yolo11m", "m", None), ("yolov8s", "x", "x"), ("mine-yolov8s", "n", None)),
        *(("yolov8-s", "n", None), ("yolov8q", "n", None), ("yolov8", "n", None)),
    ],
)
def test_a_files_name_chooses_its_scale(tmp_path: Path, name: str, scale: str, own: str | None) -> None:
    spec = people(nc=3, **({"scale": own} if own else {}))
    (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    found, _ = read_spec(tmp_path / f"{name}.yaml")
    assert read_multiples(found) == read_multiples(people(scale=scale))


def test_a_misspelt_name_is_found_whatever_its_case() -> None:
    with pytest.raises(SpecError, match="not yolov8n, "):
        create_model("YOLOv8n")


def test_a_head_with_other_arguments_is_told_what_it_needs() -> None:
    spec = people()
    spec["head"][-1][3] = ["nc", 16]
    with pytest.raises(SpecError, match=r"must be \[nc\], not \['nc', 16\]"):
        create_model(spec)
    assert "family" not in with_family(people() | {"head": [[[-1], 1, "Detect", ["nc", "anchors"]]]})
    assert "family" not in with_family(people(anchors=3) | {"head": [[[-1], 1, "Detect", ["nc", 16]]]})


def test_classes_channels_names_depth_and_activation() -> None:
    model = create_model("yolov8n", num_classes=2, channels=1)
    assert model(torch.zeros(1, 1, 64, 64))[0].shape == (1, 1, 8, 8, 66)
    assert create_model("yolov8n", names=["cat"]).num_classes == 1
    spec = people(activation="nn.ReLU()")
    del spec["scales"]
    model = create_model(spec | {"depth_multiple": 1.0, "width_multiple": 0.125, "nc": 2})
    assert len(model.layers[4].m) == 6  # type: ignore[arg-type, union-attr]
    assert not any(isinstance(module, nn.SiLU) for module in model.modules())


def test_c3k_from_the_scale() -> None:
    rows = {scale: create_model(f"yolo11{scale}", num_classes=1).rows for scale in "nm"}
    inside = {scale: [r.index for r in rows[scale] if r.kind == "C3k2" and r.arguments[1]] for scale in rows}
    assert inside == {"n": [6, 8, 22], "m": [2, 4, 6, 8, 13, 16, 19, 22]}


@pytest.mark.parametrize(("sources", "strides"), [([15, 18], (8, 16)), ([2, 15, 18, 21], (4, 8, 16, 32))])
def test_another_number_of_levels(sources: list[int], strides: tuple[int, ...]) -> None:
    spec = people(nc=2)
    spec["head"][-1][0] = sources
    model = create_model(spec)
    assert model.strides == strides
    assert [raw.shape[2] for raw in model(torch.zeros(1, 3, 64, 64))] == [64 // stride for stride in strides]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"scale": "q"}, "no scale 'q'"),
        ({"scales": 3}, "scales must be"),
        ({"reg_max": 1}, "reg_max"),
        ({"depthwise": "no"}, "depthwise must be true or false, not 'no'"),
        ({"colour": 1}, "unknown entry 'colour'"),
        ({"settings": {"topk": 0}}, "topk"),
        ({"settings": {"best": 1}}, "best"),
        ({"task": "segment"}, "segment"),
        ({"end2end": True}, "end2end"),
        ({"auxiliary": []}, "last row"),
        ({"auxiliary": [[4, 1, "Conv", [8]], [[-1], 1, "Detect", ["nc"]]]}, "strides"),
        ({"auxiliary": [[-1, 1, "Conv", [8]], [[-1], 1, "Detect", ["nc"]]]}, "maps of a Detect"),
        ({"backbone": [[-1, 1, "C9", [8]]]}, "C9"),
        ({"backbone": [[3, 1, "Conv", [8]]]}, "layer 0 .*reads the image: write -1"),
        ({"scales": {"n": [1, 1e6, 1024]}}, "layer 0 .*times width_multiple 1e\\+06 are more than 8192"),
        ({"scales": {"n": [1e308, 1, 1024]}}, "layer 2 .*depth_multiple"),
        ({"activation": "exit()"}, "activation"),
    ],
)
def test_mistakes_are_one_sentence(entries: dict, words: str) -> None:
    with pytest.raises(SpecError, match=words) as error:
        create_model({"family": "yolov8"} | people() | entries)
    assert "\n" not in str(error.value)


def test_names_and_arguments_of_detect() -> None:
    with pytest.raises(SpecError, match="yolov8q"):
        create_model({"family": "yolov8", "name": "yolov8q"})
    spec = people(nc=9000)
    spec["head"][-1][3] = [9000]  # the limit of channels is none of classes
    assert [row.arguments for row in read_rows(spec)][-1] == (9000,)
    spec["head"][-1][3] = [7]
    with pytest.raises(SpecError, match=r"must be \[nc\]"):
        create_model(spec)
    with pytest.raises(SpecError, match="anchors"):
        create_model("yolov8n", anchors=3)


def test_blocks_are_counted_before_they_are_built() -> None:
    spec = named_spec("yolov9t")
    assert count_blocks(spec) < 60
    spec["backbone"][4][3][3] = 10**9
    assert count_blocks(spec) > 10**9


# Programmable gradients


def tiny_pgi(**entries: Any) -> Yolov8:
    model = create_model(with_auxiliary(tiny_yolov9()) | entries, num_classes=2)
    assert isinstance(model, Yolov8)
    return model


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return images, torch.tensor([[0, 1, 0.5, 0.5, 0.5, 0.4], [1, 0, 0.4, 0.5, 0.6, 0.3]])


@pytest.mark.parametrize("scale", "tsmce")
def test_without_its_branch_a_network_is_the_recorded_one(scale: str) -> None:
    model = on_meta(f"yolov9{scale}-pgi")
    plain = model.without_auxiliary()
    facts = RECORDED[f"yolov9{scale}"]
    assert parameters(plain) == facts["params_total"] < parameters(model)
    assert parameters(model.fuse()) == facts["params_fused"]


def test_the_branch_runs_in_training_alone() -> None:
    model, (images, _) = tiny_pgi(), scene()
    with torch.no_grad():
        assert len(copy.deepcopy(model).train()(images)) == 6
        model.eval()
        maps, plain = model(images), model.without_auxiliary()
        assert len(maps) == 3
        assert all(torch.equal(one, other) for one, other in zip(maps, plain(images), strict=True))
        assert not plain.has_auxiliary
        assert "auxiliary" not in plain.spec
        fused = model.fuse()(images)
    assert all(torch.allclose(one, other, atol=1e-3) for one, other in zip(maps, fused, strict=True))


def test_every_layer_of_the_backbone_gets_a_contribution() -> None:
    model = tiny_pgi()
    before = copy.deepcopy(model.state_dict())
    table = compare_gradients(model, *scene())
    after = model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    backbone = len(model.spec["backbone"])
    for row in table.rows:
        if row.index < backbone:
            assert abs(row.norm_with - row.norm) > 1e-6 * row.norm > 0
            assert -1 <= row.cosine < 0.999999
        else:
            assert row.norm_with == pytest.approx(row.norm, rel=1e-5)
            assert row.cosine == pytest.approx(1, abs=1e-5)
    assert table.weight == 0.25
    assert f"{table.rows[0].norm:.4g}" in str(table)
    with pytest.raises(ValueError, match="no auxiliary branch"):
        compare_gradients(model.without_auxiliary(), *scene())


def test_a_weight_of_zero_changes_nothing() -> None:
    for row in compare_gradients(tiny_pgi(settings={"auxiliary": 0.0}), *scene()).rows:
        assert row.norm_with == pytest.approx(row.norm, rel=1e-5)


def test_a_checkpoint_with_the_branch(tmp_path: Path) -> None:
    model, (images, targets) = tiny_pgi(), scene()
    save(model, tmp_path / "pgi.safetensors")
    again = load(tmp_path / "pgi.safetensors")
    assert isinstance(again, Yolov8)
    assert again.has_auxiliary
    before, after = model.state_dict(), again.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    tuned = load(tmp_path / "pgi.safetensors", num_classes=5).train()
    tuned.criterion(None)(tuned(images), targets).total.backward()  # type: ignore[arg-type]
    assert tuned.layers[-1].cv3[0][-1].weight.grad.abs().sum() > 0  # type: ignore[index, union-attr, operator]
    save(model.fuse(), tmp_path / "fused.safetensors")
    assert not load(tmp_path / "fused.safetensors").has_auxiliary  # type: ignore[union-attr]
