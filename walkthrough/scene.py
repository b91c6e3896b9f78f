"""A picture as data: images, boxes, cells, lines, text, series, bars, tables.

A Scene says what is to be seen and leaves the drawing to walkthrough.render, so one Scene becomes a PNG, a live canvas
or JSON (walkthrough.serialise). It is rows of panels; a panel is a Panel (layers in the pixels of an image, y
downwards), a Chart or a Table. Everything is frozen and plain: numbers, words, tuples, and uint8 arrays for images.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np

from walkthrough.heatmap import HeatMap
from walkthrough.images import to_numpy
from walkthrough.tables import Words, table_text, tables_html

Colour = str | int  # a meaning ("own"), a class index, or "#RRGGBB": see walkthrough.style
Rows = tuple[tuple[float, ...], ...]
# What makes a Scene a PNG, a file, and words. These know scenes, a scene knows of them their names alone: it is pure
# data, and matplotlib is loaded with the first picture.
PAINTER = "walkthrough.render.matplotlib:render_png"
WRITER = "walkthrough.render.files:write_scene"
PANEL_IN_WORDS, CHART_IN_WORDS = "walkthrough.seen:panel_in_words", "walkthrough.seen:chart_in_words"


def table_of(values: Any, columns: int, what: str) -> Rows:
    """Anything that holds (n, columns) numbers, as a tuple of tuples rounded to a thousandth.

    >>> table_of(np.array([[0.12345, 2, 3, 4]]), 4, "boxes")
    ((0.123, 2.0, 3.0, 4.0),)
    """
    array = to_numpy(values).astype(np.float64)
    if array.size == 0:
        return ()
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(f"{what} must have the shape (n, {columns}), got {array.shape}")
    return tuple(tuple(round(value, 3) for value in row) for row in array.tolist())


@dataclass(frozen=True, eq=False)
class Picture:
    """An RGB image (H, W, 3) uint8, stretched over extent = (x1, y1, x2, y2); None: its own size."""

    pixels: np.ndarray
    extent: tuple[float, float, float, float] | None = None
    shows: str = ""  # for those who do not see it: what shades stand for, and their range; "" of a photograph

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Picture) or (self.extent, self.shows) != (other.extent, other.shows):
            return False
        return np.array_equal(self.pixels, other.pixels)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Boxes:
    """n boxes xyxy; labels, scores and colours: none, one for all, or one each."""

    xyxy: Rows
    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()  # drawn behind the label, left out of the words: they differ from machine to machine
    colours: tuple[Colour, ...] = ("object",)
    dash: str = "solid"
    width: float = 2.0  # of the outline; 0: on a live page, seen only when what it stands for is lit
    drag: str = ""  # on a live page: the field of the explorer's state that holds these boxes, which may be moved
    pick: str = ""  # on a live page: the field that a click on a box sets to (index,)
    fill: float = 0.0  # opacity of the inside
    refs: tuple[str, ...] = ()  # what each stands for: rows and marks of one ref light together; "" of none
    names: tuple[str, ...] = ()  # what each is called where no label is drawn: for those who do not see the picture

    def __post_init__(self) -> None:
        object.__setattr__(self, "xyxy", table_of(self.xyxy, 4, "boxes"))
        for name in ("labels", "scores", "colours", "names"):
            given = getattr(self, name)
            if len(given) not in (0, 1, len(self.xyxy)):
                raise ValueError(f"{len(self.xyxy)} boxes, but {len(given)} {name}")
        _check_refs(self.refs, len(self.xyxy), "boxes")


@dataclass(frozen=True)
class Cells:
    """Grid cells (row, col) at a stride, filled; hatch: "", "/", "\\", "." or "x" tells them apart without colour."""

    cells: Rows
    stride: float
    colour: Colour = "own"
    hatch: str = ""
    opacity: float = 0.45
    refs: tuple[str, ...] = ()  # see Boxes

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", table_of(self.cells, 2, "cells"))
        _check_refs(self.refs, len(self.cells), "cells")


@dataclass(frozen=True)
class Grid:
    """The lattice of a stride over a width and height."""

    stride: float
    width: float
    height: float
    colour: Colour = "grid"
    opacity: float = 0.35


@dataclass(frozen=True)
class Line:
    """One polyline through n points xy."""

    points: Rows
    colour: Colour = "accent"
    dash: str = "solid"
    width: float = 1.5
    closed: bool = False
    ref: str = ""  # see Boxes

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", table_of(self.points, 2, "points"))


@dataclass(frozen=True)
class Points:
    """n marks xy."""

    xy: Rows
    colour: Colour = "accent"
    marker: str = "o"
    size: float = 6.0
    refs: tuple[str, ...] = ()  # see Boxes

    def __post_init__(self) -> None:
        object.__setattr__(self, "xy", table_of(self.xy, 2, "points"))
        _check_refs(self.refs, len(self.xy), "points")


@dataclass(frozen=True)
class Arrows:
    """n arrows x1 y1 -> x2 y2."""

    ends: Rows
    colour: Colour = "accent"
    width: float = 1.5
    refs: tuple[str, ...] = ()  # see Boxes

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", table_of(self.ends, 4, "arrows"))
        _check_refs(self.refs, len(self.ends), "arrows")


@dataclass(frozen=True)
class Text:
    """Words at a point; anchor is "left", "center" or "right"."""

    x: float
    y: float
    text: str
    colour: Colour = "object"
    anchor: str = "left"
    size: float = 11.0


Layer = Picture | Boxes | Cells | Grid | Line | Points | Arrows | Text


@dataclass(frozen=True)
class Panel:
    """Layers on a plane, the first one undermost, seen through a window of width x height pixels at (left, top)."""

    layers: tuple[Layer, ...]
    width: float
    height: float
    title: str = ""
    caption: str = ""
    left: float = 0.0
    top: float = 0.0
    pick: str = ""  # on a live page: the field of the explorer's state that a click sets to (x, y) in these pixels
    draw: str = ""  # on a live page: the field of boxes to which dragging over free ground adds one
    drawn: tuple[float, ...] = ()  # what a new box carries behind its four sides, such as a class
    least_width: float = 0.0  # CSS pixels: a page with less room scrolls the picture instead of making it smaller
    late: bool = False  # what is to be drawn on it takes long, and follows

    def describe(self, legend: tuple["Key", ...] = ()) -> str:
        """The panel in words: what is drawn in its window, as the legend names it."""
        words: str = resolve_name(PANEL_IN_WORDS)(self, legend)
        return words


@dataclass(frozen=True)
class Series:
    """A line through (x, y), named in the legend."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    colour: Colour | None = None  # None: the next of the palette
    dash: str | None = None
    ref: str = ""  # see Boxes


