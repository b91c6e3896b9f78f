"""YOLO-World's network, from YAML rows: a YOLOv8 whose neck reads texts and whose head compares regions with them.

Source: Cheng et al. 2024, YOLO-World: Real-Time Open-Vocabulary Object Detection (arXiv 2401.17270).

Shape letters: N batch, K texts of the vocabulary (its classes), D numbers of a text's embedding, R bins of a distance,
H W grid of a level.
"""

import copy
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self, cast

import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from yolo_lite.family.building import read_entries, read_settings
from yolo_lite.family.blocks.words import ContrastiveHead
from yolo_lite.family.yolo_world.head import WorldDetect
from yolo_lite.family.yolo_world.text import TextEncoder, new_words
from yolo_lite.family.yolov8.loss import Yolov8Settings
from yolo_lite.family.yolov8.network import DEFAULTS as YOLOV8_DEFAULTS
from yolo_lite.family.yolov8.network import IGNORED, Yolov8
from yolo_lite.model.assembly import build_layers, replace_activations, strides_of
from yolo_lite.model.families import YOLO_WORLD
from yolo_lite.model.spec import Multiples, Row, SpecError, read_activation, read_multiples, read_rows, whole_number

SPECS = Path(__file__).parent / "specs"
DETECT = "WorldDetect"
TEXT = -2  # the index by which rows name the texts of the vocabulary; -1 is the image
HEAD_WIDTH = 32  # channels of a head of attention: more heads than that allows are not made
# Beside those of YOLOv8
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {key: value for key, value in YOLOV8_DEFAULTS.items() if key != "auxiliary"}
    | {
        "words": None,  # of the text encoder, see ``TextEncoder``; None: no encoder, embeddings come from outside
        "contrast": None,  # where its logarithmic factor and its bias begin; None: as published, [-1.0, -10.0]
        "fixed": False,  # whether the vocabulary is part of the weights, see ``YoloWorld.fixed``
    }
)
PLACEHOLDER = re.compile(r"class\d+")  # names of classes that nobody has named


