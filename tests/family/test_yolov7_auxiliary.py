"""YOLOv7's auxiliary head: its labels, what it changes in training, and that nothing is left of it afterwards."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.family.test_yolov7 import ANCHORS, CLASSES, GRIDS, STRIDES, TARGETS, make_loss, maps
from tests.family.tiny import tiny_yolov7_aux
from yolo_lite.boxes import bbox_iou
from yolo_lite.checkpoints.own import load, save
from yolo_lite.coding import decode_matches
from yolo_lite.exporting.network import for_export
from yolo_lite.family.yolov7.auxiliary import centre_bound, soft_labels, with_neighbours
from yolo_lite.family.yolov7.loss import Yolov7Loss
from yolo_lite.family.yolov7.network import Yolov7, build, named_spec
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.targets import Assignment, build_targets
from yolo_lite.model.spec import SpecError
from yolo_lite.model.yolo import create_model


def labels(loss: Yolov7Loss, raw: list[Tensor], targets: Tensor) -> list[Assignment]:
    """The auxiliary head's matches."""
    levels = loss.levels(raw, targets)
    return [level.matches for level in loss.auxiliary_levels(raw, maps(9), targets, levels)]


def places(levels: list[Assignment]) -> set[tuple[int, ...]]:
    """(target, level, image, anchor, row, column)"""
    fields = ("target", "image", "anchor", "row", "col")
    return {
        (target, level, *place)
        for level, found in enumerate(levels)
        for target, *place in zip(*(getattr(found, field).tolist() for field in fields), strict=True)
    }


def learnt_maps(targets: Tensor) -> list[Tensor]:
    """Maps that predict at every candidate of an object as good a box as the decoder can."""
    raw = maps(size=0.0)
    for level, found in zip(raw, build_targets(targets, GRIDS, ANCHORS.double(), STRIDES), strict=True):
        every = with_neighbours(found, level.shape[:4])
        xy = ((every.box[:, :2] + 0.5) / 2).clamp(0.01, 0.99).logit()
        wh = ((every.box[:, 2:] / every.anchor_wh).sqrt() / 2).logit()
        level[every.image, every.anchor, every.row, every.col, :4] = torch.cat((xy, wh), 1)
    return raw


# The labels


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("topk", "coarse"), [(10, 2), (3, 1), (3, 4)])
def test_coarse_labels_are_the_fine_ones_and_more(seed: int, topk: int, coarse: int) -> None:
    raw, targets = maps(seed), TARGETS.double()
    loss = make_loss(topk=topk, coarse=coarse)
    fine, found = places(loss.matches(raw, targets)), places(labels(loss, raw, targets))
    assert fine <= found
    assert len({place[1:] for place in found}) == len(found)  # each prediction has one object
    assert places(labels(make_loss(topk=topk, labels="same"), raw, targets)) == fine


def test_coarse_labels_have_more_positives_and_cells_that_fine_ones_cannot_have() -> None:
    targets = torch.tensor([[0, 1, 0.52, 0.53, 0.25, 0.40]], dtype=torch.float64)
    raw, loss = learnt_maps(targets), make_loss(topk=4, coarse=4)
    fine, coarse = places(loss.matches(raw, targets)), places(labels(loss, raw, targets))
    assert len(fine) in (3, 4)
    candidates = places(build_targets(targets, GRIDS, ANCHORS.double(), STRIDES))
    assert len(candidates) < len(coarse) <= 16  # four times as many IoUs near 1
    assert coarse - candidates
    assert fine <= candidates


def test_neighbours_of_an_own_cell() -> None:
    """All four, each once, but for those outside; the boxes are where they were."""
    targets = torch.tensor([[0, 0, 0.02, 0.55, 0.3, 0.5], [1, 1, 0.5, 0.5, 0.3, 0.5]], dtype=torch.float64)
    found = build_targets(targets, GRIDS, ANCHORS.double(), STRIDES)[0]  # the second object's centre is a corner
    every = with_neighbours(found, (2, 2, *GRIDS[0]))
    cells = set(zip(every.target.tolist(), every.row.tolist(), every.col.tolist(), strict=True))
    expected = {(0, 4, 0), (0, 3, 0), (0, 5, 0), (0, 4, 1)}
    assert cells == expected | {(1, 4, 6), (1, 3, 6), (1, 5, 6), (1, 4, 5), (1, 4, 7)}
    assert len(every.target) == 2 * len(cells)  # both anchors fit
    corner = torch.stack((every.col, every.row), 1)
    centres = targets[every.target, 2:4] * torch.tensor([12.0, 8])
    torch.testing.assert_close(every.box[:, :2] + corner, centres)


