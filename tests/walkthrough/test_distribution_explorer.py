"""DistributionExplorer: its numbers are those of the loss; bars, numbers and a model's predictions say the same."""

import math

import pytest
import torch

from walkthrough import DistributionExplorer
from walkthrough.explorers.distribution.reading import SIDES, read_picture
from walkthrough.scene import Boxes, Panel
from yolo_lite.coding import decode_distribution, encode_distances
from yolo_lite.family.yolov8.loss import Yolov8Loss, decode_yolov8
from yolo_lite.hyperparameters import Hyperparameters

STRIDES, CLASSES, BINS, SIZE = (8, 16), 2, 8, 64
TARGETS = torch.tensor([[0, 1, 0.5, 0.5, 0.6, 0.5], [0, 0, 0.25, 0.25, 0.1, 0.1]])


class Maps:
    """A detector of YOLOv8's kind whose maps are given."""

    strides, num_classes, names = STRIDES, CLASSES, ("cat", "dog")

    def __init__(self, bins: int = BINS) -> None:
        generator, self.bins = torch.Generator().manual_seed(3), bins
        self.maps = [
            torch.randn(1, 1, SIZE // stride, SIZE // stride, 4 * bins + CLASSES, generator=generator)
            for stride in STRIDES
        ]

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [raw + images.mean() for raw in self.maps]

    def decode(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return decode_yolov8(maps, STRIDES, CLASSES)

    def criterion(self, hyp: Hyperparameters, img_size: int = 640) -> Yolov8Loss:
        return Yolov8Loss(STRIDES, CLASSES, reg_max=self.bins)


def of_model(**settings) -> DistributionExplorer:
    return DistributionExplorer(model=Maps(), images=torch.zeros(1, 3, SIZE, SIZE), targets=TARGETS, **settings)


@pytest.mark.parametrize("target", [0.0, 0.4, 3.0, 5.25, 7.0])
def test_loss_and_gradient_are_a_cross_entropy_with_the_two_bins(target: float) -> None:
    logits = torch.randn(8, generator=torch.Generator().manual_seed(1))
    w = DistributionExplorer(logits=logits, target=target)
    t = min(target, 7 - 0.01)
    lower = math.floor(t)
    wanted = torch.zeros(8)
    wanted[lower], wanted[lower + 1] = lower + 1 - t, t - lower
    p = logits.softmax(0)
    assert torch.allclose(w.result.wanted, wanted, atol=1e-5)
    assert w.result.loss == pytest.approx(-(wanted * p.log()).sum().item(), rel=1e-5)
    assert torch.allclose(w.result.by_autograd, p - wanted, atol=1e-5)
    assert torch.allclose(w.result.by_formula, w.result.by_autograd, atol=1e-6)
    assert w.result.expectation == pytest.approx((torch.arange(8) * p).sum().item(), rel=1e-5)
    assert w.result.least <= w.result.loss
    nearest = (w.result.targets - target).abs().argmin()
    if w.result.targets[nearest] == target:
        assert w.result.losses[nearest].item() == pytest.approx(w.result.loss, rel=1e-5)


def test_a_dragged_bar_is_a_logit_and_the_others_stay() -> None:
    w = DistributionExplorer()
    before, expectation = w.logits, w.result.expectation
    bars = [list(bar) for bar in w.bars]
    zero = (bars[2][1], before[2])
    assert zero[1] == 0.0
    bars[12] = [bars[12][0] + 5, zero[0], bars[12][2] + 9, bars[12][3]]  # as high as bin 2, moved aside, too
    w.bars = bars
    assert w.message == ""
    assert w.logits[12] == 0.0
    assert [a for k, a in enumerate(w.logits) if k != 12] == [a for k, a in enumerate(before) if k != 12]
    assert w.bars[12][0] == pytest.approx(bars[12][0] - 5)  # bars stand where their bins are
    assert w.result.expectation > expectation


def test_the_dragged_end_of_the_distance_is_the_target() -> None:
    w = DistributionExplorer(target=2.0)
    ((x1, y1, x2, y2),) = w.distance
    step = (x2 - x1) / 2  # of a cell
    w.distance = [(x1, y1, x2 + 1.5 * step, y2)]
    assert w.target == pytest.approx(3.5)
    w.distance = [(x1, y1, x1 - 40, y2)]
    assert w.target == 0.0
    w.target = 6.25
    assert w.distance[0][2] == pytest.approx(x1 + 6.25 * step)


def test_bars_cannot_be_added_or_taken_away() -> None:
    w = DistributionExplorer()
    logits, target = w.logits, w.target
    w.bars = w.bars[:-1]
    assert "16" in w.message
    w.distance = []
    assert "one bar" in w.message
    assert (w.logits, w.target) == (logits, target)


def test_large_logits_have_room() -> None:
    w = DistributionExplorer(logits=[0.0, -11.5, 3.0])
    panel = w.as_scene().all_rows[0][0]
    assert isinstance(panel, Panel)
    bars = next(layer for layer in panel.layers if isinstance(layer, Boxes) and layer.drag == "bars")
    tops = [box[1] for box in bars.xyxy]
    assert tops[1] > tops[0] > tops[2] >= 0
    assert w.span == 12


def test_a_gradient_step_brings_the_loss_down_to_the_least() -> None:
    w = DistributionExplorer(target=5.3, step_size=2)
    losses = [w.result.loss]
    for _ in range(60):
        w.step()
        losses.append(w.result.loss)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(w.result.least, abs=0.05)
    assert w.result.expectation == pytest.approx(5.3, abs=0.2)


def test_a_models_points_are_the_positives_of_its_loss() -> None:
    model, w = Maps(), of_model()
    assert w.message == ""
    maps = model(torch.zeros(1, 3, SIZE, SIZE))
    asked = model.criterion(Hyperparameters()).ask(maps, TARGETS)
    positives = (asked.target[0] >= 0).sum().item()
    assert len(w.reading.points) == w.reading.positives == positives > 1
    scores = [point.target_score for point in w.reading.points]
    assert scores == sorted(scores, reverse=True)
    decoded = model.decode(maps)[0]  # (n, 7) x, y, w, h, 1, scores
    for point in w.reading.points:
        x1, y1, x2, y2 = point.box
        centre = torch.tensor([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])
        row = (decoded[:, :4] - centre).abs().amax(1).argmin()
        assert (decoded[row, :4] - centre).abs().max() < 1e-3
        assert decoded[row, 5 + point.cls].item() == pytest.approx(point.score, abs=1e-5)
        assert point.object == (0 if point.cls == 1 else 1)


def test_the_picture_stands_beside_the_bars_and_all_numbers_are_unfolded() -> None:
    w = of_model()
    scene, score = w.as_scene(), w.reading.points[0].target_score
    ((picture, bars),) = scene.rows
    assert (picture.pick, picture.title) == ("place", "picture 0")  # a number alone names nothing
    assert {layer.drag for layer in bars.layers if isinstance(layer, Boxes)} >= {"bars", "distance"}
    assert bars.least_width >= 300
    where, matched = picture.caption.split("\n")  # two lines, so that none is cut
    assert f"prediction 0, one of {w.reading.positives} positives" in where
    assert f"{score:.2f}" in matched
    assert [len(more.unfolded()[0]) for more in scene.more] == [1, 1, 2]


def test_another_side_or_point_brings_its_logits_and_its_true_distance() -> None:
    w = of_model()
    box = torch.tensor(w.state.shown.boxes[w.reading.points[0].object][:4])
    for index, side in enumerate(SIDES):
        w.side = side
        point = w.reading.points[0]
        true = encode_distances(box / point.stride, torch.tensor([point.x, point.y]) / point.stride)[index].item()
        assert w.target == pytest.approx(min(max(true, 0), BINS - 1), abs=0.006)
        assert w.result.expectation == pytest.approx(decode_distribution(point.logits[index]).item(), rel=1e-5)
    last = w.reading.points[-1]
    w.place = (last.x + 1, last.y - 1)
    assert (w.place, w.prediction) == (None, len(w.reading.points) - 1)
    assert w.logits == tuple(last.logits[w.side].tolist())
    w.target = 1.5
    assert w.target == 1.5  # the reader's, until there is another point


def test_point_and_side_can_be_given_at_the_start() -> None:
    w, settings = of_model(), {"prediction": 2, "side": "top"}
    w.set(**settings)
    at_once = of_model(**settings)
    assert (at_once.message, at_once.prediction, at_once.side) == ("", 2, 1)
    assert (at_once.logits, at_once.target) == (w.logits, w.target)


def test_a_picture_without_objects_shows_the_best_score() -> None:
    w = DistributionExplorer(model=Maps(), images=torch.zeros(1, 3, SIZE, SIZE))
    assert (w.message, w.reading.positives, len(w.reading.points)) == ("", 0, 1)
    assert w.reading.points[0].object == -1
    assert w.target == pytest.approx(w.result.expectation, abs=0.006)
    assert "no point is positive" in w.as_scene().all_rows[0][0].caption


def test_another_picture_is_read_when_it_is_chosen() -> None:
    images = torch.stack((torch.zeros(3, SIZE, SIZE), torch.ones(3, SIZE, SIZE)))
    w = DistributionExplorer(model=Maps(), images=images, targets=torch.cat((TARGETS, TARGETS + torch.eye(6)[0])))
    first = w.reading
    w.set(picture=1, prediction=1)
    assert w.prediction == 1
    assert w.reading is not first
    again = read_picture(w.model, w.state.shown)
    assert [point[:3] for point in w.reading.points] == [point[:3] for point in again.points]
    assert torch.allclose(w.result.logits, again.points[1].logits[w.side])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"model": "shapes-n"}, ("distributions", "ComputeLoss")),
        ({"images": torch.zeros(1, 3, 64, 64)}, ("model=",)),
        ({"logits": [1.0]}, ("2 to 64",)),
        ({"logits": [1.0, math.nan]}, ("finite", "nan")),
        ({"logits": "high"}, ("numbers", "high")),
        ({"logits": [1.0, 2.0], "model": Maps()}, ("one of them",)),
    ],
)
def test_what_cannot_be_shown_is_a_sentence(inputs: dict, words: tuple[str, ...]) -> None:
    w = DistributionExplorer(**inputs)
    assert w.result is None
    assert all(word in w.message for word in words)


def test_the_code_gives_the_same_numbers() -> None:
    w = DistributionExplorer(target=3.75)
    names: dict = {"torch": torch}
    exec(w.as_code(), names)
    assert names["loss"].item() == pytest.approx(w.result.loss, rel=1e-5)
    assert names["expectation"].item() == pytest.approx(w.result.expectation, rel=1e-5)
