"""The checker of the family: ``python -m tests.golden.family DIR`` compares recordings with what the library computes.

One module for each kind of recording, with ``check(file) -> Iterable[Comparison]``; ``CHECKS`` in ``registry.py`` names
them. The key of a Comparison is the key of the recorded array in the file, so that what is not compared can be seen.
"""
