"""Charts and tables on matplotlib axes."""

import math

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from walkthrough.render.code import draw_ground
from walkthrough.render.layers import DASH, PX
from walkthrough.render.text import Look, font, shortened, width_of
from walkthrough.scene import Bars, Chart, Histogram, Series, Table
from walkthrough.style import DASHES, MARKERS, Theme, colour

SMALL, CELL = 12, 13  # CSS pixels, of the words in charts and in tables
ROW, PADDING, MOST_ROWS, NARROWEST, NARROWEST_NAME = 25, 12, 40, 40, 24


def draw_chart(axes: Axes, chart: Chart, theme: Theme) -> None:
    """Marks, axes and, where names need one, a legend."""
    _plain_axes(axes, theme)
    for index, mark in enumerate(chart.marks):
        paint = theme.series[index % len(theme.series)] if mark.colour is None else colour(mark.colour)
        match mark:
            case Series():
                dash = DASH[mark.dash or DASHES[index % len(DASHES)]]
                few = len(mark.x) <= 20  # marks at the points, where they do not run into each other
                shape: Look = {"marker": MARKERS[index % len(MARKERS)], "markersize": 4} if few else {}
                axes.plot(mark.x, mark.y, color=paint, linestyle=dash, linewidth=1.8 * PX, label=mark.name, **shape)
            case Bars():
                together = [other for other in chart.marks if isinstance(other, Bars)]
                _draw_bars(axes, mark, paint, theme, together.index(mark), len(together))
            case Histogram():
                widths = [right - left for left, right in zip(mark.edges, mark.edges[1:], strict=False)]
                look: Look = {"color": paint, "alpha": 0.75, "edgecolor": paint, "linewidth": 0.5, "label": mark.name}
                axes.bar(mark.edges[:-1], mark.counts, width=widths, align="edge", **look)
    for x in chart.upright:
        axes.axvline(x, color=theme.muted, linestyle=DASH["dotted"], linewidth=1.8 * PX)
    heights = [y for mark in chart.marks for y in getattr(mark, "y", getattr(mark, "values", ()))]
    if chart.y_scale == "log" and any(0 < y < math.inf for y in heights):
        axes.set_yscale("log")
    axes.set_xlabel(chart.x_label, color=theme.text, fontproperties=font(SMALL), parse_math=False)
    axes.set_ylabel(chart.y_label, color=theme.text, fontproperties=font(SMALL), parse_math=False)
    if all(isinstance(mark, Series) and all(float(x).is_integer() for x in mark.x) for mark in chart.marks):
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))  # no epoch 2.5
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels(), *axes.get_yticklabels(minor=True)):
        label.set_fontproperties(font(SMALL))
    if chart.x_range is not None:
        axes.set_xlim(chart.x_range)
    if chart.y_range is not None:
        axes.set_ylim(chart.y_range)
    if _names(chart):
        beside: Look = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.03)} if chart.legend == "beside" else {}
        legend = axes.legend(prop=font(SMALL), frameon=False, labelcolor=theme.text, handlelength=2.8, **beside)
        for text in legend.get_texts():
            text.set_parse_math(False)


def legend_room(chart: Chart) -> float:
    """CSS pixels that a legend beside a chart needs."""
    names = _names(chart) if chart.legend == "beside" else []
    return max(width_of(name, SMALL) for name in names) + 50 if names else 0.0


def _names(chart: Chart) -> list[str]:
    names = [mark.name for mark in chart.marks if mark.name]
    return [] if names == [chart.title] or chart.legend == "none" else names  # the title has said it


def _plain_axes(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.muted)
    axes.tick_params(which="both", colors=theme.text, length=3, width=0.6)
    axes.grid(True, axis="y", color=theme.rule, linewidth=0.6)
    axes.set_axisbelow(True)


def _draw_bars(axes: Axes, bars: Bars, paint: str, theme: Theme, index: int = 0, together: int = 1) -> None:
    """index, together: which of how many Bars that stand side by side."""
    places, width = range(len(bars.names)), (0.62 if together == 1 else 0.8) / together
    heights = [value if math.isfinite(value) else 0 for value in bars.values]  # the word over it says nan or inf
    middles = [place + (index - (together - 1) / 2) * width for place in places]
    look: Look = {"hatch": bars.hatch * 3, "edgecolor": theme.background} if bars.hatch else {}
    drawn = axes.bar(middles, heights, color=paint, width=width, label=bars.name, linewidth=0, **look)
    room = axes.get_window_extent().width / axes.figure.dpi * 100 / max(len(bars.names), 1)
    values = [f"{value:.3g}" for value in bars.values]
    wide = room if together == 1 else room * width
    if all(width_of(value, SMALL) < wide for value in values):  # over narrow bars they would run into each other
        for word in axes.bar_label(drawn, values, padding=2, color=theme.text):
            word.set_fontproperties(font(SMALL))
    step = max(1, -(-NARROWEST_NAME // room))  # where bars are many, every second or third name, and so on
    shown = places[:: int(step)]
    axes.set_xticks(shown, [shortened(bars.names[place], step * room - 4, SMALL) for place in shown])
    axes.set_xlim(-0.6, max(len(bars.names), 1) - 0.4)
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
    axes.margins(y=0.14)
    axes.tick_params(axis="x", length=0)


def table_size(table: Table) -> tuple[float, float]:
    """Width and height of a table in CSS pixels."""
    rows = min(len(table.rows), MOST_ROWS) + (len(table.rows) > MOST_ROWS)
    return max(math.ceil(sum(_column_widths(table))), NARROWEST), (rows + 1) * ROW


def _column_widths(table: Table) -> list[float]:
    widths = []
    for index, name in enumerate(table.columns):
        weights = ["bold" if number in table.marked else "normal" for number in range(MOST_ROWS)]
        shown = zip(table.rows, weights, strict=False)
        longest = max((width_of(row[index], CELL, weight) for row, weight in shown), default=0)
        widths.append(max(longest, width_of(name, CELL, "bold")) + 2 * PADDING)
    return widths


def draw_table(axes: Axes, table: Table, theme: Theme) -> None:
    """Header, rules and rows; columns of numbers stand right."""
    widths, (width, height) = _column_widths(table), table_size(table)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    rows = [table.columns, *table.rows[:MOST_ROWS]]
    for number in (row + 1 for row in table.marked if row < MOST_ROWS):
        draw_ground(axes, (0, number * ROW, width, ROW), theme.series[0])
    left = 0.0
    for index, column_width in enumerate(widths):
        right = all(_is_number(row[index]) for row in table.rows) and bool(table.rows)
        x, side = (left + column_width - PADDING, "right") if right else (left + PADDING, "left")
        for number, row in enumerate(rows):
            bold = number == 0 or number - 1 in table.marked
            style: Look = {"fontproperties": font(CELL, "bold" if bold else "normal"), "parse_math": False}
            axes.text(x, (number + 0.5) * ROW, row[index], ha=side, va="center_baseline", color=theme.text, **style)
        left += column_width
    for number in range(1, len(rows)):
        axes.axhline(number * ROW, color=theme.muted if number == 1 else theme.rule, linewidth=0.7)
    if len(table.rows) > MOST_ROWS:
        words = f"... and {len(table.rows) - MOST_ROWS} more rows"
        axes.text(PADDING, height - ROW / 2, words, va="center", color=theme.muted, fontproperties=font(CELL))


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "").rstrip("%"))
    except ValueError:
        return False
    return True
