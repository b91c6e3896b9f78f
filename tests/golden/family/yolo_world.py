"""YOLO-World: blocks that read texts, and its head, of recordings world_blocks*."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn

from tests.golden.family.compare import Comparison, Recording, floats, pixels, read_recording
from tests.golden.family.layout import Layout, layout_of
from yolo_lite.family.blocks.words import BNContrastiveHead, C2fAttn, ContrastiveHead, ImagePoolingAttn, MaxSigmoidAttn
from yolo_lite.family.yolo_world.head import WorldDetect
from yolo_lite.family.yolov8.loss import decode_yolov8

STRIDES = (8, 16, 32)
HEAD_CHANNELS = [8, 12, 16]
BLOCKS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "contrastive_init": ContrastiveHead,
        "contrastive_random": ContrastiveHead,
        "bncontrastive_init": lambda: BNContrastiveHead(16),
        "bncontrastive_random": lambda: BNContrastiveHead(16),
        "maxsigmoid_same": lambda: MaxSigmoidAttn(12, 12, 3, 12, 20),
        "maxsigmoid_proj": lambda: MaxSigmoidAttn(10, 12, 3, 12, 20, scale=True),
        "c2fattn_n2": lambda: C2fAttn(12, 16, 2, 8, 2, 20),
        "c2fattn_shortcut": lambda: C2fAttn(12, 16, 1, 8, 1, 20, shortcut=True),
        "imagepoolingattn": lambda: ImagePoolingAttn([6, 8, 10], 16, 20, 4),
        "head_world_bn": lambda: WorldDetect(10, True, HEAD_CHANNELS, reg_max=4),
        "head_world_l2": lambda: WorldDetect(10, False, HEAD_CHANNELS, reg_max=4),
    }
)
# How many inputs, and what else is recorded
INPUTS: Mapping[str, int] = MappingProxyType({"imagepoolingattn": 4, "head_world_bn": 4, "head_world_l2": 4})


def weights(block: nn.Module) -> dict[str, Tensor]:
    """What of a block is recorded: all but the counters of BatchNorm."""
    return {name: value for name, value in block.state_dict().items() if not name.endswith("num_batches_tracked")}


def layout(recorded: Recording, name: str) -> Layout:
    found = layout_of("", "")
    for case, make in BLOCKS.items():
        inputs = [f"x{index}" for index in range(INPUTS.get(case, 2))] + [f"p/{name}" for name in weights(make())]
        outputs = "raw_boxes raw_scores decoded" if case.startswith("head") else "y"
        if case.startswith("head"):
            inputs.append("p/dfl.conv.weight")
        found |= layout_of(" ".join(dict.fromkeys(inputs)), outputs, case)
    return found


def check(file: Path) -> Iterator[Comparison]:
    recorded = read_recording(file)
    for case, make in BLOCKS.items():
        block = make().eval()
        names = {name: f"{case}/p/{name}" for name in weights(block)}
        state = {name: torch.from_numpy(recorded[key]) for name, key in names.items()}
        block.load_state_dict(state, strict=False)
        inputs = [torch.from_numpy(recorded[f"{case}/x{index}"]) for index in range(INPUTS.get(case, 2))]
        with torch.inference_mode():
            if case.startswith("head"):
                yield from head(recorded, case, block(inputs))
            else:
                listed = isinstance(block, C2fAttn | ImagePoolingAttn)
                yield floats(f"{case}/y", block(inputs) if listed else block(*inputs), recorded[f"{case}/y"])


def head(recorded: Recording, case: str, maps: list[Tensor]) -> Iterator[Comparison]:
    """Maps (N, 1, H, W, 4 R + K) beside the recorded ones, channels first and all levels in a row."""
    flat = torch.cat([level.flatten(1, 3) for level in maps], 1).transpose(1, 2)  # (N, 4 R + K, n)
    bins = recorded[f"{case}/raw_boxes"].shape[1]
    yield floats(f"{case}/raw_boxes", flat[:, :bins], recorded[f"{case}/raw_boxes"])
    yield floats(f"{case}/raw_scores", flat[:, bins:], recorded[f"{case}/raw_scores"])
    decoded = decode_yolov8(maps, STRIDES, flat.shape[1] - bins).transpose(1, 2)  # (N, 5 + K, n)
    yield pixels(f"{case}/decoded", decoded[:, [0, 1, 2, 3, *range(5, decoded.shape[1])]], recorded[f"{case}/decoded"])
