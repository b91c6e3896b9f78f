"""Every explorer of models takes every generation, by the detector protocol alone."""

import dataclasses

import pytest
import torch

import walkthrough as wt
import yolo_lite as yl
from tests.walkthrough.detectors import Centres, pictures
from tests.walkthrough.generations import GENERATIONS, TASK_ALIGNED, WITHOUT_ANCHORS, model_of
from walkthrough.explorers.controls import bounds_of
from walkthrough.explorers.page import control_on_page, used_controls
from walkthrough.explorers.pictures import images_of, targets_of
from walkthrough.gradients import map_gradients, maps_of
from walkthrough.gradients.numbers import raw_numbers
from yolo_lite.family.yolov9.auxiliary import with_auxiliary
from yolo_lite.loss.criterion import NEGATIVE
from yolo_lite.model.layered import LayeredDetector

SIZE = 224
NOT_SHOWN = {"YOLOv8": ("alpha", "obj_gain"), "FCOS": ("score_power", "overlap_power")}
HYP = ("box", "obj", "cls", "anchor_t")
OWN = {
    "YOLOv1": ("coord_scale", "noobject_scale"),
    "YOLOv2": ("coord_scale", "noobject_scale", "thresh", "early_images"),
    "YOLOv3": ("ignore_thresh", "truth_thresh"),
    "YOLOv4": ("ignore_thresh", "iou_thresh", "iou_normalizer"),
    "YOLOv5": (),
    "SSD": ("positive_iou", "negatives"),
    "RetinaNet": ("positive_iou", "negative_iou", "alpha", "focal_gamma"),
    "FCOS": ("radius", "range", "alpha", "focal_gamma"),
    "YOLOv7": ("box_gain", "obj_gain", "cls_gain", "own_anchor_t", "topk", "iou_weight"),
    **dict.fromkeys(TASK_ALIGNED, ("box_gain", "cls_gain", "dfl", "topk", "score_power", "overlap_power", "min_side")),
}


@pytest.fixture(params=GENERATIONS)
def generation(request: pytest.FixtureRequest) -> str:
    return request.param


def given() -> tuple[torch.Tensor, torch.Tensor]:
    return pictures(size=SIZE, classes=6)


def names_on_page(w: wt.Explorer) -> set[str]:
    return set(used_controls(w.state))


def test_the_small_networks_are_small_and_the_same_each_time(generation: str) -> None:
    model, again = model_of(generation), wt.explorers.family.generations.small_model(generation)
    assert isinstance(model, LayeredDetector)
    assert sum(parameter.numel() for parameter in model.parameters()) < 500_000
    assert all(map(torch.equal, model.state_dict().values(), again.state_dict().values()))


def test_losses_with_what_applies(generation: str) -> None:
    images, targets = given()
    model = model_of(generation)
    w = wt.LossExplorer(images=images, targets=targets, model=model)
    assert w.message == ""
    with torch.no_grad():
        expected = model.criterion(yl.Hyperparameters(), SIZE)(model(images_of(w.state.pictures)), targets)
    for term, value in expected._asdict().items():
        torch.testing.assert_close(getattr(w.result.now.parts, term), value)
    shown = names_on_page(w)
    assert set(OWN[generation]) <= shown
    assert shown.isdisjoint(NOT_SHOWN.get(generation, ()))
    assert shown.isdisjoint(HYP) == (generation != "YOLOv5")
    assert len(w.as_scene().all_rows) == 4


def test_own_settings_reach_the_loss(generation: str) -> None:
    images, targets = given()
    model = model_of(generation)
    w = wt.LossExplorer(images=images, targets=targets, model=model)
    for name in OWN[generation]:
        w.reset()
        before = w.result.now.parts
        low, high = bounds_of(used_controls(w.state)[name], w.state)
        w.set(**{name: low if getattr(w, name) != low else high})
        assert w.message == "", name
        namespace = {"yl": yl, "model": model}
        exec(w.as_code(), namespace)
        with torch.no_grad():
            expected = namespace["loss"](model(images_of(w.state.pictures)), targets_of(w.state.pictures))
        torch.testing.assert_close(w.result.now.parts.total, expected.total)
        assert w.result.default.parts.total == before.total
    if generation in ("YOLOv1", "YOLOv2"):
        w.reset()
        first = w.result.now.parts.box
        w.coord_scale = 2 * w.coord_scale
        torch.testing.assert_close(w.result.now.parts.box, 2 * first)


def test_settings_of_levels_that_differ_are_changed_together_and_otherwise_kept() -> None:
    model = model_of("YOLOv4")
    state = wt.LossExplorer(*(), model=model).state
    levels = tuple(dataclasses.replace(s, obj_normalizer=k + 1.0) for k, s in enumerate(state.own_settings))
    state = dataclasses.replace(state, own_settings=levels, ignore_thresh=0.5)
    settings = state.criterion_options["settings"]
    assert [each.ignore_thresh for each in settings] == [0.5] * 3
    assert [each.obj_normalizer for each in settings] == [1, 2, 3]


