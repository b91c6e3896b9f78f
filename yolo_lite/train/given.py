"""A loss, an optimiser and a schedule of your own: what each may be, how a run uses it, and how it knows it again.

Each is an object, or a function that makes one. What it makes it from says its first parameter's name:

- ``criterion``: a loss, called as ``loss(maps, targets)``; or ``make(model, hyp, img_size)``, which returns one, as
  ``MyLoss.of`` does, of a subclass of ComputeLoss.
- ``optimizer``: a ``torch.optim.Optimizer`` of the model's parameters; or ``make(groups)``, called with the three
  parameter groups (``torch.optim.NAdam``, ``partial(torch.optim.SGD, lr=0.1, momentum=0.9)``). Its own learning rates
  stand in the place of lr0, and the schedule raises and lowers them; momentum stays as it is. The group of weights
  has the weight decay that the function gives the optimiser or the group, where that is not the default of the
  optimiser's class; else the run's. The other two groups have none.
- ``schedule``: ``factor(epoch)``, the learning rate as a fraction of lr0; or ``make(optimizer)``, a torch scheduler
  that takes a step after each epoch; or a subclass of ``Schedule``, or an object of one. The warm-up comes before.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.criterion import Criterion
from yolo_lite.model.protocol import Detector
from yolo_lite.support.arguments import name_of
from yolo_lite.train.messages import Note
from yolo_lite.train.optim import parameter_groups
from yolo_lite.train.options import TrainOptions
from yolo_lite.train.schedule import Rates, Schedule

ARGUMENTS = ".arguments"  # after a name in what a run says of its parts
PLAIN = (int, float, str, type(None), list, tuple, dict)  # what repr() says alike in each process


class Given(NamedTuple):
    """What a run was given as objects; None: its own."""

    criterion: Any = None
    optimizer: Any = None
    schedule: Any = None

    def names(self, model: nn.Module) -> dict[str, str]:
        """Which of them there are, as text, and the loss that the model has of its own: what a resumed run must have.

        >>> Given(schedule=partial(Schedule, cosine=True)).names(nn.Linear(2, 2))
        {'schedule': 'Schedule', 'schedule.arguments': 'cosine=True'}
        """
        found: dict[str, str] = {}
        for name, value in self._asdict().items():
            if value is not None:
                found |= {name: name_of(value), name + ARGUMENTS: arguments_of(value)}
        own = vars(model).get("criterion")
        return found if own is None else found | {"model.criterion": name_of(own)}


def arguments_of(value: Any) -> str:
    """The arguments of a partial, as text; of anything else none.

    >>> arguments_of(partial(torch.optim.SGD, lr=0.1, foreach=None, params=nn.ReLU()))
    'foreach=None, lr=0.1, params=ReLU'
    """
    if not isinstance(value, partial):
        return ""
    given = [
        *(("", part) for part in value.args),
        *((f"{name}=", value.keywords[name]) for name in sorted(value.keywords)),
    ]
    return ", ".join(f"{name}{repr(part) if isinstance(part, PLAIN) else name_of(part)}" for name, part in given)


def require_same(saved: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raises ValueError where a resumed run would go on with another loss, optimiser or schedule than it had."""
    replaced = {"model.criterion", "trainer.loss"} & set(saved)
    for name in ("criterion", "optimizer", "schedule"):
        had, has = saved.get(name), now.get(name)
        if had == has and name + ARGUMENTS in saved:  # runs up to 0.2.0 do not say them
            had, has = (f"{had}({found.get(name + ARGUMENTS)})" for found in (saved, now))
        if had == has or (name == "criterion" and had is None and replaced):
            continue
        if has is None:
            raise ValueError(f"the run was given its own {name} ({had}): pass {name}= again to resume")
        what = "the run has none of its own" if had is None else f"the run was given {had}"
        raise ValueError(f"{name}: {what}, and now it is {has}: resume with the same, or start a new run")
    if "criterion" in now:
        return
    if "trainer.loss" in saved:
        raise ValueError(
            f"trainer.loss of the run was replaced ({saved['trainer.loss']}): pass it as criterion= to resume"
        )
    for name, what in (("model.criterion", "a criterion of its own"), ("loss", "another loss")):
        if saved.get(name) != now.get(name):
            one, other = (found.get(name, "none") for found in (saved, now))
            raise ValueError(
                f"the model of the run has {what}: {one} when it was saved, {other} now. Resume with such a model as "
                "model=, or pass the loss as criterion="
            )


def _first_parameter(made: Any) -> str:
    try:
        return next(iter(inspect.signature(made).parameters), "")
    except (TypeError, ValueError):  # not callable, or written in C
        return ""


