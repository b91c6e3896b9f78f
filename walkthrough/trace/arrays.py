"""What a tensor or array was: shape, type, statistics, and a copy.

Nothing here touches the tensor itself: it is detached and cloned before NumPy sees it (numpy() would forbid the owner
to resize).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from walkthrough.trace.values import MOST_SHOWN, Copies, Stats, Value, number_text

PIECE = 64 * 2**20  # bytes that are looked at together
SAMPLED = " (of a sample)"


def tensor_pieces(tensor: Tensor) -> Iterator[np.ndarray]:
    """A tensor's values as NumPy copies of bounded size, on the CPU; nothing where there is nothing to see."""
    if not readable(tensor):
        return
    tensor = tensor.detach()
    for piece in _pieces(tensor):
        piece = piece.resolve_conj().resolve_neg()
        small = piece.is_floating_point() and piece.dtype not in (torch.float64, torch.float32, torch.float16)
        piece = piece.to(torch.complex64) if piece.dtype is torch.complex32 else piece
        yield (piece.float() if small else piece).clone().cpu().numpy()


def readable(tensor: Tensor) -> bool:
    """Whether a tensor holds numbers of its own: no sparse or meta tensor, no stand-in of vmap, fake or quantized."""
    plain = (
        tensor.layout is torch.strided
        and not tensor.is_quantized
        and not tensor.is_nested
        and tensor.device.type != "meta"
    )
    stands_in = type(tensor).__torch_dispatch__ is not torch._C._disabled_torch_dispatch_impl  # FakeTensor and others
    if not plain or (stands_in and type(tensor) not in (Tensor, nn.Parameter)):
        return False
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return False
    return tensor.device.type != "cuda" or not torch.cuda.is_current_stream_capturing()  # a copy would end the capture