def test_soft_labels_are_the_lead_heads_overlaps_and_bounded() -> None:
    targets = TARGETS.double()[:4]
    raw, loss = learnt_maps(targets[3:]), make_loss()
    (level, *_), (guide, *_) = labels(loss, raw, targets), raw
    soft, bound = soft_labels(guide, level), centre_bound(level.box)
    boxes = decode_matches(guide[level.image, level.anchor, level.row, level.col], level.anchor_wh)
    overlap = bbox_iou(boxes, level.box, "ciou")
    assert torch.equal(soft, torch.minimum(overlap, bound))
    reached = ((level.box[:, :2] >= -0.5) & (level.box[:, :2] <= 1.5)).all(1)
    assert bool((bound[reached] == 1).all())
    assert bool((bound[~reached] < 1).all())
    assert 0 < int((~reached).sum()) < len(level.box)
    assert bool((overlap > bound).any())  # there the bound counts
    fine = loss.levels(raw, targets)
    (first, *_) = loss.auxiliary_levels(raw, maps(9), targets, fine)
    assert torch.equal(
        first.objectness[level.image, level.anchor, level.row, level.col], soft.clamp(min=0)
    )  # not the auxiliary head's own overlaps


# The loss


@pytest.mark.parametrize("kind", ["coarse-to-fine", "same"])
def test_the_loss_of_both_heads(kind: Any) -> None:
    lead, other, targets = maps(2), maps(5), TARGETS.double()
    loss = make_loss(auxiliary=0.5, labels=kind)
    alone, both = loss(lead, targets), loss([*lead, *other], targets)
    assert loss.dropped % 2 == 0  # counted by the lead head's matches
    torch.testing.assert_close(make_loss(auxiliary=0, labels=kind)([*lead, *other], targets), alone)
    for name in ("box", "obj", "cls"):
        levels = loss.auxiliary_levels(lead, other, targets, loss.levels(lead, targets))
        expected = getattr(alone, name) + 0.5 * sum(getattr(level, name) for level in levels)
        torch.testing.assert_close(getattr(both, name), expected)
    torch.testing.assert_close(both.total, 2 * (both.box + both.obj + both.cls))
    before, assigned = loss.assign(lead, targets), loss.assign([*lead, *other], targets)
    assert torch.equal(assigned.role, before.role)
    assert torch.equal(assigned.target, before.target)
    for name, value in both._asdict().items():
        torch.testing.assert_close(getattr(assigned.losses, name).sum(), value)


def test_the_auxiliary_maps_decide_nothing() -> None:
    """Of 2 L maps the first L alone make the labels; the gradient of the lead head is that without the other."""
    lead = [level.requires_grad_() for level in maps(2)]
    targets, loss = TARGETS.double(), make_loss()
    (expected,) = (torch.autograd.grad(loss(lead, targets).total, lead),)
    for seed in (3, 4):
        other = [level.requires_grad_() for level in maps(seed)]
        found = torch.autograd.grad(loss([*lead, *other], targets).total, [*lead, *other])
        for one, two in zip(found[: len(lead)], expected, strict=True):
            torch.testing.assert_close(one, two)
        assert all(bool(gradient.any()) for gradient in found[len(lead) :])


def test_no_objects() -> None:
    parts = make_loss()([*maps(1), *maps(2)], torch.zeros(0, 6))
    assert (parts.box.item(), parts.cls.item()) == (0, 0)
    assert parts.obj > make_loss()(maps(1), torch.zeros(0, 6)).obj


def test_maps_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="shapes of the others"):
        make_loss()([*maps(1), *maps(1)[::-1]], TARGETS)
    with pytest.raises(ValueError, match="3 maps for 2 levels"):
        make_loss()(maps(1) + maps(1)[:1], TARGETS)


@pytest.mark.parametrize("wrong", [{"auxiliary": -1.0}, {"labels": "fine"}, {"coarse": 0}])
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make_loss(**wrong)


# The network


