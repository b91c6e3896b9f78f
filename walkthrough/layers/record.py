"""record_layers: what every layer of a model takes in, gives out, holds, costs and sees, on images of one's own."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from walkthrough.layers.fields import ReceptiveField
from walkthrough.layers.follow import Follow, tensors_in
from walkthrough.layers.foreign import check_model, misfit
from walkthrough.layers.hooks import listening, untouched
from walkthrough.layers.measure import put
from walkthrough.layers.statistics import FeatureStatistics, feature_statistics

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """One layer, or one module within a layer: a call of it in a forward pass.

    A layer with several outputs, such as the head, has one entry for each in output_shapes, receptive_fields,
    statistics and outputs; ``output_shape``, ``receptive_field`` and ``output`` are those of the first. A layer that
    gave no tensor has none: the three raise ValueError.
    """

    index: int  # among the layers; within a layer, among its modules
    name: str  # where the module stands in the model, such as "layers.4.m.0"
    call: int  # how often that module had been called before, in the same pass
    kind: str  # the name of its class, or the YAML's name for it
    part: str  # "backbone", "neck" or "head" of a Yolo; "head" or "" of others
    inputs: tuple[int, ...]  # indices of the records that it reads; -1: the image, or what the layer around it reads
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    parameters: int  # 0 where the same module was called before: they are counted once
    flops: int  # for one image, as in Yolo.summary: 2 per multiply-and-add; activations and pools are left out
    seconds: float  # for all images together, of one pass that came after a first one
    receptive_fields: tuple[ReceptiveField, ...]
    statistics: tuple[FeatureStatistics, ...]  # over all images and channels
    outputs: tuple[Tensor, ...] = field(repr=False)  # copies; empty below the kept depth
    inside: tuple["LayerRecord", ...] = field(
        default=(), repr=False
    )  # the modules that it called, as deep as asked for

    @property
    def output_shape(self) -> Shape:
        self.check_output(0)
        return self.output_shapes[0]

    @property
    def receptive_field(self) -> ReceptiveField:
        self.check_output(0)
        return self.receptive_fields[0]

    @property
    def output(self) -> Tensor:
        """Raises ValueError where it was not kept."""
        self.check_output(0)
        if not self.outputs:
            raise ValueError(f"the output of {self.name} was not kept: call record_layers with a larger kept_depth")
        return self.outputs[0]

    def check_output(self, number: int) -> None:
        """Raises ValueError where there is no output of that number."""
        count = len(self.output_shapes)
        if not 0 <= number < count:
            reason = f"has {count} outputs, and none of number {number}" if count else "gave no tensor"
            raise ValueError(f"{self.name or 'the model'} ({self.kind}) {reason}")


def record_layers(
    model: nn.Module, images: Tensor, depth: int | None = 1, kept_depth: int | None = None
) -> list[LayerRecord]:
    """Every layer of a model, in the order in which they are called, on these images.

    The layers of a Yolo are those of its YAML; those of any other module are the modules that its forward calls. The
    model is passed through twice: once to follow the tensors, once to take the time. Both passes run in evaluation
    mode, as at prediction, and without gradients. Afterwards the model is as it was: modes, buffers, hooks; and so are
    the images. A module that raises, where the one around it goes on, has no record.

    What happens between modules (a sum, a functional convolution) has no record; the receptive field and the inputs
    of what comes after know of it all the same. What an operation reads of which no rule is known, such as roll or
    attention over windows, is measured: it, or the module around it, is called again with noise in some rows or
    columns. Where that does not work the field is said to be unknown; so it is where cells were chosen by chance. A
    BatchNorm reads one cell, as its mode is that of prediction; in training it reads the whole batch.

    Args:
        model: any module that takes images. One that takes more is wrapped in a module that gives it the rest.
        images: (N, C, H, W), as the model takes them: for a Yolo floats in [0, 1].
        depth: 1 for the layers alone; 2 for the modules in them too, in ``inside``; None for all.
        kept_depth: down to which depth copies of the outputs are kept; None: as deep as recorded.
    Raises:
        ValueError: images of another form, or of another type than the weights where the model takes no other; a
            model that does not run in Python (TorchScript, torch.compile, torch.export). What the model's own forward
            raises is passed on.

    >>> import yolo_lite as yl
    >>> records = record_layers(yl.create_model("yolov5n"), torch.zeros(1, 3, 64, 64), depth=2)
    >>> records[12].kind, records[12].inputs, records[12].input_shapes, records[12].output_shape
    ('Concat', (11, 6), ((1, 128, 4, 4), (1, 128, 4, 4)), (1, 256, 4, 4))
    >>> [(module.kind, module.inputs) for module in records[4].inside]
    [('Conv', (-1,)), ('Sequential', (0,)), ('Conv', (-1,)), ('Conv', (1, 2))]
    >>> records[4].receptive_field, sum(record.parameters for record in records)
    (58 x 58 pixels, every 8 pixels, 1872157)
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or 0 in images.shape:
        found = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be a tensor of shape (N, C, H, W), not {found}")
    check_model(model, images)
    if depth is not None and depth < 1:
        raise ValueError(f"depth is 1 or more, or None for all, not {depth}")
    depth = depth if depth is not None else len(list(model.modules()))
    kept_depth = depth if kept_depth is None else kept_depth
    given = images.detach().clone()  # a model may write into what it is given
    with untouched(model):
        recorder = _Recorder(model, given, depth, kept_depth)
        try:
            with recorder.follow, listening(model, recorder):
                model(given)
        except RuntimeError as error:
            if reason := misfit(model, images):
                raise ValueError(reason) from error
            raise
        clock, given = _Clock(depth, images.device), images.detach().clone()
        with listening(model, clock):
            model(given)
    return _assembled(model, recorder.calls, clock.seconds)