def _pieces(values: Any) -> Iterator[Any]:
    """Parts along the leading dimensions, each of at most PIECE bytes."""
    if values.nbytes <= PIECE or not len(values.shape):
        yield values
    elif len(values) == 1:
        yield from _pieces(values[0])
    else:
        step = max(1, len(values) * PIECE // values.nbytes)
        for start in range(0, len(values), step):
            yield from _pieces(values[start : start + step])


def describe_tensor(tensor: Tensor, copies: Copies) -> Value:
    """A tensor as it is now."""
    dtype, shape = str(tensor.dtype).removeprefix("torch."), () if tensor.is_nested else tuple(tensor.shape)
    device, kind = str(tensor.device), type(tensor).__name__
    stats, array, sampled = None, None, False
    if not readable(tensor) or tensor.nbytes <= min(PIECE, copies.largest):
        for piece in tensor_pieces(tensor):  # one, or none
            stats, array = stats_of([piece]), piece
    else:
        distinct, sampled = _distinct(tensor.detach(), [stride * tensor.itemsize for stride in tensor.stride()])
        stats = stats_of(tensor_pieces(distinct), 1 if sampled else tensor.numel() // max(distinct.numel(), 1))
        for piece in tensor_pieces(beginning(tensor, copies.largest)):
            array = piece
    words = _array_text(shape, dtype, stats, array) if not tensor.is_nested else f"{len(tensor.unbind())} of {dtype}"
    words += SAMPLED if sampled else ""
    words += "" if device == "cpu" else f", on {device}"
    words += ", carries gradient" if tensor.requires_grad else ""
    copy = copies.keep(array) if array is not None else None
    return Value("tensor", kind, words, shape, dtype, device, stats, copy=copy)


def describe_array(array: np.ndarray, copies: Copies) -> Value:
    """An array as it is now."""
    kind, masked, valid = type(array).__name__, 0, np.asarray(array)
    if isinstance(array, np.ma.MaskedArray) and (masked := int(np.ma.count_masked(array))):
        valid = array.compressed()
    array = np.asarray(array)
    distinct, sampled = _distinct(valid, list(valid.strides))
    stats = stats_of(_pieces(distinct), 1 if sampled else valid.size // max(distinct.size, 1))
    copy = None
    if not array.dtype.hasobject:
        kept = array if array.nbytes <= copies.largest else beginning(array, copies.largest)
        copy = copies.keep(np.array(kept))
    words = _array_text(array.shape, str(array.dtype), stats, copy.array if copy and not masked else None)
    words += (f", {masked} masked" if masked else "") + (SAMPLED if sampled else "")
    return Value("array", kind, words, array.shape, str(array.dtype), "", stats, copy=copy)


def _distinct(values: Any, strides: list[int]) -> tuple[Any, bool]:
    """A tensor or array without the dimensions that only repeat it (stride 0), and whether it is a sample: of windows
    that overlap, which are many times what is in memory.
    """
    keep = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in strides)
    values = values[keep] if strides else values
    held = sum(abs(stride) * (size - 1) for stride, size in zip(strides, values.shape, strict=True)) + values.itemsize
    if values.nbytes <= max(PIECE, 4 * held):
        return values, False
    for dim in sorted(range(len(strides)), key=lambda dim: -values.shape[dim]):
        step = min(values.shape[dim], -(-values.nbytes // PIECE))
        values = values[(slice(None),) * dim + (slice(None, None, step),)]
    return values, True


def same_content(obj: Any, value: Value) -> bool | None:
    """Whether a tensor or array still is what a Value holds of it, bit for bit; None where there is no whole copy."""
    copy = value.array
    if copy is None or copy.shape != value.shape or copy.shape != tuple(obj.shape):
        return None
    piece = np.asarray(obj) if isinstance(obj, np.ndarray) else next(tensor_pieces(obj), None)
    if piece is None or piece.dtype != copy.dtype or copy.dtype.hasobject:
        return None
    return bool(np.array_equal(_bits(piece), _bits(copy)))


def _bits(array: np.ndarray) -> np.ndarray:
    unsigned = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}.get(array.dtype.itemsize)
    if unsigned is not None:
        return array.view(unsigned)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def beginning(values: Any, room: int) -> Any:
    """The first entries along the leading dimensions, as many as fit into room bytes; all dimensions stay."""
    size = values.nbytes
    for dim, length in enumerate(values.shape):
        if size <= room:
            break
        fits = max(1, length * room // size)
        values = values[(slice(None),) * dim + (slice(0, fits),)]
        size = size // length * fits
    return values


def stats_of(pieces: Any, times: int = 1) -> Stats | None:
    """Of all pieces together, each of which there is this many times; None of nothing, words and what has no order."""
    low, high, total, count, nan, inf = np.inf, -np.inf, 0.0, 0, 0, 0
    for piece in pieces:
        if piece.dtype.kind not in "biufc" or not piece.size:
            continue
        values = np.abs(piece) if piece.dtype.kind == "c" else piece
        with np.errstate(all="ignore"):
            piece_low, piece_high = np.minimum.reduce(values, axis=None), np.maximum.reduce(values, axis=None)
            if not (np.isfinite(piece_low) and np.isfinite(piece_high)):
                nan, inf = nan + int(np.isnan(values).sum()), inf + int(np.isinf(values).sum())
                values = values[np.isfinite(values)]
                if not values.size:
                    continue
                piece_low, piece_high = values.min(), values.max()
            low, high = min(low, float(piece_low)), max(high, float(piece_high))
            total, count = total + float(np.add.reduce(values, axis=None, dtype=np.float64)), count + values.size
    nan, inf = nan * times, inf * times
    if not count:
        return Stats(0.0, 0.0, 0.0, nan, inf) if nan or inf else None
    return Stats(low, total / count, high, nan, inf)


def _array_text(shape: tuple[int, ...], dtype: str, stats: Stats | None, array: np.ndarray | None) -> str:
    """Shape, type and range; the values themselves where they are few."""
    words = f"{shape} {dtype}"
    if array is not None and array.shape == shape and array.size <= MOST_SHOWN and array.ndim <= 1:
        shown = [number_text(value) for value in array.ravel().tolist()]
        return f"{dtype} {shown[0]}" if not shape else f"{words} [{', '.join(shown)}]"
    if stats is None:
        return words
    if dtype == "bool":
        return f"{words}, {round(stats.mean * int(np.prod(shape)))} True"
    unusual = "".join(f", {count} {name}" for count, name in ((stats.nan, "NaN"), (stats.inf, "inf")) if count)
    if stats.nan + stats.inf == int(np.prod(shape)):
        return words + unusual
    return f"{words}, {stats.low:.3g} to {stats.high:.3g}, mean {stats.mean:.3g}{unusual}"
