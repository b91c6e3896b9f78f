"""YOLOv8's network and those with its head: YOLOv8, YOLOv9 (GELAN) and YOLO11, from YAML rows.

Sources: Ultralytics YOLOv8 (2023) and YOLO11 (2024), which have no papers; YOLOv9: Wang et al. 2024 (arXiv 2402.13616).

Shape letters: N batch, L levels, C classes, R bins of a distance, H W grid of a level, n predictions of an image.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import torch
import yaml
from torch import Tensor, nn

from yolo_lite.family.auxiliary import AuxiliaryDetector
from yolo_lite.family.building import ROW_ENTRIES, check_flags, read_entries, read_settings, whole_spec
from yolo_lite.family.yolov8.head import DetectDFL
from yolo_lite.family.yolov8.loss import Yolov8Loss, Yolov8Settings, decode_yolov8
from yolo_lite.family.yolov9.auxiliary import with_auxiliary
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.assembly import build_body, replace_defaults
from yolo_lite.model.families import YOLOV8
from yolo_lite.model.rows import Row, read_rows
from yolo_lite.model.spec import SpecError, whole_number

SPECS = Path(__file__).parent / "specs"
PGI = "-pgi"  # ends the name of a network with the auxiliary branch of YOLOv9
LARGE = ("m", "l", "x")  # the scales at which all inner blocks of C3k2 are C3k, whatever the row says
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        **ROW_ENTRIES,
        "auxiliary": None,  # rows of a branch that only training has, with a Detect of its own: see family/yolov9
        "depthwise": None,  # whether the class branch is YOLO11's, by default where a row is a C3k2
        "reg_max": 16,  # R, bins of a distance
        "settings": {},  # of the loss, by name: {"topk": 13}
    }
)


class Yolov8(AuxiliaryDetector):
    """A network with YOLOv8's head, a detector. Make one with ``create_model("yolov8n")``.

    Its maps are (N, 1, H, W, 4 R + C). spec["auxiliary"]: the rows of YOLOv9's programmable gradients.
    """

    reads_hyp = False

    def __init__(
        self,
        spec: Mapping[str, Any],
        rows: Sequence[Row],
        layers: nn.ModuleList,
        strides: Sequence[int],
        names: Sequence[str],
        settings: Yolov8Settings,
        heads: Sequence[int],
    ) -> None:
        super().__init__(spec, rows, layers, strides, names, spec["ch"], heads)
        self.settings, self.reg_max = settings, int(spec["reg_max"])

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Raw maps -> (N, n, 5 + C): x, y, w, h in pixels, 1, class scores. Those of the branch are left out."""
        return decode_yolov8(maps[: len(self.strides)], self.strides, self.num_classes)

    def criterion(self, hyp: Hyperparameters, img_size: int = 640, **options: Any) -> Yolov8Loss:
        """The loss of this model, for maps of any image size.

        Args:
            hyp, img_size: without effect. options: of ``Yolov8Loss``: settings, by default the model's.
        """
        settings = {"settings": self.settings, "reg_max": self.reg_max, **options}
        return Yolov8Loss(self.strides, self.num_classes, **settings)

    def class_outputs(self) -> dict[str, Tensor]:
        """Which outputs of the heads belong to which class, see ``LayeredDetector``."""
        classes = torch.arange(self.num_classes)
        return {
            f"layers.{head}.cv3.{level}.{len(branch) - 1}.{name}": classes
            for head in self.heads
            for level, branch in enumerate(cast(Sequence[nn.Sequential], cast(DetectDFL, self.layers[head]).cv3))
            for name in ("weight", "bias")
        }


class _Built(NamedTuple):
    """Layers of a spec."""

    rows: list[Row]
    layers: nn.ModuleList
    strides: tuple[int, ...]
    heads: list[int]


