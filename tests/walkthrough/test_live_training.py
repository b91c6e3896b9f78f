"""LiveTraining: the run it shows is the Trainer's, bit for bit, however it is driven."""

import asyncio
import copy
import re
from itertools import islice

import cv2
import numpy as np
import pytest
import torch

import yolo_lite as yl
from walkthrough import LiveTraining
from walkthrough.explorers.training.live_run import shapes_recipe
from walkthrough.explorers.training.state import moving_mean
from walkthrough.scene import Boxes, Chart, Panel
from yolo_lite.datasets.shapes import Shapes

SIZE = 64
NO_ANCHORS = {"img_size": SIZE, "auto_anchors": False}  # five images are too few to fit any
TINY = {  # two levels
    "nc": 6,
    "depth_multiple": 1.0,
    "width_multiple": 1.0,
    "anchors": [[6, 8, 14, 12], [30, 24, 50, 60]],
    "backbone": [[-1, 1, "Conv", [8, 6, 2, 2]], [-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]]],
    "head": [[-1, 1, "Conv", [16, 3, 2]], [[2, 3], 1, "Detect", ["nc", "anchors"]]],
}
OPTIONS = {"epochs": 2, "batch_size": 8, "auto_anchors": False, "nominal_batch": 8}
HYP = yl.Hyperparameters(lr0=0.02, obj=5.0, mosaic=0.5)
TRAIN = yl.YoloDataset(Shapes("train", SIZE, 32), SIZE, HYP, augment=True)
VAL = yl.YoloDataset(Shapes("val", SIZE, 8), SIZE)


def small(**settings):
    """A run of eight iterations that take some milliseconds each."""
    options = {"auto_anchors": False, "nominal_batch": 8} | settings.pop("options", {})
    given = {"model": yl.create_model(TINY), "train": TRAIN, "val": VAL, "hyp": HYP, "epochs": 2}
    return LiveTraining(**given | settings, options=options)


def plain_trainer(hyp=HYP, **options):
    """The same without an explorer."""
    return yl.Trainer(yl.create_model(TINY), TRAIN, VAL, hyp, **OPTIONS | options)


def same_weights(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def trained():
    """A run after six of its eight iterations, so that one epoch has been validated."""
    w = small()
    w.step(6)
    return w


@pytest.fixture
def folder(tmp_path):
    """Photographs of odd sizes with three classes, one of them without an object, as a folder never seen before."""
    generator = np.random.default_rng(3)
    for split, count in (("train", 5), ("val", 2)):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "labels" / split).mkdir(parents=True)
        for index in range(count):
            size = generator.integers(40, 150, 2)
            pixels = generator.integers(0, 255, (*size, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "images" / split / f"{index}.png"), pixels)
            label = "" if index == 4 else f"{index % 3} 0.5 0.4 0.5 0.3\n{(index + 1) % 3} 0.2 0.2 0.1 0.2\n"
            (tmp_path / "labels" / split / f"{index}.txt").write_text(label)
    lines = [f"path: {tmp_path}", "train: images/train", "val: images/val", "names: [cup, key, pen]"]
    (tmp_path / "data.yaml").write_text("\n".join(lines))
    return tmp_path / "data.yaml"


def charts_of(w):
    return [panel for row in w.as_scene().all_rows for panel in row if isinstance(panel, Chart)]


# ---- the same as Trainer --------------------------------------------------------------------------------------------


def test_steps_are_the_trainers_bit_for_bit(trained):
    trainer = plain_trainer()
    steps = list(islice(trainer.steps(), 6))
    assert same_weights(trained.trainer.model, trainer.model)
    assert same_weights(trained.trainer.ema.model, trainer.ema.model)
    for name in ("box", "obj", "cls"):
        assert trained.result.losses[name].tolist() == [getattr(step.parts, name).item() for step in steps]


def test_a_moved_slider_is_a_change_of_the_trainer_before_the_next_step():
    w, trainer = small(), plain_trainer()
    steps = trainer.steps()
    for _ in range(2):
        next(steps)
    trainer.change(obj=10.0, lr0=0.05)
    for _ in range(3):
        next(steps)
    w.step(2)
    w.obj = 7
    w.obj = 10
    w.lr0 = 0.05
    w.step(3)
    assert w.trainer.changes == trainer.changes == {2: {"obj": 10.0, "lr0": 0.05}}
    assert same_weights(w.trainer.model, trainer.model)
    assert "obj 10 from iteration 2" in w.words()
    after = moving_mean(np.sum([values[2:] for values in w.result.losses.values()], axis=0))
    told = f"since a gain was changed at 2, the loss went from {after[0]:.3g} to {after[-1]:.3g}"
    assert told in w.headline  # losses before and after it are of different gains
    w.lr0 = 0.04
    w.step(1)
    assert "a gain was changed at 2" in w.headline


