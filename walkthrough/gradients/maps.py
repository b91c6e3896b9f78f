"""The gradient of each loss term with respect to the raw maps, by level and by cell.

Shape letters: T terms, L levels, N batch, A anchors, H W grid of a level, K numbers of a cell.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from walkthrough._moved import moved_name
from walkthrough.gradients.numbers import RawNumbers, raw_numbers
from yolo_lite._moved import renamed_field
from yolo_lite.loss.criterion import AssignedPredictions
from yolo_lite.loss.loss import ComputeLoss, LevelLoss, add_levels
from yolo_lite.loss.targets import Assignment

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # names of 0.1.0
Part = Literal["", "positive", "background"]


class CellMatches(NamedTuple):
    """The m matches of a level, as the ``assign`` of any generation's loss tells them."""

    image: Tensor  # (m,) int64, as the others
    anchor: Tensor  # 0 where a generation has none
    row: Tensor
    col: Tensor
    target: Tensor  # the row of the targets whose object it is

    def to(self, device: str) -> "CellMatches":
        """The same on another device."""
        return CellMatches(*(field.to(device) for field in self))


@dataclass(frozen=True, eq=False)
class MapGradients:
    """The gradient of each term with respect to the raw maps."""

    parts: Any  # what the loss returned: a NamedTuple of scalars, the total first; detached
    gradients: dict[str, list[Tensor]]  # term -> for each level a tensor of the map's shape
    matches: Sequence[Assignment | CellMatches] | None  # for each level, where the loss tells them: see Criterion
    numbers: Sequence[RawNumbers] | None = None  # for each level, where map_gradients was given decode
    levels: Sequence[LevelLoss] = ()  # what each contributes, detached; where forward and assign are ComputeLoss's

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the T terms."""
        return tuple(self.gradients)

    @cached_property
    def norms(self) -> Tensor:
        """(T, L) Euclidean norm of each term's gradient on each level."""
        return torch.stack([torch.stack([level.double().norm() for level in levels]) for levels in self._listed()])

    @property
    def fractions(self) -> Tensor:
        """(T, L) each norm as a fraction of the sum of all norms; 0 where all gradients are 0."""
        return fractions_of(self.norms)

    @property
    def shares(self) -> Tensor:
        """The old name of fractions: warns."""
        found: Tensor = renamed_field(self, "shares", "fractions")
        return found

    def of(self, term: str) -> list[Tensor]:
        """The gradients of one term, or with "total" of all together, level by level."""
        if term == "total":
            return [torch.stack(level).sum(0) for level in zip(*self._listed(), strict=True)]
        if term not in self.gradients:
            raise ValueError(f"no term {term!r} in this loss; it has total, {', '.join(self.terms)}")
        return self.gradients[term]

    def cells(self, term: str, level: int, part: Part = "") -> Tensor:
        """(N, A, H, W) strength of a term's gradient on each cell: the norm over the cell's K numbers.

        part: "positive" leaves only the cells matched to an object, "background" only the others; "": all.
        """
        gradients = self.of(term)
        _within("level", level, len(gradients))
        if gradients[level].ndim == 2 and self.numbers is not None:  # a flat output
            strength = self.numbers[level].of(gradients[level]).norm(dim=4)
        else:
            strength = norm_of_cells(gradients[level])
        if not part:
            return strength
        if (positives := self.positives(level)) is None:
            raise ValueError("this loss does not say which cells are matched to an object")
        kept = positives if part == "positive" else ~positives
        return strength * kept.to(strength.device)

    def positives(self, level: int) -> Tensor | None:
        """(N, A, H, W) bool: the cells matched to an object; None where the loss has no matches."""
        if self.matches is None:
            return None
        shape = self.cells(self.terms[0], level).shape
        mask = torch.zeros(shape, dtype=torch.bool)
        match = self.matches[level].to("cpu")
        mask[match.image, match.anchor, match.row, match.col] = True
        return mask

    def _listed(self) -> list[list[Tensor]]:
        return list(self.gradients.values())


class CellGradient(NamedTuple):
    """One cell of one anchor, and the gradient of each term on it."""

    level: int
    image: int
    anchor: int
    row: int
    col: int
    norms: dict[str, float]  # by term, "total" among them
    target: int | None  # the row of the targets that it is matched to; None of background


def fractions_of(norms: Tensor) -> Tensor:
    """Norms as fractions of their sum; all 0 where that is 0."""
    return norms / norms.sum().clamp(min=torch.finfo(norms.dtype).tiny)


