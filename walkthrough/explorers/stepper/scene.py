"""What a Stepper shows: source and variables, below them the opened value and the picture."""

from dataclasses import replace

from walkthrough.explorers.stepper.landmarks import is_tensor
from walkthrough.explorers.stepper.reading import NOTHING
from walkthrough.explorers.stepper.source import dedented, docstrings, names_in
from walkthrough.explorers.stepper.state import Result
from walkthrough.explorers.stepper.value import MOST_ROWS, open_value, printable, shortened
from walkthrough.images import faded
from walkthrough.scene import AnyPanel, Boxes, Chart, Code, More, Panel, Picture, Scene, Table
from walkthrough.show import class_name
from walkthrough.trace import Change, Value
from walkthrough.trace.replay import ordinal

LONGEST_ERROR, MOST_NAMED = 80, 4  # letters of an error in a sentence; arguments that are named
LONGEST_NAME, LONGEST_VALUE, LONGEST_RANGE = 14, 19, 20  # so that the table fits beside the source


def scene_of(result: Result) -> Scene:
    """Two rows: where the function is and what it knows; one value in full, and where it lies on the picture."""
    below: list[AnyPanel] = []
    if result.opened is not None:
        state = result.state
        value = open_value(result.name, result.opened, result.before, state.view, state.plane, state.first_row)
        below.append(_linked(value, result))
    elif result.name:
        below.append(Table(("name", "value"), ((printable(result.name), "has no value yet"),)))
    if result.state.pictures:
        below.append(_picture(result))
    more = (More("the open value", (tuple(below),)),) if below else ()
    return Scene(((_source(result), _variables(result)),), words=step_in_words(result), more=more)


def _linked(value: Table | Chart | Panel, result: Result) -> Table | Chart | Panel:
    """The opened value, the rows of its table linked to where they lie on the picture."""
    if not isinstance(value, Table) or not result.overlay.rows:
        return value
    return replace(value, refs=tuple(f"value {row[0]}" for row in value.rows))


def _rows_on_picture(result: Result) -> Boxes:
    """Where the rows of the table lie: seen when they are lit."""
    first = result.state.first_row
    rows = [(row, box) for row, box in result.overlay.rows if first <= row < first + MOST_ROWS]
    return Boxes(tuple(box for _, box in rows), width=0, refs=tuple(f"value {row}" for row, _ in rows))


def _source(result: Result) -> Code:
    recording, step = result.recording, result.step
    call = recording.calls[result.call]
    source = recording.sources[call.source]
    line = step.line if call.index == step.call else _calling_line(result)
    lines, first = source.lines, source.first
    if not lines:  # made by exec, or the file was gone
        numbers = [s.line for s in recording.steps if recording.calls[s.call].source == call.source]
        first, lines = min(numbers), ("(no source)",) * (max(numbers) - min(numbers) + 1)
    stops = tuple(stop for index, stop in result.state.breakpoints if index == call.source)
    lines = dedented(lines)
    folded = tuple((first + begin, first + end) for begin, end in docstrings(lines))
    names = names_in(lines, {name: f"row {row}" for row, name in enumerate(result.variables)})
    title = call.name + (f" (call {call.number})" if call.number > 1 else "")
    times = f" for the {ordinal(step.iteration)} time" if step.iteration > 1 else ""
    does = {"call": "begins", "back": "is back from a call", "resume": "goes on"}.get(step.kind, "has run line")
    caption = (
        f"step {step.index} of {len(recording)}, from 0: {does} {step.line if step.kind == 'line' else ''}".rstrip()
    )
    caption += f"{times}; {step.error}" if step.error else times
    error = bool(step.error)
    return Code(lines, first, line, stops, title, caption, error, "picked", folded, names, choose="row")


def _calling_line(result: Result) -> int:
    """The line at which a calling function stands."""
    mine = [step.line for step in result.recording.steps[: result.step.index] if step.call == result.call]
    return mine[-1]


def _variables(result: Result) -> Table:
    names = [*result.variables, *(name for name, change in result.changed.items() if change.value is None)]
    rows = [(shortened(name, LONGEST_NAME), *_value_words(result.variables.get(name))) for name in names]
    marked = tuple(row for row, name in enumerate(names) if name in result.changed)
    notes = [f"{name}: {change.note}" for name, change in result.changed.items() if change.note]
    caption = "; ".join(["bold: changed by this step", *notes]) if marked else "this step changed nothing"
    title = f"variables of {result.recording.calls[result.call].name}"
    return Table(("name", "value", "min, mean, max"), tuple(rows), title, caption, marked, pick="row")


