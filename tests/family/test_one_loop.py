"""One loop, one evaluation: every generation is trained, evaluated, predicted with, saved, loaded and summarised."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.family.tiny import SIZE, TINY, scenes, tiny_model
from yolo_lite.checkpoints.own import load, read_header, save
from yolo_lite.data.loader import create_dataloader
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.detect.predict import predict
from yolo_lite.model.families import FAMILIES
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.yolo import create_model
from yolo_lite.train.trainer import Trainer

NAMES = list(TINY)
DARKNET = [name for name in NAMES if isinstance(TINY[name].source, Path)]
OPTIONS: dict[str, Any] = {
    "batch_size": 4,
    "img_size": SIZE,
    "augment": False,
    "optimizer": "AdamW",
    "nominal_batch": 4,
    "ema_decay": 0.9,
    "ema_tau": 5.0,
    "least_warmup": 10,
    "device": "cpu",
}


def trainer(name: str, epochs: int, model: nn.Module | None = None, **options: Any) -> Trainer:
    hyp = {"lr0": TINY[name].lr, "lrf": 0.05, "momentum": 0.9, "warmup_epochs": 20, "warmup_bias_lr": 0.0}
    hyp |= options.pop("hyp", {})
    model = tiny_model(name) if model is None else model
    return Trainer(model, scenes(), scenes(), hyp, epochs=epochs, **OPTIONS | options)


@cache
def trained(name: str) -> LayeredDetector:
    """A network that knows the four scenes by heart; trained once for all tests, which leave it as it is."""
    epochs = TINY[name].epochs
    run = trainer(name, epochs, validate_every=epochs, hyp={"weight_decay": 0.0}).fit()
    model = run.ema.model
    assert isinstance(model, LayeredDetector)
    return model


def images() -> list[np.ndarray]:
    return [scenes().image(index) for index in range(4)]


def same_detections(first: Any, second: Any, atol: float = 0.0) -> None:
    for one, other in zip(first, second, strict=True):
        assert len(one) == len(other) > 0
        torch.testing.assert_close(one.xyxy, other.xyxy, atol=atol, rtol=0)
        torch.testing.assert_close(one.conf, other.conf, atol=atol, rtol=0)
        assert torch.equal(one.cls, other.cls)


@pytest.mark.parametrize("name", NAMES)
def test_four_scenes_are_learnt_by_heart(name: str) -> None:
    assert sum(parameter.numel() for parameter in trained(name).parameters()) < 300_000
    metrics = evaluate(trained(name), create_dataloader(scenes(), 4))
    assert metrics.map50 >= 0.95


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_it_predicts_the_same(name: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    model = trained(name)
    save(model, file)
    header = read_header(file)
    assert header["architecture"] == model.spec["family"] in FAMILIES
    again = load(file)
    assert type(again) is type(model)
    assert again.names == Shapes.names
    assert again.metadata["img_size"] == SIZE
    found = predict(model, images())
    assert sum(len(each) for each in found) >= 8
    same_detections(found, predict(again, images()))


@pytest.mark.parametrize("name", NAMES)
def test_fused_and_half_files(name: str, tmp_path: Path) -> None:
    fused = trained(name).fuse()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    same_detections(predict(trained(name), images()), predict(fused, images()), atol=0.01)
    save(fused, tmp_path / "fused.safetensors")
    again = load(tmp_path / "fused.safetensors")
    assert again.is_fused
    same_detections(predict(fused, images()), predict(again, images()))
    save(trained(name), tmp_path / "half.safetensors", half=True)
    half = load(tmp_path / "half.safetensors")
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float32}
    for one, other in zip(half.parameters(), trained(name).parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_classes_keep_their_outputs_at_another_place(name: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save(trained(name), file)
    other_names = [*Shapes.names[2:], *Shapes.names[:2]]
    moved = load(file, names=other_names)
    assert moved.names == tuple(other_names)
    for one, other in zip(predict(trained(name), images()), predict(moved, images()), strict=True):
        names = [sorted(detection.name for detection in each.named()) for each in (one, other)]
        assert names[0] == names[1]
        torch.testing.assert_close(one.conf, other.conf, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_another_number_of_classes(name: str, tmp_path: Path) -> None:
    """The backbone is kept, the outputs of classes start anew."""
    file = tmp_path / "model.safetensors"
    save(trained(name), file)
    other = load(file, num_classes=2)
    assert other.num_classes == 2
    before, after = trained(name).state_dict(), other.state_dict()
    anew = {key for key in before if before[key].shape != after[key].shape}
    assert anew == set(trained(name).class_outputs())
    assert all(torch.equal(before[key], after[key]) for key in before if key not in anew)
    assert other.decode(other(torch.zeros(1, 3, SIZE, SIZE))).shape[-1] == 7


@pytest.mark.parametrize("name", NAMES)
def test_its_summary_has_every_layer(name: str) -> None:
    model = trained(name)
    summary = model.summary(SIZE)
    assert len(summary.rows) == len(model.layers)
    # a text encoder is beside the layers
    assert summary.parameters == sum(parameter.numel() for parameter in model.layers.parameters())
    assert summary.flops > 0
    assert f"{SIZE} x {SIZE}" in str(summary)


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_run_goes_on_with_the_same_losses(name: str, tmp_path: Path) -> None:
    options = {"batch_size": 2, "nominal_batch": 2}
    whole = [step.parts for step in trainer(name, 3, **options).steps()]
    killed = trainer(name, 3, out_dir=tmp_path, **options)
    for step in killed.steps():
        if step.iteration == 2:  # in the middle of the second epoch
            killed.save()
            break
    resumed = Trainer.resume(tmp_path, train=scenes(), val=scenes())
    rest = [step.parts for step in resumed.steps()]
    assert rest == whole[3:]


def test_early_training_is_not_young_again(tmp_path: Path) -> None:
    """YOLOv2 pulls boxes to their anchors until it has seen many images: a resumed run has seen them."""
    run = trainer("v2", 2, out_dir=tmp_path).fit()
    assert isinstance(run.loss, nn.Module)
    assert run.loss.seen == 8
    resumed = Trainer.resume(tmp_path, train=scenes(), val=scenes())
    assert isinstance(resumed.loss, nn.Module)
    assert resumed.loss.seen == 8


# What a run says


def test_objects_that_cannot_be_expressed_are_counted(tmp_path: Path) -> None:
    """Two objects in one cell of YOLOv1's grid."""
    crowded = scenes((3, 4, 7, 14))
    run = Trainer(tiny_model("v1"), crowded, None, epochs=2, out_dir=tmp_path, **OPTIONS | {"batch_size": 2})
    dropped = []
    for step in run.steps():
        dropped.append(run.state.dropped)
        if step.iteration == 0:
            run.save()
    assert dropped[0] <= dropped[1] > 0
    assert [row["dropped"] for row in run.history] == [dropped[1]] * 2
    assert len([message for message in run.messages if f"{dropped[1]} of" in message]) == 1
    again = Trainer.resume(tmp_path, train=crowded)
    assert again.history == run.history