def test_settings_of_the_beginning_are_hyperparameters_of_the_run():
    w = small(cls=8, warmup_epochs=1)
    w.step(2)
    trainer = plain_trainer(HYP.replace(cls=8, warmup_epochs=1))
    list(islice(trainer.steps(), 2))
    assert w.trainer.hyp == trainer.hyp
    assert same_weights(w.trainer.model, trainer.model)


def test_the_copied_code_trains_the_same_network():
    w = small()
    w.step(2)
    w.box = 1
    w.step(10)
    names = {"yl": yl, "model": yl.create_model(TINY), "train": TRAIN, "val": VAL}
    exec(w.as_code(), names)
    assert w.trainer.iteration == names["trainer"].iteration == 8
    assert same_weights(w.trainer.model, names["trainer"].model)


def test_without_arguments_it_learns_shapes_from_a_first_picture_on():
    w = LiveTraining()
    assert w.message == ""
    assert w.trainer.model.names == yl.load("shapes-n").names
    assert [picture.size for picture in w.pictures] == [(160, 160)] * 3
    w.step(2)
    recipe = shapes_recipe()
    trainer = recipe.begin().trainer
    list(islice(trainer.steps(), 2))
    assert same_weights(w.trainer.model, trainer.model)
    assert trainer.out_dir is None


def test_boxes_are_what_predict_finds_at_the_threshold():
    w = small(model=yl.load("shapes-n"))
    pixels = [picture.pixels for picture in w.pictures]
    for conf_thres in (0.01, 0.05, 0.3):
        w.conf_thres = conf_thres
        wanted = yl.predict(w.trainer.ema.model, pixels, conf_thres, img_size=SIZE)
        assert sum(map(len, wanted)) > 0
        for found, expected in zip(w.result.found, wanted, strict=True):
            assert torch.equal(found.xyxy, expected.xyxy)
            assert torch.equal(found.conf, expected.conf)
            assert torch.equal(found.cls, expected.cls)


def test_figures_and_rates_are_the_trainers(trained):
    losses, rates, figures = charts_of(trained)
    assert [mark.y for mark in figures.marks] == [(trained.trainer.history[0][name],) for name in ("mAP50", "mAP")]
    used, planned = rates.marks[0], rates.marks[1]
    schedule = trained.trainer.schedule
    assert used.y == tuple(schedule.at(k).bias_lr for k in range(6))
    assert planned.y == tuple(schedule.at(k).bias_lr for k in (6, 7))
    assert [mark.name for mark in losses.marks if mark.name] == ["box", "obj", "cls"]


# ---- driving it -----------------------------------------------------------------------------------------------------


def test_reset_begins_the_same_run_again():
    w = small()
    w.step(3)
    losses = w.result.losses["box"].tolist()
    w.lr0 = 1
    w.step(2)
    w.reset()
    assert (w.trainer.iteration, w.lr0, w.trainer.changes, w.result.losses) == (0, HYP.lr0, {}, {})
    w.step(3)
    assert w.result.losses["box"].tolist() == losses


def test_at_the_end_it_says_so_and_nothing_more_happens():
    w = small(epochs=1)
    w.step(100)
    assert w.trainer.iteration == 4
    assert len(w.trainer.history) == 1
    assert w.message == ""
    assert w.words().startswith("over: 4 of 4")
    w.step()
    assert "over, after 1 epoch: reset" in w.message
    w.pause()
    w.box = 2
    assert w.message == ""
    assert w.trainer.iteration == 4
    assert len(charts_of(w)) == 3


def test_a_run_that_does_not_improve_ends_by_itself():
    w = small(epochs=50, options={"patience": 2})
    w.trainer.best_fitness, w.trainer.best_epoch = 1.0, 0  # better than any epoch to come
    w.step(200)
    assert len(w.trainer.history) == 3
    assert w.words().startswith("over: 12 of 200 iterations")


