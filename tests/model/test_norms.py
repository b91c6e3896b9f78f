"""The word ``norm`` of a spec."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

import yolo_lite as yl
from yolo_lite.model.norms import group_norm, read_norm
from yolo_lite.model.spec import SpecError, read_spec

SPEC = {
    "nc": 2,
    "anchors": 3,
    "backbone": [[-1, 1, "Conv", [16, 3, 4]], [-1, 1, "BottleneckCSP", [16]], [-1, 2, "C3", [24, False]]],
    "head": [[[-1], 1, "Detect", ["nc", "anchors"]]],
}
IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("norm", "kind"), [("SyncBN", nn.SyncBatchNorm), ("GroupNorm", nn.GroupNorm), ("BatchNorm", nn.BatchNorm2d)]
)
def test_every_norm_is_replaced_and_trains(norm: str, kind: type[nn.Module]) -> None:
    plain, model = yl.create_model(SPEC), yl.create_model({**SPEC, "norm": norm})
    norms = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm)
    found = [type(module) for module in model.modules() if isinstance(module, norms)]
    assert found == [kind] * sum(isinstance(module, norms) for module in plain.modules())
    model(IMAGES)[0].square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_sync_batch_norm_computes_what_batch_norm_does_in_one_process() -> None:
    plain, model = yl.create_model(SPEC), yl.create_model({**SPEC, "norm": "SyncBN"})
    torch.testing.assert_close(model(IMAGES), plain(IMAGES))
    torch.testing.assert_close(model.eval()(IMAGES), plain.eval()(IMAGES))
    torch.testing.assert_close(model.fuse()(IMAGES), plain.fuse()(IMAGES), atol=1e-5, rtol=1e-5)
    assert isinstance(model.fuse().layers[0].bn, nn.Identity)


def test_fuse_leaves_a_group_norm() -> None:
    model = yl.create_model({**SPEC, "norm": "GroupNorm"}).eval()
    assert isinstance(model.fuse().layers[0].bn, nn.GroupNorm)
    torch.testing.assert_close(model.fuse()(IMAGES), model(IMAGES))


def test_an_image_is_normalised_alone_by_a_group_norm() -> None:
    together = yl.create_model({**SPEC, "norm": "GroupNorm"})(IMAGES)[0]
    alone = yl.create_model({**SPEC, "norm": "GroupNorm"})(IMAGES[:1])[0]
    torch.testing.assert_close(together[:1], alone)


@pytest.mark.parametrize("channels", [8, 12, 17, 24, 27, 80, 320, 1024])
def test_groups_divide_the_channels(channels: int) -> None:
    assert channels % group_norm(channels).num_groups == 0
    assert group_norm(channels).num_groups in (1, 2, 4, 8, 16, 32)


@pytest.mark.parametrize("text", ["LayerNorm", "BatchNorm(3)", "GroupNorm(0)", "GroupNorm(-1)", 3, None, "nn.Linear"])
def test_another_word_is_one_sentence(text: object) -> None:
    with pytest.raises(SpecError, match=r"my\.yaml.*GroupNorm"):
        read_norm(text, "my.yaml")


@pytest.mark.parametrize("norm", ["GroupNorm", "SyncBN"])
def test_a_checkpoint_keeps_the_norm(tmp_path: Path, norm: str) -> None:
    model = yl.create_model({**SPEC, "norm": norm}).eval()
    for name, each in (("plain", model), ("fused", model.fuse())):
        yl.save(each, tmp_path / f"{name}.safetensors")
        loaded = yl.load(tmp_path / f"{name}.safetensors")
        torch.testing.assert_close(loaded(IMAGES), each(IMAGES))
        assert {type(module) for module in loaded.modules()} == {type(module) for module in each.modules()}


def test_any_yaml_file_may_say_it(tmp_path: Path) -> None:
    spec, _ = read_spec("yolov5n")
    file = tmp_path / "my.yaml"
    file.write_text(yaml.safe_dump({**spec, "norm": "GroupNorm(4)"}), "utf-8")
    assert yl.create_model(file).layers[1].bn.num_groups == 4


@pytest.mark.parametrize("name", ["yolov7", "yolov8n", "yolo-world"])
def test_every_generation_of_rows_reads_it(name: str) -> None:
    model = yl.create_model({**yl.create_model(name, num_classes=2).spec, "norm": "GroupNorm"})
    assert not any(isinstance(module, nn.BatchNorm2d) for layer in model.layers[:10] for module in layer.modules())
    assert any(isinstance(module, nn.GroupNorm) for module in model.layers.modules())
