"""Data that people have and that training meets: few or equal shapes, no objects, single images, damaged files."""

import copy
import dataclasses
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.data.test_unreadable import damaged_jpeg
from tests.datasets.yolo_folders import write_folder, write_text
from tests.train.runs import HYP, TINY, digest, new_run, scenes, tiny
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.report import DatasetError
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.yolo import create_model
from yolo_lite.train.checks import values_per_channel
from yolo_lite.train.multi_scale import random_size
from yolo_lite.train.trainer import Trainer

OPTIONS = {"img_size": 64, "epochs": 1, "batch_size": 2, "device": "cpu"}
BOX = "0 .5 .5 .5 .5"


def dataset(root: Path, train: list[str], val: list[str] | None = None) -> Path:
    """One image for each label text, of the classes a and b."""
    write_folder(root, {f"{i}.jpg": text for i, text in enumerate(train)})
    write_folder(root, {f"{i}.jpg": text for i, text in enumerate(train if val is None else val)}, "val")
    write_text(root / "data.yaml", "train: images/train\nval: images/val\nnames: [a, b]\n")
    return root


def trainer(root: Path, spec: Any = TINY, **options: Any) -> Trainer:
    names = ("object",) if options.get("single_cls") else ("a", "b")
    model = create_model(copy.deepcopy(spec), names=names, seed=0)
    return Trainer(model, root, **(OPTIONS | options))


# ---------------------------------------------------------------------------------------------------------- anchors


@pytest.mark.parametrize(("spec", "anchors"), [("yolov5n", 9), ("yolov5n-p2", 12), ("yolov5n6", 12), (TINY, 4)])
@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([BOX, "0 .5 .5 .3 .4", "0 .5 .5 .9 .031"], 3),
        ([f"{BOX}\n0 .5 .5 .9 .031"], 2),  # a single image
        (["0 .5 .5 .9 .031"] * 20, 1),
        (["0 .5 .5 .005 .005"] * 3, 0),  # below 2 px
        (["0 .5 .5 .9 .031\n1 .5 .5 1e-46 .5"], 1),  # no width at all in float32
    ],
    ids=["three", "one image", "equal", "tiny", "no width"],
)
def test_anchors_stay_where_fewer_shapes_are_known(tmp_path, texts, found, spec, anchors):
    if spec == TINY:
        spec = TINY | {"anchors": [[300, 300, 400, 300], [400, 400, 500, 500]]}
    run = trainer(dataset(tmp_path, texts), spec, batch_size=20, img_size=128)
    (said,) = [message for message in run.messages if message.startswith("anchors: ")]
    assert "keep" in said
    assert f"{anchors} anchors need" in said
    assert f"found {found} among" in said
    assert torch.equal(run.model.anchors, create_model(copy.deepcopy(spec), num_classes=2).anchors)


def test_one_shape_less_than_anchors_and_as_many(tmp_path):
    spec = TINY | {"anchors": [[300, 300, 400, 300], [400, 400, 500, 500]]}
    for count, searched in ((3, False), (4, True)):
        run = trainer(dataset(tmp_path / str(count), [f"0 .5 .5 .{i}5 .2" for i in range(1, count + 1)]), spec)
        assert any("replace: " in message for message in run.messages) == searched


def test_few_shapes_are_trained_on(tmp_path):
    run = trainer(dataset(tmp_path, [BOX, "0 .5 .5 .005 .005", "0 .5 .5 .9 .031"]), "yolov5n")
    assert run.fit().epoch == 1


# ------------------------------------------------------------------------------------------------- nothing to learn


@pytest.mark.parametrize(
    ("texts", "single_cls"),
    [
        (["", ""], False),
        (["", ""], True),
        (["7 .5 .5 .5 .5"] * 2, False),  # of no known class
        (["0 .5 .5 .5", "0 x .5 .5 .5"], True),
    ],
)
@pytest.mark.filterwarnings("ignore:.*left out:UserWarning")
def test_no_object_to_train_on_is_an_error(tmp_path, texts, single_cls):
    out = tmp_path / "run"
    with pytest.raises(ValueError, match=r"2 training images .*object") as caught:
        trainer(dataset(tmp_path / "data", texts, [BOX]), single_cls=single_cls, out_dir=out)
    assert ("0.txt:1" in str(caught.value)) == bool(texts[0])  # the first row that was left out
    assert not out.exists()


def test_objects_without_an_area_are_none():
    source = Shapes("train", 64, 2)
    source.labels.boxes[:, 2:] = 0
    with pytest.raises(ValueError, match=r"2 training images .*area"):
        Trainer(tiny(), YoloDataset(source, 64), **OPTIONS)


