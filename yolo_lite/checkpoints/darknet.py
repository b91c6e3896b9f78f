"""Darknet's .weights files: a header and floats, read into and written from the networks of .cfg files.

The header is three 32-bit whole numbers, major, minor, revision, and how many images were seen in training: in 64 bits
where 10 major + minor is 2 or more, else in 32. Then follow float32 numbers, layer after layer: BatchNorm or bias
first (a connected layer has its weights before its BatchNorm), then weights. Layers without weights have nothing.
"""

import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from yolo_lite.checkpoints.unpickle import CheckpointError
from yolo_lite.family.darknet.cfg import parse_cfg, split_lines
from yolo_lite.family.darknet.layers import DarknetConnected, DarknetConv, DarknetLocal
from yolo_lite.family.darknet.network import Darknet, build
from yolo_lite.family.darknet.norm import DarknetBatchNorm
from yolo_lite.model.families import NAMED
from yolo_lite.model.spec import SpecError, read_spec
from yolo_lite.model.yolo import create_model
from yolo_lite.support.known_names import VOC_NAMES, coco_names
from yolo_lite.writing import atomic_write

VERSION = (0, 2, 5)  # of the header that is written
MAX_HEADER_NUMBER = 1000  # above it, major and minor mean that connected layers are transposed
FLOAT = 4  # bytes
# Files that their authors named otherwise than their networks.
OTHER_STEMS: Mapping[str, str] = MappingProxyType({"tiny-yolov1": "yolov1-tiny"})


class Header(NamedTuple):
    """How a file begins."""

    major: int
    minor: int
    revision: int
    seen: int  # images, in training
    size: int  # bytes

    @property
    def transposed(self) -> bool:
        """Whether connected layers are stored input after input, as in very old files."""
        return self.major > MAX_HEADER_NUMBER or self.minor > MAX_HEADER_NUMBER


class DarknetWeights(NamedTuple):
    """What was read from a file."""

    header: Header
    layers: tuple[int, ...]  # indices of the layers with weights that were filled
    of: int  # this many layers of the network have weights
    last: int  # index of the layer where the file, or ``upto``, ends

    def __str__(self) -> str:
        whole = "all" if len(self.layers) == self.of else "a backbone:"
        return f"{whole} {len(self.layers)} of {self.of} layers with weights filled, up to layer {self.last}"


def read_weights_header(path: str | Path) -> Header:
    """The header of a .weights file.

    Raises:
        CheckpointError: a file that is too short for one, or whose first bytes are none.
    """
    file = Path(path)
    try:
        with open(file, "rb") as stream:
            start = stream.read(20)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error}") from None
    return _header(start, file)


def _header(start: bytes, file: Path) -> Header:
    if len(start) < 16:
        raise CheckpointError(f"{file}: {len(start)} bytes, but the header of a .weights file has 16 or 20")
    major, minor, revision = struct.unpack("<3i", start[:12])
    if min(major, minor, revision) < 0:
        raise CheckpointError(f"{file}: not a .weights file: its header says version {major}.{minor}.{revision}")
    wide = major * 10 + minor >= 2 and major < MAX_HEADER_NUMBER and minor < MAX_HEADER_NUMBER
    if wide and len(start) < 20:
        raise CheckpointError(f"{file}: {len(start)} bytes, but the header of version {major}.{minor} has 20")
    seen = struct.unpack("<Q", start[12:20])[0] if wide else struct.unpack("<I", start[12:16])[0]
    return Header(major, minor, revision, seen, 20 if wide else 16)


def load_darknet_weights(model: Darknet, path: str | Path, upto: int | None = None) -> DarknetWeights:
    """Fill a network with the weights of a Darknet .weights file.

    A file that ends exactly after a layer is a backbone (darknet53.conv.74, yolov4.conv.137): the layers up to there
    are filled, the others stay as they are, with a warning that says which.

    Args:
        model: not fused. upto: fill only the first layers, ``layers[:upto]``; the rest of the file is not read.
    Returns:
        The header, and which layers were filled.
    Raises:
        CheckpointError (a ValueError): a file that is not a .weights file; too short, in the middle of a layer; too
            long; numbers that are not finite. The network is then as it was before.
    """
    file = Path(path)
    _require_unfused(model, file)
    if upto is not None and not 0 < upto <= len(model.layers):
        raise CheckpointError(f"upto must be from 1 to {len(model.layers)}, the number of layers, not {upto}")
    header = read_weights_header(file)
    filled, last, used = _fitting(model, _count_numbers(file, header), upto, file)
    numbers = np.fromfile(file, dtype="<f4", count=used, offset=header.size)
    if not np.isfinite(numbers).all():
        raise CheckpointError(f"{file}: number {np.isfinite(numbers).argmin():,} of its weights is not finite")
    values = torch.from_numpy(numbers.astype(np.float32, copy=False))
    position = 0
    with torch.no_grad():
        for index in filled:
            for tensor in stored_tensors(model.layers[index]):
                part = values[position : position + tensor.numel()]
                position += tensor.numel()
                is_matrix = isinstance(model.layers[index], DarknetConnected) and tensor.dim() == 2
                tensor.copy_(part.view(tensor.T.shape).T if header.transposed and is_matrix else part.view_as(tensor))
    total = len(_sizes(model))
    if upto is None and len(filled) < total:
        warnings.warn(
            f"{file}: a backbone: it fills {len(filled)} of the {total} layers with weights, up to layer {last}; the "
            "layers after it stay as they were",
            stacklevel=2,
        )
    return DarknetWeights(header, filled, total, last)