@dataclass(frozen=True)
class Bars:
    """A bar for each name; several Bars of the same names in one chart stand side by side at each name."""

    names: tuple[str, ...]
    values: tuple[float, ...]
    colour: Colour | None = None
    name: str = ""  # in the legend
    hatch: str = ""  # "", "/", "\\", "." or "x": tells several Bars apart without colour
    refs: tuple[str, ...] = ()  # of each bar: see Boxes

    def __post_init__(self) -> None:
        _check_refs(self.refs, len(self.names), "bars")


@dataclass(frozen=True)
class Histogram:
    """counts (n,) between edges (n + 1,)."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    name: str = ""
    colour: Colour | None = None


Mark = Series | Bars | Histogram


@dataclass(frozen=True)
class Chart:
    """Marks on two axes."""

    marks: tuple[Mark, ...]
    title: str = ""
    caption: str = ""
    x_label: str = ""
    y_label: str = ""
    y_scale: str = "linear"  # or "log"
    x_range: tuple[float, float] | None = None  # None: what the marks need
    y_range: tuple[float, float] | None = None
    legend: str = "inside"  # or "beside": for many names; or "none": the chart beside it says the names
    upright: tuple[float, ...] = ()  # where on the x axis a dotted line stands: a moment, a limit
    drag: str = ""  # on a live page: the field of the explorer's state that the first of these lines, dragged, sets
    places: Rows = ()  # (x, setting) where that line may stand; (): all along the axis, where x is the setting
    late: bool = False  # of settings before these, or with no marks: what it is to show takes long, and follows

    def describe(self) -> str:
        """The chart in words; values, which may differ from machine to machine, behind a sign that says so."""
        words: str = resolve_name(CHART_IN_WORDS)(self)
        return words


@dataclass(frozen=True)
class Table:
    """Rows of words under column names."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    caption: str = ""
    marked: tuple[int, ...] = ()  # rows that stand out: what just changed
    pick: str = ""  # on a live page: the field of the explorer's state that a click on a row sets to (row,)
    refs: tuple[str, ...] = ()  # what each row stands for in a picture: see Boxes

    def __post_init__(self) -> None:
        _check_refs(self.refs, len(self.rows), "rows")

    def describe(self) -> str:
        """The table in words."""
        return f"table of {counted(len(self.rows), 'row')}: {', '.join(self.columns)}"


