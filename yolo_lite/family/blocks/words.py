"""The blocks of YOLO-World: image features that read texts, and scores that compare regions with texts.

A network for a fixed vocabulary needs no texts any more: ``fix`` and ``fixed`` turn what the texts do into plain
weights. The names of the attributes (gl, ec, proj_conv, query, ...) are those in official checkpoints.

Source: Cheng et al. 2024, YOLO-World: Real-Time Open-Vocabulary Object Detection (arXiv 2401.17270).

Shape letters: N batch, C channels, H rows, W columns, K texts, D numbers of a text's embedding, E numbers of the
embedding in which maps and texts are compared, M heads, T tokens of an image.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from yolo_lite.family.blocks.csp import C2f
from yolo_lite.family.blocks.downsampling import LargestInParts
from yolo_lite.model.blocks import Conv, batch_norm
from yolo_lite.model.registry import LayerKind

FIRST_BIAS = -10.0  # of the scores: at the start nearly all regions are like none of the texts


class MaxSigmoidAttn(nn.Module):
    """Each place of a map is weighted by its largest similarity to any of the texts: text-guided attention.

    Args:
        in_channels, out_channels: C before and after. heads: M, groups of channels that are weighted apart.
        embed_channels: E. text_channels: D. scale: whether every head learns a factor for its weights.
    Raises:
        ValueError: E or the output channels cannot be divided into this many heads.

    Shape: (N, in_channels, H, W), (N, K, D) -> (N, out_channels, H, W).

    >>> block = MaxSigmoidAttn(12, 12, heads=3, embed_channels=12, text_channels=20)
    >>> block(torch.zeros(2, 12, 8, 8), torch.zeros(2, 5, 20)).shape
    torch.Size([2, 12, 8, 8])
    """

    scale: Tensor | float
    guide: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 1,
        embed_channels: int = 512,
        text_channels: int = 512,
        scale: bool = False,
    ) -> None:
        super().__init__()
        if heads < 1 or embed_channels % heads or out_channels % heads:
            raise ValueError(f"{embed_channels} and {out_channels} channels cannot be divided into {heads} heads")
        self.heads, self.width = heads, embed_channels // heads
        self.ec = Conv(in_channels, embed_channels, 1, activation=False) if in_channels != embed_channels else None
        self.gl: nn.Linear | None = nn.Linear(text_channels, embed_channels)
        self.bias = nn.Parameter(torch.zeros(heads))
        self.proj_conv = Conv(in_channels, out_channels, 3, activation=False)
        self.scale = nn.Parameter(torch.ones(1, heads, 1, 1)) if scale else 1.0
        self.register_buffer("guide", None)

    def forward(self, x: Tensor, text: Tensor | None = None) -> Tensor:
        weights = self.weights(x, text)[:, :, None]  # (N, M, 1, H, W)
        values = self.proj_conv(x).unflatten(1, (self.heads, -1))  # (N, M, out / M, H, W)
        return (values * weights).flatten(1, 2)

    def weights(self, x: Tensor, text: Tensor | None = None) -> Tensor:
        """(N, M, H, W), from 0 to 1 (times ``scale``): how much each place has to do with any of the texts."""
        embedded = x if self.ec is None else self.ec(x)
        embedded = embedded.unflatten(1, (self.heads, self.width))  # (N, M, E / M, H, W)
        similarity = torch.einsum("nmchw,nkmc->nmkhw", embedded, self._guides(text).expand(x.shape[0], -1, -1, -1))
        largest = similarity.amax(2) / math.sqrt(self.width)  # (N, M, H, W)
        return (largest + self.bias[:, None, None]).sigmoid() * self.scale

    def _guides(self, text: Tensor | None) -> Tensor:
        """The texts as the heads see them: (N, K, M, E / M), without N for a fixed vocabulary."""
        guide = self.guide if self.gl is None else self.gl(_given(text))
        if guide is None:
            raise ValueError("this attention block has no texts: give them, or fix them with fix(text)")
        return guide.unflatten(-1, (self.heads, self.width))

    @torch.no_grad()
    def fix(self, text: Tensor) -> None:
        """Makes these texts, (K, D), part of the weights: from now on ``forward`` takes the map alone."""
        if self.gl is not None:
            self.guide = self.gl(text)  # (K, E)
            self.gl = None


class C2fAttn(C2f):
    """A C2f whose last output also passes text-guided attention; YOLO-World's neck is built from it.

    Args:
        in_channels, out_channels, number, shortcut, groups, expansion: as in C2f.
        embed_channels, heads, text_channels: E, M and D of the attention.

    Shape: a list of (N, in_channels, H, W) and (N, K, D) -> (N, out_channels, H, W).

    >>> block = C2fAttn(16, 16, number=1, embed_channels=8, heads=2, text_channels=20)
    >>> block([torch.zeros(2, 16, 8, 8), torch.zeros(2, 5, 20)]).shape
    torch.Size([2, 16, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        number: int = 1,
        embed_channels: int = 128,
        heads: int = 1,
        text_channels: int = 512,
        shortcut: bool = False,
        groups: int = 1,
        expansion: float = 0.5,
    ) -> None:
        super().__init__(in_channels, out_channels, number, shortcut, groups, expansion)
        hidden = self.cv1.conv.out_channels // 2
        self.cv2 = Conv((3 + number) * hidden, out_channels, 1)
        self.attn = MaxSigmoidAttn(hidden, hidden, heads, embed_channels, text_channels)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:  # type: ignore[override]  # a map and texts, not one map
        x, *text = inputs
        parts = self.parts(x)  # each (N, hidden, H, W)
        return self.cv2(torch.cat([*parts, self.attn(parts[-1], *text)], 1))

    def fix(self, text: Tensor) -> None:
        """Makes these texts, (K, D), part of the weights: from now on ``forward`` takes a list of the map alone."""
        self.attn.fix(text)


class ImagePoolingAttn(nn.Module):
    """Texts look at the image: each is updated by attention over a few regions of every level.

    Args:
        in_channels: of each map. embed_channels: E. text_channels: D. heads: M. size: a map becomes size x size tokens.

    Shape: a list of L maps (N, C, H, W) and (N, K, D) -> (N, K, D).

    >>> block = ImagePoolingAttn([6, 8], embed_channels=16, text_channels=20, heads=4)
    >>> block([torch.zeros(2, 6, 12, 9), torch.zeros(2, 8, 6, 5), torch.zeros(2, 5, 20)]).shape
    torch.Size([2, 5, 20])
    """

    text: Tensor | None

    def __init__(
        self,
        in_channels: Sequence[int],
        embed_channels: int = 256,
        text_channels: int = 512,
        heads: int = 8,
        size: int = 3,
    ) -> None:
        super().__init__()
        if heads < 1 or embed_channels % heads:
            raise ValueError(f"{embed_channels} channels cannot be divided into {heads} heads")
        self.heads, self.levels = heads, len(in_channels)
        self.query = nn.Sequential(nn.LayerNorm(text_channels), nn.Linear(text_channels, embed_channels))
        self.key = nn.Sequential(nn.LayerNorm(embed_channels), nn.Linear(embed_channels, embed_channels))
        self.value = nn.Sequential(nn.LayerNorm(embed_channels), nn.Linear(embed_channels, embed_channels))
        self.proj = nn.Linear(embed_channels, text_channels)
        self.projections = nn.ModuleList(nn.Conv2d(channels, embed_channels, 1) for channels in in_channels)
        self.pool = LargestInParts(size)
        self.register_buffer("text", None)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        maps, text = inputs[: self.levels], self.text
        if text is None:
            text = _given(inputs[-1] if len(inputs) > self.levels else None)
        text = text.expand(maps[0].shape[0], -1, -1)  # (N, K, D)
        pooled = [self.pool(project(x)).flatten(2) for x, project in zip(maps, self.projections, strict=True)]
        tokens = torch.cat(pooled, 2).transpose(1, 2)  # (N, T, E)
        key, value = self._apart(self.key(tokens)), self._apart(self.value(tokens))  # (N, M, T, E / M)
        found = functional.scaled_dot_product_attention(self._apart(self.query(text)), key, value)  # (N, M, K, E / M)
        return text + self.proj(found.transpose(1, 2).flatten(2))

    def _apart(self, x: Tensor) -> Tensor:
        """(N, n, E) -> (N, M, n, E / M)"""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def fix(self, text: Tensor) -> None:
        """Keeps these texts, (K, D): from now on ``forward`` takes the maps alone."""
        self.text = text.detach().clone()  # (K, D)


class ContrastiveHead(nn.Module):
    """Region-text contrast: the cosine between the embedding of a region and of a text, times a factor, plus a bias.

    Both embeddings are divided by their length, as in CLIP (Radford et al. 2021, arXiv 2103.00020).

    Shape: (N, D, H, W), (N, K, D) -> (N, K, H, W) logits.

    >>> head = ContrastiveHead()
    >>> image, text = torch.zeros(1, 3, 1, 1), torch.eye(3)[None]
    >>> image[0, 1] = 5.0
    >>> [round(value, 2) for value in head(image, text).flatten().tolist()]  # the second text is the one
    [-10.0, 4.29, -10.0]
    """

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([FIRST_BIAS]))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        similarity = torch.einsum("nchw,nkc->nkhw", self.normalise(x), functional.normalize(text, dim=-1))
        return similarity * self.logit_scale.exp() + self.bias

    def normalise(self, x: Tensor) -> Tensor:
        """What is done to the embeddings of regions before they are compared."""
        return functional.normalize(x, dim=1)

    @torch.no_grad()
    def fixed(self, text: Tensor) -> nn.Module:
        """What computes the same for these texts, (K, D): a 1x1 convolution of normalised embeddings."""
        return nn.Sequential(UnitLength(), self.convolution(text))

    @torch.no_grad()
    def convolution(self, text: Tensor) -> nn.Conv2d:
        """The comparison with these texts, (K, D), as a 1x1 convolution: each text is a row of its weight."""
        conv = nn.Conv2d(text.shape[1], len(text), 1).to(text)
        conv.weight.copy_((functional.normalize(text, dim=-1) * self.logit_scale.exp())[..., None, None])
        conv.bias.copy_(self.bias.expand(len(text)))  # type: ignore[union-attr]  # it has one
        return conv


