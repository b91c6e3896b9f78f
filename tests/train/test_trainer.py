"""The loop: what it computes, and what it refuses to begin."""

import copy
import itertools
from dataclasses import asdict
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.train.runs import HYP, SIZE, TINY, new_run, scenes, tiny
from yolo_lite.data.loader import create_dataloader
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.yolo import create_model
from yolo_lite.running.distributed import World
from yolo_lite.train import multi_scale
from yolo_lite.train.checks import check_datasets, few_steps
from yolo_lite.train.devices import best_device
from yolo_lite.train.image_weights import class_maps, image_weights
from yolo_lite.train.options import preset
from yolo_lite.train.schedule import Schedule
from yolo_lite.train.trainer import Trainer

PLAIN = {"batch_size": 4, "auto_anchors": False, "device": "cpu"}
NO_WARMUP = HYP.replace(warmup_epochs=0)

# ------------------------------------------------------------ what it computes


def test_three_steps_equal_a_loop_by_hand():
    """Everything written out with plain torch, in float64; only the loss and the loader are the library's."""
    hyp = Hyperparameters(warmup_epochs=0, lr0=0.02, lrf=0.1)
    train = scenes(hyp=hyp)
    model = tiny().double()
    trainer = Trainer(copy.deepcopy(model), train, hyp=hyp, epochs=2, nominal_batch=4, clip_norm=0.2, **PLAIN)
    states = list(itertools.islice(trainer.steps(), 3))

    average, average_of_buffers = copy.deepcopy(model), {}
    model.train()
    loss = model.criterion(hyp, SIZE)
    weights = [p for p in model.parameters() if p.ndim == 4]
    others = [p for p in model.parameters() if p.ndim != 4]
    velocity = {p: torch.zeros_like(p) for p in model.parameters()}
    norms = []
    for step, batch in zip(range(3), create_dataloader(train, 4, shuffle=True), strict=False):
        model.zero_grad()
        parts = loss(model(batch.images.double() / 255), batch.targets)
        parts.total.backward()
        norms.append(sum((p.grad**2).sum() for p in model.parameters()).sqrt())
        with torch.no_grad():
            for p in weights + others:
                gradient = p.grad * min(1, 0.2 / (norms[-1] + 1e-6)) + (5e-4 * p if p in set(weights) else 0)
                velocity[p] = hyp.momentum * velocity[p] + gradient
                p -= 0.02 * (gradient + hyp.momentum * velocity[p])
            decay = 0.9999 * (1 - torch.exp(torch.tensor(-(step + 1) / 2000, dtype=torch.float64)).item())
            average_of_buffers = average.state_dict()
            for name, value in model.state_dict().items():
                old = average_of_buffers[name]
                old.copy_(decay * old + (1 - decay) * value if value.is_floating_point() else value)
        torch.testing.assert_close(
            states[step].parts, type(parts)(*(part.detach() for part in parts)), rtol=1e-9, atol=0
        )

    assert min(norms) < 0.2 < max(norms)  # some steps were clipped
    assert [(state.iteration, state.stepped, state.lr) for state in states] == [(i, True, 0.02) for i in range(3)]
    for ours, by_hand in ((trainer.model, model), (trainer.ema.model, average)):
        for name, value in by_hand.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-9, atol=1e-12)
    assert trainer.model.layers[0].conv.weight.dtype == torch.float64


def test_accumulated_gradients_equal_those_of_the_sum():
    trainer = new_run(hyp=NO_WARMUP, optimizer="SGD", multi_scale=False, autobalance=False)
    model = copy.deepcopy(trainer.model).train()
    steps, seen = trainer.steps(), []
    trainer.loader.collate_fn = lambda samples, collate=trainer.loader.collate_fn: (
        seen.append(collate(samples)) or seen[-1]
    )
    first = next(steps)
    gradients = [p.grad.clone() for p in trainer.model.parameters()]
    second = next(steps)

    assert (first.stepped, second.stepped) == (False, True)
    loss = model.criterion(HYP, SIZE)
    loss(model(seen[0].images / 255), seen[0].targets).total.backward()
    for p, gradient in zip(model.parameters(), gradients, strict=True):
        assert torch.equal(p.grad, gradient)


