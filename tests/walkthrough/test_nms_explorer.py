"""NmsExplorer decides what non_max_suppression decides, and tells why, for any model, picture and prediction."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import yolo_lite as yl
from walkthrough import NmsExplorer
from walkthrough.explorers.nms.scene import MOST_DRAWN
from walkthrough.explorers.nms.suppression import iou_word
from walkthrough.scene import Boxes, Chart, Table
from walkthrough.serialise import to_json
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.detect.inference import inference, network_input
from yolo_lite.detect.matching import match_detections
from yolo_lite.detect.nms import find_candidates, suppressed_by

NEAR, FAR = (50.0, 50, 20, 20), (100.0, 60, 30, 20)  # xywh


def row(box: tuple[float, ...], *scores: float, objectness: float = 1.0) -> list[float]:
    return [*box, objectness, *scores]


def shifted(box: tuple[float, ...], right: float) -> tuple[float, ...]:
    return (box[0] + right, *box[1:])


# Three boxes on one object, of which the third is of another class; one box elsewhere, of objectness 0.5.
PREDICTIONS = torch.tensor(
    [
        [
            row(NEAR, 0.9, 0.1, 0.0),
            row(shifted(NEAR, 4), 0.8, 0.0, 0.1),  # IoU 16 / 24 = 0.667 with the first
            row(shifted(NEAR, 2), 0.0, 0.7, 0.6),
            row(FAR, 0.0, 0.0, 0.9, objectness=0.5),
        ]
    ]
)
TARGETS = [[0, 0, 50 / 160, 50 / 128, 20 / 160, 20 / 128], [0, 2, 100 / 160, 60 / 128, 30 / 160, 20 / 128]]


def small(**settings) -> NmsExplorer:
    images = torch.zeros(1, 3, 128, 160)
    return NmsExplorer(images=images, targets=TARGETS, boxes=PREDICTIONS, names=["cat", "dog", "owl"], **settings)


class TwoLevels(nn.Module):
    """A detector that is no Yolo: three classes, two levels, boxes at the cells' centres, scores from the pixels."""

    names, num_classes, strides = ("a", "b", "c"), 3, (16, 32)

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.scale = 0, nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> list[Tensor]:
        self.calls += 1
        return [nn.functional.avg_pool2d(images * self.scale, stride) for stride in self.strides]

    def decode(self, maps: list[Tensor]) -> Tensor:
        decoded = []
        for stride, values in zip(self.strides, maps, strict=True):  # (N, 3, H, W)
            rows, cols = torch.meshgrid(*(torch.arange(side) for side in values.shape[2:]), indexing="ij")
            centre = (torch.stack((cols, rows), -1).flatten(0, 1) + 0.5) * stride  # (H * W, 2)
            boxes = torch.cat((centre, torch.full_like(centre, 3.0 * stride), torch.ones(len(centre), 1)), 1)
            scores = values.flatten(2).transpose(1, 2)  # (N, H * W, 3)
            decoded.append(torch.cat((boxes[None].expand(len(scores), -1, -1), scores), 2))
        return torch.cat(decoded, 1)


@pytest.fixture(scope="module")
def scenes() -> NmsExplorer:
    return NmsExplorer()


