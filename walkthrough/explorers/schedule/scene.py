"""The picture of ScheduleExplorer: three charts with the chosen iteration marked, and a table of it."""

from dataclasses import replace

from walkthrough.explorers.schedule.state import Result
from walkthrough.run import show_schedule
from walkthrough.scene import Chart, More, Scene, Series, Table, counted
from yolo_lite.train.schedule import Schedule

BEYOND = 1.25  # the zoom shows the warm-up and a quarter of it more


def scene_of(result: Result) -> Scene:
    """The three charts of show_schedule with the chosen iteration marked, and a table of that moment."""
    schedule = result.schedule
    until = round(BEYOND * schedule.warmup_iterations) + 2 if result.zoom else None
    charts = [panel for row in show_schedule(schedule, until).rows for panel in row if isinstance(panel, Chart)]
    lr, momentum, accumulation = charts
    lines = (replace(mark, ref=f"line {mark.name}") if isinstance(mark, Series) else mark for mark in lr.marks)
    lr = replace(lr, marks=tuple(lines), title=f"learning rate, {result.optimizer}", caption=warmup_in_words(schedule))
    accumulation = replace(accumulation, title="batches per step", caption=steps_in_words(result))
    if result.groups[0].momentum != result.rates.momentum or result.optimizer.startswith("Adam"):
        momentum = _beta(momentum, result.groups[0].momentum)
    charts = [_marked(chart, result.iteration) for chart in (lr, momentum, accumulation)]
    if charts[1].upright:  # said once, where there is room
        dotted = f"dotted, in all charts: iteration {result.iteration}"
        charts[1] = replace(charts[1], caption="; ".join(filter(None, (charts[1].caption, dotted))))
    more = (More("this iteration", ((_table(result),),)), More("batches per step", ((charts[2],),)))
    return Scene((tuple(charts[:2]),), more=more)


def takeaway_of(result: Result) -> str:
    """Where the chosen iteration is, and what the learning rates do there."""
    schedule, iteration = result.schedule, result.iteration
    warm, rates = schedule.warmup_iterations, result.rates
    way = "cosine" if schedule.cosine else "straight"
    if iteration < warm:
        rates_now = f"{rates.other_lr:.3g} for weights, on the way up, {rates.bias_lr:.3g} for biases"
        does = f"warm-up, which lasts {warm:,}; the learning rate is {rates_now}"
    else:
        ends = schedule.hyp.lr0 * schedule.hyp.lrf
        does = f"after warm-up the learning rate is {rates.other_lr:.3g} and falls to {ends:.3g} in a {way} line"
    return f"Iteration {iteration:,} of {schedule.iterations:,}: {does}; a step after {batches_of(result)}."


def batches_of(result: Result) -> str:
    """How many batches make one step at the chosen iteration."""
    return counted(result.rates.accumulate, "batch", "batches")


def warmup_in_words(schedule: Schedule) -> str:
    """When the warm-up ends, or that the run ends before it."""
    warm, batches = schedule.warmup_iterations, schedule.batches
    if not warm:
        return "no warm-up"
    if warm >= schedule.iterations:
        return f"warm-up lasts {warm:,} iterations: the run is over after {schedule.iterations:,}, before it ends"
    return f"warm-up ends at iteration {warm:,} of {schedule.iterations:,}, in epoch {warm // batches + 1}"


def steps_in_words(result: Result) -> str:
    """How many steps of the optimiser there are, and how many images each adds up."""
    schedule = result.schedule
    after = " after warm-up" if schedule.warmup_iterations else ""
    images = f"{schedule.batch_size * schedule.accumulate} images a step{after}"
    if result.steps is None:
        return f"{images}; the warm-up is too long to count the steps"
    return f"{result.steps:,} {'step' if result.steps == 1 else 'steps'} in all; {images}"


def moment_in_words(result: Result) -> str:
    """The chosen iteration and its epoch."""
    schedule = result.schedule
    epoch = result.iteration // schedule.batches + 1
    return f"iteration {result.iteration} of {schedule.iterations}, epoch {epoch} of {schedule.epochs}"


def _marked(chart: Chart, iteration: int) -> Chart:
    """The chart with an upright line at the iteration, if it lies within."""
    (mark, *_) = (mark for mark in chart.marks if isinstance(mark, Series))
    first, last = mark.x[0], mark.x[-1]
    chart = replace(chart, x_range=(first, last) if last > first else None)
    if not first <= iteration <= last:
        return chart
    return replace(chart, upright=(float(iteration),), drag="iteration")


def _beta(chart: Chart, beta: float) -> Chart:
    """Adam has no momentum to warm up: its beta1 stays."""
    (mark,) = (mark for mark in chart.marks if isinstance(mark, Series))
    flat = replace(mark, name="beta1", y=(beta,) * len(mark.x))
    return replace(chart, marks=(flat,), title="beta1", caption="Adam's momentum: no warm-up", y_range=(0.0, 1.0))


def _table(result: Result) -> Table:
    momentum = "beta1" if result.optimizer.startswith("Adam") else "momentum"
    rows = tuple(
        (g.name, f"{g.parameters:,}", f"{g.lr:.4g}", f"{g.momentum:.4g}", f"{g.weight_decay:.3g}")
        for g in result.groups
    )
    columns = ("group", "parameters", "learning rate", momentum, "weight decay")
    refs = tuple(f"line {'biases' if g.name.startswith('bias') else 'weights and norms'}" for g in result.groups)
    return Table(columns, rows, moment_in_words(result), f"a step after {batches_of(result)}", refs=refs)