def test_gradients_without_a_step_are_dropped_at_the_end_of_an_epoch():
    counts = []
    trainer = new_run(hyp=NO_WARMUP, epochs=2, nominal_batch=12, val=0)
    for step in trainer.steps():
        counts.append(step.stepped)
    assert counts == [False, False, True, False, False, True, False, False]
    assert all(p.grad is None for p in trainer.model.parameters())


def test_a_whole_run():
    trainer = new_run(epochs=2).fit()
    assert [row["epoch"] for row in trainer.history] == [0, 1]
    assert {"train/box", "train/obj", "train/cls", "mAP50", "mAP", "lr", "seconds"} <= set(trainer.history[0])
    assert (trainer.epoch, trainer.batch, trainer.iteration) == (2, 0, 8)
    assert list(trainer.steps()) == []  # nothing is left


def test_the_mean_of_an_epoch_is_that_of_its_batches():
    trainer = new_run(epochs=1, val=0)
    boxes = [step.parts.box.item() for step in trainer.steps()]
    assert trainer.history[0]["train/box"] == pytest.approx(sum(boxes) / 4, rel=1e-6)


def test_boxes_get_better():
    hyp = NO_WARMUP.replace(lr0=0.05)
    trainer = Trainer(tiny(), scenes(augment=False), hyp=hyp, epochs=20, nominal_batch=4, **PLAIN).fit()
    assert trainer.history[-1]["train/box"] < 0.9 * trainer.history[0]["train/box"]


def test_pausing_changes_nothing():
    paused, whole = new_run(epochs=2, val=0), new_run(epochs=2, val=0).fit()
    while True:
        for _ in paused.steps():
            break  # after every batch
        else:
            break
    assert all(map(torch.equal, paused.model.parameters(), whole.model.parameters()))
    assert all(map(torch.equal, paused.ema.model.parameters(), whole.ema.model.parameters()))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_16_bits_stay_near_32(precision):
    options = {"epochs": 1, "val": 0, "multi_scale": False, "optimizer": "SGD"}
    exact, coarse = new_run(**options), new_run(precision=precision, **options)
    for fine, rough in zip(exact.steps(), coarse.steps(), strict=True):
        assert rough.parts.total.item() == pytest.approx(fine.parts.total.item(), rel=0.05)
    assert coarse.model.layers[0].conv.weight.dtype == torch.float32
    assert coarse.scaler.is_enabled() == (precision == "float16")


def test_an_infinite_gradient_in_float16_is_left_out():
    trainer = new_run(epochs=1, val=0, precision="float16", optimizer="SGD")
    steps = trainer.steps()
    while not next(steps).stepped:
        pass
    before = [p.detach().clone() for p in trainer.model.parameters()]
    hook = trainer.model.layers[0].conv.weight.register_hook(lambda gradient: gradient * torch.inf)
    scale = trainer.scaler.get_scale()
    while not next(steps).stepped:
        pass
    hook.remove()
    assert all(map(torch.equal, before, trainer.model.parameters()))
    assert trainer.scaler.get_scale() < scale


def test_channels_last_computes_the_same():
    plain, last = new_run(epochs=1, val=0), new_run(epochs=1, val=0, channels_last=True)
    plain.fit(), last.fit()
    assert last.model.layers[1].conv.weight.is_contiguous(memory_format=torch.channels_last)
    for p, q in zip(plain.model.parameters(), last.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)


def test_frozen_layers_keep_weights_and_statistics():
    trainer = new_run(epochs=1, val=0, freeze=2)
    before = copy.deepcopy(trainer.model.state_dict())
    trainer.fit()
    for name, value in trainer.model.state_dict().items():
        moved = not torch.equal(value, before[name])
        learnt = "anchors" not in name and not name.endswith(("num_batches_tracked",))
        assert moved == (learnt and name.startswith(("layers.2.", "layers.3."))) or name.endswith("tracked"), name
    assert trainer.model.layers[0].bn.num_batches_tracked == 0
    assert trainer.model.layers[2].bn.num_batches_tracked == 4


