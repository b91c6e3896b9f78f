"""Checks ``real_NAME``: maps of a whole network with its public weights, on photographs."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch

from tests.golden.family.compare import Comparison, NeedsMoreFiles, Recording, darknet, read_recording
from tests.golden.family.layout import Layout, Missing
from yolo_lite.checkpoints.darknet import read_darknet
from yolo_lite.coding import AnchorCoding
from yolo_lite.family.darknet.network import Darknet

ALLOWED = 1e-4
PROJECT = Path(__file__).parents[3]
KEY = re.compile(r"image_(.+)|head(\d+)_(.+)|(?:stride|anchors)(\d+)")


def layout(recorded: Recording, name: str) -> Layout:
    """Images, and of each the map of every head. That the network has these heads and no others, ``check`` sees."""
    found = [match for match in map(KEY.fullmatch, recorded) if match]
    photos = sorted({match[1] or match[3] for match in found if match[1] or match[3]}) or ["NAME"]
    levels = sorted({match[2] or match[4] for match in found if match[2] or match[4]}) or ["0"]
    described = {f"{key}{level}" for key in ("stride", "anchors") for level in levels}
    heads = {f"head{level}_{photo}" for level in levels for photo in photos}
    return Layout(frozenset(f"image_{photo}" for photo in photos), frozenset(described | heads))


def check(file: Path) -> Iterator[Comparison]:
    recording = read_recording(file)
    model = load_network(file)
    for level, stride in enumerate(model.strides):
        if f"stride{level}" not in recording:
            raise Missing(f"stride{level}, anchors{level} and maps of head {level}, which the network has")
        yield darknet(f"stride{level}", stride, recording[f"stride{level}"], 0.0)
        yield darknet(f"anchors{level}", model.level_anchors[level], recording[f"anchors{level}"], 0.0)
    for key in recording:
        if key.startswith("image_"):
            yield from _check_image(model, recording, key.removeprefix("image_"))


def _check_image(model: Darknet, recording: Recording, photo: str) -> Iterator[Comparison]:
    images = torch.from_numpy(recording[f"image_{photo}"]).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        maps = cast("list[torch.Tensor]", model(images))
    for level, raw in enumerate(maps):
        key = f"head{level}_{photo}"
        yield darknet(key, activated(raw[0], model.described_heads[level].coding), recording[key], ALLOWED)


def activated(raw: torch.Tensor, coding: AnchorCoding) -> torch.Tensor:
    """A raw map -> x, y, objectness and classes after the logistic function, w and h as they come."""
    s = raw.sigmoid()
    return torch.cat((coding.centre(s[..., :2]), raw[..., 2:4], s[..., 4:]), -1)


def load_network(file: Path) -> Darknet:
    """The network of ``real_NAME.npz``: NAME.cfg and NAME.weights beside it, or in the shared weights/darknet."""
    name = file.stem.removeprefix("real_")
    shared = Path(os.environ.get("YOLO_LITE_SHARED", PROJECT.parent / "shared"))
    above = [folder / "weights" / "darknet" for folder in file.resolve().parents]
    folders = [file.parent, shared / "weights" / "darknet", *above]
    for folder in folders:
        if (folder / f"{name}.cfg").is_file() and (folder / f"{name}.weights").is_file():
            return read_darknet(folder / f"{name}.weights", folder / f"{name}.cfg")
    raise NeedsMoreFiles(f"needs {name}.cfg and {name}.weights beside it or in {folders[1]}")