def test_it_trains_in_the_background_and_hears_what_is_said_meanwhile():
    async def session():
        w = small(epochs=200, redraw_every=1)
        w.start()
        task = w._task
        w.start()
        assert w._task is task  # a second start changes nothing
        while w.trainer.iteration < 3:
            await asyncio.sleep(0.001)
        assert w.running
        assert "running" in w.words()
        assert len(w.result.progress.steps) >= 2
        w.obj, place = 9, w.trainer.iteration
        while w.trainer.iteration < place + 2:
            await asyncio.sleep(0.001)
        w.pause()
        done = w.trainer.iteration
        await asyncio.sleep(0.05)
        assert not w.running
        assert w.trainer.iteration == done == len(w.result.progress.steps)
        assert "paused" in w.words()
        assert w.trainer.changes == {place: {"obj": 9.0}}
        w.start()
        while w.trainer.iteration == done:
            await asyncio.sleep(0.001)
        w.reset()
        await asyncio.sleep(0.05)
        assert w.trainer.iteration == 0
        assert not w.running

    asyncio.run(session())


def test_the_background_ends_with_the_run_and_trains_the_same():
    async def session():
        w = small(epochs=1)
        w.start()
        while w.running:
            await asyncio.sleep(0.001)
        return w

    w = asyncio.run(session())
    assert w.words().startswith("over")
    assert same_weights(w.trainer.model, plain_trainer(epochs=1).fit().model)


def test_without_an_event_loop_start_says_what_to_do():
    w = small()
    with pytest.raises(RuntimeError, match=r"step\(n\) trains n iterations"):
        w.start()
    assert not w.running


def test_a_loss_that_is_no_number_is_told_in_place():
    model = yl.create_model(TINY)
    with torch.no_grad():
        model.layers[1].conv.weight[0] = torch.inf
    w = small(model=model)
    w.step(2)
    assert re.search(r"loss .*box nan, obj nan, cls nan", w.message)
    assert "layers.1.conv" in w.message
    assert w.trainer.iteration == 0
    assert "weights are not finite" in w.as_scene().all_rows[0][0].caption
    w.lr0 = 0.1
    w.step()
    assert re.search(r"loss .*box nan, obj nan, cls nan", w.message)
    w.reset()
    assert w.message == ""


def test_an_error_in_the_background_is_told_in_place(monkeypatch):
    async def session():
        w = small()

        def broken(batch):
            raise OSError("the disk is gone")

        monkeypatch.setattr(w.trainer, "train_batch", broken)
        w.start()
        while w.running:
            await asyncio.sleep(0.001)
        return w

    w = asyncio.run(session())
    assert w.message == "OSError: the disk is gone"


# ---- what is given --------------------------------------------------------------------------------------------------


def test_a_dataset_and_a_model_it_has_never_seen(folder):
    model = yl.create_model(TINY, num_classes=3)
    before = copy.deepcopy(model.state_dict())
    w = LiveTraining(model=model, train=folder, epochs=2, batch_size=2, options=NO_ANCHORS)
    w.step(4)
    assert w.message == ""
    assert set(w.result.losses) == {"box", "obj", "cls"}
    assert [len(picture.boxes) for picture in w.pictures] == [2, 2]  # of its split "val"
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    w.reset()
    w.step()
    assert w.trainer.iteration == 1


def test_a_dataset_without_a_model_gets_a_network_with_its_classes(folder):
    train = yl.YoloDataset(folder, img_size=SIZE, augment=True)
    images = [np.zeros((30, 50, 3), np.uint8)] * 6
    w = LiveTraining(train=train, images=images, batch_size=2, options={"auto_anchors": False})
    w.step()
    assert list(w.trainer.model.names) == ["cup", "key", "pen"]
    assert w.trainer.options.img_size == SIZE
    assert w.pictures[0].size == (SIZE, SIZE)
    assert len(w.pictures) == 4
    assert charts_of(w)[2].marks == ()  # no val was given