def read_darknet(
    path: str | Path,
    cfg: str | Path | None = None,
    num_classes: int | None = None,
    names: Sequence[str] | Mapping[int, str] | None = None,
    seed: int = 0,
) -> Darknet:
    """The network of a .cfg with the weights of a .weights file, in evaluation mode.

    Args:
        cfg: a .cfg, or the name of a bundled one ("yolov4"); default: the .cfg beside the file that has its name, else
            the bundled one of that name ("yolov3.weights": "darknet-yolov3").
        num_classes, names: for other classes than the file's; the layers before the heads then start anew. A file has
            no names: left out, they are those of a .names file beside it that has its name, one in a line, else for 80
            classes COCO's and for 20 VOC's, which all public weights were trained on, else class0, class1 ...
    Raises:
        CheckpointError: no .cfg; one that cannot be built; weights that do not fit it.
    """
    file = Path(path)
    source = _cfg_of(file) if cfg is None else cfg
    try:
        spec, where = read_spec(source)
        if spec.get("family") != "darknet":
            raise CheckpointError(f"{file}: a .weights file needs a .cfg, and {source} is none")
        with torch.device("meta"):  # whether the file fits is known before memory is needed
            check_darknet_weights(build(spec, where), file)
        model = cast(Darknet, create_model(source, seed=seed))
        load_darknet_weights(model, file)
        if num_classes is None and names is None:
            model.names = _names_beside(file, model.num_classes) or model.names
            return model.eval()
        other = cast(Darknet, create_model(source, num_classes, names=names, seed=seed))
    except (SpecError, OSError) as error:
        raise CheckpointError(f"{file}: its network cannot be built: {error}") from None
    shapes = {name: value.shape for name, value in other.state_dict().items()}
    fitting = {name: value for name, value in model.state_dict().items() if value.shape == shapes[name]}
    other.load_state_dict(fitting, strict=False)
    return other.eval()


def _cfg_of(file: Path) -> Path | str:
    beside = file.with_suffix(".cfg")
    if beside.is_file():
        return beside
    stem = OTHER_STEMS.get(file.stem, file.stem)
    for name in (f"darknet-{stem}", stem):
        if NAMED.get(name, {}).get("family") == "darknet":
            return name
    raise CheckpointError(
        f"{file}: a .weights file has no description of its network: give cfg=, or put {beside} there"
    )


def _names_beside(file: Path, num_classes: int) -> tuple[str, ...] | None:
    """The class names for a file of weights, see ``read_darknet``; None where nothing says them."""
    beside = file.with_suffix(".names")
    if not beside.is_file():
        return {80: coco_names(), 20: VOC_NAMES}.get(num_classes)
    lines = beside.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) != num_classes:
        raise CheckpointError(f"{beside}: it has {len(names)} names for {num_classes} classes: give names=, or mend it")
    return names


def check_darknet_weights(model: Darknet, path: str | Path) -> None:
    """Raises a CheckpointError where ``load_darknet_weights`` would, for the size of the file."""
    file = Path(path)
    _fitting(model, _count_numbers(file, read_weights_header(file)), None, file)


def _count_numbers(file: Path, header: Header) -> int:
    stored = file.stat().st_size - header.size
    if stored % FLOAT:
        raise CheckpointError(f"{file}: truncated: {stored:,} bytes after its header are not whole 4-byte numbers")
    return stored // FLOAT


def save_darknet_weights(model: Darknet, path: str | Path, seen: int = 0) -> None:
    """Write a network's weights as a Darknet .weights file; ``darknet_cfg`` gives the .cfg that belongs to it.

    Args:
        seen: images in training, for the header; below 2^64.
    Raises:
        CheckpointError: a fused network; another ``seen``. OSError: the file cannot be written.
    """
    _require_unfused(model, Path(path))
    if not 0 <= seen < 2**64:
        raise CheckpointError(f"{path}: seen, the number of images for the header, must be from 0 to 2^64 - 1: {seen}")
    parts = [struct.pack("<3iQ", *VERSION, seen)]
    for layer in model.layers:
        parts += [tensor.detach().cpu().float().numpy().astype("<f4").tobytes() for tensor in stored_tensors(layer)]
    atomic_write(path, b"".join(parts))


