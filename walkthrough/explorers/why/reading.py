"""A detector's passes over pictures, what became of its predictions there, and what its loss asks of them.

Shape letters: n predictions of a picture in the order of ``decode``, C classes, c candidates, m labels, k matches.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from walkthrough.explorers.layer.recordings import Recordings
from walkthrough.explorers.nms.suppression import Decided, Rule, decide
from walkthrough.explorers.nms.thresholds import labels_of
from walkthrough.explorers.pictures import Annotated, taking, targets_of
from yolo_lite.analysis.errors import ImageErrors, find_errors
from yolo_lite.detect.inference import image_channels, inference, network_input
from yolo_lite.detect.metrics import ImageDetections
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.images.bands import as_channels

KEPT, KEPT_MAPS = 64, 2  # pictures whose predictions, and whose raw maps, stay in memory
ValueT = TypeVar("ValueT")
Box = tuple[float, float, float, float]


class Judged(NamedTuple):
    """A picture's detections at some thresholds, and which of them are errors."""

    decided: Decided
    errors: ImageErrors
    detections: ImageDetections


class Assigned(NamedTuple):
    """What the loss asks of the predictions of a picture with its labels, and where each of them comes from."""

    cells: Tensor  # (n, 4) level, anchor, row, column
    role: Tensor  # (n,) POSITIVE, NEGATIVE or IGNORED
    target: Tensor  # (n,) the label of a positive, else -1
    pairs: Tensor  # (k, 2) prediction and label of each match

    def responsible_for(self, label: int) -> list[int]:
        """The predictions that are matched to a label."""
        return sorted(set(self.pairs[self.pairs[:, 1] == label, 0].tolist()))

    def grid(self, level: int) -> tuple[int, int]:
        """Rows and columns of a level."""
        rows, cols = (self.cells[self.cells[:, 0] == level, 2:].amax(0) + 1).tolist()
        return rows, cols


class Passes:
    """A detector on pictures: each pass is made when it is first asked for, and kept."""

    def __init__(self, model: Any, hyp: Hyperparameters) -> None:
        self.model, self.hyp = model, hyp
        self._decoded: OrderedDict[int, tuple[Any, Tensor]] = OrderedDict()
        self._maps: OrderedDict[int, tuple[Any, Any]] = OrderedDict()
        self._assigned: OrderedDict[int, tuple[Any, Assigned | str]] = OrderedDict()
        self._judged: OrderedDict[tuple, tuple[Any, Judged]] = OrderedDict()
        self._recordings = Recordings(model)

    def decoded(self, picture: Annotated) -> Tensor:
        """(n, 5 + C) what ``model.decode`` gives for a picture. Raises ValueError where the model does not take it."""
        return _kept(self._decoded, id(picture.pixels), picture, lambda: self._pass(picture)[1], KEPT)

    def judged(self, picture: Annotated, rule: Rule, foreground: float, background: float) -> Judged:
        """The detections of a picture and their errors."""
        key = id(picture), rule, foreground, background
        return _kept(self._judged, key, picture, lambda: self._judge(picture, rule, foreground, background), KEPT)

    def assigned(self, picture: Annotated) -> Assigned | str:
        """What the loss asks; a sentence where it does not tell."""
        return _kept(self._assigned, id(picture), picture, lambda: self._assign(picture), KEPT_MAPS)

    def seen(self, picture: Annotated, grid: tuple[int, int], row: int, col: int) -> tuple[Box, np.ndarray] | None:
        """What a cell of a level's map can see, and (H, W) bool what it listens to; None where that is not known."""
        if not isinstance(self.model, nn.Module):
            return None
        try:
            for record in reversed(self._recordings.records(picture)):
                for output, field in enumerate(record.receptive_fields):
                    if field.dims is not None and field.grid == grid and not field.because:
                        effective = self._recordings.gradients(picture, record, output).of(row, col)
                        return as_box(field.of(row, col)), effective.mask.cpu().numpy()
        except Exception:  # a network that cannot be followed still has errors to show
            return None
        return None

    def _pass(self, picture: Annotated) -> tuple[Any, Tensor]:
        pixels = as_channels(picture.pixels, image_channels(self.model) or 3, picture.name)  # (H, W, C)
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
        with taking(picture), inference(self.model):
            maps = self.model(network_input(image, self.model))
            decoded = self.model.decode(maps)[0].float().cpu()  # (n, 5 + C)
        _kept(self._maps, id(picture.pixels), picture, lambda: maps, KEPT_MAPS)
        return maps, decoded.clone()  # outside: no tensor of inference mode

    def _judge(self, picture: Annotated, rule: Rule, foreground: float, background: float) -> Judged:
        decided, labels = decide(self.decoded(picture), rule), labels_of(picture)
        rows = decided.detections.numpy()
        found = ImageDetections(picture.name, rows[:, :4], rows[:, 4], rows[:, 5].astype(int), picture.size, labels, 0)
        return Judged(decided, find_errors(rows, labels, foreground, background), found)

    def _assign(self, picture: Annotated) -> Assigned | str:
        maps = _kept(self._maps, id(picture.pixels), picture, lambda: self._pass(picture)[0], KEPT_MAPS)
        loss = self.model.criterion(self.hyp, max(picture.size))
        if not hasattr(loss, "assign"):
            return f"{type(loss).__name__} has no assign: which cells are responsible is not known"
        maps = [raw.clone() for raw in maps] if all(isinstance(raw, Tensor) for raw in maps) else maps
        try:
            with torch.no_grad():
                found = loss.assign(maps, targets_of((picture,)))
        except Exception as problem:  # the loss is the reader's
            return f"{type(loss).__name__}.assign fails ({problem}): which cells are responsible is not known"
        pairs = torch.stack((found.matches.prediction, found.matches.target), 1)
        fields = (found.cells, found.role[0], found.target[0], pairs)
        return Assigned(*(field.cpu().clone() for field in fields))


def _kept(store: OrderedDict, key: Any, picture: Annotated, make: Callable[[], ValueT], limit: int) -> ValueT:
    """The value of a key, made where it is not there; the picture is kept along, so that its id stays its own."""
    if key not in store:
        store[key] = picture, make()
        if len(store) > limit:
            store.popitem(last=False)
    value: ValueT = store[key][1]
    return value


def class_scores(decoded: Tensor) -> Tensor:
    """(n, C) objectness * class score, as ``find_candidates`` has it."""
    return decoded[:, 4:5] * decoded[:, 5:]


def says_objectness(decoded: Tensor) -> bool:
    """Whether a generation has an objectness: ``decode`` gives 1 everywhere where it has none."""
    return bool((decoded[:, 4] != 1).any())


def as_box(values: Any) -> Box:
    """Four numbers as a plain tuple."""
    x1, y1, x2, y2 = (float(value) for value in np.asarray(values)[:4])
    return x1, y1, x2, y2