@dataclass(frozen=True)
class NameInCode:
    """A variable in a line of source, which stands for what a row of a table stands for."""

    line: int  # index of the line, from 0
    start: int  # columns of the line: the first letter, and the one behind the last
    end: int
    ref: str  # see Boxes


@dataclass(frozen=True)
class Code:
    """Lines of source, numbered from first; one is lit, those in marked carry a breakpoint. Long lines go on below."""

    lines: tuple[str, ...]
    first: int = 1
    lit: int | None = None  # a line number
    marked: tuple[int, ...] = ()  # line numbers
    title: str = ""
    caption: str = ""
    failed: bool = False  # the lit line raised
    pick: str = ""  # on a live page: the field of the explorer's state that a click on a line sets to (line number,)
    folded: tuple[tuple[int, int], ...] = ()  # first and last line number of what is left out until it is asked for
    names: tuple[NameInCode, ...] = ()
    choose: str = ""  # on a live page: the field that a click on a name sets to (the number in its ref,)

    @property
    def hidden(self) -> tuple[tuple[int, int], ...]:
        """The folded lines without those around the lit one."""
        return tuple(pair for pair in self.folded if self.lit is None or not pair[0] <= self.lit <= pair[1])

    def describe(self) -> str:
        """The source in words."""
        return f"source of {counted(len(self.lines), 'line')}" + (f", at line {self.lit}" if self.lit else "")


@dataclass(frozen=True)
class Guess:
    """A question that a reader answers before the answers are revealed: which of these are right?

    A live page has a button for each answer, and one that reveals: which were right, which were missed, and why.
    """

    question: str
    answers: tuple[str, ...]
    right: tuple[bool, ...]  # of each answer
    because: tuple[str, ...] = ()  # what decides, of each answer
    title: str = ""
    caption: str = ""
    refs: tuple[str, ...] = ()  # what each answer stands for in the picture, where a click chooses it too: see Boxes

    def __post_init__(self) -> None:
        for name in ("right", "because", "refs"):
            if len(getattr(self, name)) not in (() if name == "right" else (0,)) + (len(self.answers),):
                raise ValueError(f"{len(self.answers)} answers, but {len(getattr(self, name))} {name}")

    @property
    def table(self) -> Table:
        """The question with its answers, none of them revealed: what a still picture shows."""
        return Table((self.question,), tuple((answer,) for answer in self.answers), self.title, self.caption)

    def describe(self) -> str:
        """The question in words."""
        return f"question with {counted(len(self.answers), 'answer')}: {self.question}"


AnyPanel = Panel | Chart | Table | HeatMap | Code | Guess
PanelRows = tuple[tuple[AnyPanel, ...], ...]


@dataclass(frozen=True)
class Key:
    """One entry of a scene's legend: a swatch in the look of what it explains."""

    text: str
    colour: Colour
    hatch: str = ""
    dash: str = ""  # with a dash the swatch is a line, without one it is filled


