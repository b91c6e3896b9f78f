"""What builders of networks from a small spec share: reading its entries, and collecting layers with their rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, TypeVar

from torch import nn

from yolo_lite.model.rows import Row
from yolo_lite.model.spec import SpecError, read_names, whole_number

SettingsT = TypeVar("SettingsT")
# How many of a layer's arguments, the first ones, are channels
CHANNELS: Mapping[str, int] = MappingProxyType(
    {"Conv": 1, "MPConv": 1, "RepConv": 1, "AConv": 1, "ADown": 1}
    | {"ELAN": 3, "EELAN": 3, "ELAN1": 3, "RepNCSPELAN4": 3, "SPPELAN": 2}
)


# Entries of every spec that is made of rows
ROW_ENTRIES: Mapping[str, Any] = MappingProxyType(
    {
        "backbone": None,  # rows [from, number, layer, arguments], as all that follow
        "head": None,  # rows; the last is the head
        "scales": None,  # {name: [depth multiple, width multiple, most channels]}
        "scale": None,  # one of these names, by default the first
        "depth_multiple": None,  # without scales: multiplies the rows' numbers
        "width_multiple": None,  # and channels
        "max_channels": None,  # before the multiple
        "activation": None,  # "nn.LeakyReLU(0.1)" instead of SiLU
        "norm": None,  # "GroupNorm" or "SyncBN" instead of BatchNorm
    }
)
UNUSED = ("name", "task", "yaml_file", "end2end")  # what people's files say as well, and no network depends on


class Layers:
    """Layers and the rows that describe them, collected one after another.

    >>> layers = Layers("an example")
    >>> layers.add(nn.ReLU(), -1), layers.add(nn.Upsample(scale_factor=2), 0, (2,))
    (0, 1)
    >>> layers.rows[1].kind, layers.rows[1].arguments
    ('Upsample', (2,))
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.modules: list[nn.Module] = []
        self.rows: list[Row] = []

    def add(
        self, module: nn.Module, inputs: int | Sequence[int], arguments: Sequence[Any] = (), kind: str | None = None
    ) -> int:
        """Appends a layer and gives its index.

        Args:
            inputs: index of the layer it reads (-1: the image), or several of which it gets a list.
            arguments, kind: what its row says; kind None: the name of the module's class.
        """
        index, name = len(self.modules), kind or type(module).__name__
        takes_list = not isinstance(inputs, int)
        sources = (inputs,) if isinstance(inputs, int) else tuple(inputs)
        where = f"{self.where}: layer {index} ({name})"
        self.modules.append(module)
        self.rows.append(Row(index, sources, takes_list, 1, name, tuple(arguments), where))
        return index