def tiny(**entries: Any) -> Yolov7:
    model = create_model(tiny_yolov7_aux() | entries, num_classes=CLASSES)
    assert isinstance(model, Yolov7)
    return model


def trained_a_little() -> Yolov7:
    """With statistics of its own in every BatchNorm."""
    model, generator = tiny().train(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(2, 3, 64, 64, generator=generator))
    return model.eval()


def pictures() -> Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def test_without_its_branch_it_is_yolov7() -> None:
    with torch.device("meta"):
        model, plain = (build({"family": "yolov7", "name": name}, name) for name in ("yolov7-aux", "yolov7"))
        slim, fused = model.without_auxiliary(), model.fuse()
    assert [row[:4] for row in model.rows[:43]] == [row[:4] for row in plain.rows]
    assert (len(plain.rows), len(model.rows), len(slim.rows)) == (43, 47, 43)
    assert plain.spec == slim.spec
    assert sum(each.numel() for each in slim.parameters()) == 37_620_125
    assert sum(each.numel() for each in fused.parameters()) == 36_905_341
    assert not plain.has_auxiliary
    assert "auxiliary" not in named_spec("yolov7")


def test_a_narrow_one_gives_maps_of_both_heads_in_training() -> None:
    model = create_model({"family": "yolov7", "name": "yolov7-aux", "width": 0.0625}, num_classes=2)
    images = torch.rand(2, 3, 64, 64)
    assert len(model.train()(images)) == 6
    assert [raw.shape for raw in model(images)[:3]] == [raw.shape for raw in model(images)[3:]]
    assert len(model.eval()(images)) == 3


def test_the_branch_runs_in_training_alone() -> None:
    model, images = trained_a_little(), pictures()
    with torch.no_grad():
        before = model(images)
        for other in (model.without_auxiliary(), for_export(model), model.fuse()):
            assert len(other.rows) == model.heads[0] + 1
            assert "auxiliary" not in other.spec
            for one, two in zip(before, other(images), strict=True):
                torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
        assert all(map(torch.equal, before, model.without_auxiliary()(images)))
        both = model.train()(images)
        assert len(both) == 4
        assert torch.equal(model.decode(both), model.decode(both[:2]))


def test_its_gradient_reaches_the_backbone_and_not_what_comes_after() -> None:
    targets = torch.tensor([[0, 1, 0.5, 0.5, 0.4, 0.4], [1, 0, 0.3, 0.6, 0.5, 0.3]])
    gradients = []
    for weight in (0.0, 0.25):
        model = tiny(settings={"auxiliary": weight, "obj": 20}).train()
        model.criterion(Hyperparameters(), 96)(model(pictures()), targets).total.backward()
        gradients.append([[each.grad.clone() for each in layer.parameters()] for layer in model.layers])  # type: ignore[union-attr]
    for row, without, with_it in zip(model.rows, *gradients, strict=True):
        if not without:
            continue
        same = all(torch.allclose(one, two, rtol=1e-4, atol=1e-7) for one, two in zip(without, with_it, strict=True))
        assert same == (13 < row.index <= model.heads[0])  # bottom up, RepConvs and the lead head


def test_saved_and_loaded(tmp_path: Path) -> None:
    model, file = trained_a_little(), tmp_path / "aux.safetensors"
    model.set_anchors(model.anchors * 1.5)
    save(model, file)
    again = load(file)
    assert isinstance(again, Yolov7)
    assert again.has_auxiliary
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
    torch.testing.assert_close(again.layers[-1].anchors, model.anchors)
    other = load(file, num_classes=5).train()
    assert [raw.shape[-1] for raw in other(pictures())] == [10] * 4
    turned = load(file, names=model.names[::-1])
    for name, rows in model.class_outputs().items():
        before, after = model.state_dict()[name], turned.state_dict()[name]
        assert torch.equal(before[rows == 0], after[rows == CLASSES - 1])
    save(model.fuse(), tmp_path / "fused.safetensors")
    assert not load(tmp_path / "fused.safetensors").has_auxiliary  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "last row"),
        ([[4, 1, "Conv", [8]], [[-1], 1, "Detect", ["nc", "anchors"]]], "strides"),
        ([[-1, 1, "Conv", [8]], [[-1], 1, "Detect", ["nc", "anchors"]]], "maps of a Detect"),
    ],
)
def test_branches_that_cannot_be_built(rows: list[Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        tiny(auxiliary=rows)
