"""Darknet: the networks that .cfg files describe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from yolo_lite.coding import decode
from yolo_lite.family.darknet.cfg import parse_cfg
from yolo_lite.family.darknet.heads import all_anchors, read_heads, with_classes, with_raw_maps
from yolo_lite.family.darknet.layers import DarknetConnected
from yolo_lite.family.darknet.norm import Origin
from yolo_lite.family.darknet.plan import MAX_FLOATS, find_origin, follows_image, plan_network
from yolo_lite.family.darknet.settings import make_loss, settings_of
from yolo_lite.family.yolov1 import Yolov1Settings, decode_yolov1
from yolo_lite.family.yolov2 import Yolov2Settings
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.criterion import Criterion, Faithful
from yolo_lite.model.layered import LayeredDetector
from yolo_lite.model.spec import SpecError, read_names, whole_number

CFG = Path(__file__).parent / "cfg"
HEAD_START = 0.1  # of the usual weights
ENTRIES = ("family", "cfg", "name", "nc", "ch", "origin", "anchors", "names", "max_floats")  # of a spec


class Darknet(LayeredDetector):
    """A network that a Darknet .cfg describes, YOLOv1 to Scaled-YOLOv4. Make one with ``create_model``.

    ``forward`` gives raw maps (N, A, H, W, 5 + C), also for Scaled-YOLOv4, whose logistic activation decode and loss
    apply; YOLOv1 one flat output (N, S S (5 B + C)).

    Attributes:
        those of ``LayeredDetector``. Strides and maps are in the order of the file's heads.
        origin: whose Darknet is followed, "pjreddie" or "alexeyab": BatchNorm's formula, the loss of [region] and
            [yolo], defaults of options that are not there. Default: ``plan.find_origin`` decides.
        settings: of its loss, see ``settings_of``. batch: of the file's [net], which divides the loss.
        img_size: (height, width) of the file, pixels.
        left_out: options of the file that have no effect here, each with its line and the reason.
        described_heads: one ``Head`` per level. all_anchors: (K, 2) pixels, those that masks choose from, a buffer.

    >>> convolution = "[convolutional]\\nfilters=14\\nstride=16\\nactivation=linear\\n"
    >>> head = "[yolo]\\nclasses=2\\nnum=2\\nanchors=10,20, 40,30\\n"
    >>> model = Darknet(f"[net]\\nwidth=64\\nheight=64\\n{convolution}{head}")
    >>> [tuple(raw.shape) for raw in model(torch.zeros(1, 3, 64, 64))]
    [(1, 2, 4, 4, 7)]
    """

    all_anchors: Tensor
    img_size: tuple[int, int]
    reads_hyp = False

    def __init__(
        self,
        cfg: str,
        num_classes: int | None = None,
        names: Sequence[str] | Mapping[int, str] | None = None,
        channels: int | None = None,
        origin: Origin | None = None,
        where: str = "cfg",
        max_floats: int = MAX_FLOATS,
    ) -> None:
        if origin not in (None, *get_args(Origin)):
            raise SpecError(f"{where}: origin must be one of {', '.join(get_args(Origin))}, not {origin!r}")
        parsed = parse_cfg(cfg, where)
        if channels is not None:
            whole_number(channels, f"{where}: the number of image channels")
            parsed = parsed._replace(net=parsed.net.with_option("channels", channels))
        whole_number(max_floats, f"{where}: max_floats, the limit of its memory,")
        chosen: Origin = origin or find_origin(parsed)
        plan = plan_network(parsed, chosen, max_floats)
        heads = read_heads(parsed, plan)
        if num_classes is None:
            num_classes = heads[0].num_classes if names is None else len(names)
        whole_number(num_classes, f"{where}: the number of classes")
        if num_classes != heads[0].num_classes:
            parsed = with_classes(parsed, heads, num_classes)
            heads = read_heads(parsed, plan_network(parsed, chosen, max_floats))
        class_names = read_names(names, num_classes)
        plan = plan_network(with_raw_maps(parsed, heads), chosen, max_floats)
        layers = nn.ModuleList([layer.build() for layer in plan.layers])
        spec = {"family": "darknet", "cfg": cfg, "nc": num_classes, "ch": plan.image.channels, "origin": chosen}
        strides = [head.stride for head in heads]
        super().__init__(spec, plan.rows, layers, strides, class_names, plan.image.channels, plan.heads)
        self.origin, self.left_out, self.described_heads = chosen, parsed.left_out, heads
        self.settings = settings_of(heads, chosen)
        self.img_size, self.batch = plan.image[1:], parsed.net.whole("batch", 1, 1)
        if not follows_image(parsed, plan, chosen, strides):
            self.fixed_size = self.img_size
        self.register_buffer("all_anchors", all_anchors(heads), persistent=False)
        self._keep_anchors()
        _initialise(self)

    @property
    def generation(self) -> Literal["detection", "region", "yolo"]:
        """Which kind of head it has."""
        return cast(Literal["detection", "region", "yolo"], self.described_heads[0].section.kind)

    @property
    def level_anchors(self) -> list[Tensor]:
        """L of (A, 2) width and height in pixels, in the order of ``strides``; empty for YOLOv1."""
        return [self.all_anchors[list(head.mask)] for head in self.described_heads if head.anchors]

    @property
    def anchors(self) -> Tensor | None:
        """(L, A, 2) width and height in pixels; None for YOLOv1, and where levels differ in A (``level_anchors``)."""
        levels = self.level_anchors
        return torch.stack(levels) if len({len(level) for level in levels}) == 1 else None

    def set_anchors(self, anchors: Tensor | Sequence[Any]) -> None:
        """Replace the anchors by as many others.

        Args:
            anchors: (L, A, 2) pixels in the order of ``strides``, or L of (A, 2); or (K, 2), all of them.
        Raises:
            SpecError: a network without anchors; other numbers of them; an anchor that two heads share (YOLOv4-tiny
                has one) and that is not the same in both; sizes that are not positive.
        """
        values = self._read_anchors(anchors)
        if len(wrong := values[~(values.isfinite() & (values > 0))]):
            raise SpecError(f"anchor sizes must be positive, found {wrong[0].item():g}")
        with torch.no_grad():
            self.all_anchors.copy_(values)
        self._keep_anchors()

    def _read_anchors(self, anchors: Tensor | Sequence[Any]) -> Tensor:
        """(K, 2)"""
        if self.generation == "detection":
            raise SpecError("YOLOv1 has no anchors to be set")
        masks = [head.mask for head in self.described_heads]
        try:
            given = torch.as_tensor(anchors, dtype=torch.float32, device="cpu")
            if given.shape == self.all_anchors.shape:
                return given.clone()
            levels = list(given)
        except (TypeError, ValueError, RuntimeError):  # levels of different lengths
            levels = _levels(anchors)
        levels = [level.reshape(-1, 2) for level in levels]
        if [len(level) for level in levels] != [len(mask) for mask in masks]:
            found, needed = [len(level) for level in levels], [len(mask) for mask in masks]
            raise SpecError(f"{found} anchors for the levels of strides {list(self.strides)}, which have {needed}")
        values = self.all_anchors.detach().cpu().float().clone()
        done: set[int] = set()
        for mask, level in zip(masks, levels, strict=True):
            for anchor, size in zip(mask, level, strict=True):
                if anchor in done and not torch.equal(values[anchor], size):
                    raise SpecError(f"anchor {anchor} belongs to two heads and must be the same in both: give all K")
                done.add(anchor)
                values[anchor] = size
        return values

    def _keep_anchors(self) -> None:
        if len(self.all_anchors) and not self.all_anchors.is_meta:
            self.spec["anchors"] = self.all_anchors.tolist()

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Raw maps -> (N, n, 5 + C): x, y, w, h in pixels, objectness, class scores.

        Level by level in the order of the file's heads, anchor by anchor, row by row; YOLOv1: first box of each cell,
        then the second. YOLOv1's scores are the numbers that the network gives, and may leave [0, 1].
        """
        if isinstance(self.settings, Yolov1Settings):
            return decode_yolov1(maps[0], self.num_classes, self.settings, self.img_size)
        codings = [head.coding for head in self.described_heads]
        softmax = isinstance(self.settings, Yolov2Settings) and self.settings.softmax
        return decode(maps, self.level_anchors, self.strides, codings, softmax)

    def criterion(
        self,
        hyp: Hyperparameters,
        img_size: int = 640,
        settings: Any = None,
        faithful: Faithful = "darknet",
        gain: float | None = None,
        **unknown: Any,
    ) -> Criterion:
        """The loss of the generation, with the settings of the file.

        Args:
            hyp: not used: Darknet's settings stand in the file. img_size: pixels; the maps give the size.
            settings: others than the file's: a Yolov1Settings, Yolov2Settings, Yolov3Settings, or Yolov4Settings, of
                the last also one for each level.
            faithful: "darknet" or "paper": the gradient as Darknet computes it, or as the paper has it (v3, v4).
            gain: factor of the loss; default 1 / batch of the file's [net], as Darknet divides its learning rate.
        Raises:
            ValueError: settings of another generation, an unknown option.
        """
        if unknown:
            raise ValueError(f"unknown options {', '.join(unknown)}: a Darknet's loss takes settings, faithful, gain")
        settings = self.settings if settings is None else settings
        gain = 1 / self.batch if gain is None else gain
        return make_loss(self.described_heads, self.all_anchors, settings, self.num_classes, gain, faithful)

    def class_outputs(self) -> dict[str, Tensor]:
        """Which outputs of the layers before the heads belong to which class, see ``LayeredDetector``.

        Raises:
            ValueError: a [detection] behind a convolution, whose filters do not belong to single classes.
        """
        outputs: dict[str, Tensor] = {}
        for head in self.described_heads:
            layer = self.layers[head.index - 1]
            if self.generation == "detection" and not isinstance(layer, DarknetConnected):
                raise ValueError(f"{self.rows[head.index - 1].where} before [detection] is not [connected]")
            rows = head.class_rows()
            for name, tensor in layer.state_dict().items():
                if tensor.ndim and len(tensor) == len(rows):
                    outputs[f"layers.{head.index - 1}.{name}"] = rows
        return outputs


