"""walkthrough.gradients: what each term adds to the gradient of the total."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import yolo_lite as yl
from tests.walkthrough.detectors import Centres, pictures, two_levels
from walkthrough.gradients import layer_gradients, layers_of, map_gradients, maps_of, strongest_cells

HYP = yl.Hyperparameters(fl_gamma=1.5, label_smoothing=0.1)


def gradient_of_total(model, loss, images, targets) -> tuple[list[Tensor], dict[str, Tensor]]:
    """As training gets it: with respect to the maps, and to the parameters of a copy."""
    copy = yl.create_model(model.spec, names=model.names).train(model.training)
    copy.load_state_dict(model.state_dict())
    maps = copy(images)
    for raw in maps:
        raw.retain_grad()
    loss(maps, targets).total.backward()
    return [raw.grad for raw in maps], {name: p.grad for name, p in copy.named_parameters()}


@pytest.mark.parametrize("training", [True, False])
def test_the_pulls_of_all_terms_add_up_to_the_gradient_that_training_gets(tmp_path, training) -> None:
    model, (images, targets) = two_levels(tmp_path).train(training), pictures()
    loss = model.criterion(HYP, 64)
    on_maps, on_parameters = gradient_of_total(model, loss, images, targets)
    pulls = map_gradients(loss, maps_of(model, images), targets)
    layers = layer_gradients(model, loss, images, targets)
    for together, expected in zip(pulls.of("total"), on_maps, strict=True):
        torch.testing.assert_close(together, expected)
    for name, norm in zip(layers.names, layers.total, strict=True):
        expected = torch.cat([on_parameters[p].flatten() for p in layers_of(model)[name]]).norm()
        torch.testing.assert_close(norm.float(), expected, rtol=1e-4, atol=1e-7)


def test_parts_are_those_of_the_loss_and_each_term_is_differentiated_alone(tmp_path) -> None:
    model, (images, targets) = two_levels(tmp_path).eval(), pictures()
    loss, maps = model.criterion(HYP, 64), maps_of(model, images)
    pulls = map_gradients(loss, maps, targets)
    assert pulls.parts == loss(maps, targets)
    raw = [level.clone().requires_grad_() for level in maps]
    for term in ("box", "obj", "cls"):
        direct = torch.autograd.grad(2 * getattr(loss(raw, targets), term), raw)  # total = sum x 2 images
        for level, expected in enumerate(direct):
            assert torch.equal(pulls.gradients[term][level], expected)
            assert pulls.norms[pulls.terms.index(term), level] == expected.double().norm()
    assert pulls.fractions.sum().item() == pytest.approx(1)


class Doubled(yl.ComputeLoss):
    """A loss of one's own: twice YOLOv5's."""

    def forward(self, maps, targets):
        box, obj, cls = (2 * part for part in super().forward(maps, targets)[1:])
        return yl.LossParts((box + obj + cls) * len(maps[0]), box, obj, cls)


def test_a_loss_of_ones_own_is_the_one_that_is_differentiated(tmp_path) -> None:
    model, (images, targets) = two_levels(tmp_path).eval(), pictures()
    loss, maps = Doubled.of(model, HYP, 64), maps_of(model, images)
    twice = map_gradients(loss, maps, targets)
    assert twice.parts == loss(maps, targets)
    once = map_gradients(model.criterion(HYP, 64), maps, targets)
    torch.testing.assert_close(twice.norms, 2 * once.norms)


def test_box_and_class_pull_on_matched_cells_alone_and_objectness_on_all(tmp_path) -> None:
    model, (images, targets) = two_levels(tmp_path).eval(), pictures()
    pulls = map_gradients(model.criterion(HYP, 64), maps_of(model, images), targets)
    for level in range(2):
        positives = pulls.positives(level)
        match = pulls.matches[level]
        places = torch.stack((match.image, match.anchor, match.row, match.col), 1).unique(dim=0)
        assert positives.sum() == len(places) > 0
        for term in ("box", "cls"):
            assert torch.equal(pulls.cells(term, level) > 0, positives)
        assert (pulls.cells("obj", level) > 0).all()
        both = pulls.cells("obj", level, "positive") + pulls.cells("obj", level, "background")
        assert torch.equal(both, pulls.cells("obj", level))
        assert not pulls.cells("obj", level, "background")[positives].any()


def test_strongest_cells_are_the_largest_norms_and_name_their_object(tmp_path) -> None:
    model, (images, targets) = two_levels(tmp_path).eval(), pictures()
    pulls = map_gradients(model.criterion(HYP, 64), maps_of(model, images), targets)
    found = strongest_cells(pulls, "box", image=1, count=5)
    every = torch.cat([pulls.cells("box", level)[1].flatten() for level in range(2)])
    assert [cell.norms["box"] for cell in found] == every.topk(5).values.tolist()
    for cell in found:
        assert pulls.cells("cls", cell.level)[1, cell.anchor, cell.row, cell.col] == cell.norms["cls"]
        assert targets[cell.target, 0] == 1
    assert {cell.level for cell in strongest_cells(pulls, "obj", level=0, image=0)} == {0}
    assert all(cell.target is None for cell in strongest_cells(pulls, "obj", part="background"))


def test_without_objects_only_objectness_pulls(tmp_path) -> None:
    model, (images, _) = two_levels(tmp_path), pictures()
    layers = layer_gradients(model, model.criterion(HYP, 64), images, torch.zeros(0, 6))
    pulled = dict(zip(layers.terms, layers.norms.any(1).tolist(), strict=True))
    assert pulled == {"box": False, "obj": True, "cls": False}
    torch.testing.assert_close(layers.total, layers.norms[1])
    pulls = map_gradients(model.criterion(HYP, 64), maps_of(model, images), torch.zeros(0, 6))
    assert strongest_cells(pulls, "box") == []


def test_the_model_comes_out_as_it_went_in(tmp_path) -> None:
    model, (images, targets) = two_levels(tmp_path).train(), pictures()
    model.layers[1].eval()
    model.layers[0].requires_grad_(False)
    model.layers[2].conv.weight.grad = torch.ones_like(model.layers[2].conv.weight)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    with torch.no_grad():
        layers = layer_gradients(model, model.criterion(HYP, 64), images, targets)
        maps_of(model, images)
    assert layers.norms[:, 0].all()  # frozen layers are looked at, too
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert [layer.training for layer in model.layers] == [True, False, True, True, True]
    assert not any(p.requires_grad for p in model.layers[0].parameters())
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["layers.2.conv.weight"]
    assert torch.equal(torch.get_rng_state(), random_state)


def test_a_loss_that_balances_itself_is_only_looked_at(tmp_path) -> None:
    model, (images, targets) = two_levels(tmp_path), pictures()
    loss = model.criterion(HYP, 64, autobalance=True)
    before = loss.balance.clone()
    map_gradients(loss, maps_of(model, images), targets)
    assert torch.equal(loss.balance, before)
    assert loss.training


def test_another_detector_has_its_own_terms_layers_and_weights_in_the_total() -> None:
    model, (images, targets) = Centres().train(), pictures(classes=1)
    random_state = torch.get_rng_state()
    loss = model.criterion(HYP, 64)
    layers = layer_gradients(model, loss, images, targets)
    assert torch.equal(torch.get_rng_state(), random_state)  # though dropout drew
    assert layers.names == ("backbone Sequential", "head Conv2d")
    assert layers.terms == ("heat", "size")
    model.eval()
    maps = maps_of(model, images)
    pulls = map_gradients(loss, maps, targets)
    raw = [maps[0].clone().requires_grad_()]
    (direct,) = torch.autograd.grad(3 * loss(raw, targets).heat, raw)
    torch.testing.assert_close(pulls.gradients["heat"][0], direct)
    (whole,) = torch.autograd.grad(loss(raw, targets).total, raw)
    torch.testing.assert_close(pulls.of("total")[0], whole)
    assert pulls.cells("size", 0).shape == (2, 1, 4, 4)
    assert pulls.positives(0) is None
    with pytest.raises(ValueError, match="does not say which cells"):
        pulls.cells("heat", 0, "positive")


def test_a_wrapped_model_is_looked_into() -> None:
    assert list(layers_of(nn.Sequential(Centres()))) == ["backbone Sequential", "head Conv2d"]
    assert list(layers_of(nn.Linear(2, 2))) == ["own parameters"]


class Parts(NamedTuple):
    total: Tensor
    a: Tensor
    b: Tensor


def square_and_size(maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    return maps[0].square().mean(), maps[0].abs().mean()


def test_a_value_that_the_total_does_not_depend_on_pulls_nothing() -> None:
    def loss(maps: list[Tensor], _: Tensor) -> Parts:
        a, monitored = square_and_size(maps)
        return Parts(a, a, monitored)

    raw = torch.arange(40.0).sub(17).reshape(1, 5, 2, 4)
    pulls = map_gradients(loss, [raw], None)
    torch.testing.assert_close(pulls.of("total")[0], 2 * raw / raw.numel())
    assert pulls.norms[:, 0].bool().tolist() == [True, False]


@pytest.mark.parametrize(
    "parts",
    [
        lambda a, b: Parts(0.1 * a + 0.5 * b, a * 1, b * 1),  # others than those that the total was computed from
        lambda a, b: Parts(a + 3 * b, a, a * 1),  # b is left out
        lambda a, b: (lambda c: Parts(a + c, a, c))(a * 3),  # one made from the other counts twice
    ],
)
def test_terms_that_do_not_add_up_to_the_total_are_refused(parts) -> None:
    raw = torch.randn(1, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="of a, b do not add up to that of the total"):
        map_gradients(lambda maps, _: parts(*square_and_size(maps)), [raw], None)


@pytest.mark.parametrize("parts", [lambda a, b: Parts(0.1 * a + 0.5 * b, a, b), lambda a, b: Parts(a + 3 * a, a, b)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_terms_are_weighted_as_in_the_total(parts, dtype) -> None:
    raw = torch.randn(1, 5, 4, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    again = raw.clone().requires_grad_()
    (whole,) = torch.autograd.grad(parts(*square_and_size([again])).total, again)
    pulls = map_gradients(lambda maps, _: parts(*square_and_size(maps)), [raw], None)
    torch.testing.assert_close(pulls.of("total")[0], whole)


class HalfFixed(nn.Module):
    """A map that parameters lead to, and one that none does."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 6, 8, 8)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.head(images), images.mean((2, 3), keepdim=True)]