def test_no_object_to_validate_on_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"2 validation images .*label"):
        trainer(dataset(tmp_path, [BOX] * 2, ["", ""]))


def test_background_beside_an_object_is_trained_on(tmp_path):
    assert trainer(dataset(tmp_path, ["", BOX, "", ""])).fit().epoch == 1


# --------------------------------------------------------------------------------------------------------- BatchNorm


@pytest.mark.parametrize(
    ("images", "batch_size", "img_size", "spec", "ways"),
    [
        (5, 4, 32, "yolov5n", ["img_size=64", "batch_size=5"]),
        (2, 1, 32, "yolov5n", ["img_size=64", "batch_size=2"]),
        (1, 4, 32, "yolov5n", ["img_size=64"]),
        (1, 1, 64, "yolov5n6", ["img_size=128"]),  # stride 64
    ],
)
def test_a_single_value_for_batchnorm_is_said_beforehand(tmp_path, images, batch_size, img_size, spec, ways):
    data = dataset(tmp_path / "data", [BOX] * images)
    options = {"img_size": img_size, "batch_size": batch_size, "auto_anchors": False}
    with pytest.raises(ValueError, match=f"1 image .*{img_size} x {img_size} pixels .*BatchNorm") as caught:
        trainer(data, spec, out_dir=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
    said = str(caught.value)
    assert [way for way in ("img_size=64", "img_size=128", "batch_size=2", "batch_size=5") if way in said] == ways
    for way in ways:  # and each of them would do
        name, value = way.split("=")
        assert trainer(data, spec, **(options | {name: int(value)})).fit().epoch == 1


@pytest.mark.parametrize(
    "options",
    [
        {"images": 6, "batch_size": 4, "img_size": 32},  # the last batch has two
        {"images": 1, "batch_size": 1, "img_size": 64},
        {"images": 5, "batch_size": 4, "img_size": 32, "freeze": 24},  # no BatchNorm learns
        {"images": 5, "batch_size": 4, "img_size": 32, "spec": TINY},  # stride 8
    ],
)
def test_enough_values_are_trained_on(tmp_path, options):
    images, spec = options.pop("images"), options.pop("spec", "yolov5n")
    assert trainer(dataset(tmp_path, [BOX] * images), spec, auto_anchors=False, **options).fit().epoch == 1


def test_rectangles_are_checked_by_their_own_sizes(tmp_path):
    data = dataset(tmp_path, [BOX] * 3)
    rect = {"rect": True, "auto_anchors": False, "batch_size": 2, "img_size": 32}
    assert trainer(data, "yolov5n", augment=False, **rect).fit().epoch == 1  # half a stride more: 64 x 64, four cells
    with pytest.raises(ValueError, match=r"32 x 32 pixels"):
        trainer(data, "yolov5n", **rect)


def test_multi_scale_draws_no_size_with_a_single_value(tmp_path):
    data = dataset(tmp_path / "data", [BOX] * 3)
    options = {"multi_scale": True, "epochs": 4, "auto_anchors": False, "validate_every": 99}
    run = trainer(data, "yolov5n", out_dir=tmp_path / "run", **options)
    assert run.least_size == 64
    when = [(seed, epoch, batch) for seed in range(3) for epoch in range(12) for batch in range(2)]
    assert 32 in {random_size(64, 32, *each) for each in when}  # without that limit
    assert {random_size(64, 32, *each, run.least_size) for each in when} == {64, 96}
    steps = run.steps()
    while next(steps).iteration < 3:
        pass
    run.save()
    resumed = Trainer.resume(tmp_path / "run")
    assert resumed.least_size == 64
    assert resumed.fit().epoch == 4


def test_larger_batches_see_all_sizes(tmp_path):
    run = trainer(dataset(tmp_path, [BOX] * 4), "yolov5n", multi_scale=True, auto_anchors=False)
    assert run.least_size == 0


def test_values_are_counted_where_batchnorm_learns():
    model = nn.Sequential(nn.Conv2d(3, 2, 4, 4), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(2))
    statistics = copy.deepcopy(model.state_dict())
    assert values_per_channel(model, (8, 16)) == 1  # behind the mean over all positions, whatever the size
    model[3].eval()
    assert values_per_channel(model, (8, 16)) == 8
    assert (model[1].training, model[3].training) == (True, False)
    assert all(torch.equal(value, statistics[name]) for name, value in model.state_dict().items())
    assert values_per_channel(nn.Sequential(nn.Conv2d(3, 2, 4)), (8, 8)) == float("inf")


def test_a_network_that_averages_over_positions_gets_a_sentence(tmp_path):
    model = tiny()
    model.layers[0].squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8))
    model.layers[0].register_forward_hook(lambda module, inputs, output: output * module.squeeze(output).sigmoid())
    with pytest.raises(ValueError, match=r"BatchNorm .* one value per channel") as caught:
        Trainer(model, scenes(count=5), **(OPTIONS | {"auto_anchors": False}))
    assert "img_size" not in str(caught.value).split("Use ")[1]  # which would not help
    assert "batch_size=3" in str(caught.value)


