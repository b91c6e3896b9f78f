"""Stepper: the moves, what is opened and drawn, with our functions and with others, with and without pictures."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

import yolo_lite as yl
from tests.walkthrough.test_trace import ANCHORS, GRIDS, STRIDES, some_targets
from walkthrough.explorers.controls import controls_of, options_of
from walkthrough.explorers.pictures import targets_of
from walkthrough.explorers.stepper import Stepper
from walkthrough.explorers.stepper.reading import (
    BOX_CELLS,
    COL_ROW,
    MATCHES,
    NOTHING,
    POINTS,
    ROW_COL,
    SHARES,
    TARGETS,
    XYWH,
    XYXY,
    Place,
    guess,
    overlay,
)
from walkthrough.explorers.stepper.scene import LONGEST_VALUE
from walkthrough.render.live import Live
from walkthrough.scene import Cells, Chart, Code, Panel, Points, Table
from walkthrough.serialise import to_json
from walkthrough.show import show_assignment
from walkthrough.trace import Trace, load_trace, trace
from yolo_lite.loss import loss as module_of_loss
from yolo_lite.loss import targets as module_of_targets
from yolo_lite.loss.targets import to_grid_units


def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)


@cache
def tour_batch() -> yl.Batch:
    return yl.tour_batch()


FIRST = mean.__code__.co_firstlineno


@pytest.fixture(scope="module")
def tour() -> Trace:
    return Stepper().state.recording


@pytest.fixture
def stepper(tour) -> Stepper:
    return Stepper(tour, images=tour_batch())


def panels(w: Stepper) -> list:
    return [panel for row in w.as_scene().all_rows for panel in row]


def layers(w: Stepper, kind: type) -> list:
    return [
        layer for panel in panels(w) if isinstance(panel, Panel) for layer in panel.layers if isinstance(layer, kind)
    ]


# -- moving ------------------------------------------------------------------------------------------------------------


def test_steps_go_forward_and_back_and_say_where_they_end():
    w = Stepper(trace(mean)([1, 2, 6]))
    seen = [w.result.step.line]
    while not w.message:
        w.next()
        seen.append(w.result.step.line)
    assert w.message == "This is the last step."
    lines = [FIRST, FIRST + 1, *[FIRST + 2, FIRST + 3] * 3, FIRST + 2, FIRST + 4]
    assert seen == [*lines, lines[-1]]
    w.back()
    assert w.step == len(lines) - 2
    w.first()
    assert w.result.step.kind == "call"
    w.back()
    assert w.message == "This is the first step."
    w.last()
    assert w.result.variables["return"].text == "3"


def test_variables_are_those_of_the_step_forward_and_back():
    w = Stepper(trace(mean)([1, 2, 6]))
    forward = []
    for step in range(len(w.state.recording)):
        w.step = step
        forward.append({name: value.text for name, value in w.result.variables.items()})
    assert [values.get("total") for values in forward] == [None, "0", "0", "1", "1", "3", "3", "9", "9", "9"]
    for step in reversed(range(len(forward))):
        w.step = step
        assert {name: value.text for name, value in w.result.variables.items()} == forward[step]


def test_over_and_out_pass_by_what_is_called(stepper):
    recording = stepper.state.recording
    stepper.step = next(s.index for s in recording if recording.calls[s.call].name == "assign_level")
    depth = stepper.result.step.depth
    for _ in range(3):
        stepper.over()
        assert recording.calls[stepper.result.step.call].name == "assign_level"
    stepper.next()
    assert stepper.result.step.depth in (depth, depth + 1)
    stepper.step = recording.of("to_grid_units")[1].index
    stepper.out()
    assert stepper.result.step.depth == depth
    assert stepper.result.step.kind == "back"
    assert "boxes" in stepper.result.changed


def test_to_the_next_time_that_a_line_runs():
    w = Stepper(trace(mean)([1, 2, 6]))
    w.step = 3
    w.next_time()
    assert (w.result.step.line, w.result.step.iteration) == (FIRST + 3, 2)
    w.next_time()
    w.next_time()
    assert w.result.step.iteration == 3
    assert w.message == "This line does not run again."


def test_to_the_changes_of_the_opened_name_and_back():
    w = Stepper(trace(mean)([1, 2, 6]))
    w.name = "total"
    values = []
    for _ in range(4):
        w.next_change()
        values.append(w.result.opened.text)
    assert values == ["0", "1", "3", "9"]
    w.next_change()
    assert "does not change any more" in w.message
    w.previous_change()
    assert (w.name, w.result.opened.text) == ("total", "3")
    w.name = ""
    w.next_change()
    assert "open a variable first" in w.message


def test_breakpoints_are_set_and_removed_by_a_click_and_reached():
    w = Stepper(trace(mean)([1, 2, 6]))
    w.next_stop()
    assert "click a line" in w.message
    w.picked = (FIRST + 3,)
    assert w.picked is None  # ready for the next click
    assert panels(w)[0].marked == (FIRST + 3,)
    w.next_stop()
    w.next_stop()
    assert (w.result.step.line, w.result.step.iteration) == (FIRST + 3, 2)
    w.picked = (FIRST + 3,)
    assert w.breakpoints == ()
    w.breakpoints = (FIRST + 4,)
    w.next_stop()
    assert w.result.step.line == FIRST + 4
    w.next_stop()
    assert "no line with a breakpoint follows" in w.message.lower()


def test_the_calls_under_way_can_be_looked_into(stepper):
    recording = stepper.state.recording
    stepper.step = recording.of("make_assignment")[3].index
    assert [call.name for call in recording.stack(stepper.step)][-2:] == ["assign_level", "make_assignment"]
    stepper.frame = 1
    assert "cells" in stepper.result.variables
    assert "rows" not in stepper.result.variables
    code = panels(stepper)[0]
    assert code.lines[code.lit - code.first].strip().startswith("return make_assignment(")
    stepper.frame = [*options_of(controls_of(stepper.state)["frame"], stepper.state)][-1]
    assert "anchors_in_cells" in stepper.result.variables
    stepper.next()
    assert stepper.frame == 0


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_source_stands_left_with_its_line_lit_and_changes_are_marked(stepper):
    recording = stepper.state.recording
    step = recording.at("box")[0]
    stepper.step = step.index
    code, table = panels(stepper)[:2]
    assert isinstance(code, Code)
    assert code.lines[code.lit - code.first].strip() == "box = boxes[target]  # (m, 4)"
    assert isinstance(table, Table)
    marked = [table.rows[row] for row in table.marked]
    value = step.change("box").value
    stats = f"{value.stats.low:.3g}, {value.stats.mean:.3g}, {value.stats.high:.3g}"
    assert marked == [("box", f"{value.shape} float32", stats)]
    assert stepper.name == "box"  # opened by itself


def test_an_opened_tensor_is_a_table_a_histogram_or_an_image(stepper):
    stepper.step = stepper.state.recording.at("box")[0].index
    array = stepper.result.opened.array
    table = panels(stepper)[2]
    assert [row[0] for row in table.rows] == [str(k) for k in range(18)]
    assert table.rows[3][1:] == tuple(f"{value:.4g}" for value in array[3].tolist())
    stepper.first_row = 5
    assert panels(stepper)[2].rows[0][0] == "5"
    stepper.view = "histogram"
    chart = panels(stepper)[2]
    assert isinstance(chart, Chart)
    assert sum(chart.marks[0].counts) == array.size
    stepper.view = "image"
    picture = panels(stepper)[2].layers[0]
    assert picture.pixels.shape == (*array.shape, 3)


def test_values_that_changed_in_place_are_marked_row_by_row():
    def work():
        x = torch.zeros(6, 2)
        x[2:4] += 1
        return x

    w = Stepper(trace(work)())
    w.step = 2
    assert panels(w)[2].marked == (2, 3)
    assert panels(w)[1].caption == "bold: changed by this step; x: 4 of 12 changed"


def test_planes_of_larger_tensors_are_chosen():
    def work():
        x = torch.arange(24.0).view(2, 3, 2, 2)
        return x.sum()

    w = Stepper(trace(work)())
    assert w.step == 1  # the first that changes a tensor
    w.plane = 4
    assert panels(w)[2].title == "x[1, 1]"
    assert [row[1:] for row in panels(w)[2].rows] == [("16", "17"), ("18", "19")]
    w.plane = 6
    assert "plane lies between 0 and 5" in w.message


def test_parts_of_containers_are_opened(stepper):
    stepper.last()
    assert stepper.result.opened.type == "list"
    stepper.name = "return.1"
    assert panels(stepper)[2].columns[1:4] == ("image", "anchor", "row")
    stepper.name = "return.1.row"
    expected = yl.build_targets(tour_batch().targets, GRIDS, ANCHORS, STRIDES)
    assert np.array_equal(stepper.result.opened.array, expected[1].row)


def test_long_containers_are_shown_by_what_they_hold():
    def work():
        grids = [(k, 10 * k) for k in range(30)]
        return len(grids)

    w = Stepper(trace(work)())
    w.last()
    words = {row[0]: row[1] for row in panels(w)[1].rows}
    assert words["grids"].startswith("[(0, 0), (1, 10")
    assert len(words["grids"]) <= LONGEST_VALUE


def test_a_row_of_the_table_opens_its_variable(stepper):
    stepper.step = stepper.state.recording.at("box")[0].index
    stepper.row = (1,)
    assert (stepper.name, stepper.row) == ("boxes", None)


def test_a_name_without_value_yet_is_said_to_have_none(stepper):
    stepper.step = stepper.state.recording.of("make_assignment")[0].index
    stepper.name = "half_step"
    assert panels(stepper)[2].rows == (("half_step", "has no value yet"),)
    stepper.next_change()
    assert stepper.result.opened.shape[1] == 2


def test_an_image_in_a_variable_is_seen_as_a_photograph():
    def work(images):
        half = images / 2
        return half

    batch = yl.tour_batch(64)
    w = Stepper(trace(work)(batch.images), step=0)
    w.view = "image"
    w.plane = 3  # the second picture
    assert np.array_equal(panels(w)[2].layers[0].pixels, batch.images[1].permute(1, 2, 0).numpy())


# -- on the picture ----------------------------------------------------------------------------------------------------


def test_boxes_in_cells_lie_on_their_objects(stepper):
    step = next(s for s in stepper.state.recording.at("boxes") if s.kind == "back")
    stepper.step = step.index
    targets = tour_batch().targets
    boxes = to_grid_units(targets, GRIDS[0])[targets[:, 0] == 0] * 8
    assert stepper.result.overlay.reading == BOX_CELLS
    drawn = stepper.result.overlay.layers[-1]
    assert np.allclose(drawn.xyxy, yl.xywh_to_xyxy(boxes), atol=0.02)
    stepper.picture = 2
    assert len(stepper.result.overlay.layers[-1].xyxy) == (targets[:, 0] == 2).sum()


def test_rows_and_columns_are_drawn_as_cells_of_their_grid(stepper):
    steps = stepper.state.recording.at("row")
    stepper.step = steps[1].index
    stepper.name = "row"
    (level,) = [yl.build_targets(tour_batch().targets, GRIDS, ANCHORS, STRIDES)[1]]
    mine = level.image == 0
    expected = {(float(r), float(c)) for r, c in zip(level.row[mine], level.col[mine], strict=True)}
    # image is not yet known at this line: whose a row is follows from target
    drawn = stepper.result.overlay.layers[-1]
    assert isinstance(drawn, Cells)
    assert (drawn.stride, set(drawn.cells)) == (16, expected)
    stepper.stride = 32
    assert stepper.result.overlay.layers[-1].stride == 32


def test_matches_are_drawn_as_show_assignment_draws_them(stepper):
    step = next(
        s
        for s in stepper.state.recording.at("return")
        if stepper.state.recording.calls[s.call].name == "make_assignment"
    )
    stepper.step = step.index
    level = yl.build_targets(tour_batch().targets, GRIDS, ANCHORS, STRIDES)[0]
    expected = show_assignment(tour_batch(), [level], [8]).rows[0][0]
    assert stepper.result.overlay[:3] == (MATCHES, expected.layers[1:], expected.caption)


def test_the_reader_chooses_another_reading(stepper):
    stepper.step = stepper.state.recording.at("box")[0].index
    stepper.read_as = NOTHING
    assert stepper.result.overlay.layers == ()
    stepper.read_as = TARGETS
    assert "6 columns are needed" in panels(stepper)[-1].caption
    stepper.read_as = "boxes xyxy, pixels"
    assert stepper.result.overlay.reading == XYXY


def value_of(array):
    def hold(x):
        return x

    return trace(hold)(array).at("x").value


def place(name="x", grid=None, size=(480, 640)) -> Place:
    variables = {} if grid is None else trace(lambda grid: grid)(grid).state(0)
    return Place(name, (variables,), size, 0)


@pytest.mark.parametrize(
    ("array", "where", "reading"),
    [
        (torch.tensor([[0, 3, 0.5, 0.5, 0.1, 0.2]]), place(), TARGETS),
        (torch.tensor([[0.5, 3, 0.5, 0.5, 0.1, 0.2]]), place(), NOTHING),
        (torch.tensor([[0.5, 0.5, 0.1, 0.2]]), place(), SHARES),
        (torch.tensor([[10.0, 20, 50, 60]]), place(), XYXY),
        (np.array([[100, 20, 50, 60]]), place(), XYWH),
        (torch.tensor([[100.0, 20, 50, 60]]), place("xyxy"), XYXY),
        (torch.tensor([[10.5, 20.5, 3.0, 4.0]]), place("boxes", (60, 80)), BOX_CELLS),
        (torch.tensor([[10, 20]]), place("cell", (60, 80)), COL_ROW),
        (torch.tensor([[10, 20]]), place("cell"), NOTHING),
        (torch.tensor([[10, 20]]), place("pairs", (60, 80)), NOTHING),
        (torch.tensor([[10.5, 20.5]]), place("xy", (60, 80)), POINTS),
        (torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), place(), NOTHING),
        (torch.full((5, 4), float("nan")), place(), NOTHING),
        (torch.zeros(0, 4), place(), NOTHING),
        (torch.zeros(7), place(), NOTHING),
        (torch.ones(2, 4, dtype=torch.complex64), place(), NOTHING),
        (np.array(["a"]), place(), NOTHING),
    ],
)
def test_how_values_are_read(array, where, reading):
    assert guess(value_of(array), where) == reading


def test_readings_by_hand():
    pixels = np.zeros((480, 640, 3), np.uint8)
    shares = overlay(value_of(torch.tensor([[0.5, 0.5, 0.1, 0.2]] * 2)), SHARES, place(), pixels)
    assert shares.layers[0].xyxy == ((288.0, 192.0, 352.0, 288.0),)
    assert shares.layers[0].labels == ("rows 0, 1",)
    points = overlay(value_of(torch.tensor([[2.5, 3.0]])), POINTS, place("xy", (60, 80)), pixels)
    assert isinstance(points.layers[1], Points)
    assert points.layers[1].xy == ((20.0, 24.0),)
    swapped = overlay(value_of(torch.tensor([[2, 3]])), ROW_COL, place("cell", (60, 80)), pixels)
    assert swapped.layers[1].cells == ((2.0, 3.0),)
    assert overlay(value_of(torch.tensor([[2, 3]])), COL_ROW, place(), pixels).words.endswith("choose a stride")


# -- recorded live -----------------------------------------------------------------------------------------------------


def test_without_a_trace_build_targets_is_recorded_on_the_tour_batch():
    w = Stepper()
    w.last()
    expected = yl.build_targets(targets_of(w.state.pictures), GRIDS, ANCHORS, STRIDES)
    for found, level in zip(w.state.recording.result, expected, strict=True):
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, level, strict=True))
    assert targets_of(w.state.pictures) == pytest.approx(tour_batch().targets, abs=1e-5)
    assert w.uploads


def test_a_moved_object_and_another_anchor_t_are_recorded_again_at_the_same_place():
    w = Stepper()
    w.step = w.state.recording.at("box")[1].index
    line, before = w.result.step.line, w.result.opened.shape
    w.anchor_t = 8
    assert (w.result.step.line, w.name) == (line, "box")
    assert w.result.opened.shape > before
    targets = targets_of(w.state.pictures)
    expected = yl.build_targets(targets, GRIDS, ANCHORS, STRIDES, 8)[1]
    assert w.result.opened.shape == expected.box.shape
    w.objects = ((100, 100, 200, 160, 3),)
    assert targets_of(w.state.pictures)[0].tolist() == pytest.approx([0, 3, 150 / 640, 130 / 640, 100 / 640, 60 / 640])
    w.reset()
    w.clear()
    assert torch.equal(targets_of(w.state.pictures), targets_of(Stepper().state.pictures))


def test_a_picture_without_objects_and_a_photograph_of_odd_size():
    w = Stepper(images=np.zeros((333, 500, 3), np.uint8), targets=[])
    w.last()
    assert [len(level.row) for level in w.state.recording.result] == [0, 0, 0]
    for step in range(len(w.state.recording)):
        w.step = step
        assert w.message == ""
        assert w.as_scene().all_rows
    w.add_picture(np.full((50, 90, 3), 200, np.uint8), "mine.png")
    w.objects = ((10, 10, 60, 90, 0),)
    assert sum(len(level.row) for level in w.state.recording.result) > 0


@pytest.mark.parametrize("levels", [2, 4])
def test_models_with_other_levels(levels):
    strides = [8, 16, 32, 64][:levels]

    class Model:
        anchors = torch.arange(1.0, levels * 6 + 1).view(levels, 3, 2) * 4

    Model.strides = strides
    w = Stepper(model=Model())
    assert len(w.state.recording.of("make_assignment").steps) > 0
    assert [call.name for call in w.state.recording.calls].count("assign_level") == levels


# -- any function ------------------------------------------------------------------------------------------------------


def test_the_loss_is_stepped_through_with_its_boxes_on_the_picture():
    loss = yl.ComputeLoss(ANCHORS, STRIDES, 80)
    batch = tour_batch()
    maps = [torch.zeros(4, 3, rows, cols, 85) for rows, cols in GRIDS]
    recording = trace(loss, into=module_of_loss)(maps, batch.targets)
    w = recording.show(images=batch)
    assert not w.uploads
    w.step = recording.at("matched")[0].index
    w.name = "matches"
    assert w.result.overlay.reading == MATCHES  # the grid is known from raw, (N, A, H, W, 5 + C)
    expected = show_assignment(batch, [yl.build_targets(batch.targets, GRIDS, ANCHORS, STRIDES)[0]], [8])
    assert w.result.overlay.layers == expected.rows[0][0].layers[1:]


@pytest.mark.parametrize(
    "recording",
    [
        trace(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))(torch.ones(1, 3, 8)),
        trace(np.polyfit)(np.arange(5.0), np.arange(5.0), 1),
        trace(lambda n: [k * k for k in range(n)])(3),
        trace(mean)([]),
        trace(lambda: None)(),
        trace(mean)([np.float32(1)]),
    ],
    ids=["torch module", "numpy routine", "comprehension", "error", "nothing", "numpy scalars"],
)
def test_every_step_of_any_function_is_shown_in_every_view(recording):
    w = recording.show()
    for step in range(len(recording)):
        w.step = step
        for view in ("table", "histogram", "image"):
            w.view = view
            for name in [*w.result.variables][:6]:
                w.name = name
                assert w.message == ""
                json.dumps(to_json(w.as_scene(), lambda pixels: ""))
        assert repr(w).startswith("Stepper: step")


def test_the_line_that_raised_is_shown_as_such():
    w = trace(mean)([]).show()
    w.last()
    code = panels(w)[0]
    assert (code.failed, code.lit) == (True, FIRST + 4)
    assert "ZeroDivisionError" in code.caption
    assert "raises ZeroDivisionError" in w.words()


def test_a_saved_trace_is_stepped_through_without_its_source(tmp_path):
    scope: dict = {}
    exec("def hidden(x):\n    y = x + 1\n    return y\n", scope)
    trace(scope["hidden"])(torch.ones(3)).save(tmp_path / "hidden.trace")
    w = Stepper(tmp_path / "hidden.trace")
    code = panels(w)[0]
    assert (code.lines, code.first, code.lit) == (("(no source)",) * 3, 1, 2)
    assert w.name == "y"
    recording = trace(yl.build_targets, into=module_of_targets)(some_targets(), GRIDS, ANCHORS, STRIDES)
    recording.save(tmp_path / "targets.trace")
    again = load_trace(tmp_path / "targets.trace").show(images=tour_batch())
    again.step = recording.at("box")[0].index
    assert again.result.overlay.reading == BOX_CELLS


def test_copies_that_gave_way_are_said_to():
    def work():
        for k in range(30):
            x = torch.full((300, 300), float(k))
        return x

    w = trace(work, memory=1)().show()
    w.step = 3
    w.name = "x"
    assert panels(w)[2].caption == "the copy was dropped for later ones"


def test_inputs_that_cannot_be_used_get_a_sentence():
    assert "a Stepper shows what trace(fn)(its arguments) gives" in Stepper(trace(mean)).message
    assert "not a trace" in Stepper(__file__).message
    assert "has no anchors" in Stepper(model=nn.Linear(1, 1)).message
    with pytest.raises(TypeError, match="takes no 'picture_of'"):
        Stepper(picture_of=1)


def test_settings_as_code_bring_the_same_place_back(stepper):
    stepper.step = stepper.state.recording.at("box")[0].index
    stepper.view = "image"
    code = stepper.as_code()
    assert code == f"Stepper(recording, step={stepper.step}, name='box', view='image')"
    again = Stepper(stepper.state.recording, step=stepper.step, name="box", view="image")
    assert (again.step, again.name, again.view) == (stepper.step, "box", "image")
    assert Stepper().as_code() == "Stepper()"
    assert Stepper(step=0).as_code().startswith("Stepper(step=0, name=")


def halved_and_joined(x):
    """Says more than a line.

    Like this one.
    """
    y = x * 2
    y = inner(y)
    return torch.cat((y, x), 1).nothing


def inner(value):
    return value[:, :1]


def test_it_opens_where_a_tensor_changes_and_its_stories_are_those_of_the_recording():
    w = Stepper(trace(halved_and_joined, into=[inner])(torch.ones(2, 3)))
    assert (w.step, w.name, w.takeaway(w.result)) == (
        *(1, "y"),
        f"Step 1 of {len(w.recording)}, from 0: "
        f"line {w.result.step.line} of halved_and_joined makes y: (2, 3) float32.",
    )
    stories = [story["label"] for story in w.page_state()["stage"]["stories"]]
    assert stories == ["first change of shape", "a function is entered", "the largest tensor", "an error"]
    w.show_story("a function is entered")
    assert (w.result.step.kind, w.takeaway(w.result)[-24:]) == ("call", "inner begins with value.")
    w.show_story("first change of shape")
    assert w.result.opened.shape == (2, 1)
    w.show_story("the largest tensor")
    assert w.result.opened.shape == (2, 3)
    w.show_story("an error")
    assert "raises AttributeError" in w.takeaway(w.result)
    w.reset()
    assert w.step == 1
    plain = Stepper(trace(mean)([1, 2, 6]))
    assert (plain.step, plain.page_state()["stage"]["stories"]) == (0, [])


def test_the_docstring_is_folded_and_variables_in_the_source_are_rows_of_the_table():
    w = Stepper(trace(halved_and_joined)(torch.ones(2, 3)))
    code, table = panels(w)[:2]
    (fold,) = code.folded
    assert [line.strip() for line in code.lines[fold[0] - code.first : fold[1] - code.first + 1]] == [
        *("", "Like this one.", '"""'),
    ]
    words = {(code.lines[n.line][n.start : n.end], table.rows[int(n.ref.split()[1])][0]) for n in code.names}
    assert words == {("x", "x"), ("y", "y")}  # "text" or "cat" are none
    assert len([n for n in code.names if n.ref == "row 0"]) == 3