def _assembled(model: nn.Module, calls: list[LayerRecord], seconds: list[Any]) -> list[LayerRecord]:
    """The layers: the calls within that of the model; the model itself where it calls no module. Times are added."""
    (root,) = [_timed(*pair) for pair in zip(calls, seconds, strict=True)]
    spec: Any = getattr(model, "spec", None)
    if spec is None or not hasattr(model, "layers") or not root.inside:
        return list(root.inside) or [replace(root, index=0, inputs=(-1,))]
    rows = spec.get("backbone")
    last, heads = len(root.inside) - 1, getattr(model, "heads", ())
    if isinstance(rows, list | tuple):  # a YAML
        parts = ["backbone" if k < len(rows) else "head" if k == last else "neck" for k in range(last + 1)]
    else:  # another generation: its heads are known, and of the rest it is not written what it is
        parts = ["head" if k in heads else "" for k in range(last + 1)]
    return [replace(record, part=part) for record, part in zip(root.inside, parts, strict=True)]


def _timed(record: LayerRecord, times: tuple[float, list[Any]]) -> LayerRecord:
    """A record with its time; where a second pass took another way through the model, with none."""
    seconds, inside = times
    if len(inside) != len(record.inside):
        return replace(record, seconds=seconds)
    return replace(record, seconds=seconds, inside=tuple(map(_timed, record.inside, inside)))