def test_gradients_left_by_a_notebook_do_not_count():
    model = tiny()
    sum(p.sum() for p in model.parameters()).backward()
    used = Trainer(model, scenes(), epochs=1, **PLAIN).fit()
    fresh = Trainer(tiny(), scenes(), epochs=1, **PLAIN).fit()
    assert all(map(torch.equal, used.model.parameters(), fresh.model.parameters()))


def test_multi_scale_sizes_are_multiples_of_the_stride():
    sizes = {multi_scale.random_size(64, 16, 0, epoch, batch) for epoch in range(5) for batch in range(40)}
    assert sizes <= set(range(32, 97, 16))
    assert len(sizes) > 3
    assert multi_scale.resized(torch.zeros(1, 3, 64, 32), 96, 16).shape == (1, 3, 96, 48)


def test_images_of_bad_classes_are_drawn_more_often():
    dataset = scenes(augment=False)
    maps = [1.0] * 6
    maps[2] = 0.0
    weights = image_weights(dataset, maps)
    with_class = [2 in dataset.objects(index).cls for index in range(16)]
    assert any(with_class)
    assert not all(with_class)
    assert (weights > 0).all()
    assert weights[with_class].min() > 100 * weights[[not has for has in with_class]].max()


def test_single_class_and_rectangles(tmp_path):
    model = create_model(TINY, num_classes=1)
    trainer = Trainer(model, Shapes("train", SIZE, 8), Shapes("val", SIZE, 4), single_cls=True, rect=True, img_size=64,
                      epochs=1, **PLAIN).fit()  # fmt: skip
    assert trainer.train_set.rect
    assert trainer.train_set.num_classes == trainer.val_set.num_classes == 1
    assert len(trainer.history) == 1


def test_anchors_are_reported():
    model = tiny()
    model.set_anchors([[300, 300, 310, 310], [320, 320, 330, 330]])
    trainer = Trainer(model, scenes(), epochs=1, batch_size=4, device="cpu", auto_anchors=True)
    assert any(message.startswith("anchors: ") and "replace" in message for message in trainer.messages)
    assert model.anchors.max() < 100
    torch.testing.assert_close(trainer.loss.anchors, model.anchors)
    kept = tiny()
    Trainer(kept, scenes(), epochs=1, **PLAIN)
    assert kept.anchors.flatten(1).tolist() == TINY["anchors"]


# ------------------------------------------------------------ stopping and best


class Fake:
    """Stands where evaluate stands: the figures it was told, epoch by epoch."""

    def __init__(self, *maps: float) -> None:
        self.maps = list(maps)

    def __call__(self) -> object:
        value = self.maps.pop(0)
        names = Shapes.names
        return type("Metrics", (), {"map": value, "map50": value, "fitness": value, "precision": 0.0, "recall": 0.0,
                                    "per_class": (), "names": names})()  # fmt: skip


def test_early_stopping_and_the_best(monkeypatch):
    trainer = new_run(epochs=9, patience=2)
    monkeypatch.setattr(trainer, "validate", Fake(0.0, 0.0, 0.0, 0.2, 0.5, 0.4, 0.3, 0.9))
    trainer.fit()
    assert [bool(row["best"]) for row in trainer.history] == [True] * 5 + [False] * 2
    assert (trainer.best_epoch, trainer.best_fitness, trainer.stopped) == (4, 0.5, True)
    assert list(trainer.steps()) == []


def test_epochs_without_validation_are_not_the_best():
    trainer = new_run(epochs=5, validate_every=2).fit()
    assert ["mAP" in row for row in trainer.history] == [False, True, False, True, True]
    assert [row["best"] for row in trainer.history if "mAP" not in row] == [0.0, 0.0]


def test_without_validation_every_epoch_is_the_best():
    trainer = new_run(epochs=2, val=0, patience=1).fit()
    assert [row["best"] for row in trainer.history] == [1.0, 1.0]


def test_nothing_to_validate_on_is_said():
    with pytest.raises(ValueError, match=r"validate.*no val"):
        new_run(val=0).validate()


