"""All exercises, by name."""

from types import MappingProxyType

from walkthrough.exercises import data, decoding, matching, networks, overlaps, schedules
from walkthrough.exercises.exercise import Exercise

GROUPS = (data.ALL, decoding.ALL, matching.ALL, networks.ALL, overlaps.ALL, schedules.ALL)
EXERCISES: MappingProxyType[str, Exercise] = MappingProxyType(
    {each.name: each for each in sorted((each for group in GROUPS for each in group), key=lambda e: e.notebook)}
)