# ---------------------------------------------------------------------------------------------------- damaged images


def damaged_run(root: Path, out_dir: Path | None = None, **options: Any) -> Trainer:
    """Eight images, the third and the last of which cannot be decoded, and four for validation, one likewise."""
    if not root.exists():
        rows = {f"{i}.jpg": f"{i % 2} .5 .5 .{i + 1} .4" for i in range(8)}
        write_folder(root, rows, size=(64, 64))
        write_folder(root, dict(list(rows.items())[:4]), "val", size=(64, 64))
        write_text(root / "data.yaml", "train: images/train\nval: images/val\nnames: [a, b]\n")
        for path in ("train/2.jpg", "train/7.jpg", "val/1.jpg"):
            (root / "images" / path).write_bytes(damaged_jpeg(64, 64))
    options = {"auto_anchors": False, "epochs": 2, "hyp": HYP.replace(mixup=0.5), "out_dir": out_dir} | options
    return trainer(root, **options)


def spoken(run: Any) -> list[str]:
    """The images that warnings name meanwhile."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run()
    words = [str(warning.message) for warning in said]
    return sorted("/".join(Path(text.split(": ")[0]).parts[-2:]) for text in words if "left out" in text)


@pytest.mark.parametrize(("workers", "cache"), [(0, "ram"), (0, "disk"), (1, None)])
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_a_damaged_image_does_not_end_a_run(tmp_path, workers, cache, monkeypatch):
    monkeypatch.setattr("yolo_lite.data.cache.user_cache_dir", lambda: tmp_path / "cache")
    run = damaged_run(tmp_path / "data", tmp_path / "run", workers=workers, cache=cache)
    assert spoken(run.fit) == ["train/2.jpg", "train/7.jpg", "val/1.jpg"]  # once each, in two epochs
    assert run.epoch == 2
    assert sorted(Path(problem.path).name for problem in run.unreadable) == ["2.jpg", "7.jpg"]
    metrics = run.validate()
    assert metrics.num_images == 3
    assert [Path(problem.path).name for problem in metrics.left_out] == ["1.jpg"]
    plain = damaged_run(tmp_path / "data", tmp_path / "plain")
    spoken(plain.fit)
    assert digest(tmp_path / "run") == digest(tmp_path / "plain")


def test_a_run_with_damaged_images_resumes_bit_for_bit(tmp_path):
    spoken(damaged_run(tmp_path / "data", tmp_path / "whole").fit)
    cut = damaged_run(tmp_path / "data", tmp_path / "cut")
    cut.change(translate=0.2)
    whole = damaged_run(tmp_path / "data", tmp_path / "changed")
    whole.change(translate=0.2)
    assert spoken(whole.fit) == ["train/2.jpg", "train/7.jpg", "val/1.jpg"]
    steps = cut.steps()

    def half() -> None:
        while next(steps).iteration < 5:
            pass
        cut.save()

    assert spoken(half) == ["train/2.jpg", "train/7.jpg", "val/1.jpg"]
    resumed = Trainer.resume(tmp_path / "cut")
    assert {problem.path for problem in resumed.unreadable} == {problem.path for problem in cut.unreadable}
    assert spoken(resumed.fit) == ["val/1.jpg"]  # those of training were named before
    assert digest(tmp_path / "cut") == digest(tmp_path / "changed")


def test_a_plain_dataset_is_trained_on_in_whole_batches(tmp_path):
    """Without augmentation too: other processes wait for as many batches."""
    damaged_run(tmp_path / "data")
    train = YoloDataset(tmp_path / "data", 64)
    model = create_model(copy.deepcopy(TINY), names=train.names, seed=0)
    run = Trainer(model, train, auto_anchors=False, epochs=1, batch_size=2, device="cpu")
    seen = []
    run.loader.collate_fn = lambda found, collate=run.loader.collate_fn: seen.append(collate(found)) or seen[-1]
    spoken(run.fit)
    assert [len(batch.paths) for batch in seen] == [2] * 4
    assert not train.replace_unreadable  # the dataset given stays as it was


@pytest.mark.parametrize("which", ["train", "val"])
def test_strict_ends_a_run(tmp_path, which):
    damaged_run(tmp_path / "data")
    good = (tmp_path / "data" / "images" / which / "0.jpg").read_bytes()
    for path in ("train/2.jpg", "train/7.jpg") if which == "val" else ("val/1.jpg",):
        (tmp_path / "data" / "images" / path).write_bytes(good)
    with pytest.raises(DatasetError, match=rf"{which}/[127]\.jpg"):
        damaged_run(tmp_path / "data", strict=True).fit()


def test_strict_reaches_datasets_that_were_made_before(tmp_path):
    damaged_run(tmp_path / "data")
    model = create_model(copy.deepcopy(TINY), names=("a", "b"), seed=0)
    options = {"auto_anchors": False, "epochs": 1, "batch_size": 2, "device": "cpu", "strict": True}
    with pytest.raises(DatasetError, match=r"[27]\.jpg"):
        Trainer(model, YoloDataset(tmp_path / "data", 64, augment=True), **options).fit()
    (tmp_path / "data" / "images" / "train" / "5.jpg").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"5\.jpg"):
        train = YoloDataset(tmp_path / "data", 64, augment=True)
    with pytest.raises(DatasetError, match=r"5\.jpg"):
        Trainer(model, train, **options)


# --------------------------------------------------------------------------------------------------------- the rest


def test_hyperparameters_as_a_dict_or_a_file(tmp_path):
    HYP.replace(box=0.2).to_yaml(tmp_path / "hyp.yaml")
    common = {"epochs": 1, "batch_size": 4, "auto_anchors": False, "device": "cpu"}
    for given in ({"box": 0.2}, tmp_path / "hyp.yaml", str(tmp_path / "hyp.yaml"), Hyperparameters(box=0.2)):
        run = Trainer(tiny(), scenes(), hyp=given, **common)
        assert isinstance(run.hyp, Hyperparameters)
        assert run.hyp.box == 0.2
    assert Trainer(tiny(), scenes(), hyp={}, **common).hyp == HYP  # the dataset's augmentation, else the defaults
    for given, words in [({"boxx": 1}, "boxx"), ([0.1], "not list"), (0.1, "not float")]:
        with pytest.raises(ValueError, match=words):
            Trainer(tiny(), scenes(), hyp=given, **common)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Trainer(tiny(), scenes(), hyp="nowhere.yaml", **common)


@pytest.mark.parametrize(
    ("freeze", "frozen"), [(0, []), (2, [0, 1]), ((0, 1, 2), [0, 1, 2]), ([1], [1]), ((), []), ((2, 0), [0, 2])]
)
def test_layers_to_freeze_as_a_count_or_by_number(tmp_path, freeze, frozen):
    run = new_run(tmp_path, val=0, epochs=1, freeze=freeze)
    before = [copy.deepcopy(layer.state_dict()) for layer in run.model.layers]
    run.fit()
    same = [
        place
        for place, layer in enumerate(run.model.layers)
        if all(torch.equal(value, before[place][name]) for name, value in layer.state_dict().items())
    ]
    assert same == frozen
    resumed = Trainer.resume(tmp_path, train=scenes())
    assert resumed.options.freeze == (tuple(freeze) if isinstance(freeze, list) else freeze)


@pytest.mark.parametrize("freeze", [9, (0, 3), (-1,), ("a",), (True,), "012", 1.5])
def test_layers_that_cannot_be_frozen(freeze):
    with pytest.raises(ValueError, match="freeze"):
        new_run(val=0, freeze=freeze)


@pytest.mark.parametrize("name", ["last.safetensors", "best.safetensors", "state.safetensors", "."])
def test_resuming_by_any_of_the_files(tmp_path, name, caplog):
    new_run(tmp_path, epochs=1, val=0).fit()
    run = Trainer.resume(tmp_path / name, train=scenes())
    assert run.out_dir == tmp_path
    run.fit()
    assert "1 of 1 epochs" in caplog.records[-1].message
    assert "last.safetensors" in caplog.records[-1].message
    assert run.finished


def test_resuming_by_another_file(tmp_path):
    new_run(tmp_path, epochs=1, val=0).fit()
    with pytest.raises(ValueError, match=r"run\.json.*state\.safetensors"):
        Trainer.resume(tmp_path / "run.json")
    (tmp_path / "state.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"state\.safetensors"):
        Trainer.resume(tmp_path / "last.safetensors")


def test_options_survive_json():
    options = dataclasses.asdict(new_run(val=0, freeze=(0, 1)).options)
    assert options["freeze"] == (0, 1)
