"""Layers of a network that this library has never seen: what each takes in, gives out, costs and sees."""

import torch
from torch import nn

from walkthrough import effective_field, record_layers, show_layers


class Shifted(nn.Module):
    """Yours: PyTorch says nothing of what it reads."""

    def forward(self, x):
        return torch.roll(x, shifts=2, dims=3)


class PerToken(nn.Module):
    """Rows and columns are flattened on the way, and come back."""

    def __init__(self, channels):
        super().__init__()
        self.linear = nn.Linear(channels, channels)

    def forward(self, x):
        return self.linear(x.flatten(2).transpose(1, 2)).transpose(1, 2).view(x.shape)


class Attention(nn.Module):
    """Every cell reads all others."""

    def __init__(self, channels):
        super().__init__()
        self.inner = nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return self.inner(tokens, tokens, tokens)[0].transpose(1, 2).view(x.shape)


model = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish(), Shifted(), PerToken(8), Attention(8))
images = torch.rand(1, 3, 64, 64)
records = record_layers(model, images)  # depth=None records the modules inside of modules too
print(show_layers(records))

sees = [record.receptive_field.size for record in records]
assert sees == [(3, 3), (3, 3), (3, 3), (3, 3), (None, None)]  # None: the whole image
assert all(record.receptive_field.because == "" for record in records)  # otherwise: what is unknown
assert records[2].receptive_field.of(row=10, col=10) == (15, 19, 18, 22)  # x1, y1, x2, y2 in pixels
gradient = effective_field(model, images, records[2], row=10, col=10)  # which of them change it much
assert gradient.box == (15, 19, 18, 22)