def test_what_cannot_be_trained_is_a_sentence(folder, tmp_path):
    wrong = {
        "classes": LiveTraining(options={"img_size": SIZE}, model=yl.create_model("yolov5n", num_classes=3)),
        "unknown training option 'epoch'": LiveTraining(options={"epoch": 3}),
        "missing.yaml": LiveTraining(train=tmp_path / "missing.yaml"),
        "hyp is a Hyperparameters": LiveTraining(hyp={"lr0": 1}),
        "epochs must be a whole number, at least 1": LiveTraining(epochs=0),
        "create_model('yolov5n')": LiveTraining(model="yolov5n", train=folder),
    }
    for words, w in wrong.items():
        assert words in w.message
        assert w.result is None
        w.box = 1
        assert words in w.message
        assert words in repr(w)
        with pytest.raises(ValueError, match=re.escape(words)):
            w.step()


def test_settings_off_their_range_stay(trained):
    momentum = trained.momentum
    trained.momentum = 1.5
    assert trained.momentum == momentum
    assert "momentum lies between" in trained.message
    with pytest.raises(ValueError, match="at least 1"):
        trained.step(0)


# ---- looking --------------------------------------------------------------------------------------------------------


def test_compute_asks_the_progress_and_not_the_run():
    w = small()
    w.step(2)
    state = w.state
    w.step(2)
    old = LiveTraining.compute(state)
    assert len(old.losses["box"]) == 2
    assert w.trainer.iteration == 4
    assert old.losses["box"].tolist() == w.result.losses["box"].tolist()[:2]


def test_the_plan_follows_the_rate_before_a_step_is_taken():
    w = small()
    w.lr0 = 0.04
    assert w.result.ahead[-1][1].other_lr == w.result.progress.schedule.at(7).other_lr * 2


def test_the_callers_chance_decides_nothing_and_the_number_of_threads_stays():
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    one = small()
    one.step(2)
    torch.manual_seed(6)
    other = small()
    other.step(2)
    assert same_weights(one.trainer.model, other.trainer.model)
    assert torch.get_num_threads() == threads


def test_words_hold_no_number_that_training_made(trained):
    trained.set(conf_thres=0.01)
    assert re.findall(r"\d+\.\d+", trained.words()) == []
    assert "6 of 8 iterations" in trained.words()
    panels = [panel for panel in trained.as_scene().all_rows[0] if isinstance(panel, Panel)]
    assert all(isinstance(layer, Boxes) for panel in panels for layer in panel.layers[1:])
    assert [panel.caption.startswith("found") for panel in panels] == [True] * 3


def test_the_moving_mean_is_the_weighted_mean_of_what_was():
    values = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    weights = 0.8 ** np.arange(4, -1, -1)
    assert moving_mean(values, 0.8)[-1] == pytest.approx((weights * values).sum() / weights.sum())
    assert moving_mean(values, 0.8)[0] == 3


def test_a_page_gets_the_run_and_its_buttons(trained):
    page = trained.widget
    assert [(action["method"], action["large"]) for action in page.actions] == [("start", True), ("step", False)]
    before = trained.trainer.iteration
    page._on_message(None, {"kind": "action", "method": "step"}, [])
    assert trained.trainer.iteration == before + 1
    assert f"{before + 1} of 8 iterations" in page.words
    page._on_message(None, {"kind": "action", "method": "start"}, [])  # no event loop in this test
    assert "step(n) trains n iterations" in page.message


def test_start_becomes_pause_while_it_trains(trained, monkeypatch):
    monkeypatch.setattr(LiveTraining, "running", property(lambda _: True))
    assert [action.method for action in trained.page_actions()] == ["pause", "step"]


def test_a_picture_of_the_readers_is_predicted_on_and_boxes_are_drawn_on_it() -> None:
    w = LiveTraining()
    w.add_picture(np.full((90, 200, 3), 80, np.uint8), "folder/mine.jpg")
    assert w.state.pictures[-1].name.endswith("mine.jpg")
    assert len(w.result.found) == len(w.result.pictures) == 4
    w.objects = [(10, 20, 60, 80, 2)]
    assert w.state.pictures[-1].boxes == ((10.0, 20.0, 60.0, 80.0, 2),)
    before = w.state.pictures
    w.step()
    assert w.state.pictures is before
    w.obj = 9
    w.undo()  # of the settings; the run stays where it is
    assert (w.obj, w.trainer.hyp.obj, w.trainer.iteration) == (5.0, 5.0, 1)
    w.reset()
    assert (w.trainer.iteration, w.state.pictures) == (0, before)
    w.clear()
    assert len(w.state.pictures) == len(w.result.found) == 3
    assert w.objects == w.state.pictures[-1].boxes
