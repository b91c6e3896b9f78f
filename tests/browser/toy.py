"""A small explorer with one of everything, for tests of the page itself. Its source is the first cell of a notebook."""

from dataclasses import dataclass

import numpy as np

from walkthrough.explorers.base import Action, Explorer
from walkthrough.explorers.controls import Boxes, boxes, choice, number, point, slider, toggle
from walkthrough.heatmap import HeatMap
from walkthrough.scene import Bars, Cells, Chart, Code, Grid, Key, Panel, Picture, Points, Scene, Series, Table, Text
from walkthrough.scene import Boxes as BoxLayer

LINES = (
    "def total(values):",
    "    found = 0",
    "    for value in values:",
    "        found += value",
    "    return found",
)


@dataclass(frozen=True)
class State:
    grey: int = slider(90, 0, 255, help="how light the picture is")
    rate: float = slider(0.01, 0.0001, 1.0, log=True, label="learning rate", help="moves by factors")
    slow: int = slider(4, 1, 16, heavy=True, unit="px", help="sent on release")
    seed: int = number(0, 0, 999)
    kind: str = choice("ciou", ["iou", "giou", "ciou"], help="which overlap")
    name: str = choice(
        "person", ["person", "bicycle", "traffic light", "fire hydrant", "parking meter"], group="Classes"
    )
    only: str = choice("one", ["one"])
    shown: bool = toggle(True, group="Classes")
    listed: bool = toggle(False, label="with source", group="Classes")
    objects: Boxes = boxes(((40, 40, 120, 100, 1), (140, 90, 190, 150, 2)), help="drag a box, draw one on free ground")
    place: tuple[float, float] | None = point(None)
    row: tuple[float, ...] | None = point(None)
    line: tuple[float, ...] | None = point(None)
    chosen: tuple[float, ...] | None = point(None)


class Toy(Explorer):
    """One of everything."""

    State = State
    title = "A toy with one of everything"
    actions = (Action("darker", "darker", "d", "ten steps down"), Action("fail", "fail"))
    uploads = True

    @staticmethod
    def compute(state):
        if state.grey == 13:
            raise ValueError("13 brings bad luck: take another grey")
        return state

    def darker(self):
        self.set(grey=max(self.state.grey - 10, 0))

    def fail(self):
        raise RuntimeError("nothing works")

    def add_picture(self, pixels, name):
        self.set(seed=pixels.shape[1], grey=int(pixels.mean()))

    def words(self):
        return f"grey {self.state.grey}, {len(self.state.objects)} boxes"

    @staticmethod
    def scene(state):
        rise = np.linspace(0, 40, 240, dtype=np.float64)[None, :, None]
        ground = np.clip(state.grey + rise + np.zeros((180, 240, 3)), 0, 255).astype(np.uint8)
        small = np.random.default_rng(state.seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        labels = tuple(f"class {int(box[4])}" for box in state.objects)
        colours = tuple(int(box[4]) for box in state.objects)
        sides = [box[:4] for box in state.objects]
        first = Panel(
            (
                Picture(ground),
                Grid(30, 240, 180),
                *((Cells(((1, 1), (2, 4)), 30, "own"), Cells(((1, 2),), 30, "neighbour", "/")) if state.shown else ()),
                BoxLayer(sides, labels, (), colours, drag="objects", pick="chosen"),
            ),
            240,
            180,
            "Boxes to drag",
            f"{len(sides)} boxes",
            draw="objects",
            drawn=(3,),
        )
        marks = (Points((state.place,), "anchor", "D", 9),) if state.place else ()
        second = Panel(
            (Picture(small, (0, 0, 240, 180)), *marks, Text(6, 6, state.kind)), 240, 180, "A place", pick="place"
        )
        xs = tuple(float(k) for k in range(30))
        chart = Chart(
            (
                Series("falls", xs, tuple(np.exp(-state.rate * x * 10) for x in xs)),
                Series("rises", xs, tuple(x / 30 for x in xs)),
            ),
            "Lines",
            x_label="step",
            y_label="value",
        )
        bars = Chart((Bars(("box", "obj", "cls"), (0.1, state.slow / 4, 0.5)),), "Bars")
        rows = tuple((f"row {k}", f"{k * state.grey / 7:.2f}") for k in range(6))
        table = Table(("name", "value"), rows, "A table", marked=(1,), pick="row")
        source = Code(LINES, 10, 12, (13,), "Source", pick="line", failed=state.kind == "iou")
        heat = HeatMap(
            ((0.1, 0.9), (0.4, 0.6)),
            (("1", "9"), ("4", "6")),
            ("a", "b"),
            ("a", "b"),
            "Heat",
            "",
            "truth",
            "found",
            "share",
        )
        legend = (Key("own", "own"), Key("neighbour", "neighbour", "/"), Key("drawn", 3, dash="dashed"))
        return Scene(((first, second), (chart, bars), (source, table) if state.listed else (table, heat)), legend)


w = Toy()