class BNContrastiveHead(ContrastiveHead):
    """Region-text contrast with BatchNorm in place of the region's length: with fixed texts it is one convolution.

    Args:
        text_channels: D.

    Shape: (N, D, H, W), (N, K, D) -> (N, K, H, W) logits.

    >>> head = BNContrastiveHead(16).eval()
    >>> image, text = torch.rand(2, 16, 4, 4), torch.rand(5, 16)
    >>> torch.allclose(head(image, text.expand(2, 5, 16)), head.fixed(text)(image), atol=1e-5)
    True
    """

    def __init__(self, text_channels: int) -> None:
        super().__init__()
        self.norm = batch_norm(text_channels)
        self.logit_scale = nn.Parameter(torch.tensor(-1.0))

    def normalise(self, x: Tensor) -> Tensor:
        return self.norm(x)

    @torch.no_grad()
    def fixed(self, text: Tensor) -> nn.Conv2d:
        """The 1x1 convolution that computes the same for these texts, (K, D), in evaluation mode."""
        conv, norm = self.convolution(text), self.norm
        if norm.running_mean is None or norm.running_var is None or conv.bias is None:
            raise ValueError("this BatchNorm has no running statistics, so it is not a convolution")
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()  # (D,)
        shift = norm.bias - norm.running_mean * scale  # (D,)
        conv.bias += conv.weight[..., 0, 0] @ shift
        conv.weight *= scale[:, None, None]
        return conv


