"""LayeredDetector: what the networks of all generations have in common: layers in a row, and a row that describes each.

Shape letters: N batch, L levels, C classes, H rows and W columns of an image.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.loss.criterion import Criterion
from yolo_lite.model.blocks import Fusible
from yolo_lite.model.rows import IMAGE, Row
from yolo_lite.support.summary import Summary, summarise


class LayeredDetector(nn.Module):
    """A detector whose layers run one after another, each reading the image or outputs of earlier layers.

    A generation adds ``decode`` and ``criterion``.

    Attributes:
        layers: one module per row. rows: ``rows[i]`` describes ``layers[i]``: index, inputs (indices of layers; -1 is
            the image), kind (its name), arguments.
        heads: indices of the layers whose outputs are the maps, in their order.
        strides: L, pixels per cell of each level (YOLOv5: ``stride``).
        names: one per class. num_classes: C. channels: of the image.
        spec: what it was built from, as a dict of JSON's types that ``create_model`` accepts.
        metadata: what was saved along with the weights.
        fixed_size: (height, width) where the network takes no other images, as one with a fully connected layer.
        img_size: (height, width) of the images that its description was written for; None where it does not say.
        left_out: what its description says and nothing here uses, a sentence each.
        is_fused: made by ``fuse``.
        anchors_given: whether somebody chose the anchors (``create_model(anchors=)``, ``set_anchors``): then training
            replaces them only when it is asked to.
        reads_hyp: whether ``criterion`` reads the hyperparameters of the loss, or has settings of its own.
    """

    fixed_size: tuple[int, int] | None = None
    img_size: tuple[int, int] | None = None
    left_out: Sequence[object] = ()
    is_fused = False
    anchors_given = False
    loaded: object = None  # what it was when it was loaded: checkpoints/about.py
    reads_hyp = True

    @property
    def classes_are_texts(self) -> bool:
        """Whether a class is what its name says, and not a place among the outputs: open vocabulary."""
        return False

    def __init__(
        self,
        spec: Mapping[str, Any],
        rows: Sequence[Row],
        layers: nn.ModuleList,
        strides: Sequence[int],
        names: Sequence[str],
        channels: int = 3,
        heads: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.spec, self.rows, self.layers, self.strides = dict(spec), tuple(rows), layers, tuple(strides)
        self.names, self.num_classes, self.channels = tuple(names), len(names), channels
        self.heads = (len(layers) - 1,) if heads is None else tuple(heads)
        self.metadata: dict[str, Any] = {}
        self.set_last_use()

    def set_last_use(self) -> None:
        """Notes after which row each output is of no more use; call it where ``rows`` have changed."""
        self._last_use = {source: row.index for row in self.rows for source in row.inputs}

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) in [0, 1] -> the raw maps of all levels, the same in training and evaluation mode.

        Raises:
            ValueError: images of another shape or type, or of a size that the network does not take.
        """
        maps: list[Tensor] = []
        for row, output in self.forward_layers(images):
            if row.index in self.heads:
                maps += output if isinstance(output, list) else [output]
        return maps

    def forward_layers(self, images: Tensor) -> Iterator[tuple[Row, Tensor | list[Tensor]]]:
        """The same pass, one layer at a time: yields its row and its output. ``forward`` runs through this.

        >>> import torch
        >>> from yolo_lite.model.yolo import create_model
        >>> model = create_model("yolov5n")
        >>> for row, output in model.forward_layers(torch.zeros(1, 3, 64, 64)):
        ...     if row.kind == "Concat":
        ...         print(row.index, row.inputs, tuple(output.shape))
        12 (11, 6) (1, 256, 4, 4)
        16 (15, 4) (1, 128, 8, 8)
        19 (18, 14) (1, 128, 4, 4)
        22 (21, 10) (1, 256, 2, 2)
        """
        self.check_images(images)
        kept: dict[int, Any] = {IMAGE: images, **self.given(images)}
        for row, layer in zip(self.rows, self.layers, strict=True):
            inputs = [kept[source] for source in row.inputs]
            output = layer(inputs if row.takes_list else inputs[0])
            kept[row.index] = output
            for index in [index for index in kept if self._last_use.get(index, -1) <= row.index]:
                del kept[index]  # no later layer reads it
            del inputs
            yield row, output

    def __prepare_scriptable__(self) -> Self:  # torch.jit.script asks for it
        raise TypeError(
            f"torch.jit.script compiles Python, and a {type(self).__name__} is a table of layers: trace it, "
            "yl.export(model, 'model.torchscript', format='torchscript') or torch.jit.trace(model, images)"
        )

    def given(self, images: Tensor) -> Mapping[int, Any]:
        """What layers read beside the image and other layers, by the negative index that rows name it with."""
        return {}

    def check_images(self, images: Tensor) -> None:
        """Raises a ValueError, in one sentence, for images that do not fit the network."""
        if not isinstance(images, Tensor) or images.dim() != 4 or images.shape[1] != self.channels:
            found = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            is_batch = isinstance(images, Tensor) and images.dim() == 4
            hint = f"; YoloDataset(..., channels={self.channels}) has such images" if is_batch else ""
            raise ValueError(f"images must be a tensor of shape (N, {self.channels}, H, W), not {found}{hint}")
        if not images.is_floating_point():
            raise ValueError(f"images must be floats in [0, 1], not {images.dtype}: pass images.float() / 255")
        multiple = self.size_multiple
        rows, cols = images.shape[2:]
        if self.fixed_size is not None and (rows, cols) != self.fixed_size:
            height, width = self.fixed_size
            raise ValueError(f"images of {rows} x {cols} (H x W): this network takes {height} x {width} and no other")
        if rows % multiple or cols % multiple or rows == 0 or cols == 0:
            raise ValueError(f"images of {rows} x {cols} (H x W): both must be multiples of {multiple}; letterbox them")

    @property
    def size_multiple(self) -> int:
        """Pixels; height and width of the images must be multiples of it."""
        return 1 if self.fixed_size is not None else max(self.strides)

    @property
    def anchors(self) -> Tensor | None:
        """(L, A, 2) width and height in pixels, level by level as in ``strides``; None where there are none."""
        return None

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Raw maps -> (N, n, 5 + C): x, y, w, h in pixels, objectness (1 where there is none), class scores."""
        raise NotImplementedError

    def criterion(self, hyp: Hyperparameters, img_size: int = 640, **options: Any) -> Criterion:
        """The loss of this model for training images of that size in pixels."""
        raise NotImplementedError

    def class_outputs(self) -> dict[str, Tensor]:
        """Which outputs belong to which class: what a head learnt about a class can then be moved to another place.

        Returns:
            Name of a tensor in ``state_dict`` -> (rows,) int64: of each entry along its first axis the class that it
            belongs to, or -1. Tensors that are the same for all classes are not named.
        Raises:
            ValueError: a network whose outputs do not belong to single classes.

        >>> from yolo_lite.model.yolo import create_model
        >>> outputs = create_model("yolov5n", num_classes=2).class_outputs()
        >>> outputs["layers.24.m.0.bias"].tolist()  # x, y, w, h, objectness, two classes; of three anchors
        [-1, -1, -1, -1, -1, 0, 1, -1, -1, -1, -1, -1, 0, 1, -1, -1, -1, -1, -1, 0, 1]
        """
        raise NotImplementedError

    def fuse(self) -> Self:
        """A copy in evaluation mode in which every block has its simplest form: faster, same results.

        Every BatchNorm is folded into its convolution, the branches of a RepConv into one, and what only training
        has is left out.

        YOLOv5: ``fuse``.

        >>> import torch
        >>> from yolo_lite.model.yolo import create_model
        >>> model = create_model("yolov5n").eval()
        >>> images = torch.rand(1, 3, 64, 64)
        >>> torch.allclose(model.fuse()(images)[0], model(images)[0], atol=1e-4)
        True
        """
        fused = copy.deepcopy(self).eval()
        for module in list(fused.modules()):  # a block before those inside it
            if isinstance(module, Fusible):
                module.fuse()
        fused.is_fused = True
        return fused

    def summary(self, img_size: int | tuple[int, int] = 640) -> Summary:
        """Every layer's input, output, parameters and cost for one image of that side (or (height, width))."""
        return summarise(self, self.fixed_size or img_size)


def anchor_rows(num_classes: int, num_anchors: int, before: int = 5) -> Tensor:
    """The classes of A * (before + C) outputs, anchor after anchor, as ``LayeredDetector.class_outputs`` gives them.

    Args:
        before: outputs of an anchor that stand before its classes.

    >>> anchor_rows(2, 2, before=1)
    tensor([-1,  0,  1, -1,  0,  1])
    """
    return torch.tensor(([-1] * before + list(range(num_classes))) * num_anchors)