def test_a_map_that_no_parameter_leads_to_is_carried_back_to_nothing() -> None:
    def loss(maps: list[Tensor], _: Tensor) -> Parts:
        a, b = maps[0].square().mean(), maps[1].square().mean()
        return Parts(a + b, a, b)

    layers = layer_gradients(HalfFixed(), loss, torch.ones(1, 3, 16, 16), None)
    assert layers.norms.bool().tolist() == [[True], [False]]


class NoTerms(NamedTuple):
    total: Tensor


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (
            lambda: map_gradients(lambda maps, _: NoTerms(maps[0].sum()), [torch.ones(1, 1, 2, 2, 6)], None),
            "NamedTuple",
        ),
        (lambda: map_gradients(lambda maps, _: maps[0].sum(), [torch.ones(1, 2, 2, 2)], None), "returned Tensor"),
        (lambda: map_gradients(lambda maps, _: {"a": maps[0]}, [torch.ones(1, 2, 2, 2)], None), "returned dict"),
        (lambda: map_gradients(lambda maps, _: (maps[0].sum(),) * 2, [torch.ones(1, 2, 2, 2)], None), "returned tuple"),
        (lambda: map_gradients(lambda m, _: Parts(*m, *square_and_size(m)), [torch.ones(1, 2, 2, 2)], None), "single"),
        (lambda: map_gradients(None, [torch.ones(1, 2, 2, 2, dtype=torch.int64)], None), "level 0 is torch.int64"),
        (lambda: map_gradients(None, [], None), "the maps are an empty list"),
        (lambda: map_gradients(None, {"p3": torch.ones(1)}, None), "not dict"),
        (lambda: maps_of(Named(), torch.ones(1, 3, 8, 8)), "what a model gives are a list of tensors.* not dict"),
        (lambda: maps_of(lambda x: x, torch.ones(1, 3, 8, 8)), "not Tensor"),
        (lambda: strongest_cells(pulls_of_three(), image=9), "image is from 0 to 0, not 9"),
        (lambda: strongest_cells(pulls_of_three(), level=9), "level is from 0 to 0, not 9"),
        (lambda: strongest_cells(pulls_of_three(), count=-1), "count is 0 or more, not -1"),
        (lambda: pulls_of_three().cells("obj", 9), "level is from 0 to 0, not 9"),
        (lambda: layer_gradients(lambda x: [x], None, torch.ones(1), None), "torch module, not function"),
        (lambda: layers_of(nn.ReLU()), "no parameters"),
        (lambda: pulls_of_three().of("iou"), "no term 'iou' in this loss; it has total, box, obj, cls"),
    ],
)
def test_what_cannot_be_differentiated_gets_a_sentence(work, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        work()


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 6, 8, 8)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"p3": self.head(images)}


def pulls_of_three():
    loss = yl.ComputeLoss(torch.tensor([[[10.0, 13]]]), [8], 2)
    return map_gradients(loss, [torch.zeros(1, 1, 4, 4, 7)], torch.zeros(0, 6))
