"""Fused networks on a CPU: convolution and activation as one operation, against the two."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from yolo_lite.checkpoints.own import load, save
from yolo_lite.coding import YOLOV3, YOLOV5, AnchorCoding, decode
from yolo_lite.detect.inference import network_input
from yolo_lite.model.blocks import Conv
from yolo_lite.model.packed import PackedConvolution
from yolo_lite.model.yolo import create_model

IMAGES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")


def counted(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The convolutions that run packed from here on."""
    ran: list[nn.Module] = []
    once = PackedConvolution.__call__

    def call(self: PackedConvolution, conv: nn.Module, act: nn.Module, x: Tensor) -> Tensor:
        ran.append(conv)
        return once(self, conv, act, x)

    monkeypatch.setattr(PackedConvolution, "__call__", call)
    return ran


@needs_onednn
@pytest.mark.parametrize("activation", [True, False, nn.ReLU()])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_both_forms_agree(
    activation: bool | nn.Module, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = counted(monkeypatch)
    for settings in ((3, 8, 6, 2, 2), (3, 9, 3, 2), (3, 6, 1, 1, None, 3), (3, 6, 3, 1, 2, 1, 2), (3, 6, (1, 5))):
        conv = Conv(*settings, activation=activation).eval()
        conv.fuse()
        images = IMAGES.contiguous(memory_format=layout)
        plain = conv(images).detach()
        assert not ran
        with torch.inference_mode():
            assert (conv(images) - plain).abs().max() < 1e-5
            half = conv(images[:, :, :32])  # another shape
            torch.testing.assert_close(half, conv.act(conv.conv(images[:, :, :32])), atol=1e-5, rtol=1e-5)
        assert len(ran) == 2
        ran.clear()


@needs_onednn
def test_a_fused_network_runs_packed_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model("yolov5n", num_classes=2).fuse()
    with torch.no_grad():
        expected = model.decode(model(IMAGES))
    ran = counted(monkeypatch)
    with torch.inference_mode():
        found = model.decode(model(IMAGES))
    assert len(ran) == sum(isinstance(module, nn.Conv2d) for module in model.modules())
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


@needs_onednn
def test_changed_weights_are_seen() -> None:
    model, other = create_model("yolov5n", seed=0).fuse(), create_model("yolov5n", seed=1).fuse()
    with torch.inference_mode():
        before, wanted = model(IMAGES)[0], other(IMAGES)[0]
    model.load_state_dict(other.state_dict())
    with torch.inference_mode():
        assert torch.equal(model(IMAGES)[0], wanted)
        assert not torch.equal(before, wanted)
    wide = model.double()
    with torch.inference_mode():
        torch.testing.assert_close(wide(IMAGES.double())[0].float(), wanted, atol=1e-4, rtol=1e-4)


@needs_onednn
def test_weights_in_the_memory_of_former_ones_are_seen() -> None:
    layer = create_model("yolov5n").fuse().layers[0]
    for seed in range(6):  # every other time, the new weights lie where some were that are gone
        weight = torch.randn(layer.conv.weight.shape, generator=torch.Generator().manual_seed(seed))
        layer.conv.weight = nn.Parameter(weight, requires_grad=False)
        del weight
        if seed % 2:
            with torch.inference_mode():
                torch.testing.assert_close(layer(IMAGES), layer.act(layer.conv(IMAGES)), atol=1e-3, rtol=1e-4)


@needs_onednn
def test_who_watches_a_convolution_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ran, model = counted(monkeypatch), create_model("yolov5n").fuse()
    seen: list[Tensor] = []
    watched = model.layers[0].conv
    handle = watched.register_forward_hook(lambda module, given, output: seen.append(output))
    with torch.inference_mode():
        model(IMAGES)
    assert len(seen) == 1
    assert watched not in ran
    assert ran
    handle.remove()
    ran.clear()
    with torch.inference_mode():
        model(IMAGES)
    assert watched in ran


def test_gradients_copies_and_files_are_as_without_it(tmp_path) -> None:
    model = create_model("yolov5n", num_classes=2).fuse()
    with torch.inference_mode():
        expected = model(IMAGES)[0]
    images = IMAGES.clone().requires_grad_()
    model(images)[0].sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    save(model, tmp_path / "fused.safetensors")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), load(tmp_path / "fused.safetensors")):
        with torch.inference_mode():
            assert torch.equal(other(IMAGES)[0], expected)


@pytest.mark.parametrize("coding", [YOLOV3, YOLOV5, AnchorCoding(1.05)])
@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_decoding_without_temporaries_gives_the_same(coding: AnchorCoding, softmax: bool, dtype: torch.dtype) -> None:
    chance = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 21, size, size + 1, generator=chance).to(dtype) for size in (4, 2)]
    maps = [raw.unflatten(1, (3, 7)).permute(0, 1, 3, 4, 2) for raw in maps]
    anchors = torch.rand(2, 3, 2, generator=chance) * 100
    expected = decode(maps, anchors, [8, 16], coding, softmax)
    with torch.inference_mode():
        found = decode(maps, anchors, [8, 16], coding, softmax)
    assert found.is_contiguous()
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected)


class Own(nn.Module):
    """A layer that needs one layout of memory."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(len(x), -1).view(x.shape)


def test_only_fused_networks_of_the_librarys_layers_get_another_layout() -> None:
    images, model = torch.zeros(1, 3, 64, 64, dtype=torch.uint8), create_model("yolov5n")
    for given in (images, images.contiguous(memory_format=torch.channels_last)):  # as predict stacks them
        assert network_input(given, model).is_contiguous()
    fused = model.fuse()
    assert network_input(images, fused).is_contiguous(memory_format=torch.channels_last)
    fused.layers[9] = nn.Sequential(fused.layers[9], Own())
    assert network_input(images, fused).is_contiguous()
