"""GradientExplorer: who pulls on which layer and on which cell."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import yolo_lite as yl
from tests.walkthrough.detectors import Centres, pictures, two_levels
from walkthrough import GradientExplorer, LossExplorer
from walkthrough.explorers.family.generations import small_model
from walkthrough.explorers.gradient.scene import cell_strengths, shades
from walkthrough.explorers.linking import link
from walkthrough.explorers.pictures import images_of, targets_of
from walkthrough.gradients import layer_gradients, map_gradients
from walkthrough.scene import Arrows, Boxes, Chart, Panel, Table


@pytest.fixture
def own(tmp_path) -> GradientExplorer:
    """Two levels, three classes, pictures of noise."""
    images, targets = pictures()
    return GradientExplorer(images=images, targets=targets, model=two_levels(tmp_path).eval())


def direct(w: GradientExplorer, hyp: yl.Hyperparameters | None = None):
    """The pulls on layers and maps for the shown picture, without any explorer."""
    model, shown = w.state.model, (w.state.shown,)
    loss = model.criterion(hyp or yl.Hyperparameters(), shown[0].size[0])
    maps = [raw.detach() for raw in model(images_of(shown))]
    return layer_gradients(model, loss, images_of(shown), targets_of(shown)), map_gradients(
        loss, maps, targets_of(shown)
    )


def assert_direct(w: GradientExplorer, hyp: yl.Hyperparameters | None = None) -> None:
    layers, maps = direct(w, hyp)
    torch.testing.assert_close(w.result.layers.norms, layers.norms)
    torch.testing.assert_close(w.result.maps.norms, maps.norms)
    torch.testing.assert_close(w.result.maps.parts, maps.parts)


def panels(w: GradientExplorer, kind: type) -> list:
    return [panel for row in w.as_scene().all_rows for panel in row if isinstance(panel, kind)]


def test_by_default_weights_that_know_the_scenes_are_shown() -> None:
    w = GradientExplorer()
    assert w.message == ""
    assert_direct(w)
    assert len(panels(w, Panel)) == 3
    assert "3 objects" in w.words()
    assert not re.search(r"\d\.\d", w.words())  # no float that training made


def test_every_change_of_picture_objects_or_loss_goes_backward_again(own) -> None:
    assert_direct(own)
    own.picture = own.state.pictures[1].name
    assert_direct(own)
    x1, y1, x2, y2, _ = own.objects[0]
    own.objects = ((x1 - 4, y1, x2 - 4, y2, 1), *own.objects[1:])
    assert_direct(own)
    own.set(box=0.2, anchor_t=2.0)
    assert_direct(own, yl.Hyperparameters(box=0.2, anchor_t=2.0))
    own.add_picture(np.full((30, 50, 3), 77, np.uint8), "mine.png")
    assert own.objects == ()
    assert_direct(own, yl.Hyperparameters(box=0.2, anchor_t=2.0))
    own.reset()
    assert_direct(own)


def test_the_cells_come_at_once_and_the_layers_a_moment_later(own) -> None:
    before = own.result.layers
    assert own.draft(own.computed) is None  # they are known
    own.box = 0.2
    assert "layers" not in vars(own.state.backward)  # nobody has asked yet
    draft = own.draft(own.computed)
    (cells,), ((chart,),) = draft.rows, draft.more[0].unfolded()
    assert chart.late
    assert chart.marks[0].y == pytest.approx(before.total.tolist())
    whole = own.as_scene()
    for draft, final in zip(cells, whole.rows[0], strict=True):
        np.testing.assert_array_equal(draft.layers[0].pixels, final.layers[0].pixels)
    assert not whole.more[0].unfolded()[0][0].late
    assert_direct(own, yl.Hyperparameters(box=0.2))
    assert own.draft(own.computed) is None


def test_layers_of_another_model_are_not_shown_as_late_ones(own, tmp_path) -> None:
    own.as_scene()
    other = GradientExplorer(images=pictures()[0], targets=pictures()[1], model=two_levels(tmp_path).train())
    own._adopt(own.settle(own.state, replace(own.state, model=other.state.model)))
    assert own.state.backward.earlier is None
    ((chart,),) = own.draft(own.computed).more[0].unfolded()
    assert (chart.late, chart.marks) == (True, ())


def test_layers_that_nobody_looks_at_are_not_computed(own) -> None:
    own.as_scene()
    own.box = 0.2
    assert own.page_draft() is None  # nothing that is late is open
    scene = own.page_scene()
    assert "layers" not in vars(own.state.backward)
    assert not scene.more[0].unfolded()[0][0].late  # as when a reader opens it
    assert_direct(own, yl.Hyperparameters(box=0.2))


def test_a_flat_output_is_taken_apart_once() -> None:
    w = GradientExplorer(model=small_model("YOLOv1"))
    numbers = w.state.backward.maps.numbers
    w.set(coord_scale=2.0, step=3)
    assert w.state.backward.maps.numbers is numbers
    before = map_gradients(
        w.state.backward.loss, w.state.backward.through.maps, w.state.backward.targets, w.state.model.decode
    )
    torch.testing.assert_close(w.result.maps.cells("box", 0), before.cells("box", 0))


def test_looking_elsewhere_does_not_run_the_model(own) -> None:
    backward = own.state.backward
    own.set(term="box", level=1, log=False, chosen=(2,))
    assert own.state.backward is backward
    through = backward.through
    own.objects = own.objects[:1]
    assert own.state.backward.through is through  # the pass forward is kept, too
    assert own.state.backward.layers is not backward.layers


def test_cells_are_shaded_by_the_norm_of_the_chosen_term(own) -> None:
    own.set(term="cls", level=1, log=False)
    (gradient,) = own.result.maps.gradients["cls"][1]  # (A, H, W, K)
    strength = cell_strengths(own.result, 1)
    np.testing.assert_allclose(strength, gradient.square().sum((0, 3)).sqrt(), rtol=1e-5)
    assert shades(strength, strength.max(), False).max() == 1
    (panel,) = panels(own, Panel)
    assert panel.title == "cls, stride 16 / P4"
    changed = np.abs(panel.layers[0].pixels.astype(int) - panels_of_term(own, "box")[0].layers[0].pixels).sum()
    assert changed > 0


def panels_of_term(w: GradientExplorer, term: str) -> list[Panel]:
    w.term = term
    return panels(w, Panel)


def test_positives_and_background_of_objectness_make_up_the_whole(own) -> None:
    squares = {}
    for term in ("obj", "obj positive", "obj background"):
        own.term = term
        squares[term] = sum((cell_strengths(own.result, level) ** 2).sum() for level in range(2))
    assert squares["obj"] == pytest.approx(squares["obj positive"] + squares["obj background"], rel=1e-5)
    own.term = "obj background"
    assert {cell.target for cell in own.result.strongest} == {None}
    own.term = "obj positive"
    assert None not in {cell.target for cell in own.result.strongest}


def test_the_table_lists_the_strongest_cells_and_a_click_chooses_one(own) -> None:
    own.term = "box"
    (table,) = panels(own, Table)
    assert table.columns[-4:] == ("total", "box", "obj", "cls")
    first = own.result.strongest[0]
    place = (str(own.state.model.strides[first.level]), str(first.row), str(first.col), str(first.anchor))
    assert table.rows[0][:4] == place
    assert table.rows[0][6] == f"{max(own.result.maps.cells('box', k).max() for k in range(2)):.3g}"
    assert table.rows[0][4] == f"{first.target} {own.state.names[int(own.objects[first.target][4])]}"
    assert table.marked == (0,)
    own.chosen = (3,)
    assert panels(own, Table)[0].marked == (3,)
    own.term = "cls"
    assert own.chosen is None


def test_arrows_point_where_a_step_down_the_loss_moves_the_decoded_box(own) -> None:
    own.set(term="box", level=0)
    moved, cells = own.result.moved, own.result.strongest
    model = own.state.model
    images = images_of((own.state.shown,))
    (rows, cols), anchors = (8, 8), 2
    places = [(cell.anchor * rows + cell.row) * cols + cell.col for cell in cells]
    assert max(places) < anchors * rows * cols
    torch.testing.assert_close(moved.before, model.decode(model(images))[0][places, :4].detach())
    arrows = [layer for layer in panels(own, Panel)[0].layers if isinstance(layer, Arrows)]
    assert arrows[-1].refs == ("chosen 0",)  # in front of the others, which are faint
    assert len({arrow.colour for arrow in arrows}) == 2
    ends = {ref: row for layer in arrows for ref, row in zip(layer.refs, layer.ends, strict=True)}
    shift = (moved.after - moved.before)[:, :2]
    drawn = torch.tensor([ends[f"chosen {index}"] for index in range(len(cells))])
    cosine = torch.cosine_similarity(drawn[:, 2:] - drawn[:, :2], shift)
    torch.testing.assert_close(cosine, torch.ones_like(cosine), atol=1e-2, rtol=0)
    # the overlap with the object that the first cell answers for grows
    x, y, w, h = targets_of((own.state.shown,))[cells[0].target, 2:] * 64
    wanted = torch.stack((x, y, w, h))[None]
    before, after = (yl.bbox_iou(box[:1], wanted, "ciou") for box in moved)
    assert after > before


def test_no_arrows_where_the_term_does_not_move_boxes(own) -> None:
    own.term = "cls"
    assert not any(isinstance(layer, Arrows) for panel in panels(own, Panel) for layer in panel.layers)
    assert sum(isinstance(layer, Boxes) for layer in panels(own, Panel)[0].layers) == 2  # objects, cells of the table


def test_the_chart_has_a_line_for_each_term_through_the_layers_by_index(own) -> None:
    (chart,) = panels(own, Chart)
    assert [mark.name for mark in chart.marks] == ["total", "box", "obj", "cls"]
    assert chart.marks[0].x == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert chart.marks[0].y == pytest.approx(own.result.layers.total.tolist(), rel=1e-6)
    assert chart.y_scale == "log"


def test_without_objects_only_objectness_pulls(own) -> None:
    own.objects = ()
    assert_direct(own)
    assert "no gradient: box, cls" in own.words()
    (chart,) = panels(own, Chart)
    assert [mark.name for mark in chart.marks] == ["total", "obj"]
    own.term = "box"
    assert own.result.strongest == ()
    assert panels(own, Table)[0].caption == "no cell has a gradient"
    assert own.as_scene().png("dark")[:4] == b"\x89PNG"


def test_four_levels_and_one_class(tmp_path) -> None:
    images, targets = pictures(size=128, classes=1)
    w = GradientExplorer(images=images, targets=targets, model=yl.create_model("yolov5n-p2", num_classes=1).eval())
    assert_direct(w)
    assert len(panels(w, Panel)) == 4
    assert "no gradient: cls" in w.words()
    w.level = "stride 4 / P2"
    assert {cell.level for cell in w.result.strongest} == {0}


def test_a_detector_with_other_terms_and_maps() -> None:
    images, targets = pictures(classes=1)
    w = GradientExplorer(images=images, targets=targets, model=Centres().eval())
    assert w.result.layers.names == ("backbone Sequential", "head Conv2d")
    w.term = "size"
    assert w.result.moved is None
    assert w.result.strongest[0].target is None
    w.term = "obj positive"
    assert w.message == "term is one of total, heat, size, not 'obj positive'"
    assert w.as_scene().png("light")[:4] == b"\x89PNG"


def test_the_model_comes_out_as_it_went_in(tmp_path) -> None:
    images, targets = pictures()
    model = two_levels(tmp_path).train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    w = GradientExplorer(images=images, targets=targets, model=model)
    w.box = 0.3
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_the_code_gives_the_same_gradients(own) -> None:
    own.box = 0.1
    shown = (own.state.shown,)
    names = {"yl": yl, "model": own.state.model, "images": images_of(shown), "targets": targets_of(shown)}
    exec(own.as_code(), names)
    torch.testing.assert_close(names["layers"].norms, own.result.layers.norms)
    torch.testing.assert_close(names["cells"].norms, own.result.maps.norms)


def test_a_model_that_diverged_is_said_to_have_done_so(tmp_path) -> None:
    images, targets = pictures()
    model = two_levels(tmp_path).eval()
    torch.nn.init.constant_(model.layers[3].conv.weight, torch.nan)
    given = {"images": images, "targets": targets, "model": model}
    assert "the gradient is not finite" in repr(GradientExplorer(**given))
    losses = LossExplorer(**given)
    assert "The loss is not finite" in repr(losses)
    assert losses.as_scene().png("light")[:4] == b"\x89PNG"


def test_gains_follow_a_linked_loss_explorer(tmp_path) -> None:
    images, targets = pictures()
    given = {"images": images, "targets": targets, "model": two_levels(tmp_path).eval()}
    losses, gradients = LossExplorer(**given), GradientExplorer(**given)
    link(losses, gradients)
    losses.set(cls=1.5, anchor_t=3.0)
    assert_direct(gradients, yl.Hyperparameters(cls=1.5, anchor_t=3.0))
    gradients.box = 0.1
    assert losses.result.hyp == yl.Hyperparameters(cls=1.5, anchor_t=3.0, box=0.1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"targets": [[0, 3, 0.5, 0.5, 0.2, 0.2]]}, "class 3, but the model has classes 0 to 2"),
        ({"targets": [[0, 0, 40, 50, 20, 20]]}, "target 0 has"),
        ({"images": torch.zeros(1, 3, 50, 64)}, "multiples of 16"),
        ({"model": "no such weights"}, "no such weights"),
        ({"model": lambda images: [images]}, "function has no criterion"),
    ],
)
def test_what_does_not_fit_is_said_in_place(tmp_path, given, sentence) -> None:
    images, _ = pictures()
    w = GradientExplorer(**{"images": images, "model": two_levels(tmp_path), **given})
    assert w.result is None
    assert re.search(sentence, w.message)
    assert w.message in repr(w.as_scene())


def test_a_class_that_the_model_lacks_is_refused_and_the_rest_stays(own) -> None:
    before = own.result.maps.norms
    own.objects = ((5, 5, 20, 20, 7),)
    assert "class 7, but the model has classes 0 to 2" in own.message
    assert torch.equal(own.result.maps.norms, before)


def test_a_level_that_the_next_model_lacks_becomes_all(tmp_path) -> None:
    images, targets = pictures(1, 128)
    w = GradientExplorer(images=images, targets=targets, model=yl.create_model("yolov5n6", num_classes=3), level=3)
    assert w.result.state.level == 3
    w.model = two_levels(tmp_path)
    assert w.message == ""
    assert w.level == -1
    assert len(panels(w, Panel)) == 2