def test_class_maps_cover_every_class():
    metrics = Fake(0.25)()
    entry = type("Entry", (), {"name": Shapes.names[1], "map": 0.75})()
    metrics.per_class = (entry,)
    assert class_maps(metrics) == [0.25, 0.75, 0.25, 0.25, 0.25, 0.25]


# ------------------------------------------------------------ changes


def test_changes_act():
    trainer = new_run(epochs=2, val=0)
    steps = trainer.steps()
    next(steps)
    trainer.change(lr0=0.5, weight_decay=0.1, momentum=0.5, anchor_t=2.0, box=1.0, mosaic=0.0, mixup=0.0)
    next(steps)
    assert trainer.optimizer.param_groups[1]["weight_decay"] == pytest.approx(0.1)
    assert trainer.optimizer.param_groups[1]["betas"] == (0.5, 0.999)
    assert (trainer.loss.hyp.anchor_t, trainer.schedule.hyp.lr0) == (2.0, 0.5)
    assert trainer.train_set.hyp.mosaic == 1.0  # images of this epoch may be loaded already
    given = trainer.train_set
    for step in steps:
        if step.epoch == 1:
            assert trainer.train_set.hyp.mosaic == 0.0
    assert given.hyp.mosaic == 1.0  # the user's dataset is as it was
    with pytest.raises(ValueError, match="'lr1'"):
        trainer.change(lr1=3)


# ------------------------------------------------------------ models of one's own


class Parts(NamedTuple):
    total: Tensor
    heat: Tensor
    size: Tensor


class Centres(nn.Module):
    """An anchor-free detector: each cell says whether an object's centre lies in it, how large it is, and what."""

    names = Shapes.names
    num_classes = 6
    strides = (8,)

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.down = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 8, 2, 2))
            self.head = nn.Conv2d(8, 2 + 6, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.down(images).relu())  # (N, 2 + C, H, W)

    def decode(self, maps: Tensor) -> Tensor:
        count, _, rows, cols = maps.shape
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
        centre = (torch.stack((x, y)).expand(count, 2, rows, cols) + 0.5) * 8
        decoded = torch.cat((centre, maps[:, :2].exp() * 8, torch.ones_like(maps[:, :1]), maps[:, 2:].sigmoid()), 1)
        return decoded.flatten(2).transpose(1, 2)  # (N, H * W, 5 + C)

    def criterion(self, hyp: Hyperparameters, img_size: int):
        def loss(maps: Tensor, targets: Tensor) -> Parts:
            count, _, rows, cols = maps.shape
            image, cls = targets[:, 0].long(), targets[:, 1].long()
            col, row = (targets[:, 2] * cols).long(), (targets[:, 3] * rows).long()
            wanted = torch.zeros_like(maps[:, 2:])
            wanted[image, cls, row, col] = 1
            heat = functional.binary_cross_entropy_with_logits(maps[:, 2:], wanted)
            cells = (targets[:, 4:] * torch.tensor([cols, rows])).log()
            size = (maps[image, :2, row, col] - cells).abs().mean() if len(targets) else maps.sum() * 0
            return Parts((heat + size) * count, heat, size)

        return loss


def test_a_detector_of_ones_own(tmp_path):
    out = tmp_path / "run"
    data = {"train": scenes(), "val": scenes("val", 4)}
    whole = Trainer(Centres(), **data, epochs=2, batch_size=4, device="cpu").fit()
    assert set(whole.history[0]) >= {"train/heat", "train/size", "mAP"}
    first = Trainer(Centres(), **data, out_dir=out, epochs=2, batch_size=4, device="cpu", save_every=0)
    for step in first.steps():
        if step.iteration == 5:
            break
    with pytest.raises(ValueError, match="model="):
        Trainer.resume(out, **data)
    second = Trainer.resume(out, **data, model=Centres()).fit()
    assert second.iteration == 8
    assert all(map(torch.equal, whole.model.parameters(), second.model.parameters()))
    from safetensors.torch import load_file

    Centres().load_state_dict(load_file(out / "best.safetensors"))
    with pytest.raises(ValueError, match=r"freeze=1 .*\.layers, .*Centres"):
        Trainer(Centres(), scenes(), epochs=1, batch_size=4, freeze=1)