def norm_of_cells(gradient: Tensor) -> Tensor:
    """The norm over the K numbers of each cell: (N, A, H, W, K) or (N, K, H, W) -> (N, A, H, W), with A = 1."""
    if gradient.ndim == 5:
        return gradient.norm(dim=4)
    if gradient.ndim == 4:
        return gradient.norm(dim=1, keepdim=True)
    raise ValueError(
        f"a raw map is (N, A, H, W, K) or (N, K, H, W), not {tuple(gradient.shape)}: of a flat output, map_gradients "
        f"finds the cells with decode= of the model and a loss that has assign"
    )


def map_gradients(
    loss: Callable[[Sequence[Tensor], Tensor], Any],
    maps: Sequence[Tensor],
    targets: Tensor,
    decode: Callable[[Sequence[Tensor]], Tensor] | None = None,
    numbers: Sequence[RawNumbers] | None = None,
) -> MapGradients:
    """Differentiate each term of a loss with respect to the raw maps.

    Args:
        loss: what ``model.criterion(hyp, img_size)`` returns: called with maps and targets it gives a NamedTuple whose
            first field is the total and whose others are its terms.
        maps: L raw maps, as the model returned them. targets: as the loss takes them.
        decode: the model's: with it a flat output (N, F) has cells, too, where the loss has assign.
        numbers: those of an earlier call, for maps of the same shapes and the same decode: finding them takes long.
    Raises:
        ValueError: maps or targets that the loss refuses, a loss without terms, or terms that do not add up to the
            total: other tensors than those that it was computed from, or one that is made from another.

    >>> import yolo_lite as yl
    >>> model = yl.create_model("yolov5n", num_classes=2).eval()
    >>> maps, targets = model(torch.rand(1, 3, 64, 64)), torch.tensor([[0, 1, 0.5, 0.5, 0.4, 0.4]])
    >>> gradients = map_gradients(model.criterion(yl.Hyperparameters(), 64), maps, targets)
    >>> gradients.terms, gradients.norms.shape
    (('box', 'obj', 'cls'), torch.Size([3, 3]))
    """
    with torch.inference_mode(False), torch.enable_grad(), _evaluating(loss):
        maps = checked_maps(maps, "the maps")
        raw = [level.detach().clone().requires_grad_() for level in maps]  # (N, A, H, W, K)
        matches: Sequence[Assignment | CellMatches] | None = None
        levels: Sequence[LevelLoss] = ()
        # A subclass with a forward of its own may add up something else than the levels.
        if isinstance(loss, ComputeLoss) and type(loss).forward is ComputeLoss.forward:
            levels = loss.levels(raw, targets)
            parts, matches = add_levels(levels, raw[0].shape[0]), [level.matches for level in levels]
        else:
            parts = loss(raw, targets)
        is_known_to_add_up = matches is not None
        if matches is None and hasattr(loss, "assign"):
            assigned: AssignedPredictions = loss.assign(raw, targets)
            matches = _assigned(assigned, len(raw))
            if numbers is None and decode is not None:
                numbers = raw_numbers(decode, raw, assigned.cells)
        terms = terms_of(parts)
        weights = torch.autograd.grad(parts[0], list(terms.values()), retain_graph=True, allow_unused=True)
        gradients = {
            name: _gradients(term, weight, raw) for (name, term), weight in zip(terms.items(), weights, strict=True)
        }
        if not is_known_to_add_up:  # the terms of a ComputeLoss are
            _check_sum(gradients, _gradients(parts[0], torch.ones_like(parts[0]), raw))
    detached = (part.detach() if isinstance(part, Tensor) else part for part in parts)
    known = [_detached(level) for level in levels] if getattr(type(loss), "assign", None) is ComputeLoss.assign else []
    return MapGradients(type(parts)(*detached), gradients, matches, numbers, known)


def _detached(level: LevelLoss) -> LevelLoss:
    """A level's contribution without the graph that it was computed by."""
    tensors: dict[str, Any] = {
        name: part.detach() for name, part in level._asdict().items() if isinstance(part, Tensor)
    }
    return level._replace(**tensors)


def _assigned(assigned: AssignedPredictions, levels: int) -> list[CellMatches]:
    """The matches of each level."""
    matches = assigned.matches
    level, *place = assigned.cells[matches.prediction].unbind(1)  # (m,) each
    fields = (matches.image, *place, matches.target)
    return [CellMatches(*(field[level == index] for field in fields)) for index in range(levels)]


