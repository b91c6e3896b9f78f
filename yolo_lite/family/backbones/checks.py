"""Choices of a backbone that cannot be built, each named in one sentence. ``dials`` are its fields, by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from yolo_lite.family.backbones.necks import NECKS
from yolo_lite.family.backbones.stages import BLOCKS, POOLINGS, STEMS, Stage
from yolo_lite.model.norms import NORMS
from yolo_lite.model.rows import MAX_CHANNELS, MAX_NUMBER
from yolo_lite.model.spec import SpecError, whole_number

HEADS = ("v5", "v8")


def check_words(dials: Mapping[str, Any], activations: Mapping[str, str], levels: Mapping[str, int]) -> None:
    """Raises a SpecError for a word that is not known."""
    for name, known in (
        ("stem", STEMS),
        ("activation", tuple(activations)),
        ("norm", NORMS),
        ("pooling", POOLINGS),
        ("neck", NECKS),
        ("neck_block", tuple(BLOCKS)),
        ("head", HEADS),
    ):
        _one_of(name, dials[name], known)
    for name, words, known in (("taps", dials["taps"], tuple(levels)), ("blocks", dials["blocks"], tuple(BLOCKS))):
        if name == "taps" and (not isinstance(words, tuple) or not words):
            raise SpecError(f"taps must be a tuple of one level or more, such as ('P3', 'P4', 'P5'), not {words!r}")
        for word in words if isinstance(words, tuple) else (words,):
            _one_of(name, word, known)
    if list(dials["taps"]) != sorted(set(dials["taps"])):
        raise SpecError(f"taps must go from fine to coarse, each once, not {', '.join(dials['taps'])}")
    for name in ("depthwise", "tap_before_pooling"):
        if not isinstance(dials[name], bool):
            raise SpecError(f"{name} must be True or False, not {dials[name]!r}")


def _one_of(name: str, value: Any, known: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in known:
        raise SpecError(f"unknown {name} {value!r}: choose one of {', '.join(known)}")


def check_numbers(dials: Mapping[str, Any]) -> None:
    """Raises a SpecError for a number out of range."""
    for name in ("width", "depth"):
        value = dials[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 8:
            raise SpecError(f"{name}, a multiplier, must be above 0 and at most 8, not {value!r}")
    for name, most in (("groups", MAX_CHANNELS), ("neck_repeats", MAX_NUMBER), ("neck_channels", MAX_CHANNELS)):
        _at_most(name, dials[name], most)
    for name, most in (("channels", MAX_CHANNELS), ("repeats", MAX_NUMBER), ("steps", 4)):
        values = dials[name]
        if values is None:
            continue
        if not isinstance(values, tuple) or not values:
            raise SpecError(f"{name} must be a tuple of whole numbers, or None, not {values!r}")
        for value in values:
            _at_most(name, value, most)
    if dials["steps"] is not None and not set(dials["steps"]) <= {1, 2, 4}:
        raise SpecError(f"steps must be 1, 2 or 4 each, not {dials['steps']}")


def _at_most(name: str, value: Any, most: int) -> None:
    if whole_number(value, name) > most:
        raise SpecError(f"{name} must be at most {most}, not {value}")


def check_stages(dials: Mapping[str, Any], steps: Sequence[int], levels: Mapping[str, int], known: int) -> None:
    """Raises a SpecError where tuples have other lengths, or no stage has a tap's stride.

    Args:
        steps: of all stages. known: how many stages there are numbers for, where none are given.
    """
    stages = len(steps)
    for name, extra in (("blocks", 0), ("channels", 1), ("repeats", 0)):
        values = dials[name]
        if isinstance(values, tuple) and len(values) != stages + extra:
            more = " and the stem" if extra else ""
            raise SpecError(f"{name}: {len(values)} for {stages} stages{more}: give one for each")
        if values is None and stages > known:
            raise SpecError(f"{name}: {stages} stages, and numbers are known for {known}: give one for each")
    strides = [2]
    for step in steps:
        strides.append(strides[-1] * step)
    for tap in dials["taps"]:
        if levels[tap] not in strides[1:]:
            raise SpecError(f"taps: no stage has the stride of {tap}, {levels[tap]}: steps give {strides[1:]}")
    if len(dials["taps"]) == 1 and dials["tap_before_pooling"] and dials["pooling"] != "none":
        raise SpecError("tap_before_pooling: with one tap, nothing reads what was pooled: choose pooling 'none'")
    if levels[dials["taps"][-1]] != strides[-1]:
        raise SpecError(f"taps: the last stage has the stride {strides[-1]}, but the last tap is {dials['taps'][-1]}")


def check_products(dials: Mapping[str, Any], stages: Sequence[Stage], neck_repeats: int, neck_channels: int) -> None:
    """Raises a SpecError for repeats times depth, or channels times width, that a row cannot have.

    Args:
        stages, neck_repeats, neck_channels: after the multiples.
    """
    built = [("repeats", f"stage {index}", stage.block, stage.repeats) for index, stage in enumerate(stages)]
    for name, place, block, repeats in (*built, ("neck_repeats", "the neck", dials["neck_block"], neck_repeats)):
        blocks = 2 * repeats if block == "ELAN" else repeats  # of an ELAN, pairs
        if blocks > MAX_NUMBER:
            what = f"{place} ({block}) would have {blocks} blocks, more than {MAX_NUMBER}"
            raise SpecError(f"{name} times depth {dials['depth']:g}: {what}")
    wide = [("channels", f"stage {index}", stage.channels) for index, stage in enumerate(stages)]
    for name, place, channels in (*wide, ("neck_channels", "the neck", neck_channels)):
        if channels > MAX_CHANNELS:
            what = f"{place} would have {channels} channels, more than {MAX_CHANNELS}"
            raise SpecError(f"{name} times width {dials['width']:g}: {what}")


def check_channels(dials: Mapping[str, Any], stages: Sequence[Stage]) -> None:
    """Raises a SpecError where the channels of a block cannot be split in these groups."""
    for index, stage in enumerate(stages):
        inner = stage.channels // BLOCKS[stage.block]
        if dials["depthwise"] and stage.block == "ELAN":
            raise SpecError(f"depthwise: stage {index} is an ELAN, which has no such form: choose another block")
        if inner % stage.groups:
            raise SpecError(
                f"groups: {stage.groups} do not divide the {inner} channels inside stage {index} ({stage.block})"
            )
