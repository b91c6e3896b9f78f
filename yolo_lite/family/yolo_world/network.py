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
from typing import Any, Self, cast

import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from yolo_lite.family.building import ROW_ENTRIES, check_flags, read_entries, read_settings, whole_spec
from yolo_lite.family.yolo_world.head import WorldDetect
from yolo_lite.family.yolo_world.rows import TEXT, BuiltRows, build_rows
from yolo_lite.family.yolo_world.text import TextEncoder, check_different, check_texts, new_words
from yolo_lite.family.yolov8.loss import Yolov8Settings
from yolo_lite.family.yolov8.network import Yolov8, check_bins
from yolo_lite.model.families import YOLO_WORLD
from yolo_lite.model.spec import SpecError

SPECS = Path(__file__).parent / "specs"
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        **ROW_ENTRIES,
        "reg_max": 16,  # R, bins of a distance
        "settings": {},  # of the loss, by name, as YOLOv8's
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
        built: BuiltRows,
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

        Elsewhere: ``set_classes``.

        Args:
            phrases: K texts. embeddings: (K, D) of these texts, for a network without a text encoder.
        Raises:
            ValueError: a word that is not known, two phrases of the same words (without a text encoder: the same
                phrase twice), embeddings of another shape or that are not finite; a fixed vocabulary.
        """
        if self.is_fixed:
            raise ValueError("the vocabulary of this network is part of its weights: take the one that it was made of")
        if self.encoder is not None:
            check_different(phrases)
            if embeddings is not None:
                raise ValueError("this network has a text encoder, which gives the embeddings: leave them out")
            self.encoder.check(phrases)
        else:
            check_texts(phrases)
            if len(set(phrases)) < len(phrases):
                raise ValueError(f"the phrases of a vocabulary must differ, not {phrases!r}")
            self.texts = self._checked_embeddings(embeddings, len(phrases))
        self.names, self.num_classes = tuple(phrases), len(phrases)
        self.spec["nc"] = self.num_classes

    def _checked_embeddings(self, embeddings: Any, number: int) -> Tensor:
        """Embeddings from outside, (number, D), of the type of those before and where they are."""
        texts = cast(Tensor, self.texts)
        shape = (number, texts.shape[1])
        if not isinstance(embeddings, Tensor):
            raise ValueError(f"needs embeddings, a tensor of shape {shape}, not a {type(embeddings).__name__}")
        if embeddings.shape != shape:
            raise ValueError(f"needs embeddings of shape {shape}, not {tuple(embeddings.shape)}")
        if not embeddings.isfinite().all():
            raise ValueError("embeddings must be finite numbers: they hold nan or infinity")
        return embeddings.detach().to(texts)

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
    whole = whole_spec(spec, where, YOLO_WORLD, named_spec, "yolo-world")
    filled, class_names = read_entries(whole, where, DEFAULTS, num_classes, anchors, names, channels)
    settings = read_settings(filled, Yolov8Settings(), where)
    check_bins(filled["reg_max"], where)
    check_flags(filled, ["fixed"], where)
    filled = {key: value for key, value in filled.items() if value is not None}
    is_fixed = filled.pop("fixed")
    built = build_rows(filled, where)
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


def _all_words(words: Any, names: Sequence[str], where: str) -> list[str]:
    """The words of the encoder: those that it has, then new ones of the names."""
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise SpecError(f"{where}: words must be a list of words, not {words!r}")
    try:
        check_different(names)
    except ValueError as error:
        raise SpecError(f"{where}: names: {error}") from None
    added = new_words(names, words)
    if words and any(not PLACEHOLDER.fullmatch(word) for word in added):
        warnings.warn(
            f"names: the words {', '.join(added)} are new to this text encoder, so their embeddings are untrained; it "
            f"knows {', '.join(words)}",
            stacklevel=2,
        )
    return [*words, *added]
