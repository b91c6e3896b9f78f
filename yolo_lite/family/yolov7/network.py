"""YOLOv7's network, from YAML rows: ``specs/yolov7.yaml``. Its maps and its decode are YOLOv5's.

Source: Wang et al. 2022, YOLOv7: Trainable bag-of-freebies sets new state-of-the-art for real-time object detectors
(arXiv 2207.02696).

Shape letters: N batch, L levels, A anchors per level, C classes, H W grid of a level.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from torch import Tensor

from yolo_lite.family.auxiliary import AuxiliaryDetector
from yolo_lite.family.building import ROW_ENTRIES, narrower, read_entries, read_settings, width_of
from yolo_lite.family.yolov7.loss import Yolov7Loss, Yolov7Settings
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.spec import SpecError
from yolo_lite.model.yolo import Yolo

SPECS = Path(__file__).parent / "specs"
NAMES = ("yolov7", "yolov7-aux")  # the second with the auxiliary head
PARTS = ("backbone", "head", "auxiliary")
ROWS = ("anchors", *PARTS)  # of a spec: its own, or those of a bundled network
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        **ROW_ENTRIES,
        "name": None,  # of a bundled network, whose rows are taken
        "width": 1.0,  # multiplies all channels of a bundled network
        "anchors": None,  # (L, 2 A) pixels
        "auxiliary": None,  # rows of a branch that only training has, with a Detect of its own
        "settings": {},  # of the loss, by name: {"topk": 20}
    }
)


class Yolov7(AuxiliaryDetector, Yolo):
    """A YOLOv7, a detector. Make one with ``create_model("yolov7")``, with an auxiliary head by "yolov7-aux".

    Attributes:
        spec: the whole rows. The others are those of ``Yolo``.
    """

    reads_hyp = False

    def __init__(self, spec: Mapping[str, Any], names: Sequence[str], where: str, settings: Yolov7Settings) -> None:
        super().__init__(spec, names, where, PARTS if "auxiliary" in spec else PARTS[:2])
        self.settings = settings

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """As ``Yolo.decode``; maps of the auxiliary head are left out."""
        return super().decode(maps[: len(self.strides)])

    def criterion(self, hyp: Hyperparameters, img_size: int = 640, **options: Any) -> Yolov7Loss:
        """The loss of this model, its gains scaled to the levels, the classes and the image size.

        Args:
            hyp: without effect. img_size: pixels. options: of ``Yolov7Loss``: settings, by default the model's.
        """
        given = {"settings": self.settings, "img_size": img_size, **options}
        return Yolov7Loss(self.anchors, self.strides, self.num_classes, **given)


def build(
    spec: Mapping[str, Any],
    where: str,
    num_classes: int | None = None,
    anchors: Any = None,
    names: Sequence[str] | Mapping[int, str] | None = None,
    channels: int | None = None,
) -> Yolov7:
    """A YOLOv7 from its spec: {"family": "yolov7", "width": 0.25}, or whole rows; entries in ``DEFAULTS``.

    >>> import torch
    >>> model = build({"family": "yolov7", "width": 0.125}, "an example", 2)
    >>> [tuple(raw.shape) for raw in model(torch.zeros(1, 3, 64, 96))]
    [(1, 3, 8, 12, 7), (1, 3, 4, 6, 7), (1, 3, 2, 3, 7)]
    """
    filled, class_names = read_entries(spec, where, DEFAULTS, num_classes, None, names, channels)
    settings = read_settings(filled, Yolov7Settings(), where)
    given = [key for key in ROWS if filled[key] is not None]
    if "backbone" not in given and "head" not in given:
        bundled = named_spec(filled["name"] or NAMES[0], width_of(filled, where), where)
        filled |= {key: value for key, value in bundled.items() if key not in given}
    elif filled["width"] != 1 or filled["name"] is not None:
        raise SpecError(f"{where}: has rows of its own: leave out name and width, which are for bundled networks")
    if anchors is not None:
        filled["anchors"] = anchors
    whole = {key: value for key, value in filled.items() if key not in ("name", "width") and value is not None}
    return Yolov7(whole, class_names, where, settings)


def named_spec(name: str, width: float = 1.0, where: str = "spec") -> dict[str, Any]:
    """The anchors and rows of a bundled network, with all channels times the width; the branch where its name asks.

    >>> named_spec("yolov7", 0.5)["backbone"][4], named_spec("yolov7", 0.5)["head"][16]
    ([-1, 1, 'ELAN', [128]], [-1, 1, 'ELAN', [128, 128, 64, 4, 1]])
    """
    if name not in NAMES:
        raise SpecError(f"{where}: no network {name!r} of this family: choose one of {', '.join(NAMES)}")
    spec: dict[str, Any] = yaml.safe_load((SPECS / "yolov7.yaml").read_text(encoding="utf-8"))
    parts = PARTS if name == "yolov7-aux" else PARTS[:2]
    return {"anchors": spec["anchors"], **{part: [narrower(row, width) for row in spec[part]] for part in parts}}
