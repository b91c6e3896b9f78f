"""Yolo: a spec (YOLOv5-style YAML) -> layers -> raw maps; create_model, fuse, summary.

Interface: create_model(name_or_yaml, num_classes=None (80, or the YAML's nc), anchors=None (L, A, 2) px, names=None, seed=0) -> Yolo
class Yolo(nn.Module): .layers (ModuleList; layer.index, layer.inputs) .strides (L,) .anchors (L, A, 2) px buffer .names tuple .num_classes .spec dict
    forward(images) -> list of raw maps; decode(maps); fuse() -> fused copy; summary(img_size=640) -> Summary(rows of LayerSummary(index, inputs, name, parameters, output_shape, flops), str() a table); criterion(hyp, img_size=640, **options) -> ComputeLoss
LAYERS: registry name -> builder; register_layer
"""