class YoloWorld(Yolov8):
    """A detector whose classes are texts. Make one with ``create_model("yolo-world", names=["red circle", ...])``.

    "yolo-world" has a small text encoder, which knows the words of the names that it was made with and is trained
    with the detector. The published sizes ("yolov8s-worldv2" ...) have none: their texts are embeddings from outside
    (CLIP's, D = 512), in ``texts``, random until ``set_vocabulary`` gets some.

    Attributes:
        encoder: the text encoder, None where there is none. texts: (K, D) embeddings from outside, or None.
        is_fixed: whether the vocabulary is part of the weights.

    >>> from yolo_lite.model.yolo import create_model
    >>> model = create_model("yolo-world", names=["red circle", "blue square"]).eval()
    >>> model.set_vocabulary(["red square", "blue circle", "circle"])
    >>> model.num_classes, model(torch.zeros(1, 3, 64, 64))[0].shape
    (3, torch.Size([1, 1, 8, 8, 67]))
    """

    texts: Tensor | None

    @property
    def classes_are_texts(self) -> bool:
        """Whether what a class is follows from its name, and from no place among the outputs."""
        return self.encoder is not None

    def __init__(
        self,
        spec: Mapping[str, Any],
        built: "_Built",
        names: Sequence[str],
        settings: Yolov8Settings,
        encoder: TextEncoder | None,
    ) -> None:
        super().__init__(spec, built.rows, built.layers, built.strides, names, settings, [built.rows[-1].index])
        self.encoder, self.is_fixed = encoder, False
        texts = None if encoder is not None else functional.normalize(torch.randn(len(names), built.text_channels))
        self.register_buffer("texts", texts)

    def given(self, images: Tensor) -> Mapping[int, Tensor]:
        """The texts of the vocabulary for each image, (N, K, D), by the index TEXT; nothing where they are fixed."""
        return {} if self.is_fixed else {TEXT: self.embeddings().expand(len(images), -1, -1)}

    def embeddings(self, phrases: Sequence[str] | None = None) -> Tensor:
        """Embeddings of phrases, by default of the vocabulary: (K, D).

        Raises:
            ValueError: a word that is not known; phrases, where there is no text encoder.
        """
        if self.encoder is not None:
            return cast(Tensor, self.encoder(self.names if phrases is None else phrases))
        if self.texts is None or phrases is not None:
            raise ValueError("this network has no text encoder: its vocabulary is fixed, or given as embeddings")
        return self.texts

    def set_vocabulary(self, phrases: Sequence[str], embeddings: Tensor | None = None) -> None:
        """Other classes from now on, in place: ``names`` and ``num_classes`` follow, nothing is trained.

        Args:
            phrases: K texts. embeddings: (K, D) of these texts, for a network without a text encoder.
        Raises:
            ValueError: a word that is not known, a phrase twice, embeddings of another shape; a fixed vocabulary.
        """
        if self.is_fixed:
            raise ValueError("the vocabulary of this network is part of its weights: take the one that it was made of")
        if isinstance(phrases, str) or not phrases or len(set(phrases)) < len(phrases):
            raise ValueError(f"a vocabulary is a list of different phrases, at least one, not {phrases!r}")
        if self.encoder is not None:
            if embeddings is not None:
                raise ValueError("this network has a text encoder, which gives the embeddings: leave them out")
            self.encoder.check(phrases)
        else:
            texts = cast(Tensor, self.texts)
            if embeddings is None or embeddings.shape != (len(phrases), texts.shape[1]):
                found = None if embeddings is None else tuple(embeddings.shape)
                raise ValueError(f"needs embeddings of shape ({len(phrases)}, {texts.shape[1]}), not {found}")
            self.texts = embeddings.detach().to(texts)
        self.names, self.num_classes = tuple(phrases), len(phrases)
        self.spec["nc"] = self.num_classes

    def fixed(self) -> Self:
        """A copy in evaluation mode with the vocabulary as plain weights: it needs no texts and no text encoder.

        Text-guided attention keeps its guides as constants, the contrast with the texts becomes a 1x1 convolution.
        The paper calls this re-parameterisation; outputs are the same.

        >>> from yolo_lite.model.yolo import create_model
        >>> model = create_model("yolo-world", names=["red circle", "blue square"]).eval()
        >>> images = torch.rand(1, 3, 64, 64)
        >>> torch.allclose(model.fixed()(images)[0], model(images)[0], atol=1e-4)
        True
        """
        model = copy.deepcopy(self).eval()
        if model.is_fixed:
            return model
        with torch.no_grad():
            texts = model.embeddings()
        for row, layer in zip(model.rows, model.layers, strict=True):
            if TEXT in row.inputs:
                cast(Any, layer).fix(texts)
        inputs = [tuple(source for source in row.inputs if source != TEXT) for row in model.rows]
        model.rows = tuple(row._replace(inputs=each) for row, each in zip(model.rows, inputs, strict=True))
        model.set_last_use()
        model.encoder, model.texts, model.is_fixed = None, None, True
        model.spec = {key: value for key, value in model.spec.items() if key != "words"} | {"fixed": True}
        return model

    def fuse(self) -> Self:
        """A fixed copy (see ``fixed``) in which every BatchNorm is part of its convolution."""
        return super(YoloWorld, self.fixed()).fuse()

    def class_outputs(self) -> dict[str, Tensor]:
        """Which weights belong to which class: none, but for a fixed vocabulary and for embeddings from outside.

        The others belong to words; what a class is follows from its name.
        """
        classes = torch.arange(self.num_classes)
        if not self.is_fixed:
            return {} if self.texts is None else {"texts": classes}
        of_last = re.compile(rf"layers\.{self.rows[-1].index}\.(cv3\.\d+\.2|cv4\.\d+\.1)\.")
        with_norm = isinstance(cast(WorldDetect, self.layers[-1]).cv4[0], nn.Identity)
        part = "cv3" if with_norm else "cv4"
        return {
            name: classes
            for name, value in self.state_dict().items()
            if ((match := of_last.match(name)) is not None and match[1].startswith(part))
            or (name.endswith((".guide", ".text")) and len(value) == self.num_classes)
        }


class _Built(NamedTuple):
    """Layers of a spec."""

    rows: list[Row]
    layers: nn.ModuleList
    strides: tuple[int, ...]
    text_channels: int  # D


def build(
    spec: Mapping[str, Any],
    where: str,
    num_classes: int | None = None,
    anchors: Any = None,
    names: Sequence[str] | Mapping[int, str] | None = None,
    channels: int | None = None,
) -> YoloWorld:
    """A network from its spec: {"family": "yolo-world", "name": "yolo-world"}, or whole rows; entries in ``DEFAULTS``.

    ``spec`` of the model has whole rows in any case, and all words of its text encoder: those of the given spec, then
    new ones of the names.

    Warns:
        Names with words that a spec with words does not have: their embeddings are untrained.

    >>> model = build({"family": "yolo-world", "name": "yolo-world"}, "an example", names=["red circle", "ring"])
    >>> model.spec["words"], [tuple(raw.shape) for raw in model(torch.zeros(1, 3, 64, 96))][:1]
    (['red', 'circle', 'ring'], [(1, 1, 8, 12, 66)])
    """
    whole = _whole_spec(spec, where)
    filled, class_names = read_entries(whole, where, DEFAULTS, num_classes, anchors, names, channels)
    settings = read_settings(filled, Yolov8Settings(), where)
    whole_number(filled["reg_max"], f"{where}: reg_max, the bins of a distance,")
    filled = {key: value for key, value in filled.items() if value is not None}
    is_fixed = filled.pop("fixed")
    built = _build_rows(filled, where)
    encoder = None
    if "words" in filled:
        filled["words"] = _all_words(filled["words"], class_names, where)
        encoder = TextEncoder(filled["words"], built.text_channels)
    model = YoloWorld(filled, built, class_names, settings, encoder)
    return model.fixed().train() if is_fixed else model