def test_the_lit_part_of_training_is_that_of_the_running_function(stepper):
    assert stepper.page_state()["stage"]["part"] == "targets"
    own = Stepper(trace(halved_and_joined)(torch.ones(2, 3)))
    assert (own.page_state()["stage"]["part"], own.page_state()["stage"]["parts"][0]) == ("", "photograph")
    overlap = Stepper(trace(yl.bbox_iou)(torch.ones(2, 4), torch.ones(2, 4)))
    assert overlap.page_state()["stage"]["part"] == "loss"


def test_words_hold_no_statistics(stepper):
    stepper.step = stepper.state.recording.at("box")[0].index
    assert stepper.words().split("\n")[1] == f"  box {stepper.result.opened.shape} float32"
    assert "mean" not in repr(stepper)


def test_the_controls_stay_the_same_from_step_to_step_so_that_a_drag_goes_on(stepper):
    def declared() -> list:
        controls = [(name, c) for name, c in controls_of(stepper.State).items() if c.of_use(stepper.state)]
        return [(name, c.kind, len(options_of(c, stepper.state)) if c.kind == "choice" else 0) for name, c in controls]

    seen = set()
    for step in range(0, len(stepper.state.recording), 5):
        stepper.step = step
        seen.add(tuple(declared()))
    assert len(seen) == 1


