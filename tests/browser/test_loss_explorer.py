"""LossExplorer in a real JupyterLab: gains are dragged, an object is moved, all is put back."""

from collections.abc import Callable

from tests.browser.explorer import OpenExplorer

CELL = "from walkthrough import LossExplorer\nw = LossExplorer()\nw"


def test_gains_and_objects_move_the_losses(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell(CELL)
    start = explorer.picture()
    explorer.drag_slider("box", 0.8)
    assert explorer.ask("bool(w.result.now.parts.box > 4 * w.result.default.parts.box)") == "True"
    assert explorer.picture() != start
    assert "hyp = yl.Hyperparameters(box=" in explorer.root.text_content()
    explorer.type_number("balance_1", 3)
    assert explorer.ask("w.state.balance") == "(4.0, 3.0, 0.4)"
    assert explorer.control("balance_3").count() == 0  # the model has three levels
    before = explorer.ask("w.objects[0]")
    explorer.run("x1, y1, x2, y2, _ = w.objects[0]")
    x, y = (float(explorer.ask(place)) for place in ("(x1 + x2) / 2", "(y1 + y2) / 2"))
    explorer.drag((x, y), (x - 20, y - 10))
    assert explorer.ask("w.objects[0]") != before
    explorer.press("clear pictures")
    assert explorer.ask("w.objects[0]") == before
    explorer.press("reset")
    assert explorer.ask("w.result.now.parts == w.result.default.parts") == "True"
    assert explorer.message == ""
    assert explorer.errors == []
