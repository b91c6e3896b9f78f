"""A trained network for other classes: what it learnt about a class is kept, at whatever place its name stands."""

import re
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from yolo_lite.checkpoints.about import trained_on
from yolo_lite.checkpoints.assemble import is_fused
from yolo_lite.checkpoints.unpickle import CheckpointError
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.spec import SpecError
from yolo_lite.model.yolo import Yolo, create_model
from yolo_lite.support.class_names import listed, match_names

PLACEHOLDER = re.compile(r"(class[ _-]?)?\d+", re.IGNORECASE)  # a class that nobody gave a name


def with_classes(
    model: LayeredDetector, num_classes: int, names: Sequence[str] | Mapping[int, str] | None, seed: int
) -> LayeredDetector:
    """The same network for other classes; tensors of another shape, which are the head's, start anew.

    Warns:
        Classes that are renamed. Called by ``load``, whose caller the warning points at.
    """
    try:
        other = create_model(model.spec, num_classes=num_classes, names=names, seed=seed)
    except SpecError as error:
        raise CheckpointError(f"{num_classes} classes: {error}") from None
    if is_fused(model):
        other = other.fuse()
    shapes = {name: value.shape for name, value in other.state_dict().items()}
    fitting = {name: value for name, value in model.state_dict().items() if value.shape == shapes[name]}
    other.load_state_dict(fitting, strict=False)
    if names is not None and num_classes == model.num_classes and not model.classes_are_texts:
        _match_outputs(other, model.names)
    if isinstance(model, Yolo) and isinstance(other, Yolo):
        other.set_anchors(model.anchors)
        other.anchors_given = model.anchors_given
    is_new = num_classes != model.num_classes and not model.classes_are_texts
    other.metadata = trained_on(model.metadata) if is_new else model.metadata
    return other.eval()


def warn_of_a_new_head(trained_names: Sequence[str], names: Sequence[str]) -> None:
    """Names of the file among another number of names: whoever wrote them may expect their outputs to be kept."""
    shared = match_names(trained_names, names).shared
    if len(names) != len(trained_names) and shared:
        warnings.warn(
            f"names: {shared} of the {len(names)} names are the file's ({listed(trained_names)}), but the number of "
            "classes is another, so the head starts anew, untrained; give num_classes too if that is intended",
            stacklevel=3,
        )


def _match_outputs(model: LayeredDetector, trained_names: Sequence[str]) -> None:
    """Puts the head's outputs, which were trained for other names or another order, where the model's names stand."""
    matched = match_names(trained_names, model.names)
    if matched.order is None:
        if not matched.same and not all(PLACEHOLDER.fullmatch(name) for name in trained_names):
            warnings.warn(
                f"names: none of the file's classes ({listed(trained_names)}) has a name that was asked for "
                f"({listed(model.names)}): the outputs keep their order, so each class is renamed by its number",
                stacklevel=4,
            )
        return
    order = list(matched.order)
    spare = iter([index for index in range(len(order)) if index not in order])  # of names that are not wanted
    sources = torch.tensor([next(spare) if index is None else index for index in order])  # (C,)
    if None in order:
        renamed = ", ".join(
            f"{trained_names[source]} -> {name}"
            for source, name, index in zip(sources.tolist(), model.names, order, strict=True)
            if index is None
        )
        warnings.warn(
            f"names: {len(order) - order.count(None)} of the {len(order)} classes are the file's and keep their "
            f"outputs; others are renamed: {renamed}",
            stacklevel=4,
        )
    try:
        move_outputs(model, sources)
    except ValueError as error:
        raise CheckpointError(f"names: the classes cannot be put in another order: {error}") from None


@torch.no_grad()
def move_outputs(model: LayeredDetector, sources: Tensor) -> None:
    """Gives each class the outputs that another had.

    Args:
        sources: (C,) which class's outputs each class gets.
    """
    state = model.state_dict()
    for name, cls in model.class_outputs().items():
        rows = torch.stack([(cls == index).nonzero()[:, 0] for index in range(len(sources))])  # (C, outputs of each)
        moved = torch.arange(len(cls))
        moved[rows] = rows[sources]
        state[name].copy_(state[name][moved])