def test_the_live_page_is_told_everything(stepper):
    page = Live(stepper)
    stepper.next()
    page.show()
    assert page.values["step"] == stepper.step
    assert [action["method"] for action in page.actions][:3] == ["back", "next", "first"]
    assert [control["name"] for control in page.controls][:2] == ["step", "frame"]


# -- unusual values ----------------------------------------------------------------------------------------------------


def opened(value: object, view: str) -> Stepper:
    w = Stepper(trace(lambda x: x)(value))
    w.view = view
    assert not w.message
    return w


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 3, 4), (0, 0, 0), (3, 0, 4), (0,), (0, 3, 32, 32)])
def test_tensors_with_nothing_in_them_are_shown_in_every_view(shape):
    for view in ("table", "histogram", "image"):
        w = opened(torch.zeros(shape), view)
        w.next()
        w.back()
        assert w.plane == 0
        assert w.as_scene().all_rows[1][0].title == ("x[0]" if shape == (3, 0, 4) and view == "table" else "x")


LARGEST = float(np.finfo(np.float64).max)


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        (np.full((4, 4), np.finfo(np.float32).min), 1),
        (np.full(3, LARGEST), 1),
        (np.full(3, 2.5), 1),
        (np.array([1_763_000_000_000_000_000, 1_763_000_000_000_002_000]), None),
        (np.array([0, 5e-324]), 1),
        (np.array([-LARGEST, LARGEST, 0.0]), 30),
        (np.array([0.0, 1.0, np.nan, np.inf]), 30),
        (np.array([3, 5, 5]), 3),
        (np.array([2**60, 2**60 + 1]), 1),
    ],
)
def test_histograms_hold_every_finite_value_whatever_its_size(values, bars, tmp_path):
    w = opened(values, "histogram")
    (mark,) = w.as_scene().all_rows[1][0].marks
    assert sum(mark.counts) == np.isfinite(values).sum()
    assert bars is None or len(mark.counts) == bars
    assert all(low < high for low, high in zip(mark.edges, mark.edges[1:], strict=False))
    assert w.as_scene().all_rows[1][0].x_label == ("x / 1e+300" if LARGEST in values.tolist() else "x")
    w.save(tmp_path / "histogram.png")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 70000), "1 x 70000, shown: one of 18 columns"),
        ((70000, 2), "70000 x 2, shown: one of 18 rows"),
        ((4096, 4), "4096 x 4, blue"),
    ],
)
def test_images_too_large_for_a_page_are_thinned_out_and_say_so(shape, words, tmp_path):
    w = opened(np.arange(np.prod(shape)).reshape(shape), "image")
    panel = w.as_scene().all_rows[1][0]
    assert words in panel.caption
    assert f"to yellow {np.prod(shape) - 1:.4g}" in panel.caption
    assert max(panel.layers[0].pixels.shape) <= 4096
    assert w.widget is not None
    w.save(tmp_path / "image.png")