SETTINGS = [
    {},
    {"conf_thres": 0.01, "iou_thres": 0.6},
    {"agnostic": True, "iou_thres": 0.2},
    {"multi_label": True, "conf_thres": 0.001},
    {"max_det": 3},
    {"conf_thres": 0.0, "iou_thres": 1.0},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_kept_boxes_equal_non_max_suppression_of_the_models_boxes(scenes, settings):
    scenes.reset()
    scenes.set(**settings, picture=1)
    pixels = torch.from_numpy(scenes.state.shown.pixels).permute(2, 0, 1)[None]
    model = scenes.state.model
    with inference(model):
        boxes = model.decode(model(network_input(pixels, model)))
    (expected,) = yl.non_max_suppression(boxes, **settings)
    assert torch.equal(scenes.result.decided.detections, expected)
    found = find_candidates(boxes[0], settings.get("conf_thres", 0.25), multi_label=settings.get("multi_label", False))
    assert torch.equal(scenes.result.decided.found.xyxy, found.xyxy)


def test_who_suppressed_whom_equals_suppressed_by(scenes):
    scenes.reset()
    scenes.set(agnostic=True)
    found = scenes.result.decided.found
    by = suppressed_by(found.xyxy, found.conf, 0.45, limit=300)
    assert torch.equal(scenes.result.decided.by, by)
    place = int(scenes.result.decided.kept[2])
    scenes.chosen = (place,)
    assert scenes.result.choice.suppressed == tuple((by == place).nonzero().squeeze(1).tolist())
    for pair in scenes.result.choice.near:
        box = found.xyxy[[place, pair.other]]
        assert pair.iou == pytest.approx(float(yl.box_iou(box[:1], box[1:])), abs=1e-6)


def test_classes_apart_or_together_by_hand():
    w = small()
    assert w.result.decided.detections[:, 5].tolist() == [0, 1, 2]  # the second cat box went
    w.agnostic = True
    assert w.result.decided.detections[:, 5].tolist() == [0, 2]
    w.multi_label = True  # the third box is a candidate as an owl too, and so is the first as a dog: agnostic, they go
    assert len(w.result.decided.found.conf) == 5
    w.agnostic = False
    assert sorted(w.result.decided.detections[:, 5].tolist()) == [0, 1, 2, 2]


def test_the_chosen_box_says_whom_it_suppressed_and_a_suppressed_one_by_whom_and_why():
    w = small(chosen=(0,))
    assert (w.result.choice.verdict, w.result.choice.suppressed) == ("kept", (1,))
    assert {p.other: p.verdict for p in w.result.choice.near} == {
        1: "suppressed by it: 0.67 > 0.45",
        2: "kept: another class",
    }
    w.chosen = (1,)
    assert w.result.choice.verdict == "suppressed by 0: IoU 0.67 > 0.45"
    assert w.result.choice.near[0].verdict == "kept, suppresses it: 0.67 > 0.45"
    w.iou_thres = 0.7
    assert w.result.choice.verdict == "kept"
    assert w.result.choice.near[0].verdict == "kept: 0.67 is not above 0.7"
    w.set(max_det=1)
    assert "never reached: 1 better" in w.result.choice.verdict


def test_a_close_call_is_told_with_enough_digits():
    assert iou_word(0.45004, 0.45) == "0.45004"
    assert iou_word(0.667, 0.45) == "0.67"


def test_a_click_on_a_kept_box_chooses_its_candidate_and_raising_a_threshold_keeps_the_choice():
    w = small()
    w.detection = (2,)  # the third of the kept boxes is the fourth candidate
    assert (w.chosen, w.detection) == ((3.0,), None)
    w.detection = (99,)
    assert w.chosen is None
    w.chosen = (1,)
    w.conf_thres = 0.75
    assert w.result.choice.index == 1
    w.conf_thres = 0.85  # it is no candidate any more
    assert w.result.choice is None
    w.set(conf_thres=0.25, multi_label=True)  # other candidates, other numbers
    assert w.chosen is None


def test_figures_equal_matching_and_average_precision_over_all_pictures(scenes):
    scenes.reset()
    scenes.set(conf_thres=0.001, iou_thres=0.6, multi_label=True)
    correct, rows, classes = [], [], []
    for picture in scenes.state.pictures:
        (found,) = yl.non_max_suppression(scenes.state.boxes_of(picture)[None], 0.001, 0.6, multi_label=True)
        labels = np.array([(box[4], *box[:4]) for box in picture.boxes]).reshape(-1, 5)
        correct.append(match_detections(found, labels, np.array([0.5])))
        rows.append(found)
        classes += labels[:, 0].tolist()
    rows = torch.cat(rows).numpy()
    expected = yl.average_precision(np.concatenate(correct), rows[:, 4], rows[:, 5], classes)
    after = scenes.result.after
    assert (after.boxes, after.objects) == (len(rows), len(classes))
    assert after.ap == expected.ap.mean()
    assert after.precision == np.concatenate(correct).mean()
    assert after.recall == np.concatenate(correct).sum() / len(classes)
    dataset = yl.YoloDataset("shapes", img_size=256, split="val")
    loader = [yl.create_dataloader(dataset, batch_size=1).collate_fn([dataset[k] for k in (15, 2, 17, 10, 8, 4)])]
    assert evaluate(scenes.state.model, loader).map50 == pytest.approx(after.ap, abs=0.02)
    assert scenes.result.before.ap < after.ap  # every object is found many times


def test_a_draft_leaves_out_the_figures_until_they_are_known(scenes):
    scenes.reset()
    scenes.iou_thres = 0.7
    draft = scenes.draft(scenes.computed)
    assert draft.all_rows[2][0] == Chart((), late=True)
    assert scenes.computed.figures is None
    whole = scenes.as_scene()
    assert to_json(draft.all_rows[0]) == to_json(whole.rows[0])
    assert draft.all_rows[1][0] == whole.all_rows[1][0]
    assert scenes.draft(scenes.computed) is None  # they are known


def test_moving_an_object_changes_what_counts_as_found():
    w = small()
    assert w.result.correct.tolist() == [True, False, True]
    assert (w.result.after.correct, w.result.before.correct) == (2, 2)
    w.objects = ((110, 90, 150, 120, 0), w.objects[1])
    assert w.result.correct.tolist() == [False, False, True]
    w.objects = ()
    assert w.result.after.objects == 0
    assert "no objects" in w.as_scene().all_rows[2][0].caption


def test_the_model_runs_once_for_each_picture_and_stays_as_it_was():
    model = TwoLevels().train()
    photo = np.random.default_rng(0).integers(0, 255, (77, 141, 3), np.uint8)
    w = NmsExplorer(images=[photo, photo[:50]], targets=[[1, 2, 0.5, 0.5, 0.3, 0.3]], model=model)
    calls = model.calls
    assert calls == 2
    w.set(conf_thres=0.4, iou_thres=0.3, picture=1)
    w.objects = ((0, 0, 99, 99, 1),)
    assert model.calls == calls
    w.add_picture(photo[:, :60], "mine")
    assert model.calls == calls + 1
    assert w.result.picture.name.endswith("mine")
    (expected,) = yl.non_max_suppression(w.state.boxes_of(w.state.shown)[None], 0.4, 0.3)
    assert torch.equal(w.result.decided.detections, expected)
    assert model.training
    assert model.scale.grad is None
    assert not w.message


def test_thousands_of_candidates_are_drawn_in_part_and_that_is_said():
    many = torch.rand(1, 5000, 8, generator=torch.Generator().manual_seed(0))
    w = NmsExplorer(images=torch.zeros(1, 3, 64, 64), boxes=many * torch.tensor([64, 64, 9, 9, 1, 1, 1, 1.0]))
    w.set(conf_thres=0.0, max_det=1000)
    before, after = w.as_scene().all_rows[0]
    assert sum(len(layer.xyxy) for layer in before.layers if isinstance(layer, Boxes) and layer.pick) == MOST_DRAWN
    assert f"the best {MOST_DRAWN} drawn" in before.caption
    assert f"{len(w.result.decided.kept)} kept, the best {MOST_DRAWN} drawn" in after.caption
    w.chosen = None
    table = w.as_scene().all_rows[1][0]
    assert isinstance(table, Table)
    assert sum(int(row[-1]) for row in table.rows) <= 5000


def test_without_candidates_the_picture_names_the_best_score():
    w = small(conf_thres=1.0)
    before, after = w.as_scene().all_rows[0]
    assert before.caption == "none of 4 predictions is above 1: the best has 0.9"
    assert after.caption == "0 kept, 0 wrong: 0 of 2 objects found (its class, IoU ≥ 0.5)"
    assert isinstance(w.as_scene().all_rows[2][0], Chart)
    empty = NmsExplorer(images=torch.zeros(1, 3, 64, 64), boxes=torch.zeros(1, 0, 7))
    assert "none of 0 predictions" in empty.as_scene().all_rows[0][0].caption


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"boxes": PREDICTIONS}, "give those too, as images="),
        ({"images": torch.zeros(2, 3, 64, 64), "boxes": PREDICTIONS}, "boxes are of 1 picture, but there are 2"),
        ({"images": torch.zeros(1, 3, 64, 64), "boxes": torch.zeros(1, 9, 5)}, r"shape (N, n, 5 + C)"),
        ({"images": torch.zeros(1, 3, 60, 64), "model": TwoLevels()}, "multiples of 32"),
        ({"model": nn.Identity()}, "Identity has no decode"),
    ],
)
def test_what_cannot_be_used_gets_a_sentence_in_its_place(inputs, sentence):
    w = NmsExplorer(**inputs)
    assert w.result is None
    assert sentence in w.message
    assert sentence in repr(w.as_scene())


