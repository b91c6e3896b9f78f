"""Exercises about networks: the receptive field, a fused BatchNorm, the score of a text."""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from walkthrough.charts import show_series
from walkthrough.exercises.exercise import Case, Difference, Exercise, Mistake
from walkthrough.exercises.inputs import case, numbers, seeded, uniform
from walkthrough.layers import record_layers
from walkthrough.scene import Scene
from yolo_lite.family.blocks.rep import folded
from yolo_lite.family.blocks.words import ContrastiveHead
from yolo_lite.model.yolo import create_model

# ---- receptive field ------------------------------------------------------------------------------------------------


def library_field(kernels: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """What ``record_layers`` measures on convolutions with such windows."""
    pairs = zip(kernels, strides, strict=True)
    chain = nn.Sequential(*(nn.Conv2d(1, 1, kernel, stride, kernel // 2) for kernel, stride in pairs))
    side = 4
    for stride in strides:
        side *= stride
    measured = record_layers(chain, torch.zeros(1, 1, side, side))[-1].receptive_field
    if measured is None or measured.size[0] is None:
        raise ValueError(f"the receptive field of kernels {kernels} at strides {strides} cannot be measured")
    return measured.size[0]


def backbone_windows(model: nn.Module, last: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Kernels and strides of a network's layers up to this one; of a C3 the way through its Bottlenecks."""
    kernels, strides = [], []
    for layer in list(cast(nn.Sequential, model.layers))[: last + 1]:
        modules = sorted(layer.named_modules(), key=lambda named: named[0].startswith("cv3"))  # a C3 ends with it
        for name, module in modules:
            if isinstance(module, nn.Conv2d) and not name.startswith("cv2"):  # that is the way past them
                kernels.append(int(module.kernel_size[0]))
                strides.append(int(module.stride[0]))
    return tuple(kernels), tuple(strides)


def field_cases() -> Iterator[Case]:
    """The first layers of the tour's network; then windows at random."""
    model = create_model("yolov5n")
    for last in (0, 1, 4):
        kernels, strides = backbone_windows(model, last)
        yield case(f"the tour's network up to layer {last}", kernels=kernels, strides=strides)
    chance = seeded(80)
    for number in range(4):
        count = int(torch.randint(1, 6, (1,), generator=chance))
        kernels = tuple((2 * torch.randint(0, 4, (count,), generator=chance) + 1).tolist())
        strides = tuple(torch.randint(1, 3, (count,), generator=chance).tolist())
        yield case(f"random windows {number}", kernels=kernels, strides=strides)
    yield case("windows at a stride of 4", kernels=(3, 3), strides=(4, 1))
    yield case("windows at strides of 3, 4 and 1", kernels=(3, 5, 3), strides=(3, 4, 1))


def grown(kernels: tuple[int, ...], strides: tuple[int, ...], early: bool = False, added: bool = False) -> int:
    """Receptive fields with the jump multiplied too early, or added up."""
    size, jump = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        after = jump + stride - 1 if added else jump * stride
        size, jump = size + (kernel - 1) * (after if early else jump), after
    return size


def explain_field(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """Layer by layer: how far apart two neighbouring cells are, and what is seen."""
    rows, size, jump = [], 1, 1
    for kernel, stride in zip(*of.arguments.values(), strict=True):
        size, jump = size + (kernel - 1) * jump, jump * stride
        rows.append(f"{kernel}/{stride} -> {size}")
    shown = rows if len(rows) <= 8 else [*rows[:6], "...", rows[-1]]
    return f"Kernel/stride -> receptive field, layer by layer: {', '.join(shown)}."


def field_scene(of: Case, function: Any, yours: Any, library: Any, first: Difference | None) -> Scene | None:
    """The receptive field as the layers come."""
    kernels, strides = of.arguments.values()
    counts = range(1, len(kernels) + 1)
    both = {
        "the library's": [grown(kernels[:k], strides[:k]) for k in counts],
        "yours": [float(function(kernels[:k], strides[:k])) for k in counts],
    }
    return show_series(both, list(counts), "receptive field", "layers", "pixels")


FIELD = Exercise(
    "receptive_field",
    "03_model_layer_by_layer",
    "walkthrough.record_layers, which measures it",
    library_field,
    field_cases,
    (
        Mistake(
            "the strides are left out: behind a stride of 2 a window reaches twice as far in the picture.",
            lambda kernels, strides: 1 + sum(kernel - 1 for kernel in kernels),
        ),
        Mistake(
            "the sum of the kernels: neighbouring windows overlap, each adds its size less 1.",
            lambda kernels, strides: sum(kernels),
        ),
        Mistake(
            "a layer's own stride is counted in its own window: it acts on the layers behind it.",
            lambda kernels, strides: grown(kernels, strides, early=True),
        ),
        Mistake(
            "strides are added: two layers of stride 2 move by 4 pixels, they multiply.",
            lambda kernels, strides: grown(kernels, strides, added=True),
        ),
    ),
    explain=explain_field,
    scene=field_scene,
)

# ---- fuse -----------------------------------------------------------------------------------------------------------


def library_fuse(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What ``fuse`` computes for each convolution with its BatchNorm."""
    weight, bias = folded(conv.weight, conv.bias, norm)
    return weight.detach(), bias.detach()


def fuse_cases() -> Iterator[Case]:
    """The first two convolutions of the tour's network with statistics drawn at random; others, with a bias too."""
    blocks = list(create_model("yolov5n").layers)[:2]
    for number, block in enumerate(blocks):
        conv, norm = cast(nn.Conv2d, block.conv), cast(nn.BatchNorm2d, block.bn)
        yield case(f"layer {number} of the tour's network", conv=conv.eval(), norm=with_statistics(norm, number))
    for number, (channels, kernel, bias) in enumerate(((4, 1, False), (6, 3, True), (8, 5, True))):
        conv = nn.Conv2d(channels, channels, kernel, bias=bias)
        for parameter in conv.parameters():
            parameter.data = uniform(tuple(parameter.shape), -1, 1, seeded(number))
        named = f"{channels} channels, kernel {kernel}{', with a bias' if bias else ''}"
        yield case(named, conv=conv.eval(), norm=with_statistics(nn.BatchNorm2d(channels, eps=0.1), 10 + number))


def with_statistics(norm: nn.BatchNorm2d, seed: int) -> nn.BatchNorm2d:
    """A BatchNorm that has seen something."""
    chance, shape = seeded(seed), (norm.num_features,)
    norm.load_state_dict(
        {
            "weight": uniform(shape, 0.5, 2, chance),
            "bias": uniform(shape, -1, 1, chance),
            "running_mean": uniform(shape, -2, 2, chance),
            "running_var": uniform(shape, 0.05, 3, chance),
            "num_batches_tracked": torch.tensor(1),
        }
    )
    return norm.eval()


def fused(conv: nn.Conv2d, norm: nn.BatchNorm2d, scale: Tensor, mean: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """A convolution with another scale, for mistakes that share this part."""
    mean = cast(Tensor, norm.running_mean) if mean is None else mean
    before = torch.zeros_like(norm.bias) if conv.bias is None else conv.bias
    return (conv.weight * scale[:, None, None, None]).detach(), (norm.bias + (before - mean) * scale).detach()


def right_scale(norm: nn.BatchNorm2d) -> Tensor:
    """gamma / sqrt(variance + eps)."""
    return norm.weight / (cast(Tensor, norm.running_var) + norm.eps).sqrt()


def explain_fuse(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """The numbers of the channel that differs."""
    if first is None or not first.index:
        return ""
    k, norm, conv = first.index[0], of.arguments["norm"], of.arguments["conv"]
    bias = "none" if conv.bias is None else f"{conv.bias[k]:.4g}"
    return (
        f"Channel {k}: gamma {norm.weight[k]:.4g}, beta {norm.bias[k]:.4g}, mean {norm.running_mean[k]:.4g}, variance "
        f"{norm.running_var[k]:.4g}, eps {norm.eps:g}, the convolution's bias {bias}: s = {right_scale(norm)[k]:.4g}."
    )


FUSE = Exercise(
    "fuse",
    "12_backbones",
    "yolo_lite.family.blocks.rep.folded",
    library_fuse,
    fuse_cases,
    (
        Mistake(
            "divided by the variance: its root is asked for, sqrt(variance + eps).",
            lambda conv, norm: fused(conv, norm, norm.weight / (norm.running_var + norm.eps)),
        ),
        Mistake(
            "eps is missing: sqrt(variance + eps).",
            lambda conv, norm: fused(conv, norm, norm.weight / norm.running_var.sqrt()),
        ),
        Mistake(
            "eps stands outside of the root: sqrt(variance + eps), not sqrt(variance) + eps.",
            lambda conv, norm: fused(conv, norm, norm.weight / (norm.running_var.sqrt() + norm.eps)),
        ),
        Mistake(
            "the mean is not scaled: it is subtracted before BatchNorm multiplies, so the bias has - s * mean.",
            lambda conv, norm: (library_fuse(conv, norm)[0], (norm.bias - norm.running_mean).detach()),
        ),
        Mistake(
            "the mean is left out of the bias.",
            lambda conv, norm: fused(conv, norm, right_scale(norm), torch.zeros(())),
        ),
        Mistake(
            "the convolution's own bias is left out: BatchNorm scales it as well.",
            lambda conv, norm: (
                library_fuse(conv, norm)[0],
                (norm.bias - norm.running_mean * right_scale(norm)).detach(),
            ),
        ),
        Mistake(
            "the bias is right and the kernel is not scaled.",
            lambda conv, norm: (conv.weight.detach(), library_fuse(conv, norm)[1]),
        ),
    ),
    rtol=1e-4,
    atol=1e-6,
    because="float32, and 1 / sqrt may be computed as rsqrt",
    outputs=("weight", "bias"),
    axes=("channel", "input channel", "row", "column"),
    explain=explain_fuse,
)

# ---- the score of a text --------------------------------------------------------------------------------------------


def library_score(x: Tensor, text: Tensor, logit_scale: float, bias: float) -> Tensor:
    """What the head of YOLO-World computes for each region and text."""
    head = ContrastiveHead()
    head.logit_scale.data.fill_(logit_scale)
    head.bias.data.fill_(bias)
    with torch.no_grad():
        return head(x.T[None, :, :, None], text[None])[0, :, :, 0].T  # (D, n, 1) a map; (K, n) -> (n, K)


def score_cases() -> Iterator[Case]:
    """Embeddings drawn at random, as long as those of a network; one text that has the direction of a region."""
    for number, (regions, texts, size) in enumerate(((6, 4, 64), (20, 3, 16))):
        chance = seeded(90 + number)
        x, text = uniform((regions, size), -3, 3, chance), uniform((texts, size), -1, 1, chance)
        yield case(f"{regions} random regions, {texts} texts", x=x, text=text, logit_scale=2.66, bias=-10.0)
    x = torch.tensor([[3.0, 4.0], [-8.0, 6.0]])
    yield case("two numbers each", x=x, text=torch.tensor([[0.6, 0.8], [2.0, 0.0]]), logit_scale=0.5, bias=1.0)
    yield case("no region", x=torch.zeros(0, 8), text=torch.eye(8)[:3], logit_scale=1.0, bias=0.0)


def scored(x: Tensor, text: Tensor, factor: float, bias: float) -> Tensor:
    """Products, for mistakes that share this part."""
    return factor * x @ text.T + bias


def unit(x: Tensor, dim: int = -1) -> Tensor:
    """Vectors of length 1."""
    return functional.normalize(x, dim=dim)


def explain_score(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """Lengths and cosine of the pair that differs."""
    if first is None:
        return ""
    (k, j), (x, text, scale, bias) = first.index, of.arguments.values()
    cosine = (unit(x[k]) @ unit(text[j])).item()
    return (
        f"Region {k} has the length {x[k].norm():.4g}, text {j} {text[j].norm():.4g}, their cosine is {cosine:.4g}; "
        f"logit_scale {scale:g} is a logarithm, its factor {torch.tensor(scale).exp():.4g}; bias {bias:g}. "
        f"{'Region ' + numbers(x[k]) if x.shape[1] <= 4 else ''}".strip()
    )


SCORE = Exercise(
    "contrastive_score",
    "14_gradients_and_words",
    "yolo_lite.family.blocks.words.ContrastiveHead",
    library_score,
    score_cases,
    (
        Mistake(
            "neither is divided by its length: a long vector would fit everything.",
            lambda x, text, logit_scale, bias: scored(x, text, torch.tensor(logit_scale).exp().item(), bias),
        ),
        Mistake(
            "the regions are not divided by their length.",
            lambda x, text, logit_scale, bias: scored(x, unit(text), torch.tensor(logit_scale).exp().item(), bias),
        ),
        Mistake(
            "the texts are not divided by their length.",
            lambda x, text, logit_scale, bias: scored(unit(x), text, torch.tensor(logit_scale).exp().item(), bias),
        ),
        Mistake(
            "logit_scale is a logarithm: multiply by exp(logit_scale).",
            lambda x, text, logit_scale, bias: scored(unit(x), unit(text), logit_scale, bias),
        ),
        Mistake(
            "the bias is left out.",
            lambda x, text, logit_scale, bias: library_score(x, text, logit_scale, 0.0),
        ),
        Mistake(
            "divided by the length of the columns: each row is an embedding, dim=1.",
            lambda x, text, logit_scale, bias: scored(
                unit(x, 0), unit(text, 0), torch.tensor(logit_scale).exp().item(), bias
            ),
        ),
        Mistake(
            "the sigmoid is taken already: logits are asked for.",
            lambda x, text, logit_scale, bias: library_score(x, text, logit_scale, bias).sigmoid(),
        ),
    ),
    rtol=1e-4,
    atol=1e-4,
    because="a sum of 64 products in float32, times a factor of 14",
    axes=("region", "text"),
    explain=explain_score,
)

ALL = (FIELD, FUSE, SCORE)