def test_a_loss_without_settings_that_ignores_hyperparameters_has_no_sliders() -> None:
    class Plain(Centres):
        def criterion(self, hyp: yl.Hyperparameters, img_size: int = 640):
            return super().criterion(yl.Hyperparameters(), img_size)

    images, targets = pictures(classes=1)
    assert names_on_page(wt.LossExplorer(images=images, targets=targets, model=Plain())).isdisjoint(HYP)
    assert set(HYP) <= names_on_page(wt.LossExplorer(images=images, targets=targets, model=Centres()))


def test_gradients_by_cell_add_up_to_those_of_the_maps(generation: str) -> None:
    images, targets = given()
    model = model_of(generation)
    w = wt.GradientExplorer(images=images[:1], targets=targets[targets[:, 0] == 0], model=model)
    assert w.message == ""
    assert w.result.layers is not None
    assert names_on_page(w).isdisjoint(HYP) == (generation != "YOLOv5")
    gradients = w.result.maps
    if generation == "YOLOv1":  # the B boxes of a cell share its classes
        for term in ("box", "obj"):
            cells = gradients.cells(term, 0)
            assert cells.shape == (1, 2, 7, 7)
            torch.testing.assert_close(cells.norm(), gradients.of(term)[0].norm())
    else:
        for level, raw in enumerate(gradients.of("total")):
            torch.testing.assert_close(gradients.cells("total", level).norm(), raw.norm())
    for cell in w.result.strongest[:3]:
        assert f"{cell.row}" in repr(w.as_scene().all_rows[-1][0].rows)
    levels = control_on_page("level", used_controls(w.state)["level"], w.state)["options"]
    assert levels[1] == f"stride {model.strides[0]} / P{int(model.strides[0]).bit_length() - 1}"


def test_a_number_of_a_flat_output_belongs_to_the_prediction_that_changes_with_it() -> None:
    model = model_of("YOLOv1")
    maps = maps_of(model, given()[0])
    assigned = model.criterion(yl.Hyperparameters(), SIZE).assign(maps, torch.zeros(0, 6))
    (numbers,) = raw_numbers(model.decode, maps, assigned.cells)
    assert numbers.names[:5] == ("x", "y", "w", "h", "confidence")
    chosen = 60  # of the second box of a cell
    _, anchor, row, col = assigned.cells[chosen].tolist()
    for column, place in enumerate(numbers.index[anchor, row, col].tolist()):
        moved = maps[0].clone()
        moved[0, place] += 0.125
        changed = (model.decode([moved])[0] != model.decode(maps)[0]).nonzero().tolist()
        assert [chosen, column] in changed
        assert len(changed) == (1 if column < 5 else 2)  # classes: of both boxes


@pytest.mark.parametrize(
    ("generation", "names"),
    [
        ("YOLOv2", ("t_x", "t_y", "t_w", "t_h", "objectness", "class 0")),
        ("YOLOv4", ("t_x", "t_y", "t_w", "t_h", "objectness", "class 0")),
        ("SSD", ("t_x", "t_y", "t_w", "t_h", "background", "class 0")),
        ("RetinaNet", ("t_x", "t_y", "t_w", "t_h", "class 0", "class 1")),
        ("FCOS", ("l", "t", "r", "b", "centre-ness", "class 0")),
        ("YOLOv7", ("t_x", "t_y", "t_w", "t_h", "objectness", "class 0")),
        ("YOLOv8", ("l bin 0", "l bin 1", "l bin 2", "l bin 3", "l bin 4", "l bin 5")),
    ],
)
def test_raw_numbers_have_the_names_of_what_they_move(generation: str, names: tuple[str, ...]) -> None:
    model = model_of(generation)
    maps = maps_of(model, given()[0])
    cells = model.criterion(yl.Hyperparameters(), SIZE).assign(maps, torch.zeros(0, 6)).cells
    numbers = raw_numbers(model.decode, maps, cells)
    assert {of_level.names[:6] for of_level in numbers} == {names}


@pytest.mark.parametrize("generation", TASK_ALIGNED)
def test_each_side_has_its_bins(generation: str) -> None:
    model = model_of(generation)
    maps = maps_of(model, given()[0])
    cells = model.criterion(yl.Hyperparameters(), SIZE).assign(maps, torch.zeros(0, 6)).cells
    names = raw_numbers(model.decode, maps, cells)[0].names
    assert [name.partition(" bin ")[0] for name in names[15:64:16]] == ["l", "t", "r", "b"]
    assert names[64:] == tuple(f"class {cls}" for cls in range(6))