def test_a_picture_without_predictions_says_so_and_the_others_stay():
    w = small()
    w.add_picture(np.zeros((30, 40, 3), np.uint8), "new")
    assert "no predictions for 1 new" in w.message
    w.picture = 0
    assert len(w.result.decided.kept) == 3


def test_a_model_of_other_classes_gets_photographs_without_objects():
    w = NmsExplorer(model=TwoLevels())
    assert w.result.picture.boxes == ()
    assert w.result.after.objects == 0
    assert w.state.names == ("a", "b", "c")


def test_words_hold_no_score_and_code_holds_the_call():
    w = small(iou_thres=0.5, agnostic=True, chosen=(1,))
    assert w.words() == "0: kept 1 cat, 1 owl; chosen: cat, suppressed by a better box"
    assert w.as_code().splitlines()[1] == (
        "found = yl.non_max_suppression(boxes, conf_thres=0.25, iou_thres=0.5, agnostic=True)"
    )


# -- other models, other pictures ------------------------------------------------------------------------------------


def test_another_model_predicts_again() -> None:
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    first, second = (yl.create_model("yolov5n", num_classes=3, seed=seed, names=list("abc")) for seed in (1, 2))
    w = NmsExplorer(images=images, model=first, conf_thres=0.0)
    second.names = ("x", "y", "z")
    w.model = second
    assert w.message == ""
    assert w.state.names == ("x", "y", "z")
    direct = NmsExplorer(images=images, model=second, conf_thres=0.0)
    assert torch.equal(w.result.decided.detections, direct.result.decided.detections)
    w.model = nn.Conv2d(3, 3, 1)
    assert "no decode" in w.message
    assert w.state.model is second


def test_a_click_where_nothing_is_predicted_chooses_nothing() -> None:
    w = small()
    w.add_picture(np.zeros((50, 60, 3), np.uint8), "mine.png")
    w.detection = 0
    assert "no predictions" in w.message
    assert w.chosen is None


def test_predictions_are_of_as_many_classes_in_every_picture() -> None:
    w = NmsExplorer(images=torch.rand(2, 3, 64, 64), boxes=[torch.rand(5, 8), torch.rand(5, 9)])
    assert w.message == "boxes are of as many classes in one picture as in another, not of [3, 4]"


def test_an_object_of_a_class_that_no_prediction_has_is_refused() -> None:
    w = small()
    before = w.objects
    w.objects = [(10, 10, 50, 50, 9)]
    assert w.message == "a target has class 9, but predictions are of the classes 0 to 2"
    assert w.objects == before


def test_a_detector_without_names_on_pictures_of_ours() -> None:
    detector = TwoLevels()
    detector.names = None
    assert NmsExplorer(model=detector).message == ""
