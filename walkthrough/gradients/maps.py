"""Who pulls on the raw maps: the gradient of each loss term, by level and by cell.

Shape letters: T terms, L levels, N batch, A anchors, H W grid of a level, K numbers of a cell.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from yolo_lite.loss.loss import ComputeLoss, add_levels
from yolo_lite.loss.targets import Assignment

Part = Literal["", "positive", "background"]


@dataclass(frozen=True, eq=False)
class MapPulls:
    """The gradient of each term with respect to the raw maps."""

    parts: Any  # what the loss returned: a NamedTuple of scalars, the total first; detached
    gradients: dict[str, list[Tensor]]  # term -> for each level a tensor of the map's shape
    matches: list[Assignment] | None  # for each level, where the loss is a ComputeLoss

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the T terms."""
        return tuple(self.gradients)

    @cached_property
    def norms(self) -> Tensor:
        """(T, L) Euclidean norm of each term's gradient on each level."""
        return torch.stack([torch.stack([level.double().norm() for level in levels]) for levels in self._listed()])

    @property
    def shares(self) -> Tensor:
        """(T, L) each norm as a share of all norms together; 0 where nothing pulls."""
        return shares_of(self.norms)

    def of(self, term: str) -> list[Tensor]:
        """The gradients of one term, or with "total" of all together, level by level."""
        if term == "total":
            return [torch.stack(level).sum(0) for level in zip(*self._listed(), strict=True)]
        if term not in self.gradients:
            raise ValueError(f"no term {term!r} in this loss; it has total, {', '.join(self.terms)}")
        return self.gradients[term]

    def cells(self, term: str, level: int, part: Part = "") -> Tensor:
        """(N, A, H, W) how hard a term pulls on each cell: the norm over the cell's K numbers.

        part: "positive" leaves only the cells that answer for an object, "background" only the others; "": all.
        """
        strength = norm_of_cells(self.of(term)[level])
        if not part:
            return strength
        if (positives := self.positives(level)) is None:
            raise ValueError("this loss does not say which cells answer for an object")
        kept = positives if part == "positive" else ~positives
        return strength * kept.to(strength.device)

    def positives(self, level: int) -> Tensor | None:
        """(N, A, H, W) bool: the cells that answer for an object; None where the loss has no matches."""
        if self.matches is None:
            return None
        mask = torch.zeros(next(iter(self.gradients.values()))[level].shape[:4], dtype=torch.bool)
        match = self.matches[level].to("cpu")
        mask[match.image, match.anchor, match.row, match.col] = True
        return mask

    def _listed(self) -> list[list[Tensor]]:
        return list(self.gradients.values())


class CellPull(NamedTuple):
    """One cell of one anchor, and who pulls on it."""

    level: int
    image: int
    anchor: int
    row: int
    col: int
    norms: dict[str, float]  # by term, "total" among them
    target: int | None  # the row of the targets whose object it answers for


def shares_of(norms: Tensor) -> Tensor:
    """Norms as shares of their sum; all 0 where that is 0."""
    return norms / norms.sum().clamp(min=torch.finfo(norms.dtype).tiny)


def norm_of_cells(gradient: Tensor) -> Tensor:
    """The norm over the K numbers of each cell: (N, A, H, W, K) or (N, K, H, W) -> (N, A, H, W), with A = 1."""
    if gradient.ndim == 5:
        return gradient.norm(dim=4)
    if gradient.ndim == 4:
        return gradient.norm(dim=1, keepdim=True)
    raise ValueError(f"a raw map is (N, A, H, W, K) or (N, K, H, W), not {tuple(gradient.shape)}")


