"""LiveTraining in a real JupyterLab: it hears the page, and other cells run, while it trains."""

import time
from collections.abc import Callable

from tests.browser.explorer import OpenExplorer

CELL = "from walkthrough import LiveTraining\nw = LiveTraining(epochs=50, redraw_every=1)\nw"
SECONDS = 60


def wait_for(explorer: OpenExplorer, expression: str) -> None:
    """Until an expression is true in the kernel."""
    until = time.monotonic() + SECONDS
    while explorer.ask(expression) != "True":
        if time.monotonic() > until:
            shown = {name: explorer.ask(name) for name in ("w.running", "w.trainer.iteration", "w.obj", "w.message")}
            raise AssertionError(f"{expression} did not come true in {SECONDS} s: {shown}")
        time.sleep(0.05)


def click(explorer: OpenExplorer, button: str) -> None:
    """Press a button without waiting for the page to come to rest, which it does not while it trains."""
    explorer.root.get_by_role("button", name=button, exact=True).click()


def type_into(explorer: OpenExplorer, name: str, value: str) -> None:
    """Type a number and Enter: again, where JupyterLab took the keys while a clicked cell became the active one."""
    field = explorer.control(name).locator("input[type=number]")
    for _ in range(5):
        field.fill(value)
        if field.input_value() == value:
            return field.press("Enter")
    raise AssertionError(f"the field holds {field.input_value()} after {value} was typed")


def test_a_run_hears_its_sliders_and_its_pause_while_it_trains(open_cell: Callable[[str], OpenExplorer]) -> None:
    explorer = open_cell(CELL)
    before = explorer.picture()
    click(explorer, "start")
    wait_for(explorer, "w.trainer.iteration > 2")  # each question is a cell that runs meanwhile
    assert explorer.ask("w.running") == "True"

    type_into(explorer, "obj", "9")
    wait_for(explorer, "w.trainer.hyp.obj == 9")
    click(explorer, "pause")
    wait_for(explorer, "not w.running")
    explorer.settle()
    paused = explorer.ask("w.trainer.iteration")
    assert explorer.picture() != before

    explorer.press("step")
    assert explorer.ask("w.trainer.iteration") == str(int(paused) + 1)
    explorer.press("reset")
    assert explorer.ask("(w.trainer.iteration, w.obj)") == "(0, 5.0)"
    assert explorer.errors == []