def _require_takes(made: Callable[..., Any], arguments: tuple[Any, ...], what: str) -> None:
    """Raises ValueError where a function cannot be called with these."""
    try:
        inspect.signature(made).bind(*arguments)
    except TypeError as error:
        raise ValueError(f"{what} is expected, and this one does not take them: {error}") from None


def create_loss(model: Detector, hyp: Hyperparameters, options: TrainOptions, given: Any = None) -> Criterion:
    """The loss: the one given, else the model's.

    A function that makes it gets only those options that differ from the defaults: losses of your own need not know
    the rest. The settings of a generation are not options of a run: they belong to the model, and are saved with it.
    """
    if given is not None and _first_parameter(given) != "model":
        if isinstance(given, type) or not callable(given):
            raise ValueError(
                f"criterion={name_of(given)} is not a loss: give one, called as loss(maps, targets), or a function "
                "(model, hyp, img_size) that returns one, such as the method .of of a subclass of ComputeLoss"
            )
        loss: Criterion = given
        return loss
    make: Callable[..., Criterion] = model.criterion if given is None else partial(given, model)
    whose = f"the loss of {type(model).__name__}" if given is None else f"criterion={name_of(given)}"
    if given is not None:
        _require_takes(given, (model, hyp, options.img_size), f"{whose}: a function of (model, hyp, img_size)")
    defaults = TrainOptions().loss_options
    settings = {name: value for name, value in options.loss_options.items() if value != defaults[name]}
    known = inspect.signature(make).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    if unknown := [name for name in settings if name not in known and not takes_all]:
        raise ValueError(f"{whose} does not know the option {unknown[0]}: leave it out")
    try:
        loss = make(hyp, options.img_size, **settings)
    except TypeError as error:
        if not settings or "unexpected keyword argument" not in str(error):
            raise
        option = str(error).rsplit("'", 2)[-2]
        raise ValueError(f"{whose} does not know the option {option}: leave it out") from None
    if not callable(loss):
        raise ValueError(f"{whose} returned {type(loss).__name__}, not a loss to be called as loss(maps, targets)")
    return loss


def create_given_optimizer(given: Any, model: nn.Module, decay: float) -> torch.optim.Optimizer:
    """The optimiser given, known to hold parameters of the model.

    Args:
        given: an optimiser, or a function of the parameter groups. decay: weight decay of the weights, in their group.
    """
    optimizer = given
    if not isinstance(given, torch.optim.Optimizer):
        if not callable(given):
            raise ValueError(f"optimizer={given!r}: give a torch.optim.Optimizer, or a function of parameter groups")
        groups = zip(("biases", "weights", "norms"), parameter_groups(model), (0.0, decay, 0.0), strict=True)
        optimizer = given([{"params": params, "weight_decay": wd, "name": name} for name, params, wd in groups])
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(f"optimizer={name_of(given)} made {type(optimizer).__name__}, not a torch.optim.Optimizer")
    if isinstance(optimizer, torch.optim.LBFGS | torch.optim.SparseAdam):
        needs = "a closure" if isinstance(optimizer, torch.optim.LBFGS) else "sparse gradients"
        raise ValueError(f"optimizer={name_of(optimizer)} needs {needs}, which a run does not have: choose another one")
    ours = set(model.parameters())
    if not all(parameter in ours for group in optimizer.param_groups for parameter in group["params"]):
        raise ValueError(
            "optimizer: it holds parameters that are not the model's: make it of the model that is trained (of a "
            "resumed run: give that one as model=), or give a function of the parameter groups"
        )
    own = None if optimizer is given else own_decay(optimizer, given)
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", float(group["lr"]))  # torch's name for it
        if own is not None and group.get("name") == "weights" and group["weight_decay"] == decay:
            group["weight_decay"] = own
    return optimizer


def own_decay(optimizer: torch.optim.Optimizer, made_by: Any) -> float | None:
    """The weight decay that a function gave to the optimiser it made; None where that is the default of its class.

    >>> own_decay(torch.optim.AdamW([torch.zeros(1)], weight_decay=0.5), lambda groups: ...)
    0.5
    """
    decay: float | None = optimizer.defaults.get("weight_decay")
    classes = [inspect.signature(cls).parameters for cls in type(optimizer).__mro__[:-1]]
    usual = next((found["weight_decay"].default for found in classes if "weight_decay" in found), decay)
    asked = isinstance(made_by, partial) and "weight_decay" in made_by.keywords
    return decay if asked or decay != usual else None


def check_decay(optimizer: torch.optim.Optimizer, made_by: Any) -> list[str]:
    """A message where the weights have the run's weight decay, and a function may have meant its class's default."""
    usual = optimizer.defaults.get("weight_decay")
    decays = {group["weight_decay"] for group in optimizer.param_groups if group.get("name") == "weights"} - {usual}
    if not inspect.isroutine(made_by) or usual is None or own_decay(optimizer, made_by) is not None:
        return []
    return [
        Note(
            f"optimizer: the weights have the run's weight decay of {decay:g}, as {name_of(made_by)} made "
            f"{name_of(optimizer)} with its default of {usual:g}; to have that one, set it in the groups"
        )
        for decay in decays
    ]


