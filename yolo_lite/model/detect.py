"""Detect, the head (raw maps), and decode: maps -> boxes.

Interface: class Detect(nn.Module): forward(features) -> list of (N, A, H, W, 5 + C) raw maps; decode(maps, anchors (L, A, 2) px, strides) -> (N, sum A*H*W, 5+C)
"""