def terms_of(parts: Any) -> dict[str, Tensor]:
    """The terms of a loss by name: all fields but the first that carry gradient."""
    fields: tuple[str, ...] = getattr(parts, "_fields", ()) if isinstance(parts, tuple) else ()
    scalars = {
        name: part
        for name, part in zip(fields, parts if fields else (), strict=True)
        if isinstance(part, Tensor) and part.requires_grad and part.numel() == 1
    }
    terms = {name: part for name, part in scalars.items() if name != fields[0]}
    if not terms or fields[0] not in scalars:
        raise ValueError(
            f"a loss returns a NamedTuple: its total, then the terms that make it up, each a single number with "
            f"gradient; this one returned {type(parts).__name__}({', '.join(fields)})"
        )
    return terms


def checked_maps(maps: Any, what: str) -> list[Tensor]:
    """Raw maps as a list. Raises ValueError for anything but a list or tuple of tensors of floats."""
    if not isinstance(maps, list | tuple):
        raise ValueError(f"{what} are a list of tensors, one for each level, not {type(maps).__name__}")
    if not maps:
        raise ValueError(f"{what} are an empty list: there is nothing to differentiate")
    for level, raw in enumerate(maps):
        kind = raw.dtype if isinstance(raw, Tensor) else type(raw).__name__
        if not isinstance(raw, Tensor) or not raw.is_floating_point():
            raise ValueError(f"{what} are tensors of floats, but that of level {level} is {kind}")
    return list(maps)


def strongest_cells(
    maps: MapGradients,
    term: str = "total",
    level: int | None = None,
    image: int = 0,
    count: int = 10,
    part: Part = "",
) -> list[CellGradient]:
    """The cells of an image with the strongest gradient of a term, on one level or on all; none without gradient.

    Raises:
        ValueError: a term, level or image that is not there, or a negative count.
    """
    levels_of_term = maps.of(term)
    if level is not None:
        _within("level", level, len(levels_of_term))
    _within("image", image, len(levels_of_term[level or 0]))
    if count < 0:
        raise ValueError(f"count is 0 or more, not {count}")
    levels = range(len(levels_of_term)) if level is None else [level]
    found = []
    for index in levels:
        strength = maps.cells(term, index, part)[image]  # (A, H, W)
        top = strength.flatten().topk(min(count, strength.numel()))
        found += [(value, index, place) for value, place in zip(top.values.tolist(), top.indices.tolist(), strict=True)]
    found = sorted((entry for entry in found if entry[0] > 0), key=lambda entry: -entry[0])[:count]
    strengths = {(name, k): maps.cells(name, k)[image] for name in ("total", *maps.terms) for k in levels}
    return [_cell_gradient(maps, strengths, index, image, place) for _, index, place in found]


def _cell_gradient(
    maps: MapGradients, strengths: dict[tuple[str, int], Tensor], level: int, image: int, place: int
) -> CellGradient:
    _, rows, cols = strengths["total", level].shape  # (A, H, W)
    anchor, row, col = place // (rows * cols), place // cols % rows, place % cols
    target = None
    if maps.matches is not None:
        match = maps.matches[level]
        here = (match.image == image) & (match.anchor == anchor) & (match.row == row) & (match.col == col)
        target = int(match.target[here][-1]) if here.any() else None  # of several, the last: see objectness_targets
    norms = {name: strengths[name, level][anchor, row, col].item() for name in ("total", *maps.terms)}
    return CellGradient(level, image, anchor, row, col, norms, target)


def _within(what: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise ValueError(f"{what} is from 0 to {count - 1}, not {index}")


def _gradients(term: Tensor, weight: Tensor | None, raw: list[Tensor]) -> list[Tensor]:
    """Of weight x term; a term that the total does not depend on has no weight and no gradient."""
    if weight is None:
        return [torch.zeros_like(level) for level in raw]
    found = torch.autograd.grad(term, raw, weight, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(r) if g is None else g for r, g in zip(raw, found, strict=True)]


def _check_sum(gradients: dict[str, list[Tensor]], total: list[Tensor]) -> None:
    """Raises ValueError unless the terms' gradients add up to that of the total, within rounding."""
    for level, *terms in zip(total, *gradients.values(), strict=True):
        rounding = torch.finfo(level.dtype).eps ** 0.5 * sum(term.norm() for term in (level, *terms))
        if (torch.stack(terms).sum(0) - level).norm() > rounding:  # False of NaN: a loss that is NaN is shown as it is
            raise ValueError(
                f"the gradients of {', '.join(gradients)} do not add up to that of the total: the loss has to compute "
                f"its total from the very tensors that it returns, as a weighted sum of all of them, and none of them "
                f"from another"
            )


@contextmanager
def _evaluating(loss: Any) -> Iterator[None]:
    """A loss that balances its levels while it trains does not do so when it is only looked at."""
    training = isinstance(loss, nn.Module) and loss.training
    if training:
        loss.eval()
    try:
        yield
    finally:
        if training:
            loss.train()