def named_spec(name: str) -> dict[str, Any]:
    """The whole spec of a bundled network, as its YAML file has it, with its scale.

    >>> named_spec("yolov8m-worldv2")["scale"], named_spec("yolo-world")["words"]
    ('m', [])
    """
    match = re.fullmatch(r"yolov8([smlx])-(world(?:v2)?)", name)
    file = name if match is None else f"yolov8-{match[2]}"
    spec: dict[str, Any] = yaml.safe_load((SPECS / f"{file}.yaml").read_text(encoding="utf-8"))
    return spec if match is None else {**spec, "scale": match[1]}


def _whole_spec(spec: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The spec with the rows of the bundled network that it may name, without what is of no use here."""
    given = {key: value for key, value in spec.items() if key not in IGNORED}
    if "backbone" in spec:
        return given
    name = spec.get("name", "yolo-world")
    if name not in YOLO_WORLD:
        raise SpecError(f"{where}: no network {name!r} of this family: choose one of {', '.join(YOLO_WORLD)}")
    return named_spec(name) | given


def _all_words(words: Any, names: Sequence[str], where: str) -> list[str]:
    """The words of the encoder: those that it has, then new ones of the names."""
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise SpecError(f"{where}: words must be a list of words, not {words!r}")
    added = new_words(names, words)
    if words and any(not PLACEHOLDER.fullmatch(word) for word in added):
        warnings.warn(
            f"names: the words {', '.join(added)} are new to this text encoder, so their embeddings are untrained; it "
            f"knows {', '.join(words)}",
            stacklevel=2,
        )
    return [*words, *added]


def _build_rows(spec: Mapping[str, Any], where: str) -> _Built:
    """Layers of all rows; those that read texts get them as their last input."""
    rows = read_rows(spec, where, heads=(DETECT,))
    text_channels, norm = _read_detect(rows[-1])
    rows = _with_texts(rows, read_multiples(spec, where), text_channels)
    texts = torch.zeros(1, spec["nc"], text_channels, device="meta")
    modules, outputs = build_layers(rows[:-1], spec["ch"], {TEXT: texts})
    features = [cast(Tensor, outputs[source]) for source in rows[-1].inputs[:-1]]
    strides = strides_of(features, rows[-1])
    head = WorldDetect(text_channels, norm, [each.shape[1] for each in features], spec["reg_max"])
    _start_contrast(head, spec.get("contrast"), where)
    layers = nn.ModuleList([*modules, head])
    if "activation" in spec:
        replace_activations(layers, read_activation(spec["activation"], where))
    return _Built(rows, layers, strides, text_channels)


def _start_contrast(head: WorldDetect, start: Any, where: str) -> None:
    """Other start values of the contrast, for trainings of a few hundred steps: the published ones lie far off."""
    if start is None:
        return
    if not isinstance(start, list | tuple) or len(start) != 2 or not all(isinstance(x, int | float) for x in start):
        raise SpecError(f"{where}: contrast must be [logarithm of the factor, bias], not {start!r}")
    for contrast in head.cv4:
        nn.init.constant_(cast(ContrastiveHead, contrast).logit_scale, start[0])
        nn.init.constant_(cast(ContrastiveHead, contrast).bias, start[1])


def _read_detect(row: Row) -> tuple[int, bool]:
    """D, and whether the contrast has a BatchNorm: [nc, D, True], as files of YOLO-World have it."""
    if len(row.arguments) not in (2, 3) or not isinstance(row.arguments[-1], bool | int):
        raise SpecError(f"{row.where}: its arguments must be [nc, text channels, with BatchNorm], not {row.arguments}")
    norm = row.arguments[2] if len(row.arguments) == 3 else False
    return whole_number(row.arguments[1], f"{row.where}: the text channels"), bool(norm)


def _with_texts(rows: Sequence[Row], multiples: Multiples, text_channels: int) -> list[Row]:
    """The rows with what files leave out: the texts as an input, widths scaled, D as the last argument.

    Attention after an ImagePoolingAttn reads the texts that this has updated; the head reads the given ones.
    """
    found, texts = [], TEXT
    for row in rows:
        if row.kind == "C2fAttn":
            row = row._replace(arguments=(*_attention(row, multiples), text_channels))
            row = row._replace(inputs=(*row.inputs, texts), takes_list=True)
        elif row.kind in ("ImagePoolingAttn", DETECT):
            arguments = row.arguments if row.kind == DETECT else (*row.arguments, text_channels)
            row = row._replace(inputs=(*row.inputs, TEXT), arguments=arguments, takes_list=True)
            texts = row.index
        found.append(row)
    return found


def _attention(row: Row, multiples: Multiples) -> tuple[int, int, int]:
    """Channels, embedding channels, heads: a row has [channels, embedding channels, heads] before the width."""
    if len(row.arguments) != 3:
        raise SpecError(f"{row.where}: its arguments must be [channels, embedding channels, heads]")
    channels, embed, heads = row.arguments
    most = multiples.max_channels / 2
    scaled = -(-min(embed, most) * multiples.width // 8) * 8
    return channels, int(scaled), max(round(min(heads, most // HEAD_WIDTH) * multiples.width), 1)
