"""Blocks: Conv, Bottleneck, C3, SPP, SPPF, Focus, Concat, Upsample ... nn.Modules with the parameter names of official checkpoints (conv, bn, cv1, cv2, cv3, m)."""
