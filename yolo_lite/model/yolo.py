"""Yolo: a spec (YOLOv5-style YAML rows) becomes layers, and images become raw maps.

Shape letters: N batch, L levels, A anchors per level, C classes, H rows and W columns of an image or a grid.
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from yolo_lite.coding import decode
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.loss import ComputeLoss
from yolo_lite.model.assembly import build_body, replace_defaults
from yolo_lite.model.families import builder
from yolo_lite.model.head import Detect
from yolo_lite.model.layered import LayeredDetector, anchor_rows
from yolo_lite.model.rows import read_rows
from yolo_lite.model.spec import (
    SpecError,
    in_stride_order,
    read_anchors,
    read_names,
    read_spec,
    whole_number,
    with_family,
)
from yolo_lite.support.arguments import require_listed, require_whole


class Yolo(LayeredDetector):
    """A network built from a spec (YOLOv5's YAML rows), a detector. Make one with ``create_model``.

    YOLOv5: ``DetectionModel``, ``Model``; its ``stride`` is ``strides``.

    Attributes:
        layers, rows, strides, names, num_classes, channels, metadata: as in ``LayeredDetector``.
        spec: the rows it was built from, as a dict that ``create_model`` accepts. anchors: (L, A, 2) pixels, a buffer.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        names: Sequence[str] | Mapping[int, str] | None = None,
        where: str = "spec",
        parts: Sequence[str] = ("backbone", "head"),
    ) -> None:
        num_classes = whole_number(spec.get("nc", 80), f"{where}: the number of classes, nc,")
        channels = whole_number(spec.get("ch", 3), f"{where}: the number of image channels, ch,")
        class_names = read_names(names, num_classes)
        rows = read_rows(spec, where, parts=parts)
        modules, heads, strides = build_body(rows, channels)
        anchors = spec.get("anchors")
        if anchors is None:
            raise SpecError(f"{where}: no anchors: give a list of sizes per level, or how many anchors a level has")
        anchors = in_stride_order(read_anchors(anchors, strides, where), strides)
        for index, widths in heads.items():
            rows[index] = rows[index]._replace(arguments=())  # classes and anchors are given apart from the rows
            modules[index] = Detect(num_classes, anchors.clone(), strides, widths)
        layers = nn.ModuleList([modules[index] for index in range(len(rows))])
        replace_defaults(layers, spec, where)
        super().__init__(spec, rows, layers, strides, class_names, channels, [*heads])
        self.spec |= {"nc": num_classes, "ch": channels, "anchors": self.anchors.flatten(1).tolist()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if "rows" not in self.__dict__:  # pickled by version 0.1.0
            *rows, detect = read_rows(self.spec, "spec")
            self.rows = (*rows, detect._replace(arguments=()))
            self.heads = (detect.index,)

    @property
    def detect(self) -> Detect:
        """The head that makes the boxes; no layer comes after it, unless only training has it."""
        return cast(Detect, self.layers[self.heads[0]])

    @property
    def anchors(self) -> Tensor:
        """(L, A, 2) width and height in pixels, level by level as in ``strides``."""
        return self.detect.anchors

    def set_anchors(self, anchors: Tensor | Sequence[Any]) -> None:
        """Replace the anchors by as many others, in the order of ``strides``; pixels, (L, A, 2) or (L, 2 A)."""
        values = read_anchors(anchors, self.strides)
        if values.shape != self.anchors.shape:
            raise SpecError(f"{values.shape[1]} anchors per level, but the head was built for {self.anchors.shape[1]}")
        for index in self.heads:
            cast(Detect, self.layers[index]).anchors.copy_(values)
        self.spec["anchors"] = values.flatten(1).tolist()
        self.anchors_given = True

    def class_outputs(self) -> dict[str, Tensor]:
        """Which outputs of the heads belong to which class, see ``LayeredDetector``."""
        rows = anchor_rows(self.num_classes, self.anchors.shape[1])
        return {
            f"layers.{head}.{name}": rows for head in self.heads for name, _ in self.layers[head].named_parameters()
        }

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Raw maps -> (N, sum of A * H * W, 5 + C): x, y, w, h in pixels, objectness, class scores. See ``decode``."""
        return decode(maps, self.anchors, self.strides)

    def criterion(self, hyp: Hyperparameters, img_size: int = 640, **options: Any) -> ComputeLoss:
        """The loss of this model, its gains scaled to the levels, the classes and the image size.

        Args:
            hyp: the gains before scaling. img_size: pixels, of the training images. options: of ``ComputeLoss``.
        """
        return ComputeLoss.of(self, hyp, img_size, **options)


def create_model(
    source: str | Path | Mapping[str, Any],
    num_classes: int | None = None,
    anchors: Tensor | Sequence[Any] | int | None = None,
    names: Sequence[str] | Mapping[int, str] | None = None,
    channels: int | None = None,
    seed: int = 0,
) -> LayeredDetector:
    """A new network with random weights.

    Args:
        source: "yolov5n" (n s m l x), "yolov5n6" (n6 .. x6), "yolov5-p2", "yolov5n-p2" ..., "yolov3", "yolov3-spp",
            "yolov3-tiny"; another generation (``families.NAMED``): "darknet-yolov3", "yolov4", "retinanet" ...; or the
            path of a YOLOv5-style YAML file (with ``scales``, its name may choose one: see ``read_spec``) or of a
            Darknet .cfg; or a ``spec``, such a YAML file's content as a dict,
            or {"family": "darknet", "cfg": text of a .cfg} (further entries: ``family.darknet.network.build``).
        num_classes: C; default: as many as ``names``, or the spec's nc; 80, with a warning, where rows say none.
        anchors: (L, A, 2) pixels, or a number A per level (see ``read_anchors``); default: the spec's. As in the
            reference, the levels are reversed where small anchors meet large strides.
        names: one per class, or {0: name ...}; default: the spec's, or class0, class1 ...
        channels: of the images; default: the spec's ch (3).
        seed: same seed, same weights; the global random state is neither read nor changed.
    Raises:
        SpecError (a ValueError): an unknown name, or a row that cannot be built, with its file and number.
        FileNotFoundError: a path without a file.

    >>> model = create_model("yolov5n", names=["cat", "dog"])
    >>> [tuple(raw.shape) for raw in model(torch.zeros(1, 3, 64, 96))]
    [(1, 3, 8, 12, 7), (1, 3, 4, 6, 7), (1, 3, 2, 3, 7)]
    """
    require_listed("class names", names=names)
    require_whole(seed=seed)
    spec, where = read_spec(source)
    spec = with_family(spec)
    says_none = isinstance(spec.get("backbone"), list) and not {"nc", "names"} & {*spec}
    if says_none and num_classes is None and names is None:
        warnings.warn(f"{where}: no number of classes, so there are 80: give nc, num_classes= or names=", stacklevel=2)
    if "family" in spec:
        with seeded(seed):
            model: LayeredDetector = builder(spec["family"])(spec, where, num_classes, anchors, names, channels)
        return model
    own_names = spec.pop("names", None)
    own_classes = spec.get("nc", 80 if own_names is None else len(own_names))
    if num_classes is None:
        num_classes = own_classes if names is None else len(names)
    if names is None and num_classes == own_classes:
        names = own_names
    spec = {**spec, "nc": num_classes, "ch": spec.get("ch", 3) if channels is None else channels}
    if anchors is not None:
        spec["anchors"] = anchors
    with seeded(seed):
        yolo = Yolo(spec, names, where)
    yolo.anchors_given = anchors is not None and not isinstance(anchors, int)
    return yolo


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, modules are made on the CPU from this seed; outside, the random state is as if nothing had happened."""
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPUs, and not undo it
        yield
