import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import yolo_lite as yl
from tests.family.darknet.cfgs import ALL, BODY, CONV, CSP, LINEAR, NET, V1, V2, V3, V4, YOLO
from yolo_lite.family.darknet.cfg import parse_cfg
from yolo_lite.family.darknet.network import Darknet, build
from yolo_lite.family.darknet.plan import find_origin, plan_network
from yolo_lite.family.yolov1 import Yolov1Loss, Yolov1Settings
from yolo_lite.family.yolov2 import Yolov2Loss
from yolo_lite.family.yolov3 import Yolov3Loss
from yolo_lite.family.yolov4 import Yolov4Loss, Yolov4Settings
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.families import DARKNET
from yolo_lite.model.spec import SpecError
from yolo_lite.model.yolo import create_model

OURS = {"yolov1": "darknet-yolov1", "yolov1-tiny": "darknet-yolov1-tiny", "yolov1-small-fc": "darknet-yolov1-small"}
RECORDED = ["yolov1", "yolov1-tiny", "yolov1-small-fc", "yolov2", "yolov2-voc", "yolov2-tiny"]
RECORDED += ["yolov3", "yolov3-tiny", "yolov3-spp"]
RECORDED += ["yolov4", "yolov4-tiny", "yolov4-tiny-3l", "yolov4-csp", "yolov4x-mish"]
TARGETS = torch.tensor([[0.0, 1, 0.4, 0.6, 0.3, 0.5], [1, 2, 0.7, 0.2, 0.2, 0.2]])


@pytest.fixture(scope="module")
def facts() -> Any:
    file = Path(__file__).parents[2] / "golden" / "family" / "darknet" / "facts.json"
    return json.loads(file.read_text(encoding="utf-8"))


def on_meta(name: str, **options: Any) -> Darknet:
    with torch.device("meta"):
        return build({"family": "darknet", "name": name}, name, **options).eval()


@pytest.mark.parametrize("name", RECORDED)
def test_bundled_networks_are_the_recorded_ones(name: str, facts: Any) -> None:
    recorded = facts["models"][name]
    model = on_meta(OURS.get(name, name if "v4" in name else f"darknet-{name}"))
    assert model.origin == ("alexeyab" if "v4" in name else "pjreddie")
    assert list(model.heads) == recorded["heads"]
    assert sum(p.numel() for p in model.parameters()) == recorded["learnable_parameters"]
    plan = plan_network(parse_cfg(model.spec["cfg"]), model.origin)
    assert plan.floats == recorded["floats_in_weight_file"]
    passed = model.forward_layers(torch.zeros(1, *recorded["input_chw"], device="meta"))
    for (row, output), planned, layer, module in zip(
        passed, plan.layers, recorded["layers"], model.layers, strict=True
    ):
        assert row.kind == layer["kind"]
        assert list(planned.shape) == layer["out"]
        if row.index not in model.heads:
            assert isinstance(output, torch.Tensor)
            assert list(output.shape[1:]) == layer["out"]
        assert sum(p.numel() for p in module.parameters()) == layer.get("learnable", 0)
        convolution = getattr(module, "conv", None)
        if isinstance(convolution, nn.Conv2d):
            assert convolution.kernel_size == (layer["size"],) * 2
            assert convolution.stride == (layer["stride"],) * 2
            assert convolution.padding == (layer["pad"],) * 2
            assert convolution.weight.numel() == layer["weights"]


@pytest.mark.parametrize("name", RECORDED)
def test_bundled_heads_have_the_recorded_settings(name: str, facts: Any) -> None:
    model = on_meta(OURS.get(name, name if "v4" in name else f"darknet-{name}"))
    for head, index in zip(model.described_heads, facts["models"][name]["heads"], strict=True):
        section = parse_cfg(model.spec["cfg"]).layers[index]
        for key, value in facts["models"][name]["layers"][index]["settings"].items():
            if key in section:  # the others are left out
                as_text = ",".join(f"{number:g}" for number in value) if isinstance(value, list) else f"{value}"
                found = section.text(key)
                assert found == as_text or section.numbers(key) == (value,)
        assert head.index == index