# ------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("model", "data", "options", "message"),
    [
        (lambda: create_model(TINY, num_classes=2), {}, {}, "2 classes, .* 6: .*num_classes=6"),
        (tiny, {}, {"freeze": 9}, "freeze .*0 and 3.* 9"),
        (tiny, {}, {"epocs": 9}, "'epocs'.*epochs"),
        (tiny, {}, {"img_size": 96}, "img_size=64.*img_size=96"),
        (tiny, {"val": scenes("val", 4, augment=True)}, {}, "augment=False"),
        (lambda: tiny().half(), {}, {}, r"float16.*model\.float\(\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained(model, data, options, message):
    options = {"epochs": 1} | PLAIN | options
    with pytest.raises(ValueError, match=message):
        Trainer(model(), scenes(), **data, **options)


def test_rectangles_keep_their_order():
    rect = {"rect": True, "img_size": 64, "epochs": 1} | PLAIN
    with pytest.raises(ValueError, match=r"rect .*image_weights"):
        Trainer(tiny(), Shapes("train", SIZE, 8), image_weights=True, **rect)
    alone = Trainer(tiny(), Shapes("train", SIZE, 8), **rect)
    with pytest.raises(ValueError, match=r"rect .*several processes"):
        check_datasets(alone.model, alone.train_set, None, alone.options, World(0, 2))


def test_a_finished_dataset_need_not_be_described_again():
    trainer = Trainer(tiny(), scenes(augment=False), epochs=1, **PLAIN)
    assert (trainer.options.img_size, trainer.options.augment) == (64, False)
    assert trainer.val_set is None
    assert any("validation: none" in message for message in trainer.messages)


def test_what_may_be_a_mistake_is_said():
    model = create_model(TINY)
    trainer = Trainer(model, scenes(augment=False), scenes(augment=False), epochs=1, **PLAIN)
    assert any("class0, class1, class2" in message for message in trainer.messages)
    assert any("16 of its 16 images" in message for message in trainer.messages)


def test_a_run_of_few_steps_says_what_to_do(caplog):
    short = Trainer(tiny(), scenes(), scenes("val", 4), epochs=1, **PLAIN)
    (said,) = [message for message in short.messages if message.startswith("steps: ")]
    # four batches: .97 ** 4 of BatchNorm's statistics are from before; all of them in a warm-up of 100
    assert said.startswith("steps: 4 iterations, 4 steps of the optimiser, 4 in warm-up, BatchNorm")
    for words in ("89%", 'preset("small-data")', "--preset small-data"):
        assert words in said
    short.fit()
    assert "mAP50 was 0 in every validation. steps: 4 iterations" in caplog.records[-1].message
    assert "small-data" in caplog.records[-1].message

    hyp, options = preset("small-data")
    settings = {**asdict(options), **PLAIN}
    of_preset = Trainer(tiny(), scenes(hyp=hyp), hyp=hyp, **settings | {"epochs": 1}).messages
    (said,) = [message for message in of_preset if message.startswith("steps: ")]
    assert said.startswith("steps: 4 iterations, BatchNorm")
    assert "preset" not in said
    long = Trainer(tiny(), scenes(hyp=hyp), hyp=hyp, **settings | {"epochs": 30}).messages
    assert not [message for message in long if message.startswith("steps: ")]
    assert few_steps(Schedule(Hyperparameters(), 300, 7000, 16), tiny()) == []


def test_devices(monkeypatch):
    assert best_device("cpu", World()) == torch.device("cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"'cuda'.*no CUDA GPU"):
            best_device("cuda", World())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert best_device(None, World(1, 2, 1)) == torch.device("cuda", 1)
    assert best_device("cuda", World(1, 2, 1)) == torch.device("cuda", 1)
    assert best_device("cuda:0", World()) == torch.device("cuda", 0)
    with pytest.raises(ValueError, match=r"cuda:2.* 2 GPUs"):
        best_device(None, World(2, 3, 2))
