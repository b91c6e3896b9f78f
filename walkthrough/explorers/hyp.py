"""Hyperparameters as settings of an explorer: from its sliders to yolo_lite's dataclass, and to code."""

from dataclasses import fields, replace
from typing import Any

from yolo_lite.hyperparameters import Hyperparameters, descriptions


def checked_hyp(hyp: Any) -> Hyperparameters:
    """What the reader gave as hyp=, the defaults where that is None; a ValueError for anything else."""
    if hyp is None:
        return Hyperparameters()
    if not isinstance(hyp, Hyperparameters):
        raise ValueError(f"hyp is a Hyperparameters, such as yl.Hyperparameters(lr0=0.02), not {type(hyp).__name__}")
    return hyp


def hyp_settings(hyp: Hyperparameters, state: type) -> dict[str, float]:
    """The values of hyp that a State has a field for, by name."""
    named = {field.name for field in fields(state)}
    return {name: value for name, value in vars(hyp).items() if name in named}


def with_hyp(before: Any, after: Any) -> Any:
    """The state after another hyp was set: its values are the settings now, but for those that were set with it."""
    hyp = checked_hyp(after.hyp)
    settings = hyp_settings(hyp, type(after))
    set_too = {name for name in settings if getattr(before, name) != getattr(after, name)}
    return replace(after, hyp=hyp, **{name: value for name, value in settings.items() if name not in set_too})


def hyp_of(state: Any, hyp: Hyperparameters) -> Hyperparameters:
    """hyp with the state's settings in place of its values."""
    return hyp.replace(**{name: getattr(state, name) for name in hyp_settings(hyp, type(state))})


def hyp_help(state: Any, name: str) -> str:
    """What yolo_lite says of a hyperparameter that a state has a setting for; "" for anything else."""
    known = descriptions(Hyperparameters) if hasattr(state, "hyp") else {}
    return str(known[name]) if name in known else ""


def hyp_code(hyp: Hyperparameters) -> str:
    """The line that makes these hyperparameters: only what differs from the defaults.

    >>> hyp_code(Hyperparameters(lr0=0.02, mosaic=1))
    'hyp = yl.Hyperparameters(lr0=0.02)'
    """
    default = vars(Hyperparameters())
    changed = {name: value for name, value in vars(hyp).items() if value != default[name]}
    return f"hyp = yl.Hyperparameters({', '.join(f'{name}={value:.10g}' for name, value in changed.items())})"
