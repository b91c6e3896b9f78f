"""LossExplorer: the numbers of ComputeLoss, whatever moves."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import yolo_lite as yl
from tests.walkthrough.detectors import Centres, pictures, two_levels
from walkthrough import GradientExplorer, LossExplorer, NmsExplorer, WhyExplorer
from walkthrough.explorers.base import Explorer
from walkthrough.explorers.controls import slider
from walkthrough.explorers.detector import training_size
from walkthrough.explorers.hyp import hyp_of
from walkthrough.explorers.linking import link
from walkthrough.explorers.pictures import images_of, targets_of
from walkthrough.render.live import Live
from walkthrough.scene import Bars, Boxes, Chart, Scene, Table


@pytest.fixture
def own(tmp_path) -> LossExplorer:
    """Two levels, three classes, pictures of noise."""
    images, targets = pictures()
    return LossExplorer(images=images, targets=targets, model=two_levels(tmp_path).eval())


@pytest.fixture(scope="module")
def shown_by_default() -> LossExplorer:
    return LossExplorer()


def direct(w: LossExplorer, hyp: yl.Hyperparameters, **options) -> yl.LossParts:
    """The loss without any explorer."""
    model, batch = w.state.model, w.state.pictures
    with torch.no_grad():
        return model.criterion(hyp, batch[0].size[0], **options)(model(images_of(batch)), targets_of(batch))


def test_by_default_weights_that_know_the_scenes_are_shown(shown_by_default) -> None:
    w = shown_by_default
    assert w.message == ""
    assert w.result.now.parts == direct(w, yl.Hyperparameters()) == w.result.default.parts
    batch = next(iter(yl.create_dataloader("shapes", batch_size=4, img_size=256, split="val")))
    model = w.state.model
    with torch.no_grad():
        expected = model.criterion(yl.Hyperparameters(), 256)(model(batch.images / 255), batch.targets)
    torch.testing.assert_close(w.result.now.parts, expected)
    assert w.result.scaled == yl.Hyperparameters().scaled(3, 6, 256)


@pytest.mark.parametrize(
    "settings",
    [
        {"box": 0.1, "obj": 2.0, "cls": 1.5},
        {"fl_gamma": 1.5, "label_smoothing": 0.1},
        {"obj_pw": 3.0, "cls_pw": 0.5},
        {"anchor_t": 2.0},
    ],
)
def test_every_setting_gives_what_compute_loss_gives(own, settings) -> None:
    before = own.result.now.parts
    own.set(**settings)
    assert own.result.now.parts == direct(own, yl.Hyperparameters(**settings)) != before
    assert own.result.default.parts == before == direct(own, yl.Hyperparameters())
    assert all(f"{name}={value:g}" in own.as_code() for name, value in settings.items())
    own.reset()
    assert own.result.now.parts == before


def test_the_code_makes_the_same_loss(own) -> None:
    own.set(box=0.2, balance_1=2.5, anchor_t=3.0)
    names = {"yl": yl, "model": own.state.model}
    exec(own.as_code(), names)
    with torch.no_grad():
        parts = names["loss"](own.state.model(images_of(own.state.pictures)), targets_of(own.state.pictures))
    assert parts == own.result.now.parts


def test_balance_has_a_slider_for_each_level_of_the_model(own, shown_by_default) -> None:
    def balances(w) -> list[str]:
        return [control["name"] for control in Live(w).controls if control["name"].startswith("balance")]

    assert balances(own) == ["balance_0", "balance_1"]
    assert balances(shown_by_default) == ["balance_0", "balance_1", "balance_2"]
    assert own.state.default_balance == (4.0, 1.0)
    assert "balance_1" in repr(own)
    assert "balance_2" not in repr(own)
    own.balance_0 = 1
    assert own.result.now.parts == direct(own, yl.Hyperparameters(), balance=(1, 1))
    own.balance_2 = 1
    assert own.message == "level 2 (balance_2) has no meaning here and stays at 0.25"


def test_four_levels(tmp_path) -> None:
    images, targets = pictures(size=128)
    w = LossExplorer(images=images, targets=targets, model=yl.create_model("yolov5n-p2", num_classes=3).eval())
    assert w.state.default_balance == (4.0, 1.0, 0.25, 0.06)
    w.balance_3 = 1.0
    assert w.result.now.parts == direct(w, yl.Hyperparameters(), balance=(4, 1, 0.25, 1))
    assert w.result.now.norms.shape == (3, 4)


def test_shares_are_those_of_the_parts_and_of_the_gradients(own) -> None:
    own.box = 0.15
    charts = [panel for row in own.as_scene().all_rows for panel in row if isinstance(panel, Chart)]
    losses, pulls = charts
    parts = own.result.now.parts
    assert losses.marks[0].values == tuple(part.item() for part in parts[1:])
    assert losses.marks[1].values == tuple(part.item() for part in own.result.default.parts[1:])
    assert pulls.marks[0].names == ("box 8", "box 16", "obj 8", "obj 16", "cls 8", "cls 16")
    assert sum(pulls.marks[0].values) == pytest.approx(100, abs=0.3)
    norms = own.result.now.norms
    assert pulls.marks[0].values == pytest.approx((100 * norms / norms.sum()).flatten().tolist(), abs=0.06)
    (table, *_) = (panel for row in own.as_scene().all_rows for panel in row if isinstance(panel, Table))
    assert table.rows[0][:3] == ("box", "0.15", f"{0.15 * 3 / 2:.4g}")  # two levels: the gain is scaled by 3 / 2
    for column, parts in ((4, own.result.now.parts), (6, own.result.default.parts)):
        expected = (f"{part.item() / sum(parts[1:]).item():.1%}" for part in parts[1:])
        assert [row[column] for row in table.rows] == list(expected)


def test_a_dragged_object_moves_the_loss_and_the_model_does_not_run_again(own) -> None:
    maps, before = own.state.maps, own.result.now.parts
    x1, y1, x2, y2, cls = own.objects[0]
    own.objects = ((x1 + 5, y1 - 3, x2 + 5, y2 + 9, cls), *own.objects[1:])
    assert own.state.maps is maps
    assert own.result.now.parts == direct(own, yl.Hyperparameters()) != before


def test_an_uploaded_picture_joins_the_batch(own) -> None:
    own.add_picture(np.full((40, 70, 3), 90, np.uint8), "mine.png")
    assert [raw.shape[0] for raw in own.state.maps] == [3, 3]
    assert own.result.now.parts == direct(own, yl.Hyperparameters())
    own.reset()
    own.clear()
    assert own.result.now.parts == direct(own, yl.Hyperparameters())
    assert len(own.state.pictures) == 2 == own.state.maps[0].shape[0]


def test_another_model_takes_over_the_pictures(own) -> None:
    own.model = yl.create_model("yolov5n-p2", num_classes=3).eval()
    assert own.result.now.parts == direct(own, yl.Hyperparameters())
    assert len(own.state.default_balance) == len(own.state.maps) == 4
    known = own.state
    own.model = torch.nn.Linear(2, 2)
    assert "Linear has no criterion" in own.message
    assert own.state is known


def test_the_mode_of_the_model_is_respected_and_nothing_in_it_changes(tmp_path) -> None:
    images, targets = pictures()
    model = two_levels(tmp_path).train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    in_training = LossExplorer(images=images, targets=targets, model=model).result.now.parts
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model.training
    in_evaluation = LossExplorer(images=images, targets=targets, model=model.eval()).result.now.parts
    assert in_training.total != in_evaluation.total


def test_linked_explorers_share_settings_by_name(own) -> None:
    @dataclass(frozen=True)
    class State:
        anchor_t: float = slider(4.0, 1.1, 10)

    class Anchors(Explorer[State, float]):
        @staticmethod
        def compute(state):
            return state.anchor_t

        @staticmethod
        def scene(result):
            return Scene(())

    anchors = Anchors()
    unlink = link(anchors, own)
    anchors.anchor_t = 1.5
    assert own.result.now.parts == direct(own, yl.Hyperparameters(anchor_t=1.5))
    own.anchor_t = 6.0
    assert anchors.result == 6.0
    unlink()
    anchors.anchor_t = 2.0
    assert own.anchor_t == 6.0


def test_no_objects_one_class_and_no_match_are_said(tmp_path) -> None:
    images, targets = pictures(classes=1)
    empty = LossExplorer(images=images, model=two_levels(tmp_path))
    assert "No objects: box and class loss are 0" in repr(empty)
    assert empty.result.now.parts.box == 0
    one = LossExplorer(images=images, targets=targets, model=two_levels(tmp_path, num_classes=1))
    assert "One class: there is no class loss." in repr(one)
    assert one.result.now.parts.cls == 0
    tiny = LossExplorer(
        images=images, targets=targets * torch.tensor([1, 1, 1, 1, 0.01, 0.01]), model=two_levels(tmp_path)
    )
    assert "No object is matched at anchor_t 4" in repr(tiny)


def test_a_detector_with_other_terms() -> None:
    images, targets = pictures(classes=1)
    w = LossExplorer(images=images, targets=targets, model=Centres().eval())
    assert w.result.now.terms == ("heat", "size")
    before = w.result.now.parts
    w.obj = 2.0
    assert w.result.now.parts.heat == 2 * before.heat
    assert w.state.default_balance == ()
    assert w.as_scene().png(theme="light")[:4] == b"\x89PNG"
    assert "2 pictures, 6 objects\n" in repr(w)
    w.reset()
    assert w.result.now.parts == before


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"targets": [[0, 3, 0.5, 0.5, 0.2, 0.2]]}, "class 3, but the model has classes 0 to 2"),
        ({"targets": [[5, 0, 0.5, 0.5, 0.2, 0.2]]}, "belongs to image 5, but there are images 0 to 1"),
        ({"targets": [[0, 0, 40, 50, 20, 20]]}, "target 0 has"),
        ({"targets": [[0, 0.5, 0.5, 0.2]]}, r"\(n, 6\), got \(1, 4\)"),
        ({"images": torch.zeros(1, 3, 50, 64)}, "multiples of 16"),
        ({"model": "no such weights"}, "no such weights"),
        ({"model": torch.nn.Linear(2, 2)}, "Linear has no criterion"),
        ({"hyp": {"box": 1}}, "hyp is a Hyperparameters"),
    ],
)
def test_what_does_not_fit_is_said_in_place(tmp_path, given, sentence) -> None:
    images, _ = pictures()
    w = LossExplorer(**{"images": images, "model": two_levels(tmp_path), **given})
    assert w.result is None
    assert re.search(sentence, w.message)
    assert w.message in repr(w.as_scene())


def test_hyperparameters_of_ones_own_are_the_start_and_the_default_stays(tmp_path) -> None:
    images, targets = pictures()
    hyp = yl.Hyperparameters(box=7.5, obj=2, lr0=0.3)
    w = LossExplorer(images=images, targets=targets, model=two_levels(tmp_path).eval(), hyp=hyp)
    assert (w.box, w.obj) == (7.5, 2.0)
    assert w.result.now.parts == direct(w, hyp)
    assert w.result.default.parts == direct(w, yl.Hyperparameters())
    w.box = 15
    assert w.message == ""
    w.reset()
    assert w.result.hyp == hyp


def test_words_hold_no_number_that_training_made(shown_by_default) -> None:
    words = shown_by_default.words()
    assert "." not in words.replace("No objects.", "")
    assert words.startswith("4 pictures, 19 objects, matches: ")


def test_bars_of_several_settings_stand_side_by_side() -> None:
    one = Chart((Bars(("box", "obj"), (1.0, 2.0)),))
    two = Chart((Bars(("box", "obj"), (1.0, 2.0), name="now"), Bars(("box", "obj"), (2.0, 1.0), 3, "default", "/")))
    assert Scene(((one,),)).png("light") != Scene(((two,),)).png("light")
    assert repr(Scene(((two,),))) == "chart with bars box ≈ 1, obj ≈ 2 (now); bars box ≈ 2, obj ≈ 1 (default)"


# -- what is set later -------------------------------------------------------------------------------------------------


def test_hyperparameters_set_later_are_the_settings(own) -> None:
    own.hyp = yl.Hyperparameters(box=0.2, fl_gamma=1.5)
    assert (own.box, own.fl_gamma, own.message) == (0.2, 1.5, "")
    own.set(hyp=yl.Hyperparameters(box=0.3), obj=2.0)
    assert (own.box, own.obj, own.fl_gamma) == (0.3, 2.0, 0.0)
    own.hyp = 3
    assert "hyp is a Hyperparameters" in own.message
    assert own.box == 0.3
    own.hyp = None  # the defaults, as at the start
    assert (own.box, own.message) == (0.05, "")


def test_names_as_a_data_yaml_holds_them(own) -> None:
    images, targets = pictures()
    named = LossExplorer(images=images, targets=targets, model=own.state.model, names={0: "кот", 2: "ñandú"})
    assert named.state.names == ("кот", "class 1", "ñandú")
    assert "names is a list" in LossExplorer(images=images, targets=targets, names="abc").message
    assert "not 5" in LossExplorer(images=images, targets=targets, names=5).message


@pytest.mark.parametrize(
    ("name", "said"), [("targets", "TypeError: "), ("img_size", "img_size must be a whole number, not <object")]
)
def test_what_is_of_no_known_kind_is_told_in_its_place(name: str, said: str) -> None:
    w = LossExplorer(**{name: object()})
    assert w.message.startswith(said)
    assert w.result is None
    assert w.message in w.as_scene().words


class Grey(nn.Module):
    """A detector that takes one channel."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.stem, self.inner = nn.Conv2d(1, 3, 1), inner
        self.strides, self.num_classes = inner.strides, inner.num_classes
        self.decode, self.criterion = inner.decode, inner.criterion

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.inner(self.stem(images))