class UnitLength(nn.Module):
    """Divides each place's channels by their length (L2 norm). Shape: (N, C, H, W) -> the same."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(x, dim=1)


def _given(text: Tensor | None) -> Tensor:
    if text is None:
        raise ValueError("this block reads texts: give it a list whose last entry is their embeddings, (N, K, D)")
    return text


def _c2f_attn(in_channels: Sequence[int], *arguments: Any) -> C2fAttn:
    """A row's block; its inputs are a map and the texts."""
    if isinstance(in_channels, int) or len(in_channels) != 2:
        raise ValueError("it reads one map and the texts, which only networks of the family yolo-world have")
    return C2fAttn(in_channels[0], *arguments)


def _image_pooling_attn(in_channels: Sequence[int], *arguments: int) -> ImagePoolingAttn:
    """A row's block; its inputs are maps and, last, the texts."""
    if isinstance(in_channels, int):
        raise ValueError("it reads maps and the texts, which only networks of the family yolo-world have")
    return ImagePoolingAttn(in_channels[:-1], *arguments)


WORD_KINDS: Mapping[str, LayerKind] = MappingProxyType(
    {
        "C2fAttn": LayerKind(_c2f_attn, repeats=True),
        "ImagePoolingAttn": LayerKind(_image_pooling_attn, "in"),
    }
)
