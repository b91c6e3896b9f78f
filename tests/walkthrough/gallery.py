"""The explorers of the gallery, by name: what the tests of all of them go through."""

import walkthrough

KINDS = sorted(
    name
    for name in walkthrough.__all__
    if isinstance(kind := getattr(walkthrough, name), type)
    and issubclass(kind, walkthrough.Explorer)
    and kind is not walkthrough.Explorer
)