def pull_on_maps(loss: Callable[[Sequence[Tensor], Tensor], Any], maps: Sequence[Tensor], targets: Tensor) -> MapPulls:
    """Differentiate each term of a loss with respect to the raw maps.

    Args:
        loss: what ``model.criterion(hyp, img_size)`` returns: called with maps and targets it gives a NamedTuple whose
            first field is the total and whose others are its terms.
        maps: L raw maps, as the model returned them. targets: as the loss takes them.
    Raises:
        ValueError: maps or targets that the loss refuses, or a loss without terms.

    >>> import yolo_lite as yl
    >>> model = yl.create_model("yolov5n", num_classes=2).eval()
    >>> maps, targets = model(torch.rand(1, 3, 64, 64)), torch.tensor([[0, 1, 0.5, 0.5, 0.4, 0.4]])
    >>> pulls = pull_on_maps(model.criterion(yl.Hyperparameters(), 64), maps, targets)
    >>> pulls.terms, pulls.norms.shape
    (('box', 'obj', 'cls'), torch.Size([3, 3]))
    """
    with torch.inference_mode(False), torch.enable_grad(), _evaluating(loss):
        raw = [level.detach().clone().requires_grad_() for level in maps]  # (N, A, H, W, K)
        matches = None
        if isinstance(loss, ComputeLoss):
            levels = loss.levels(raw, targets)
            parts, matches = add_levels(levels, raw[0].shape[0]), [level.matches for level in levels]
        else:
            parts = loss(raw, targets)
        terms = terms_of(parts)
        weights = torch.autograd.grad(parts[0], list(terms.values()), retain_graph=True, allow_unused=True)
        gradients = {
            name: _gradients(term, torch.ones_like(term) if weight is None else weight, raw)
            for (name, term), weight in zip(terms.items(), weights, strict=True)
        }
    detached = (part.detach() if isinstance(part, Tensor) else part for part in parts)
    return MapPulls(type(parts)(*detached), gradients, matches)


def terms_of(parts: Any) -> dict[str, Tensor]:
    """The terms of a loss by name: all fields but the first that carry gradient."""
    fields = getattr(parts, "_fields", ())
    terms = {
        name: part
        for name, part in zip(fields[1:], parts[1:], strict=True)
        if isinstance(part, Tensor) and part.requires_grad and part.ndim == 0
    }
    if not terms or not parts[0].requires_grad:
        raise ValueError(
            f"a loss returns a NamedTuple: its total, then the terms that make it up, with gradient; "
            f"this one returned {type(parts).__name__}({', '.join(fields)})"
        )
    return terms


def strongest_cells(
    pulls: MapPulls,
    term: str = "total",
    level: int | None = None,
    image: int = 0,
    count: int = 10,
    part: Part = "",
) -> list[CellPull]:
    """The cells of an image that a term pulls on hardest, on one level or on all; fewer where fewer are pulled."""
    levels = range(len(pulls.of(term))) if level is None else [level]
    found = []
    for index in levels:
        strength = pulls.cells(term, index, part)[image]  # (A, H, W)
        top = strength.flatten().topk(min(count, strength.numel()))
        found += [(value, index, place) for value, place in zip(top.values.tolist(), top.indices.tolist(), strict=True)]
    found = sorted((entry for entry in found if entry[0] > 0), key=lambda entry: -entry[0])[:count]
    strengths = {(name, k): pulls.cells(name, k)[image] for name in ("total", *pulls.terms) for k in levels}
    return [_cell_pull(pulls, strengths, index, image, place) for _, index, place in found]


def _cell_pull(
    pulls: MapPulls, strengths: dict[tuple[str, int], Tensor], level: int, image: int, place: int
) -> CellPull:
    _, rows, cols = strengths["total", level].shape  # (A, H, W)
    anchor, row, col = place // (rows * cols), place // cols % rows, place % cols
    target = None
    if pulls.matches is not None:
        match = pulls.matches[level]
        here = (match.image == image) & (match.anchor == anchor) & (match.row == row) & (match.col == col)
        target = int(match.target[here][-1]) if here.any() else None  # of several, the last: see objectness_targets
    norms = {name: strengths[name, level][anchor, row, col].item() for name in ("total", *pulls.terms)}
    return CellPull(level, image, anchor, row, col, norms, target)


def _gradients(term: Tensor, weight: Tensor, raw: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(term, raw, weight, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(r) if g is None else g for r, g in zip(raw, found, strict=True)]


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