@pytest.mark.parametrize("kind", [LossExplorer, GradientExplorer, NmsExplorer, WhyExplorer])
def test_what_a_model_raises_is_told_in_place(own, kind) -> None:
    images, targets = pictures()
    w = kind(images=images, targets=targets, model=Grey(own.state.model))
    assert all(fact in w.message for fact in ("64 x 64", "Given groups=1"))
    assert w.result is None
    own.model = Grey(own.state.model)
    assert "64 x 64" in own.message
    assert own.result is not None


def test_predictions_have_the_losses_that_the_loss_asks_of_them_and_the_colour_of_these(own):
    state, found = own.state, own.result.predictions
    loss = state.model.criterion(hyp_of(state, state.hyp), training_size(state.pictures), **state.criterion_options)
    assigned = loss.assign([level.clone() for level in state.maps], targets_of(state.pictures))
    total = assigned.losses.total[state.picture]
    positives = assigned.role[state.picture] == 1
    assert found.positives == int(positives.sum())
    assert torch.allclose(found.losses["total"][found.positive].max(), total[positives].max())
    assert (found.losses["total"].diff() <= 0).all()
    terms = sum(losses for term, losses in found.losses.items() if term != "total")
    assert torch.allclose(terms * len(state.pictures), found.losses["total"])
    assert set(found.target[found.positive].tolist()) <= set(range(len(state.objects)))
    panel = own.as_scene().rows[0][0]
    drawn = {ref: layer for layer in panel.layers if isinstance(layer, Boxes) and layer.width for ref in layer.refs}
    assert len(drawn) == len(found.boxes)
    largest, smallest = (drawn[f"prediction {row}"] for row in (0, len(found.boxes) - 1))
    assert largest.colours != smallest.colours
    assert largest.width > smallest.width  # not by colour alone
    table = next(p for row in own.as_scene().all_rows for p in row if isinstance(p, Table) and "largest" in p.title)
    assert table.refs[0] == "prediction 0"


def test_another_picture_has_predictions_of_its_own_objects(own):
    own.picture = len(own.state.pictures) - 1
    found = own.result.predictions
    assert found.target.max() < len(own.state.objects)
    boxes = torch.tensor([box[:4] for box in own.state.objects])
    middles = (found.boxes[found.positive, :2] + found.boxes[found.positive, 2:]) / 2
    near = boxes[found.target[found.positive]]
    assert ((middles > near[:, :2] - 40) & (middles < near[:, 2:] + 40)).all(1).float().mean() > 0.8