class _Recorder:
    """What happens at the beginning and at the end of each call of a module, on the pass that is followed."""

    def __init__(self, model: nn.Module, images: Tensor, depth: int, kept_depth: int) -> None:
        self.follow = Follow(images)
        self.calls: list[LayerRecord] = []  # in the end one: that of the model
        self._names = {id(module): name for name, module in model.named_modules()}
        self._count, self._depth, self._kept_depth = len(images), depth, kept_depth
        self._open: list[tuple[list[LayerRecord], tuple[int, ...], list[Tensor], int]] = []
        self._called: Counter[str] = Counter()
        self._level = -1
        self._arguments: list[tuple[Any, int]] = []  # of the modules under way, and what was lost before
        self._measuring = False
        self._chance = self._state_of_chance()

    def _state_of_chance(self) -> tuple[Any, ...]:
        """Another one where Python has got random numbers; what becomes of tensors of them is followed."""
        numpys: Any = np.random.get_state()  # noqa: NPY002
        return self.follow.drawn_numbers, random.getstate(), numpys[1].tobytes(), numpys[2]

    def _look_at_chance(self, value: Any) -> None:
        """Of these tensors, all that happened since the last call of a module may have been decided by chance."""
        before, self._chance = self._chance, self._state_of_chance()
        if before != self._chance:
            self.follow.doubt(list(tensors_in(value)))

    def enter(self, module: nn.Module, given: Any) -> None:
        if self._measuring:
            return
        self._look_at_chance(given)
        self._arguments.append((given, self.follow.lost))
        self._level += 1
        if self._level > self._depth:
            return
        tensors = list(tensors_in(given))
        with self.follow.paused():
            self._open.append((self.calls, self.follow.sources(tensors), tensors, self.follow.flops))
            self.calls = []
            self.follow.enter(tensors)

    def leave(self, module: nn.Module, made: Any, failed: bool) -> None:
        if self._measuring:
            return
        arguments, lost = self._arguments.pop()
        self._level -= 1
        if not failed:
            self._check(module, arguments, list(tensors_in(made)), lost)
        self._look_at_chance(made)
        if self._level + 1 > self._depth:
            return
        with self.follow.paused():
            inside, (self.calls, sources, given, before) = self.calls, self._open.pop()
            made = list(tensors_in(made))
            if failed:
                self.follow.leave(len(self.calls), ())
                return
            flops = (self.follow.flops - before) // self._count
            self.follow.leave(len(self.calls), made)
            self.calls.append(self._record(module, sources, given, made, flops, tuple(inside)))

    def _check(self, module: nn.Module, arguments: Any, made: list[Tensor], lost: int) -> None:
        """See to it that what each output can see is known, or known to be unknown."""
        if self.follow.lost == lost and all(map(self.follow.knows, made)):
            return

        def call(others: dict[int, Tensor]) -> list[Tensor]:
            args, kwargs = put(arguments, others)
            with untouched(module):  # what it counts is as before, each time
                return list(tensors_in(module(*args, **kwargs)))

        is_root = self._level < 0 and bool(self.calls)  # whose own field nobody asks for
        self._measuring = True
        try:
            with self.follow.paused():
                self.follow.check(None if is_root else call, list(tensors_in(arguments)), made)
        finally:
            self._measuring = False

    def _record(
        self, module: nn.Module, sources: tuple, given: Sequence, made: Sequence, flops: int, inside: tuple
    ) -> LayerRecord:
        name = self._names[id(module)]
        call = self._called[name]
        self._called[name] += 1
        return LayerRecord(
            index=len(self.calls),
            name=name,
            call=call,
            kind=str(getattr(module, "kind", type(module).__name__)),
            part="",
            inputs=sources,
            input_shapes=tuple(tuple(tensor.shape) for tensor in given),
            output_shapes=tuple(tuple(tensor.shape) for tensor in made),
            parameters=0 if call else sum(parameter.numel() for parameter in module.parameters()),
            flops=flops,
            seconds=0.0,
            receptive_fields=tuple(map(self.follow.field, made)),
            statistics=tuple(map(feature_statistics, made)),
            outputs=tuple(map(torch.clone, made)) if self._level + 1 <= self._kept_depth else (),
            inside=inside,
        )


class _Clock:
    """The same calls, but nothing done at them except to look at the clock."""

    def __init__(self, depth: int, device: torch.device) -> None:
        self.seconds: list[tuple[float, list]] = []
        self._depth, self._device, self._level = depth, device, -1
        self._open: list[tuple[list, float]] = []

    def enter(self, module: nn.Module, given: Any) -> None:
        self._level += 1
        if self._level <= self._depth:
            self._open.append((self.seconds, self._now()))
            self.seconds = []

    def leave(self, module: nn.Module, made: Any, failed: bool) -> None:
        now = self._now() if self._level <= self._depth else 0.0
        self._level -= 1
        if self._level + 1 <= self._depth:
            inside, (self.seconds, start) = self.seconds, self._open.pop()
            self.seconds += [] if failed else [(now - start, inside)]

    def _now(self) -> float:
        if self._device.type != "cpu":
            torch.accelerator.synchronize()  # it works on after the call has returned
        return perf_counter()