def test_the_papers_yolov1_has_its_head(facts: Any) -> None:
    model = on_meta("yolov1")
    paper = facts["yolov1_note"]["paper_like_head"]
    connected = sum(p.numel() for layer in model.layers[28:] for p in layer.parameters())
    assert connected == paper["connected_50176_4096_then_1470"]
    assert sum(p.numel() for p in model.parameters()) == paper["total_with_bias_only"]
    assert isinstance(model.criterion(Hyperparameters()), Yolov1Loss)


@pytest.mark.parametrize("name", DARKNET)
def test_every_name_is_built_for_other_classes(name: str) -> None:
    model = on_meta(name, num_classes=3)
    height, width = model.img_size
    assert (model.fixed_size is None) == (model.generation != "detection")
    maps = model(torch.zeros(1, 3, height, width, device="meta"))
    assert model.names == ("class0", "class1", "class2")
    for raw, head in zip(maps, model.described_heads, strict=True):
        if head.anchors:
            assert raw.shape == (1, len(head.mask), height // head.stride, width // head.stride, 8)
        else:
            assert raw.shape == (1, 49 * (5 * len(head.mask) + 3))


def test_create_model_takes_files_and_their_text(tmp_path: Path) -> None:
    file = tmp_path / "mine.cfg"
    file.write_text(V3, encoding="utf-8")
    model = create_model(file, names=["cat", "dog"], seed=3)
    assert isinstance(model, Darknet)
    assert model.names == ("cat", "dog")
    again = create_model(json.loads(json.dumps(model.spec)), names=model.names, seed=3)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    with pytest.raises(SpecError, match=r"mine\.cfg"):
        create_model(file, anchors=[[[1, 1]]])


@pytest.mark.parametrize("kind", ALL)
def test_each_generation_decodes_and_learns(kind: str) -> None:
    model = create_model({"family": "darknet", "cfg": ALL[kind]}, seed=1)
    assert isinstance(model, Darknet)
    assert model.origin == ("alexeyab" if kind in ("v4", "csp") else "pjreddie")
    losses = {"v1": Yolov1Loss, "v2": Yolov2Loss, "v3": Yolov3Loss, "v4": Yolov4Loss, "csp": Yolov4Loss}
    criterion = model.criterion(Hyperparameters(), 64)
    assert isinstance(criterion, losses[kind])
    assert criterion.gain == 1 / 4
    maps = model.train()(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    loss = criterion(maps, TARGETS)
    loss.total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assigned = criterion.assign(maps, TARGETS)
    boxes = model.decode(maps)
    assert boxes.shape == (2, assigned.role.shape[1], 5 + model.num_classes)
    assert boxes.isfinite().all()


@pytest.mark.parametrize("kind", ALL)
def test_fuse_changes_nothing(kind: str) -> None:
    model = create_model({"family": "darknet", "cfg": ALL[kind]}, seed=1).train()
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    model(images)  # other statistics than at the start
    fused = model.eval().fuse()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    for raw, expected in zip(fused(images), model(images), strict=True):
        torch.testing.assert_close(raw, expected, rtol=1e-4, atol=1e-4)


def test_summary_has_every_section() -> None:
    summary = Darknet(V1).summary(640)  # the size that it was made for is taken
    assert [row.kind for row in summary.rows][-2:] == ["connected", "detection"]
    assert summary.img_size == (64, 64)


def test_csp_maps_are_raw() -> None:
    activated, plain = Darknet(CSP), Darknet(CSP.replace("logistic", "linear").replace("new_coords=1", ""))
    plain.load_state_dict(activated.state_dict())
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(activated.eval()(images)[0], plain.eval()(images)[0])
    raw = activated(images)[0]
    size = activated.decode([raw])[0, 0, 2:4]
    torch.testing.assert_close(size, 4 * raw[0, 0, 0, 0, 2:4].sigmoid() ** 2 * torch.tensor([16.0, 16.0]))


def test_a_network_with_a_connected_layer_has_one_size() -> None:
    model = Darknet(V1)
    assert model.fixed_size == (64, 64)
    with pytest.raises(ValueError, match=r"96 x 64.*64 x 64"):
        model(torch.zeros(1, 3, 96, 64))
    assert Darknet(V2).eval()(torch.zeros(1, 3, 96, 64))[0].shape == (1, 2, 6, 4, 8)


def test_settings_of_the_file_and_others() -> None:
    model, hyp = Darknet(V4), Hyperparameters()
    own = model.criterion(hyp)
    assert isinstance(own, Yolov4Loss)
    assert isinstance(model.criterion(hyp, settings=Yolov4Settings(iou_kind="giou"), faithful="paper"), Yolov4Loss)
    with pytest.raises(ValueError, match="Yolov1Settings"):
        model.criterion(hyp, settings=Yolov1Settings())
    with pytest.raises(ValueError, match="faithful"):
        model.criterion(hyp, faithful="book")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="autobalance"):
        model.criterion(hyp, autobalance=True)


def test_settings_out_of_range_have_a_line() -> None:
    text = V4.replace("iou_loss=ciou", "iou_loss=best")
    with pytest.raises(SpecError, match=r"my.cfg.*\[yolo\].*best"):
        Darknet(text, where="my.cfg")


def test_origin_can_be_chosen() -> None:
    model = Darknet(V3, origin="alexeyab")
    assert isinstance(model.criterion(Hyperparameters()), Yolov4Loss)
    settings = model.criterion(Hyperparameters()).settings
    assert [each.iou_normalizer for each in settings] == [0.75, 0.75]
    assert model.spec["origin"] == "alexeyab"
    with pytest.raises(SpecError, match="scale_x_y"):
        Darknet(V4, origin="pjreddie")
    with pytest.raises(SpecError, match="bochkovskiy"):
        Darknet(V3, origin="bochkovskiy")  # type: ignore[arg-type]


@pytest.mark.parametrize("line", ["mosaic=1", "letter_box=1"])
def test_options_without_effect_tell_the_origin_too(line: str) -> None:
    assert find_origin(parse_cfg(V3)) == "pjreddie"
    assert find_origin(parse_cfg(V3.replace("batch=4", f"batch=4\n{line}"))) == "alexeyab"


def test_anchors_can_be_read_and_set() -> None:
    model = Darknet(V3)
    assert model.anchors is not None
    assert model.anchors.tolist() == [[[16, 16], [32, 32]], [[4, 4], [8, 8]]]
    model.set_anchors(model.anchors + 1)
    assert model.all_anchors.tolist() == [[5, 5], [9, 9], [17, 17], [33, 33]]
    assert create_model(model.spec).anchors.tolist() == model.anchors.tolist()  # type: ignore[union-attr]
    assert Darknet(V2).anchors.tolist() == [[[8, 8], [32, 32]]]  # type: ignore[union-attr]
    assert Darknet(V1).anchors is None
    for anchors in ([[[1, 1]]], [[[1, 1], [2, 2]]] * 3, [[[1, 1], [0, 2]]] * 2):
        with pytest.raises(SpecError):
            model.set_anchors(anchors)
    with pytest.raises(SpecError):
        Darknet(V1).set_anchors([[[1, 1]]])


def test_an_anchor_of_two_heads_is_the_same_in_both() -> None:
    model = Darknet(V3.replace("mask=0,1", "mask=1,2"))
    model.set_anchors([[[5, 5], [6, 6]], [[4, 4], [5, 5]]])
    assert model.all_anchors.tolist() == [[4, 4], [4, 4], [5, 5], [6, 6]]
    with pytest.raises(SpecError, match="two heads"):
        model.set_anchors([[[5, 5], [6, 6]], [[4, 4], [7, 7]]])


def test_levels_may_have_different_numbers_of_anchors() -> None:
    text = V3.replace("mask=0,1", "mask=0,1,2")
    for_two, for_three = ("layers=1\n" + LINEAR.format(filters, "linear") for filters in (16, 24))
    text = text.replace(for_two, for_three)
    model = Darknet(text).eval()
    assert model.anchors is None
    assert [len(level) for level in model.level_anchors] == [2, 3]
    maps = model(torch.zeros(1, 3, 64, 64))
    assert [raw.shape[1] for raw in maps] == [2, 3]
    assert model.decode(maps).shape == (1, 2 * 16 + 3 * 64, 8)


def test_an_own_number_of_channels() -> None:
    assert Darknet(V3, channels=1).eval()(torch.zeros(1, 1, 64, 64))[0].shape == (1, 2, 4, 4, 8)


def test_a_darknet_can_be_copied() -> None:
    model = Darknet(V4)
    assert copy.deepcopy(model).spec == model.spec


def test_small_images_may_have_large_windows() -> None:
    """SPP's 13 on a map of 4 x 4."""
    text = NET + BODY + "[maxpool]\nsize=13\nstride=1\n" + LINEAR.format(32, "linear") + YOLO.format("0,1,2,3", "")
    model = Darknet(text).eval()
    assert model(torch.zeros(1, 3, 64, 64))[0].shape == (1, 4, 4, 4, 8)


@pytest.mark.parametrize(
    "layers",
    [
        "[avgpool]\n",
        "[conv]\nfilters=8\nsize=4\n",  # 4 x 4 cells to one
        "[conv]\nfilters=8\nsize=4\n[upsample]\nstride=2\n",
        "[maxpool]\nsize=3\nstride=2\npadding=1\n[maxpool]\nsize=2\nstride=1\npadding=0\n",
    ],
)
@pytest.mark.parametrize("head", ["yolo", "region"])
def test_a_network_whose_strides_do_not_follow_the_image_has_one_size(layers: str, head: str) -> None:
    heads = {"yolo": YOLO.format("2,3", ""), "region": "[region]\nanchors=.5,.5, 2,2\nclasses=3\nnum=2\n"}
    model = Darknet(NET + BODY + layers + LINEAR.format(16, "linear") + heads[head]).eval()
    assert model.fixed_size == (64, 64)
    assert model.decode(model(torch.zeros(1, 3, 64, 64))).isfinite().all()
    with pytest.raises(ValueError, match=r"128 x 128.*64 x 64"):
        model(torch.zeros(1, 3, 128, 128))


def test_a_shortcut_may_say_that_it_weights_nothing() -> None:
    tail = LINEAR.format(32, "linear") + YOLO.format("0,1,2,3", "")
    shortcut = NET + BODY + CONV.format(16, 1) + "[shortcut]\nfrom=-2\n"
    pjreddie = Darknet(shortcut + "alpha=1\nbeta=1.0\n" + tail)
    assert pjreddie.origin == "pjreddie"
    assert [str(entry.option.name) for entry in pjreddie.left_out] == ["alpha", "beta"]
    alexeyab = Darknet(shortcut + "weights_type=none\nweights_normalization=softmax\n" + tail)
    assert alexeyab.origin == "alexeyab"


def test_several_from_tell_alexeyabs_darknet() -> None:
    text = NET + BODY + CONV.format(16, 1) + "[shortcut]\nfrom=-2,-2\n" + LINEAR.format(32, "linear")
    model = Darknet(text + YOLO.format("0,1,2,3", ""))
    assert model.origin == "alexeyab"
    assert model.rows[4].inputs == (3, 2, 2)


@pytest.mark.parametrize("kind", ALL)
def test_class_outputs_are_those_that_decode_shows(kind: str) -> None:
    model = create_model({"family": "darknet", "cfg": ALL[kind]}, seed=1).eval()
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before = model.decode(model(images))
    outputs = model.class_outputs()
    assert len(outputs) == 2 * len(model.heads)  # weight and bias
    with torch.no_grad():
        for name, rows in outputs.items():
            if name.endswith("bias"):
                model.get_parameter(name)[rows == 1] += 1
    changed = (model.decode(model(images)) != before).flatten(0, 1).any(0)  # (5 + C,)
    softmax = kind == "v2"
    assert changed.nonzero().flatten().tolist() == ([5, 6, 7] if softmax else [6])


@pytest.mark.parametrize("kind", ALL)
def test_saved_and_loaded(tmp_path: Path, kind: str) -> None:
    model = create_model({"family": "darknet", "cfg": ALL[kind]}, num_classes=2, seed=1).eval()
    if model.anchors is not None:
        model.set_anchors(model.anchors + 0.5)  # type: ignore[operator]
    images = torch.rand(1, 3, 64, 64)
    for saved in (model, model.fuse()):
        yl.save(saved, tmp_path / "net.safetensors")
        again = yl.load(tmp_path / "net.safetensors")
        assert torch.equal(again.decode(again(images)), saved.decode(saved(images)))
        assert again.spec == model.spec