def darknet_cfg(model: Darknet) -> str:
    """The text of the .cfg of a network as it is now: with its classes, image channels, anchors and training size.

    A .cfg has no class names: a .names file, one in a line, keeps them (see ``read_darknet``).

    Raises:
        CheckpointError: a network of another family.

    >>> model = create_model("darknet-yolov3-tiny", names=["cat", "dog"])
    >>> create_model({"family": "darknet", "cfg": darknet_cfg(model)}).num_classes
    2
    """
    if not isinstance(model, Darknet):
        raise CheckpointError(
            f"only networks of a .cfg have one, not a {type(model).__name__}: yl.save keeps any network"
        )
    text: str = model.spec["cfg"]
    cfg = parse_cfg(text)
    changes = [(cfg.net, "channels", str(model.channels))]
    trained = model.metadata.get("img_size")
    if model.fixed_size is None and isinstance(trained, int):
        changes += [(cfg.net, "width", str(trained)), (cfg.net, "height", str(trained))]
    for head in model.described_heads:
        before = cfg.layers[head.index - 1]
        outputs = {"convolutional": "filters", "connected": "output"}.get(before.kind)
        section = cfg.layers[head.index]
        if head.num_classes != section.whole("classes", head.num_classes) and outputs is not None:
            changes += [(before, outputs, str(head.outputs)), (section, "classes", str(head.num_classes))]
        if head.anchors:
            unit = head.stride if section.kind == "region" else 1  # the anchors of a [region] are in cells
            sizes = (model.all_anchors.double().cpu() / unit).flatten().tolist()
            if not np.allclose(sizes, section.numbers("anchors"), rtol=1e-6):
                changes.append((section, "anchors", ",".join(f"{size:.8g}" for size in sizes)))
    lines = split_lines(text)
    for section, name, value in sorted(changes, key=lambda change: -change[0].line):  # later lines do not move earlier
        if name in section:
            lines[section.options[name].line - 1] = f"{name}={value}"
        elif name != "channels" or model.channels != cfg.net.whole("channels", 3):
            lines.insert(section.line, f"{name}={value}")
    return "\n".join(lines) + "\n"


def stored_tensors(layer: nn.Module) -> Iterator[Tensor]:
    """The tensors of one layer in the order of the file."""
    if isinstance(layer, DarknetConv):
        yield from _norm(layer.bn) if isinstance(layer.bn, DarknetBatchNorm) else _bias(layer.conv.bias)
        yield layer.conv.weight
    elif isinstance(layer, DarknetConnected):
        # connected layers have a bias of their own, BatchNorm's, which stands first
        norm = list(_norm(layer.bn)) if isinstance(layer.bn, DarknetBatchNorm) else []
        yield from norm[:1] or _bias(layer.linear.bias)
        yield layer.linear.weight
        yield from norm[1:]
    elif isinstance(layer, DarknetLocal):
        yield layer.bias
        yield layer.weight


def _norm(norm: DarknetBatchNorm) -> Iterator[Tensor]:
    yield norm.bias
    yield norm.weight
    yield from norm.statistics


def _bias(bias: Tensor | None) -> Iterator[Tensor]:
    if bias is not None:
        yield bias


def _sizes(model: Darknet) -> dict[int, int]:
    """Layers with weights -> how many numbers each has in a file."""
    counts = {index: sum(part.numel() for part in stored_tensors(layer)) for index, layer in enumerate(model.layers)}
    return {index: count for index, count in counts.items() if count}


def _fitting(model: Darknet, stored: int, upto: int | None, file: Path) -> tuple[tuple[int, ...], int, int]:
    """Which layers the file fills, the last of them, and how many numbers they have."""
    sizes = _sizes(model)
    needed = sum(sizes.values())
    both = f"it has {stored:,} numbers, the network {needed:,}"
    if stored > needed and upto is None:
        raise CheckpointError(f"{file}: too long, or of another network: {both}")
    used, filled = 0, []
    for index, size in sizes.items():
        if upto is not None and index >= upto:
            break
        if used == stored:
            break
        if used + size > stored:
            layer = f"layer {index}, [{model.rows[index].kind}], whose {size:,} begin at number {used:,}"
            raise CheckpointError(f"{file}: too short, or of another network: {both}; it ends within {layer}")
        filled.append(index)
        used += size
    if not filled:
        raise CheckpointError(f"{file}: no weights for the network: {both}")
    return tuple(filled), filled[-1], used


def _require_unfused(model: Darknet, file: Path) -> None:
    if not isinstance(model, Darknet):
        raise CheckpointError(f"{file}: a .weights file belongs to a Darknet, not to a {type(model).__name__}")
    pairs = [(row, layer) for row, layer in zip(model.rows, model.layers, strict=True)]
    normed = [row.index for row, layer in pairs if isinstance(layer, DarknetConv | DarknetConnected) and layer.fused]
    if normed:
        raise CheckpointError(f"{file}: the network is fused, and a .weights file has BatchNorm: use it before fuse()")
