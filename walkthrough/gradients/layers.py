"""The gradient of each loss term with respect to the parameters, layer by layer.

Shape letters: T terms, N batch, H W image, P layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from walkthrough._moved import moved_name
from walkthrough.gradients.maps import MapGradients, checked_maps, map_gradients
from yolo_lite._moved import renamed_field

if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # names of 0.1.0


@dataclass(frozen=True, eq=False)
class LayerGradients:
    """The gradient of each term with respect to the parameters, layer by layer."""

    names: tuple[str, ...]  # P layers
    parameters: tuple[int, ...]  # how many each has
    terms: tuple[str, ...]
    norms: Tensor  # (T, P) norm of each term's gradient
    total: Tensor  # (P,) norm of the gradient of the total: terms may cancel each other out

    @property
    def shares(self) -> Tensor:
        """The old name of fractions: warns."""
        found: Tensor = renamed_field(self, "shares", "fractions")
        return found

    @property
    def fractions(self) -> Tensor:
        """(T, P) each term's fraction of the sum of a layer's norms."""
        return self.norms / self.norms.sum(0).clamp(min=torch.finfo(self.norms.dtype).tiny)


class Pass:
    """One pass of images through a model, kept for any number of backward passes.

    Args:
        model: a torch module that gives a list of maps; run in the mode it is in. images: (N, 3, H, W) in [0, 1].

    Attributes:
        maps: what the model gave, with gradient.
        parameters: name -> the tensors that are differentiated by; they share the memory of the model's own.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        if not isinstance(model, nn.Module):
            raise ValueError(f"gradients by layer need a torch module, not {type(model).__name__}")
        self.layers = layers_of(model)
        with torch.inference_mode(False), torch.enable_grad():
            self.parameters = {name: p.detach().requires_grad_() for name, p in model.named_parameters()}
            self.maps = _run(model, images, self.parameters)

    def layer_gradients(self, maps: MapGradients) -> LayerGradients:
        """Carry the gradients on the maps back to the parameters: one backward pass for each term."""
        sums = {name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()}
        norms = []
        for gradients in maps.gradients.values():
            found = self._backward(gradients)
            for name, gradient in found.items():
                sums[name] += gradient
            norms.append(self._norms(found))
        counts = tuple(sum(self.parameters[name].numel() for name in names) for names in self.layers.values())
        return LayerGradients(tuple(self.layers), counts, maps.terms, torch.stack(norms), self._norms(sums))

    def pull_on_layers(self, pulls: MapGradients) -> LayerGradients:
        """The old name of layer_gradients: warns."""
        method: Callable[[MapGradients], LayerGradients] = renamed_field(self, "pull_on_layers", "layer_gradients")
        return method(pulls)

    def _backward(self, gradients: list[Tensor]) -> dict[str, Tensor]:
        pairs = [
            (raw, gradient.to(raw))
            for raw, gradient in zip(self.maps, gradients, strict=True)
            if raw.requires_grad and gradient.any()
        ]
        if not pairs:  # a term without gradient, or on maps that no parameter leads to
            return {}
        outputs, incoming = zip(*pairs, strict=True)
        inputs = list(self.parameters.values())
        found = torch.autograd.grad(outputs, inputs, incoming, retain_graph=True, allow_unused=True)
        return {name: g for name, g in zip(self.parameters, found, strict=True) if g is not None}

    def _norms(self, gradients: dict[str, Tensor]) -> Tensor:
        """(P,) one norm for each layer."""
        length = partial(torch.linalg.vector_norm, dtype=torch.float64)  # without a copy: a layer may be a gigabyte
        squares = {name: length(gradient).square().cpu() for name, gradient in gradients.items()}
        zero = torch.zeros((), dtype=torch.float64)
        layers = [[squares.get(name, zero) for name in names] for names in self.layers.values()]
        return torch.stack([torch.stack(layer).sum().sqrt() for layer in layers])


def layer_gradients(model: nn.Module, loss: Any, images: Tensor, targets: Tensor) -> LayerGradients:
    """Differentiate each term of a loss with respect to the parameters of every layer.

    Args:
        model: run in the mode it is in, and left as it is. loss: ``model.criterion(hyp, img_size)``.
        images: (N, 3, H, W) in [0, 1]. targets: (n, 6) image, class, xc, yc, w, h, normalised.

    >>> import yolo_lite as yl
    >>> model = yl.create_model("yolov5n", num_classes=2).eval()
    >>> loss, targets = model.criterion(yl.Hyperparameters(), 64), torch.tensor([[0, 1, 0.5, 0.5, 0.4, 0.4]])
    >>> gradients = layer_gradients(model, loss, torch.rand(1, 3, 64, 64), targets)
    >>> gradients.names[0], gradients.names[-1], gradients.norms.shape
    ('0 Conv', '24 Detect', torch.Size([3, 19]))
    """
    through = Pass(model, images)
    return through.layer_gradients(map_gradients(loss, through.maps, targets))


def maps_of(model: Callable[[Tensor], Sequence[Tensor]], images: Tensor) -> list[Tensor]:
    """The raw maps of a model in the mode it is in, without gradient; BatchNorm's statistics stay as they are.

    Raises:
        ValueError: the model gives anything but a list or tuple of maps of floats.
    """
    with torch.inference_mode(False), torch.no_grad():
        if isinstance(model, nn.Module):
            return _run(model, images, dict(model.named_parameters()))
        return checked_maps(model(images), "what a model gives")


def _run(model: nn.Module, images: Tensor, parameters: dict[str, Tensor]) -> list[Tensor]:
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}  # BatchNorm writes into these
    place = next(iter(parameters.values()), images)
    with torch.random.fork_rng():  # dropout draws
        maps = torch.func.functional_call(model, (parameters, buffers), images.to(place))
    return checked_maps(maps, "what a model gives")


def layers_of(model: nn.Module) -> dict[str, list[str]]:
    """The names of the parameters of each layer that has any.

    A Yolo has layers, which its rows name by index and kind; of any other module they are its named children, of a
    module around a single other one (DataParallel, a compiled model) that one's.

    >>> layers_of(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
    {'0 Linear': ['0.weight', '0.bias']}
    """
    prefix, inner = "", model
    rows: Any = getattr(model, "rows", None)
    if isinstance(getattr(model, "layers", None), nn.ModuleList) and rows is not None:
        places = {f"layers.{row.index}.": f"{row.index} {row.kind}" for row in rows}
    else:
        while only := _only_child(inner):
            prefix, inner = f"{prefix}{only[0]}.", only[1]
        places = {f"{prefix}{name}.": f"{name} {type(child).__name__}" for name, child in inner.named_children()}
    found: dict[str, list[str]] = {}
    for name, _ in model.named_parameters():
        layer = next((label for start, label in places.items() if name.startswith(start)), "own parameters")
        found.setdefault(layer, []).append(name)
    if not found:
        raise ValueError(f"{type(model).__name__} has no parameters to differentiate")
    return found


def _only_child(module: nn.Module) -> tuple[str, nn.Module] | None:
    """Of a module that merely wraps another one: that, with its name."""
    children = list(module.named_children())
    wraps = len(children) == 1 and not list(module.parameters(recurse=False)) and list(children[0][1].children())
    return children[0] if wraps else None