def read_entries(
    spec: Mapping[str, Any],
    where: str,
    defaults: Mapping[str, Any],
    num_classes: int | None,
    anchors: Any,
    names: Sequence[str] | Mapping[int, str] | None,
    channels: int | None,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The whole spec, every entry filled in, and the names of the classes.

    Args:
        spec: may lack entries. defaults: all entries that there are, beside "family", "nc", "ch" and "names".
        num_classes, anchors, names, channels: as ``create_model`` got them.
    Raises:
        SpecError: an entry that is not known, or a number that is none.
    """
    if anchors is not None:
        raise SpecError(f"{where}: anchors are part of the settings of {spec['family']}: leave out anchors")
    unknown = [key for key in spec if key not in defaults and key not in ("family", "nc", "ch", "names")]
    if unknown:
        raise SpecError(f"{where}: unknown entry {unknown[0]!r}: choose from nc, ch, names, {', '.join(defaults)}")
    own_names = spec.get("names")
    own_classes = spec.get("nc", 80 if own_names is None else len(own_names))
    if num_classes is None:
        num_classes = own_classes if names is None else len(names)
    if names is None and num_classes == own_classes:
        names = own_names
    filled = {key: spec.get(key, default) for key, default in defaults.items()}
    filled = {
        "family": spec["family"],
        **filled,
        "nc": num_classes,
        "ch": spec.get("ch", 3) if channels is None else channels,
    }
    for key, what in (("nc", "the number of classes, nc,"), ("ch", "the number of image channels, ch,")):
        whole_number(filled[key], f"{where}: {what}")
    return filled, read_names(names, num_classes)


def whole_spec(
    spec: Mapping[str, Any],
    where: str,
    known: Sequence[str],
    named_spec: Callable[[str], dict[str, Any]],
    default: str | None = None,
) -> dict[str, Any]:
    """The spec with the rows of the bundled network that it may name, without what no network depends on.

    Args:
        known: names of bundled networks. named_spec: gives the spec of one. default: the name where there is none.
    Raises:
        SpecError: a name that is not known.
    """
    given = {key: value for key, value in spec.items() if key not in UNUSED}
    name = spec.get("name", default)
    if name is None or "backbone" in spec:
        return given
    if name not in known:
        raise SpecError(f"{where}: no network {name!r} of this family: choose one of {', '.join(known)}")
    return named_spec(name) | given


def read_settings(spec: Mapping[str, Any], published: SettingsT, where: str) -> SettingsT:
    """The settings of a generation: the published ones, but for those in the spec's entry "settings".

    Args:
        published: a frozen dataclass; JSON's lists become tuples.
    Raises:
        SpecError: "settings" that are not a dict, a name that the dataclass does not have, a value that it refuses.
    """
    given = spec["settings"]
    known = [field.name for field in fields(published)]  # type: ignore[arg-type]  # a dataclass
    if not isinstance(given, Mapping):
        raise SpecError(f"{where}: settings must be a dict of {', '.join(known)}, not {given!r}")
    if unknown := [name for name in given if name not in known]:
        raise SpecError(f"{where}: unknown setting {unknown[0]!r}: choose from {', '.join(known)}")
    try:
        return replace(published, **{name: _tuples(value) for name, value in given.items()})  # type: ignore[type-var]
    except (ValueError, TypeError) as error:
        raise SpecError(f"{where}: settings {dict(given)}: {error}") from None


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def check_flags(spec: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    """SpecError for an entry that is neither true nor false; one that is missing or None says nothing."""
    for key in keys:
        if not isinstance(spec.get(key), bool | None):
            raise SpecError(f"{where}: {key} must be true or false, not {spec[key]!r}")


def width_of(spec: Mapping[str, Any], where: str) -> float:
    """The multiplier of a backbone's channels."""
    width = spec["width"]
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width <= 8:
        raise SpecError(f"{where}: width, a multiplier of channels, must be above 0 and at most 8, not {width!r}")
    return float(width)


def scaled(channels: int, width: float) -> int:
    """Channels times the width, a multiple of 8 and at least 8.

    >>> scaled(64, 1.0), scaled(64, 0.25), scaled(64, 0.01)
    (64, 16, 8)
    """
    return max(8, round(channels * width / 8) * 8)


def narrower(row: Sequence[Any], width: float) -> list[Any]:
    """A row [from, number, layer, arguments] with all its channels times the width, also those inside its block.

    A spec's "width_multiple" multiplies the first argument alone, as YOLOv5's files mean it.

    >>> narrower([-1, 1, "RepNCSPELAN4", [64, 64, 32, 3]], 0.5), narrower([[-1, 6], 1, "Concat", [1]], 0.5)
    ([-1, 1, 'RepNCSPELAN4', [32, 32, 16, 3]], [[-1, 6], 1, 'Concat', [1]])
    """
    source, number, kind, arguments = row
    count = CHANNELS.get(kind, 0)
    return [source, number, kind, [*(scaled(each, width) for each in arguments[:count]), *arguments[count:]]]


def one_of(spec: Mapping[str, Any], key: str, known: Sequence[Any], where: str) -> Any:
    """The entry, if it is one of these."""
    value = spec[key]
    if not any(value == each and type(value) is type(each) for each in known):
        raise SpecError(f"{where}: unknown {key} {value!r}: choose one of {', '.join(map(str, known))}")
    return value