@dataclass(frozen=True, eq=False)
class More:
    """Rows of panels under a title that a reader unfolds: statistics, curves.

    rows may be a function without arguments: on a live page it is called when the title is first opened.
    """

    title: str
    rows: PanelRows | Callable[[], PanelRows]
    legend: tuple[Key, ...] = ()  # of marks that these rows have and the rows above them do not: it unfolds with them

    def unfolded(self) -> PanelRows:
        """The rows, computed where they were left to be."""
        return self.rows() if callable(self.rows) else self.rows

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, More) or (self.title, self.legend) != (other.title, other.legend):
            return False
        return self.unfolded() == other.unfolded()

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Scene:
    """Rows of panels, a legend, the whole of it in words, and more rows, which a live page shows when asked to.

    Shows itself in a notebook: tables without a picture among them as HTML and aligned text, all else as a PNG.
    """

    rows: PanelRows
    legend: tuple[Key, ...] = ()  # of the marks in rows
    words: str = ""  # "" = put together from the panels
    more: tuple[More, ...] = ()
    # On a live page: the height in CSS pixels that all rows of pictures together have at most, and that stays free for
    # them, whatever the settings; 0: what they need
    hold: int = 0

    @property
    def all_rows(self) -> PanelRows:
        """All rows, unfolded: what a still picture shows."""
        rows = (*self.rows, *(row for more in self.more for row in more.unfolded()))
        return tuple(tuple(panel.table if isinstance(panel, Guess) else panel for panel in row) for row in rows)

    @property
    def all_keys(self) -> tuple[Key, ...]:
        """The legend of all_rows."""
        return tuple(dict.fromkeys((*self.legend, *(key for more in self.more for key in more.legend))))

    def __repr__(self) -> str:
        if self.words:
            return self.words
        if self.tables:
            return "\n\n".join(table_text(table) for row in self.tables for table in row)
        panels = [panel for panels in self.all_rows for panel in panels]
        told = [panel.describe(self.legend) if isinstance(panel, Panel) else panel.describe() for panel in panels]
        lines = [f"{panel.title}: {words}" if panel.title else words for panel, words in zip(panels, told, strict=True)]
        return "\n".join(lines) or "an empty scene"

    @property
    def tables(self) -> list[list[Words]]:
        """The tables of a scene that holds nothing else, by rows; of others none."""
        if self.legend or not all(isinstance(panel, Table) for row in self.rows for panel in row):
            return []  # before rows are unfolded
        rows = [[panel for panel in row if isinstance(panel, Table) and panel.columns] for row in self.all_rows]
        if not any(rows) or any(len(own) < len(row) for own, row in zip(rows, self.all_rows, strict=True)):
            return []
        return [[Words(p.columns, p.rows, p.title, p.caption, p.marked) for p in row] for row in rows]

    def png(self, theme: str = "any", width: int = 880) -> bytes:
        """The scene as a PNG, width pixels wide at most on the page (the file has more where that stays small)."""
        return resolve_name(PAINTER)(self, theme, width).data

    def save(self, path: str | Path, theme: str = "light", width: int = 880) -> None:
        """Write the scene as a file, in the format that its ending says.

        .png, .jpg, .webp: in all colours; the densest photograph of the scene has its own pixels, one for one.
        .svg, .pdf: lines and letters, and the pixels of photographs as they are. .html: a page of its own, without
        a kernel, on which charts can be looked at closely.

        Args:
            theme: "light", "dark", or "any": on white, for pages of unknown colours. width: of the layout, in CSS
                pixels; a file with photographs has as many pixels as those need.
        Raises:
            ValueError: another ending. FileNotFoundError: there is no such folder.
        """
        resolve_name(WRITER)(self, Path(path), theme, width)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        if self.tables:
            return {"text/plain": repr(self), "text/html": tables_html(self.tables)}, {}
        drawn = resolve_name(PAINTER)(self)
        data = {"text/plain": repr(self), "image/png": base64.b64encode(drawn.data).decode()}
        return data, {"image/png": {"width": drawn.width, "height": drawn.height}}


def _check_refs(refs: tuple[str, ...], count: int, what: str) -> None:
    if len(refs) not in (0, count):
        raise ValueError(f"{count} {what}, but {len(refs)} refs")


def counted(count: int, one: str, many: str | None = None) -> str:
    """
    >>> counted(1, "box", "boxes"), counted(3, "row")
    ('1 box', '3 rows')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"