def test_a_large_photograph_is_thinned_out_too():
    panel = opened(np.zeros((16, 9000, 3), np.uint8), "image").as_scene().all_rows[1][0]
    assert panel.caption == "16 x 9000 pixels, shown: one of 3 columns"
    assert panel.layers[0].pixels.shape == (16, 3000, 3)


def test_keys_that_no_picture_can_hold_are_drawn_without_what_cannot_be_drawn(tmp_path):
    w = opened({"a\x00b": torch.zeros(2, 2), "c\udc80": 1}, "table")
    assert [row[0] for row in w.as_scene().all_rows[1][0].rows] == ["a\ufffdb", "c\ufffd"]
    w.name = "x.a\x00b"
    assert w.result.opened.shape == (2, 2)
    w.save(tmp_path / "keys.png")
    (w.words() + repr(w.as_scene())).encode()
    json.dumps(to_json(w.as_scene()), ensure_ascii=False).encode()
    assert w.widget is not None


def test_parts_under_keys_with_dots_without_letters_and_of_one_name_are_opened():
    weights = torch.nn.Sequential(nn.Linear(2, 3)).state_dict()
    w = Stepper(trace(lambda held, odd: 1)(dict(weights), {"": "none", 1: "one", "1": "word", "a": {"b": "deep"}}))
    found = {}
    for name in w.state.openable[1:-1]:  # the last is what is returned, later
        w.name = name
        assert not w.message
        assert w.result.opened is not None, name
        found[name] = w.result.opened.text
    assert w.state.openable[1:5] == ("held", "held.0.weight", "held.0.bias", "odd")
    assert [found[f"odd.{key}"] for key in ("", "1", "1 (2)")] == ["'none'", "'one'", "'word'"]
    assert found["odd.a.b"] == "'deep'"
    w.name = "held.0.weight"
    assert np.array_equal(w.result.opened.array, weights["0.weight"].numpy())