@pytest.mark.parametrize("name", NAMES)
def test_hyperparameters_without_effect_are_named(name: str) -> None:
    silent = trainer(name, 1).messages
    assert not any("hyperparameters" in message for message in silent)
    messages = trainer(name, 1, hyp={"box": 0.1, "anchor_t": 3.0}).messages
    assert any("box=0.1" in message and "anchor_t=3" in message for message in messages)


@pytest.mark.parametrize("name", NAMES)
def test_anchors_are_not_replaced_by_another_rule(name: str) -> None:
    model = tiny_model(name)
    before = copy.deepcopy(model.spec)
    messages = trainer(name, 1, model).messages
    assert any(message.startswith("anchors: ") for message in messages)
    assert model.spec == before


def test_the_papers_gradient_is_an_option(tmp_path: Path) -> None:
    run = trainer("v4-ciou", 1, out_dir=tmp_path, faithful="paper").fit()
    assert getattr(run.loss, "faithful", None) == "paper"
    assert getattr(Trainer.resume(tmp_path, train=scenes(), val=scenes()).loss, "faithful", None) == "paper"


@pytest.mark.parametrize("name", ["v1", "v2", "ssd", "fcos"])
def test_a_loss_of_one_form_has_no_other(name: str) -> None:
    with pytest.raises((TypeError, ValueError), match="faithful"):
        trainer(name, 1, faithful="paper")


@pytest.mark.parametrize("name", NAMES)
def test_options_of_yolov5s_loss_are_refused(name: str) -> None:
    with pytest.raises((TypeError, ValueError), match="box_loss"):
        trainer(name, 1, box_loss="giou")


# Networks of one size


@pytest.mark.parametrize("name", ["v1", "ssd"])
@pytest.mark.parametrize("options", [{"multi_scale": True}, {"rect": True}, {"img_size": 64}])
def test_a_network_of_one_size_is_trained_at_no_other(name: str, options: dict) -> None:
    with pytest.raises(ValueError, match=r"96 x 96"):
        Trainer(tiny_model(name), "shapes", **OPTIONS | options)


@pytest.mark.parametrize("name", ["v1", "ssd"])
def test_a_network_of_one_size_gets_whole_squares(name: str) -> None:
    model = trained(name)
    wide = np.full((48, 96, 3), 114, np.uint8)
    wide[:, :] = images()[1][24:72]
    assert len(predict(model, [wide, wide[:, ::2]], conf_thres=0.0)) == 2
    with pytest.raises(ValueError, match=r"img_size=64.*96 x 96"):
        predict(model, wide, img_size=64)
    with pytest.raises(ValueError, match=r"img_size=64.*96 x 96"):
        evaluate(model, create_dataloader(scenes(size=64), 4))


def test_a_network_that_is_not_square_predicts(tmp_path: Path) -> None:
    assert isinstance(TINY["v1"].source, Path)
    text = TINY["v1"].source.read_text(encoding="utf-8").replace("height=96", "height=192")
    model = tiny_model_of(text)
    assert model.fixed_size == (192, 96)
    assert len(predict(model, images()[:1])) == 1
    with pytest.raises(ValueError, match=r"192 x 96"):
        Trainer(model, "shapes", **OPTIONS)


def tiny_model_of(cfg: str) -> LayeredDetector:
    return create_model({"family": "darknet", "cfg": cfg}, names=Shapes.names)


@pytest.mark.parametrize("name", NAMES)
def test_layers_before_the_heads_can_be_frozen(name: str) -> None:
    model = tiny_model(name)
    before = copy.deepcopy(model.layers[0].state_dict())
    run = trainer(name, 1, model, freeze=2).fit()
    assert all(torch.equal(value, before[key]) for key, value in run.model.layers[0].state_dict().items())  # type: ignore[index]
    with pytest.raises(ValueError, match="freeze"):
        trainer(name, 1, freeze=len(model.layers))