def test_suppression(generation: str) -> None:
    images, targets = given()
    w = wt.NmsExplorer(images=images, targets=targets, model=model_of(generation))
    w.conf_thres = 0.01
    assert w.message == ""
    with torch.no_grad():
        boxes = model_of(generation).decode(model_of(generation)(images_of(w.state.pictures)))
    known = w.state.decoded[0][1][None]
    torch.testing.assert_close(known, boxes[:1], atol=0.05, rtol=1e-3)  # of one picture, and of two together
    assert torch.equal(w.result.decided.detections, yl.non_max_suppression(known, 0.01, 0.45)[0])


def test_why(generation: str) -> None:
    images, targets = given()
    w = wt.WhyExplorer(images=images[:1], targets=targets[targets[:, 0] == 0], model=model_of(generation))
    assert w.message == ""
    w.conf_thres = 0.01
    kinds = [error.kind for error in w.computed.errors]
    assert kinds
    w.chosen = (len(kinds) - 1,)
    reason, assigned = w.computed.reason, w.computed.case.assigned
    assert reason.unknown == ""
    if w.computed.error.label >= 0:
        expected = assigned.pairs[assigned.pairs[:, 1] == w.computed.error.label, 0].tolist()
        assert sorted(one.prediction for one in reason.responsible) == sorted(set(expected))
    assert dict(fact[:2] for fact in reason.facts)["it said"].startswith("objectness") == bool(
        (w.computed.case.decoded[:, 4] != 1).any()
    )


def test_layers(generation: str) -> None:
    model = model_of(generation)
    w = wt.LayerExplorer(images=given()[0], model=model)
    assert w.message == ""
    records = w.result.records
    records = [record for record in records if record.name != "encoder"]  # of YOLO-World's texts
    assert len(records) == len(model.layers)
    assert sum(record.parameters for record in w.result.records) == sum(p.numel() for p in model.parameters())
    if generation != "YOLOv5":
        assert {k for k, record in enumerate(records) if record.part == "head"} == set(model.heads)


@pytest.mark.parametrize(
    "explorer", ["LossExplorer", "GradientExplorer", "NmsExplorer", "LayerExplorer", "AnchorExplorer", "WhyExplorer"]
)
def test_by_default_pictures_have_the_size_that_a_network_fixes(explorer: str) -> None:
    for generation in ("YOLOv1", "SSD"):
        w = getattr(wt, explorer)(model=model_of(generation))
        if (explorer, generation) != ("AnchorExplorer", "YOLOv1"):
            assert w.message == ""
            assert {picture.size for picture in w.state.pictures} == {(SIZE, SIZE)}


def test_anchors_with_the_rule_of_the_loss(generation: str) -> None:
    images, targets = given()
    model = model_of(generation)
    w = wt.AnchorExplorer(images=images, targets=targets, model=model)
    if generation in WITHOUT_ANCHORS:
        assert w.result is None
        assert "no anchors" in w.message
        return
    assert w.message == ""
    assert ("anchor_t" in names_on_page(w)) == (generation == "YOLOv5")
    if generation == "YOLOv5":
        return
    loss = model.criterion(yl.Hyperparameters(), SIZE)
    with torch.no_grad():
        own_picture = w.state.pictures[:1]
        assigned = loss.assign(model(images_of(own_picture)), targets_of(own_picture))
    assert [len(w.result.matches_of(index)) for index in range(3)] == [
        int((assigned.matches.target == index).sum()) for index in range(3)
    ]
    if (anchors := getattr(model, "anchors", None)) is not None:
        for level in range(len(model.strides)):
            own = w.result.cells[:, 0] == level
            found = w.result.anchors[own, 2:].unique(dim=0)
            torch.testing.assert_close(found, anchors[level].unique(dim=0), rtol=1e-4, atol=1e-3)
    w.object = 2
    assert w.message == ""
    w.objects = w.objects[:1]
    assert w.object == 0
    assert [type(panel).__name__ for row in w.as_scene().all_rows for panel in row] == ["Panel", "Table", "Table"]


def test_map_gradients_tell_positives_of_every_generation(generation: str) -> None:
    images, targets = given()
    model = model_of(generation)
    loss, maps = model.criterion(yl.Hyperparameters(), SIZE), maps_of(model, images)
    gradients = map_gradients(loss, maps, targets, model.decode)
    role = loss.assign(maps, targets).role
    positives = torch.cat([gradients.positives(level).flatten(1) for level in range(len(maps))], 1)
    assert bool((role[positives] != NEGATIVE).all())


@pytest.mark.parametrize("explorer", ["LossExplorer", "GradientExplorer", "FamilyExplorer"])
def test_maps_of_an_auxiliary_branch_are_answered_by_a_sentence(explorer: str) -> None:
    spec = wt.explorers.family.generations.GENERATIONS["YOLOv9"](64)
    model = yl.create_model(with_auxiliary(spec), num_classes=6)
    given = {"models": model, "img_size": 64} if explorer == "FamilyExplorer" else {"model": model, "img_size": 64}
    w = getattr(wt, explorer)(**given)
    assert "model.eval()" in w.message
    model.eval()
    assert getattr(wt, explorer)(**given).message == ""
