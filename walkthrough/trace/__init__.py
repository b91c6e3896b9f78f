"""trace: runs any Python function and records each line that it executes with everything that the line changed.

>>> def mean(values):
...     total = 0
...     for value in values:
...         total += value
...     return total / len(values)
>>> recording = trace(mean)([1, 2, 6])
>>> recording.result
3.0
>>> [value.text for value in recording.at("total").values]
['0', '1', '3', '9']
"""

from walkthrough.trace.entry import trace
from walkthrough.trace.replay import Excerpt, Trace, load_trace
from walkthrough.trace.steps import Call, Change, RecordedError, Source, Step
from walkthrough.trace.values import Stats, Value

__all__ = [
    "Call",
    "Change",
    "Excerpt",
    "RecordedError",
    "Source",
    "Stats",
    "Step",
    "Trace",
    "Value",
    "load_trace",
    "trace",
]