class Remembering(nn.Module):
    def forward(self, x):
        self.hist = [x, x]
        y = x + 1
        self.hist = [y, x * 3]
        return y


def test_parts_of_an_objects_variables_are_opened_and_their_changes_found():
    w = Stepper(trace(Remembering())(torch.ones(2, 2)))
    w.next()
    assert "self.hist.1" in w.state.openable
    w.name = "self.hist.1"
    assert w.result.opened.array.tolist() == [[1, 1], [1, 1]]
    w.next_change()
    assert (w.name, w.message) == ("self.hist.1", "")
    assert w.result.opened.array.tolist() == [[3, 3], [3, 3]]
    assert w.result.before.array.tolist() == [[1, 1], [1, 1]]
    w.previous_change()
    assert w.result.step.index == 1
    w.last()
    w.name = "self.hist.1"
    w.next_change()
    assert w.message == "Self.hist does not change any more."


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("picked", (), "picked is"),
        ("row", [], "row is"),
        ("breakpoints", 12, "breakpoints are line numbers, or (source, line), such as (12, 15), not 12"),
        ("breakpoints", ["x"], "not ['x']"),
        ("breakpoints", [float("nan")], "breakpoints are"),
        ("breakpoints", [(0, 1, 2)], "breakpoints are"),
        ("view", torch.zeros(3), "(view) is one of table, histogram, image, not"),
        ("name", torch.zeros(2, 2), "(name) is one of"),
        ("name", np.zeros(2), "(name) is one of"),
        ("frame", torch.zeros(3), "(frame) is one of the running call: mean, not tensor"),
        ("frame", np.zeros(3), "(frame) is one of the running call: mean, not array"),
        ("follow", torch.zeros(3), "(follow) is True or False, not tensor"),
        ("stride", torch.zeros(3), "has no meaning here and stays at 0"),
        ("step", torch.zeros(3), "step is a number between 0 and"),
        ("recording", 5, "recording is what trace(fn)(its arguments) gave, not 5"),
        ("pictures", 5, "pictures are what annotate(images, targets) gave, not 5"),
    ],
)
def test_settings_that_cannot_be_get_a_sentence_and_change_nothing(name, value, sentence):
    w = Stepper(trace(mean)([1, 2, 6]))
    before, words = w.state, w.words()
    setattr(w, name, value)
    assert sentence in w.message
    assert w.state == before
    assert w.state.recording is before.recording
    assert w.words() == words
    w.as_scene()
    w.next()
    assert w.step == 1


def test_what_may_be_opened_follows_from_the_recording_alone():
    w = Stepper(trace(mean)([1, 2, 6]))
    w.openable = 5
    assert w.openable == ("", "values", "values.0", "values.1", "values.2", "total", "value", "return")


def test_breakpoints_are_given_as_lines_or_with_their_source():
    w = Stepper(trace(mean)([1, 2, 6]))
    w.breakpoints = [FIRST + 3, (0, FIRST + 4)]
    assert w.breakpoints == ((0, FIRST + 3), (0, FIRST + 4))


def test_a_recording_that_is_not_there_is_said_in_words():
    w = Stepper("nowhere.trace")
    assert "nowhere.trace" in w.message
    assert w.words() == w.message
    w.next_change()
    w.next()
    assert w.as_scene().words


def test_a_property_that_fails_tells_its_own_error():
    class Broken(Stepper):
        @property
        def broken(self):
            return self.recording.nonsense

    with pytest.raises(AttributeError, match="'Trace' object has no attribute 'nonsense'"):
        _ = Broken(trace(mean)([1])).broken
    with pytest.raises(AttributeError, match="Broken has no setting 'other'"):
        _ = Broken(trace(mean)([1])).other