def own_lr(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate of an optimiser that was given: of its first group that has one."""
    return next((float(lr) for group in optimizer.param_groups if (lr := group["initial_lr"])), 0.0)


def apply_to_given(optimizer: torch.optim.Optimizer, rates: Rates) -> None:
    """Writes learning rates into an optimiser that was given; its groups keep their ratios."""
    first = own_lr(optimizer)
    for group in optimizer.param_groups:
        group["lr"] = rates.other_lr * (group["initial_lr"] / first if first else 0.0)


@dataclass(frozen=True)
class FactorSchedule(Schedule):
    """A Schedule whose learning rate after the warm-up is lr0 times a function of the epoch.

    >>> schedule = FactorSchedule(Hyperparameters(), 4, 100, 16, factor_of=lambda epoch: 0.5**epoch)
    >>> schedule.at(399).other_lr
    0.00125
    """

    factor_of: Callable[[int], float] = float

    def __post_init__(self) -> None:
        super().__post_init__()
        for epoch in range(self.epochs):
            self.factor(epoch)

    def factor(self, epoch: float) -> float:
        """Learning rate at an epoch as a fraction of lr0."""
        found = self.factor_of(int(epoch))
        try:
            factor = float(found)
        except (TypeError, ValueError):
            factor = math.nan
        if not 0 <= factor < math.inf:
            raise ValueError(f"schedule: {found!r} in epoch {int(epoch)}: a fraction of lr0 is a number from 0 on")
        return factor


def create_schedule(given: Any, hyp: Hyperparameters, options: TrainOptions, batches: int, images: int) -> Schedule:
    """The schedule of a run.

    Args:
        given: as above; None: a line or half a cosine. batches: per epoch. images: per batch, of all processes.
    """
    settings = options.epochs, batches, images, options.nominal_batch, options.cosine, options.least_warmup
    if given is None:
        return Schedule(hyp, *settings)
    if isinstance(given, Schedule):
        if (given.epochs, given.batches) != (options.epochs, batches):
            raise ValueError(
                f"schedule: it is for {given.epochs} epochs of {given.batches} batches, the run has {options.epochs} "
                f"of {batches}"
            )
        return replace(given, hyp=hyp)
    first = _first_parameter(given)
    if first == "epoch":
        return FactorSchedule(hyp, *settings, factor_of=given)
    if first == "optimizer":
        factors = torch_factors(given, options.epochs, hyp.lr0)
        return FactorSchedule(hyp, *settings, factor_of=factors.__getitem__)
    kinds = (
        f"schedule={name_of(given)}: a function (epoch) of the fraction of lr0, a function (optimizer) that makes a "
        "torch scheduler, each with a parameter of that name, or a subclass of yolo_lite.train.Schedule"
    )
    if callable(given):
        _require_takes(given, (hyp, *settings), kinds)
    made = given(hyp, *settings) if callable(given) else given
    if not isinstance(made, Schedule):
        raise ValueError(f"{kinds} is expected")
    return made


def torch_factors(make: Callable[[torch.optim.Optimizer], Any], epochs: int, lr: float) -> list[float]:
    """What a torch scheduler makes of a learning rate, as a fraction of it, in each epoch.

    So a run needs no state of the scheduler, and can be resumed in any epoch.

    >>> from torch.optim.lr_scheduler import StepLR
    >>> torch_factors(partial(StepLR, step_size=2, gamma=0.5), 4, 0.01)
    [1.0, 1.0, 0.5, 0.5]
    """
    alone = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
    try:
        scheduler = make(alone)
    except (TypeError, ValueError) as error:  # PyTorch's
        raise ValueError(f"schedule={name_of(make)}, for one group of parameters: {error}") from error
    if not hasattr(scheduler, "step"):
        raise ValueError(f"schedule={name_of(make)} made {type(scheduler).__name__}, not a torch scheduler")
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise ValueError(
            "schedule: ReduceLROnPlateau needs the result of each epoch: call trainer.change(lr0=...) in a callback's "
            "on_epoch_end instead"
        )
    factors = []
    for _ in range(epochs):
        factors.append(alone.param_groups[0]["lr"] / lr if lr else 0.0)
        alone.step()  # which PyTorch expects before the scheduler's
        try:
            scheduler.step()
        except ValueError as error:  # OneCycleLR has a length
            raise ValueError(f"schedule={name_of(make)} in a run of {epochs} epochs: {error}") from error
    return factors