def build(
    spec: Mapping[str, Any],
    where: str,
    num_classes: int | None = None,
    anchors: Any = None,
    names: Sequence[str] | Mapping[int, str] | None = None,
    channels: int | None = None,
) -> Darknet:
    """The network of a spec: {"family": "darknet", "cfg": text of a .cfg, or "name": of a bundled one}.

    "nc", "ch", "origin", "anchors", "names", "max_floats" may be there too: classes, image channels, whose Darknet,
    (K, 2) pixels, class names, and the limit of ``plan_network``, which a model's own ``spec`` does not keep.

    Raises:
        SpecError: an entry that is not known, a .cfg that cannot be built.
    """
    if unknown := [key for key in spec if key not in ENTRIES]:
        raise SpecError(f"{where}: unknown entry {unknown[0]!r}: choose from {', '.join(ENTRIES)}")
    bundled = {file.relative_to(CFG).with_suffix("").as_posix() for file in CFG.rglob("*.cfg")}  # "small/yolov3", too
    if "cfg" not in spec and spec.get("name") not in bundled:
        known = ", ".join(sorted(bundled))
        raise SpecError(f"{where}: no .cfg is bundled as {spec.get('name')!r}; there are {known}")
    text = spec["cfg"] if "cfg" in spec else (CFG / f"{spec['name']}.cfg").read_text(encoding="utf-8")
    if not isinstance(text, str):
        raise SpecError(f"{where}: cfg must be the text of a .cfg, not a {type(text).__name__}")
    own_names = spec.get("names")
    if num_classes is None and names is None:
        num_classes, names = spec.get("nc"), own_names
    model = Darknet(
        text,
        num_classes,
        names,
        spec.get("ch") if channels is None else channels,
        spec.get("origin"),
        where,
        spec.get("max_floats", MAX_FLOATS),
    )
    anchors = spec.get("anchors") if anchors is None else anchors
    if anchors is not None:
        try:
            model.set_anchors(anchors)
        except SpecError as error:
            raise SpecError(f"{where}: {error}") from None
    return model


def _levels(anchors: Any) -> list[Tensor]:
    try:
        return [torch.as_tensor(level, dtype=torch.float32, device="cpu") for level in anchors]
    except (TypeError, ValueError, RuntimeError):
        raise SpecError(f"anchors must be pairs of numbers for each level, not {anchors!r}") from None


@torch.no_grad()
def _initialise(model: Darknet) -> None:
    """Weights as He et al. 2015 (arXiv 1502.01852) start them; Darknet does the same but for the kind of noise.

    Layers before heads with anchors start smaller, so that the first boxes are nearly the anchors. exp(t) of the usual
    start makes some of them tiny and some huge, where overlaps have no gradient to bring them back.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for head in model.described_heads if model.generation != "detection" else ():
        for parameter in model.layers[head.index - 1].parameters():
            parameter.mul_(HEAD_START)