def build(
    spec: Mapping[str, Any],
    where: str,
    num_classes: int | None = None,
    anchors: Any = None,
    names: Sequence[str] | Mapping[int, str] | None = None,
    channels: int | None = None,
) -> Yolov8:
    """A network from its spec: {"family": "yolov8", "name": "yolov8n"}, or whole rows; entries in ``DEFAULTS``.

    ``spec`` of the model has whole rows in any case.

    >>> model = build({"family": "yolov8", "name": "yolov8n"}, "an example", 2)
    >>> [tuple(raw.shape) for raw in model(torch.zeros(1, 3, 64, 96))]
    [(1, 1, 8, 12, 66), (1, 1, 4, 6, 66), (1, 1, 2, 3, 66)]
    """
    if spec.get("end2end"):
        raise SpecError(f"{where}: end2end, a head without non-maximum suppression, is not known here: leave it out")
    if spec.get("task", "detect") != "detect":
        raise SpecError(f"{where}: task {spec['task']!r}: only networks for detection can be built")
    whole = whole_spec(spec, where, YOLOV8, named_spec)
    filled, class_names = read_entries(whole, where, DEFAULTS, num_classes, anchors, names, channels)
    settings = read_settings(filled, Yolov8Settings(), where)
    check_bins(filled["reg_max"], where)
    check_flags(filled, ["depthwise"], where)
    filled = {key: value for key, value in filled.items() if value is not None}
    built = _build_rows(filled, where)
    return Yolov8(filled, built.rows, built.layers, built.strides, class_names, settings, built.heads)


def check_bins(reg_max: Any, where: str) -> None:
    """SpecError unless it is a whole number of 2 or more: one bin alone could only say the distance 0."""
    if whole_number(reg_max, f"{where}: reg_max, the bins of a distance,") < 2:
        raise SpecError(f"{where}: reg_max, the bins of a distance, must be at least 2, not {reg_max}")


def named_spec(name: str) -> dict[str, Any]:
    """The whole spec of a bundled network, as its YAML file has it, with its scale.

    >>> named_spec("yolo11m")["scale"], named_spec("yolov9t")["backbone"][0]
    ('m', [-1, 1, 'Conv', [16, 3, 2]])
    """
    plain = name.removesuffix(PGI)
    file, scale = (plain, None) if (SPECS / f"{plain}.yaml").exists() else (plain[:-1], plain[-1])
    spec: dict[str, Any] = yaml.safe_load((SPECS / f"{file}.yaml").read_text(encoding="utf-8"))
    if scale is not None:
        spec["scale"] = scale
    return with_auxiliary(spec) if name.endswith(PGI) else spec


def _build_rows(spec: Mapping[str, Any], where: str) -> _Built:
    """Layers of all rows: the main ones, and the branch's on their outputs."""
    parts = ["backbone", "head", *(["auxiliary"] if "auxiliary" in spec else [])]
    rows = [_with_c3k(row, spec) for row in read_rows(spec, where, parts=parts)]
    body = build_body(rows, spec["ch"])
    # people's files do not say that the head is YOLO11's; specs of checkpoints do
    depthwise = bool(spec.get("depthwise", any(row.kind == "C3k2" for row in rows)))
    for index, channels in body.heads.items():
        _check_detect(rows[index], spec)
        rows[index] = rows[index]._replace(arguments=(spec["nc"],))
        body.modules[index] = DetectDFL(spec["nc"], channels, spec["reg_max"], depthwise, body.strides)
    layers = nn.ModuleList([body.modules[index] for index in range(len(rows))])
    replace_defaults(layers, spec, where)
    return _Built(rows, layers, body.strides, [*body.heads])


def _check_detect(row: Row, spec: Mapping[str, Any]) -> None:
    """Its one argument is ``nc``: a number could differ from the entry."""
    if row.arguments != ("nc",) and row.arguments != (spec["nc"],):
        raise SpecError(
            f"{row.where}: its arguments must be [nc], not {list(row.arguments)}: the number is the entry nc, and "
            "reg_max another entry"
        )


def _with_c3k(row: Row, spec: Mapping[str, Any]) -> Row:
    """The row, at large scales with C3k inside C3k2."""
    if row.kind != "C3k2" or spec.get("scale") not in LARGE or "scales" not in spec:
        return row
    return row._replace(arguments=(row.arguments[0], True, *row.arguments[2:]))
