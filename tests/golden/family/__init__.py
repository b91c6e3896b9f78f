"""The checker of the family: ``python -m tests.golden.family DIR`` compares recordings with what the library computes.

One module for each kind of recording, named by ``CHECKS`` in ``registry.py``, with two functions:
``layout(recorded, name of the file) -> Layout``, the arrays that such a file has to hold (inputs and outputs), and
``check(file) -> Iterable[Comparison]``. The key of a Comparison is the key of the recorded array in the file: an output
without one, and an array that the layout does not name, are "not compared", and the file counts as different.
"""
