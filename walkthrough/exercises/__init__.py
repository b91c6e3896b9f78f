"""Exercises that check themselves: in each notebook one step for the reader to write, compared with the library's.

>>> from walkthrough import check
>>> def my_shape_iou(wh, anchors):
...     '''wh (n, 2), anchors (A, 2) -> (n, A).'''
...     ...
>>> check(my_shape_iou)
my_shape_iou: not written yet
  Put your own lines in place of the `...`, and run the cell again.

``python -m walkthrough.exercises FOLDER`` marks notebooks, ``--hand-out FOLDER`` writes copies without the answers.
"""

from walkthrough.exercises.checking import check
from walkthrough.exercises.exercise import Case, Exercise, Mistake
from walkthrough.exercises.registry import EXERCISES
from walkthrough.exercises.verdict import Verdict

__all__ = ["EXERCISES", "Case", "Exercise", "Mistake", "Verdict", "check"]
