"""Checks ``yolo_blocks``: blocks of YOLOv8, YOLOv9 and YOLO11 with recorded weights, in float64 as recorded."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from tests.golden.family.compare import Comparison, Recording, floats, read_recording
from tests.golden.family.layout import Layout, layout_of
from yolo_lite.family import blocks
from yolo_lite.family.yolov8.head import DetectDFL
from yolo_lite.family.yolov8.loss import decode_yolov8
from yolo_lite.model.block_variants import DWConv
from yolo_lite.model.blocks import C3, SPPF, Bottleneck, Conv

Outputs = dict[str, Tensor]


class Fused(nn.Module):
    """Two CBLinear and the CBFuse that adds the second map of each."""

    def __init__(self) -> None:
        super().__init__()
        self.l0, self.l1 = blocks.CBLinear(12, [4, 6]), blocks.CBLinear(10, [4, 6, 8])
        self.fuse = blocks.CBFuse([1, 1])

    def forward(self, x0: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
        return self.fuse([self.l0(x0), self.l1(x1), x2])


def linear_sppf() -> SPPF:
    block = SPPF(12, 16)
    block.cv1.act = nn.Identity()
    return block


CASES: Mapping[str, Callable[[], nn.Module]] = {
    "conv_k3s2": lambda: Conv(12, 10, 3, 2),
    "conv_k1": lambda: Conv(12, 10),
    "dwconv_k3": lambda: DWConv(12, 12, 3),
    "bottleneck_add": lambda: Bottleneck(12, 12, expansion=1.0, kernels=(3, 3)),
    "bottleneck_e05": lambda: Bottleneck(12, 12, kernels=(3, 3)),
    "c2f_n2_shortcut": lambda: blocks.C2f(12, 16, 2, True),
    "c2f_n1_plain": lambda: blocks.C2f(12, 16, 1),
    "c3_n2_shortcut": lambda: C3(12, 16, 2),
    "c3k": lambda: blocks.C3k(12, 16, 2),
    "c3k2_plain_n2": lambda: blocks.C3k2(12, 16, 2),
    "c3k2_plain_e025": lambda: blocks.C3k2(12, 16, 1, False, 0.25),
    "c3k2_c3k_n1": lambda: blocks.C3k2(12, 16, 1, True),
    "c2psa_n1": lambda: blocks.C2PSA(16, 16),
    "sppf_as_in_models": lambda: SPPF(12, 16),
    "sppf_cv1_no_act": linear_sppf,
    "repconv": lambda: blocks.RepConv(12, 10),
    "repconv_identity": lambda: blocks.RepConv(12, 12, identity=True),
    "repbottleneck": lambda: blocks.RepBottleneck(8, 8, expansion=1.0),
    "repcsp_n2": lambda: blocks.RepCSP(12, 8, 2),
    "repncspelan4_n1": lambda: blocks.RepNCSPELAN4(12, 16, 12, 8),
    "repncspelan4_n2": lambda: blocks.RepNCSPELAN4(12, 16, 12, 8, 2),
    "elan1": lambda: blocks.ELAN1(12, 16, 12, 8),
    "aconv": lambda: blocks.AConv(12, 10),
    "aconv_even": lambda: blocks.AConv(12, 10),
    "adown": lambda: blocks.ADown(12, 10),
    "adown_even": lambda: blocks.ADown(12, 10),
    "sppelan": lambda: blocks.SPPELAN(12, 16, 8),
    "cblinear": lambda: blocks.CBLinear(12, [4, 6, 8]),
    "cbfuse": Fused,
    "head_v8": lambda: DetectDFL(3, [8, 12, 16], reg_max=4),
    "head_v11": lambda: DetectDFL(3, [8, 12, 16], reg_max=4, depthwise=True),
}
INPUTS = {"cbfuse": "x0 x1 x2", "head_v8": "x0 x1 x2", "head_v11": "x0 x1 x2"}  # of all others: x
OUTPUTS = {  # of all others: y
    "cblinear": "y0 y1 y2",
    "repconv": "y fused_kernel fused_bias",
    "repconv_identity": "y fused_kernel fused_bias",
    "head_v8": "raw_boxes raw_scores decoded",
    "head_v11": "raw_boxes raw_scores decoded",
}
STRIDES = (8, 16, 32)


def weights_of(block: nn.Module) -> dict[str, Tensor]:
    """The tensors of a block by the names they are recorded with; how many batches were seen is not recorded."""
    return {name: value for name, value in block.state_dict().items() if not name.endswith("num_batches_tracked")}


def layout(recorded: Recording, name: str) -> Layout:
    found = layout_of("", "")
    for case, build in CASES.items():
        weights = " ".join(f"p/{weight}" for weight in weights_of(build()))
        found |= layout_of(f"{INPUTS.get(case, 'x')} {weights}", OUTPUTS.get(case, "y"), case)
    return found


def check(file: Path) -> Iterator[Comparison]:
    recorded = read_recording(file)
    for case, build in CASES.items():
        block = with_recorded_weights(build(), recorded, case)
        inputs = [doubles(recorded, f"{case}/{name}") for name in INPUTS.get(case, "x").split()]
        with torch.inference_mode():
            found = outputs_of(block, inputs)
        for name in OUTPUTS.get(case, "y").split():
            yield floats(f"{case}/{name}", found[name], recorded[f"{case}/{name}"])


def doubles(recorded: Recording, key: str) -> Tensor:
    return torch.from_numpy(recorded[key]).double()


def with_recorded_weights(block: nn.Module, recorded: Recording, case: str) -> nn.Module:
    """The block in evaluation mode and float64."""
    block.double().eval()
    block.load_state_dict({name: doubles(recorded, f"{case}/p/{name}") for name in weights_of(block)}, strict=False)
    return block


def outputs_of(block: nn.Module, inputs: list[Tensor]) -> Outputs:
    """What a block gives, by the names that outputs are recorded with."""
    if isinstance(block, blocks.RepConv):
        found = {"y": block(*inputs)}
        block.fuse()
        assert block.conv is not None
        return found | {"fused_kernel": block.conv.weight, "fused_bias": block.conv.bias}
    if isinstance(block, DetectDFL):
        return outputs_of_head(block, inputs)
    output = block(*inputs)
    return {f"y{index}": part for index, part in enumerate(output)} if isinstance(output, list) else {"y": output}


def outputs_of_head(head: DetectDFL, features: list[Tensor]) -> Outputs:
    """Channels come before points in the recording, and it has no objectness."""
    maps = head(features)
    raw = torch.cat([level.flatten(1, 3) for level in maps], 1).transpose(1, 2)  # (N, 4 R + C, P)
    decoded = decode_yolov8(maps, STRIDES, head.num_classes).transpose(1, 2)  # (N, 5 + C, P)
    boxes = 4 * head.reg_max
    decoded = torch.cat((decoded[:, :4], decoded[:, 5:]), 1)
    return {"raw_boxes": raw[:, :boxes], "raw_scores": raw[:, boxes:], "decoded": decoded}
