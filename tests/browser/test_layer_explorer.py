"""LayerExplorer in a real JupyterLab: layers, cells and feature maps are clicked."""

from collections.abc import Callable

from tests.browser.explorer import OpenExplorer

CELL = "from walkthrough import LayerExplorer\nw = LayerExplorer()\nw"
NODE = (
    "[(b.xyxy[4][0] + b.xyxy[4][2]) / 2 for b in w.as_scene().all_rows[1][0].layers if getattr(b, 'pick', '')][0],"
    "[(b.xyxy[4][1] + b.xyxy[4][3]) / 2 for b in w.as_scene().all_rows[1][0].layers if getattr(b, 'pick', '')][0]"
)


def asked(explorer: OpenExplorer, expression: str, expected: str) -> bool:
    """Whether the kernel comes to hold this: the gradient of a cell takes its time on a busy machine."""
    for _ in range(40):
        if explorer.ask(expression) == expected:
            explorer.settle()
            return True
        explorer.page.wait_for_timeout(250)
    return False


def test_a_layer_a_cell_and_a_map_are_chosen_by_clicks(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell(CELL)
    before = explorer.picture()
    x, y = map(float, explorer.ask(NODE).strip("()").split(","))
    explorer.click((x, y), panel=2)
    assert asked(explorer, "w.layer, w.result.record.kind", "(4, 'C3')")
    assert explorer.picture() != before

    seen = explorer.picture()
    explorer.click((100, 60), panel=0)
    assert asked(explorer, "w.result.cell", "(7, 12)")
    assert explorer.picture() != seen
    explorer.key("ArrowRight", panel=0)  # the place moves with the arrow keys too
    assert asked(explorer, "w.place[0] > 100.5", "True")

    explorer.click((1.06 * 160 + 5.5 * 5, 20.5 * 5), panel=1)  # in the second map
    assert asked(explorer, "w.channel, w.result.cell", "(1, (20, 5))")
    explorer.drag((20, 120), (60, 170), panel=0)  # a box drawn on free ground
    assert asked(explorer, "len(w.result.reach), w.objects[3][:4]", "(4, (20.0, 120.0, 60.0, 170.0))")
    assert asked(explorer, "w.result.cell", "(20, 5)")  # and the cell stays
    explorer.choose("layer", "24 Detect")
    explorer.type_number("output", 2)
    assert asked(explorer, "w.result.field.grid", "(8, 8)")
    explorer.toggle("effective")
    assert asked(explorer, "w.result.effective is None", "True")
    explorer.press("reset")
    assert asked(explorer, "w.layer, len(w.objects)", "(16, 4)")  # what was drawn stays
    explorer.press("clear pictures")
    assert asked(explorer, "len(w.objects)", "3")
    assert explorer.picture() == before
    assert explorer.message == ""
    assert explorer.errors == []