def _value_words(value: Value | None) -> tuple[str, str]:
    """What it is, and its range; of few numbers the numbers."""
    if value is None:
        return "deleted", ""
    if value.kind not in ("tensor", "array") or not value.shape:
        is_whole = len(value.text) <= LONGEST_VALUE or value.kind not in ("fields", "module", "other")
        return shortened(value.text if is_whole else value.type, LONGEST_VALUE), ""
    what = f"{value.shape} {value.dtype}"
    if value.stats is None:
        return what, ""
    if value.text.endswith("]"):  # its numbers are written out
        return what, shortened(value.text[value.text.rindex("[") :], LONGEST_RANGE)
    stats = value.stats
    if value.dtype == "bool":
        return what, value.text.rpartition(", ")[2]
    missing = f", {stats.nan} NaN" if stats.nan else ""
    return what, f"{stats.low:.3g}, {stats.mean:.3g}, {stats.high:.3g}{missing}"


def _picture(result: Result) -> Panel:
    state, overlay = result.state, result.overlay
    shown = state.shown
    height, width = shown.size
    layers = overlay.layers
    pixels = faded(shown.pixels) if layers else shown.pixels
    boxes = tuple(box[:4] for box in shown.boxes)
    labels = tuple(class_name(int(box[4]), state.names) for box in shown.boxes) if not layers else ()
    drag = "objects" if state.live is not None else ""
    objects = Boxes(boxes, labels, width=1.2 if layers else 2.0, drag=drag)
    words = overlay.words
    if overlay.reading != NOTHING:
        words = f"{printable(result.name)} read as {overlay.reading}: {words}".rstrip(": ")
    field, drawn = ("objects", (float(state.new_class),)) if state.live is not None else ("", ())
    pictured = (Picture(pixels), objects, *layers, _rows_on_picture(result))
    return Panel(pictured, width, height, shown.name, words, draw=field, drawn=drawn)


def takeaway_of(result: Result) -> str:
    """What the step did: which line of which function made or changed what, and of which shape it is."""
    recording, step = result.recording, result.step
    name = recording.calls[step.call].name
    place = f"Step {step.index} of {len(recording)}, from 0"  # as the slider counts
    if step.error:
        return f"{place}: line {step.line} of {name} raises {shortened(step.error, LONGEST_ERROR)}."
    if step.kind == "call":
        given = ", ".join(printable(change.name) for change in step.changes[:MOST_NAMED])
        more = f" and {len(step.changes) - MOST_NAMED} more" if len(step.changes) > MOST_NAMED else ""
        return f"{place}: {name} begins{f' with {given}{more}' if given else ''}."
    if not step.changes:
        return f"{place}: line {step.line} of {name} ran, and gave no variable another value."
    first = max(step.changes, key=lambda change: (change.name == result.name, change.value is not None))
    others = len(step.changes) - 1
    more = f", and changes {others} more" if others else ""
    return f"{place}: line {step.line} of {name} {_does(first, result)}{more}."


def _does(change: Change, result: Result) -> str:
    """What became of a variable."""
    value, name = change.value, printable(change.name)
    if value is None:
        return f"deletes {name}"
    what = f"{value.shape} {value.dtype}" if is_tensor(value) else shortened(plain(value))
    if change.kind in ("return", "yield"):
        return f"{change.kind}s {what}"
    before = result.before if name == result.name else None
    if before is not None and is_tensor(before) and is_tensor(value) and before.shape != value.shape:
        return f"turns {name} from {before.shape} into {what}"
    verb = {"new": "makes", "in place": "changes in place"}.get(change.kind, "changes")
    return f"{verb} {name}: {what}"


def step_in_words(result: Result) -> str:
    """Where the function is and what changed, without numbers that differ from machine to machine."""
    recording, step = result.recording, result.step
    call = recording.calls[step.call]
    source = recording.text(step).strip() or "(no source)"
    what = {"call": f"{call.name} begins", "resume": f"{call.name} goes on"}.get(step.kind)
    what = what or f"in {call.name}, line {step.line}: {source}"
    lines = [f"step {step.index} of {len(recording)}, {what}"]
    for change in step.changes:
        if change.value is None:
            lines.append(f"  {change.name} is deleted")
        else:
            lines.append(
                f"  {change.name} {plain(change.value)}" + (f", {change.kind}" if change.kind != "new" else "")
            )
    lines += [f"  raises {step.error}"] if step.error else []
    if result.overlay.layers:
        lines.append(f"drawn: {printable(result.name)} as {result.overlay.reading}")
    return "\n".join(lines)


def plain(value: Value) -> str:
    """A value without its statistics: shape and type; whole numbers and words as they are."""
    if value.kind in ("tensor", "array"):
        return f"{value.shape} {value.dtype}"
    return value.type if value.type in ("float", "complex") else printable(value.text)
