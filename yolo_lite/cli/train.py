"""``yolo-lite train``: trains a detector from random weights, or fine-tunes a trained one."""

import argparse
import contextlib
import shlex
import sys
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, get_origin

from yolo_lite.cli.options import (
    DATA_HELP,
    FEW_IMAGES,
    Commands,
    NamesAction,
    Parser,
    add_command,
    pick_device,
    pick_workers,
    positive,
    print_problems,
    require_weights,
    shown_default,
)

if TYPE_CHECKING:
    from yolo_lite.hyperparameters import Hyperparameters
    from yolo_lite.model.layered import LayeredDetector
    from yolo_lite.running.distributed import World
    from yolo_lite.train.options import TrainOptions
    from yolo_lite.train.progress import Clock
    from yolo_lite.train.results import StepState
    from yolo_lite.train.trainer import Trainer

RUNS = Path("runs")
OF_A_RESUMED = ("epochs", "workers", "device")  # a resumed run may have others than before
OWN = ("model", "weights", "hyp", "set", "preset", "out")  # a resumed run has its own


def add_commands(commands: Commands) -> None:
    """Adds the commands of this file to the parser."""
    example = "yolo-lite train --data shapes --model yolov5n --img-size 160 --epochs 20 --cache ram --preset small-data"
    what = "train a detector, from random weights or from a checkpoint"
    parser = add_command(commands, "train", run_train, what, example)
    parser.add_argument("--data", metavar="DATA", help=f"{DATA_HELP}; number and names of the classes come from it")
    parser.add_argument("--val", metavar="DATA", help="data to validate on; left out: the split val of --data")
    start = parser.add_mutually_exclusive_group()
    help_model = "a new model with random weights: its name (yolov5n, yolov4-tiny, retinanet ...), .yaml or .cfg"
    start.add_argument("--model", metavar="NAME", help=help_model)
    help_weights = "start from a checkpoint: .safetensors, an official .pt, or the name of bundled weights "
    help_weights += "(shapes-n); with another number of classes the head is new"
    start.add_argument("--weights", metavar="FILE", help=help_weights)
    help_preset = "settings that go together; left out: scratch with --model, finetune with --weights"
    parser.add_argument("--preset", choices=("scratch", "finetune", "small-data"), help=help_preset)
    help_hyp = "hyperparameters from a YAML file, such as an official hyp.*.yaml"
    parser.add_argument("--hyp", type=Path, metavar="FILE", help=help_hyp)
    help_set = "one hyperparameter (listed below), in place of that of --preset or --hyp; may be repeated"
    parser.add_argument("--set", type=_setting, action="append", default=[], metavar="NAME=VALUE", help=help_set)
    help_out = "folder of the run; left out: the next free runs/train-N"
    parser.add_argument("--out", type=Path, metavar="DIR", help=help_out)
    help_resume = "resume the run in this folder (or of this last.safetensors) with its own settings; --data: where "
    help_resume += "its data are now, if they moved; --epochs, --workers and --device may be others than before"
    parser.add_argument("--resume", type=Path, metavar="DIR", help=help_resume)
    help_stop = "stop after this many seconds of training (without validation), validate, save; --resume continues"
    parser.add_argument("--stop-after", type=positive, metavar="S", help=help_stop)
    parser.add_argument(
        "--tensorboard", action="store_true", help="write losses and metrics for TensorBoard, in DIR/tensorboard"
    )
    parser.later = add_fields


def run_train(options: argparse.Namespace) -> int:
    """`yolo-lite train`; returns the exit code."""
    from yolo_lite.data.report import DatasetError
    from yolo_lite.running.diagnose import TrainingError
    from yolo_lite.running.distributed import distributed
    from yolo_lite.running.folder import run_folder

    _check(options)
    if options.resume:
        options.resume = run_folder(options.resume)
    out_dir = options.resume or options.out or free_folder(RUNS)
    with distributed() as world, _warnings_of_one(world.is_main):
        try:
            return _train(options, world, out_dir)
        except DatasetError as error:
            if options.debug or not getattr(options, "strict", False):
                raise
            print(f"yolo-lite train: {error}", file=sys.stderr)
            return 1
        except TrainingError as error:
            if options.debug:
                raise
            print(f"yolo-lite train: {_with_advice(error, out_dir)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt as stop:  # its text, from the trainer, says how to resume
            if world.is_main:
                print(f"yolo-lite train: {stop}" if stop.args else "stopped before training began", file=sys.stderr)
            return 130


def _train(options: argparse.Namespace, world: "World", out_dir: Path) -> int:
    from yolo_lite.cli.training_log import cut_here, report
    from yolo_lite.train.progress import Clock

    clock = Clock()
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for the result alone
        trainer = _resumed(options) if options.resume else _new(options, out_dir)
        if world.is_main:
            _print_problemssets(trainer, options)
            trainer.callbacks += [clock, *_callbacks(options, out_dir)]
        cut = _run(trainer, clock, options.stop_after, world)
        metrics = cut_here(trainer, clock) if cut and world.is_main else None
    if world.is_main:
        report(trainer, clock, metrics, options.json)
    world.barrier()  # no process ends while another may still communicate with it
    return 0


def _print_problemssets(trainer: "Trainer", options: argparse.Namespace) -> None:
    """A line for each dataset of which something was left out."""
    train, val = trainer.sources  # as text, where they are
    for dataset, source, split in (
        (trainer.train_set, options.data or train, "train"),
        (trainer.val_set, options.val or options.data or val or train, "val"),
    ):
        if dataset is not None and source is not None:
            print_problems(dataset.report, source, split)


def _run(trainer: "Trainer", clock: "Clock", limit: float | None, world: "World") -> bool:
    """Trains to the end, or to the limit in seconds; returns whether the limit came first."""
    steps = cast("Generator[StepState]", trainer.steps())  # closed, it ends between two batches
    with contextlib.closing(steps):
        for step in steps:
            is_last = step.iteration + 1 == trainer.schedule.iterations  # it ends by itself
            # All processes stop at the same batch: the main process decides.
            if limit is not None and not is_last and world.broadcast(clock.training >= limit):
                return True
    return False


# ---- what is asked for ----------------------------------------------------------------------------------------------


def add_fields(parser: Parser) -> None:
    """An option for each field of TrainOptions, of its type; then what --set may name."""
    from yolo_lite.hyperparameters import Hyperparameters, descriptions
    from yolo_lite.train.options import TrainOptions

    group = parser.add_argument_group("settings of the run")
    for name, description in descriptions(TrainOptions).items():
        default = getattr(TrainOptions, name)
        about = str(description) if default is None else f"{description} (default: {shown_default(default)})"
        option = _option(TrainOptions.__annotations__[name])
        group.add_argument(
            f"--{name.replace('_', '-')}", default=argparse.SUPPRESS, help=about.replace("%", "%%"), **option
        )
    hyp = {
        name: f"{description} (default: {getattr(Hyperparameters, name):g})"
        for name, description in descriptions(Hyperparameters).items()
    }
    listed = "\n".join(f"{name:<21} {about}" for name, about in hyp.items())
    parser.add_argument_group("hyperparameters, for --set", listed)


def _option(kind: Any) -> dict[str, Any]:
    """How argparse reads a type: a Literal as choices, a bool as --name and --no-name."""
    if kind == int | tuple[int, ...]:
        return {"type": int, "metavar": "N", "nargs": "+", "action": _OneOrSeveral}
    kinds = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) is Literal:
        return {"choices": kinds}
    if get_origin(kind) is tuple:
        return {"nargs": "+", "action": NamesAction, "metavar": "NAME"}
    if len(kinds) == 1:  # the other was None
        return _option(kinds[0])
    return {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind, "metavar": _METAVARS[kind]}


class _OneOrSeveral(argparse.Action):
    """One number stays a number, several become a tuple."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # a list of int, says nargs
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, values[0] if len(values) == 1 else tuple(values))


_METAVARS: dict[type, str] = {int: "N", float: "X", str: "NAME"}


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as box=0.1")
    return name.strip(), value


def _check(options: argparse.Namespace) -> None:
    if options.resume:
        extra = [*(name for name in OWN if getattr(options, name))]
        extra += [name for name in _given(options) if name not in OF_A_RESUMED]
        if extra:
            words = ", ".join(f"--{name.replace('_', '-')}" for name in extra)
            raise ValueError(f"--resume uses the run's own settings: leave out {words}")
        return
    if not options.data:
        raise ValueError("no data to train on: give --data (shapes needs no files), or --resume DIR to resume a run")
    if not options.model and not options.weights:
        raise ValueError("no model to train: give --model NAME (random weights) or --weights FILE (a checkpoint)")
    if options.weights:
        require_weights(options.weights)


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of TrainOptions that were given."""
    from yolo_lite.train.options import TrainOptions

    return {name: getattr(options, name) for name in TrainOptions.__annotations__ if hasattr(options, name)}


def settings(options: argparse.Namespace) -> tuple["Hyperparameters", "TrainOptions"]:
    """The preset, changed by --hyp, --set and the other options."""
    from yolo_lite.hyperparameters import Hyperparameters
    from yolo_lite.train.options import preset

    hyp, train_options = preset(preset_name(options))
    hyp = Hyperparameters.from_yaml(options.hyp) if options.hyp else hyp
    given = _given(options)
    device = pick_device(given.get("device"))
    if "device" in given:
        given["device"] = str(device)
    if device.type != "cpu":  # a GPU would wait for the images; a CPU is busy training
        given.setdefault("workers", pick_workers(None, FEW_IMAGES))
    return hyp.replace(**dict(options.set)), train_options.replace(**given)


def preset_name(options: argparse.Namespace) -> str:
    """The preset that was given, or the default one for --model or --weights."""
    return options.preset or ("scratch" if options.model else "finetune")


def free_folder(parent: Path) -> Path:
    """parent/train-1, or the same with the first number that is free."""
    number = 1
    while (parent / f"train-{number}").exists():
        number += 1
    return parent / f"train-{number}"


# ---- what runs ------------------------------------------------------------------------------------------------------


def _new(options: argparse.Namespace, out_dir: Path) -> "Trainer":
    import dataclasses

    from yolo_lite.train.trainer import Trainer

    hyp, train_options = settings(options)
    names = ("object",) if train_options.single_cls else train_options.names or class_names(options.data, options.val)
    if names is None:
        names = numbered_classes(options.data, options.val)
        train_options = train_options.replace(names=names)  # kept with the run, even those without an object
    model = _start(options, names, train_options.seed)
    described = model.fixed_size or model.img_size
    if described is not None and not hasattr(options, "img_size"):
        train_options = train_options.replace(img_size=max(described))
    _warn_of_size(model, train_options.img_size)
    given = dataclasses.asdict(train_options)
    metadata = {"preset": preset_name(options)}
    return Trainer(model, options.data, options.val, hyp, out_dir=out_dir, metadata=metadata, **given)


def _warn_of_size(model: "LayeredDetector", img_size: int) -> None:
    """Warns where the image size is not the one that the weights were trained at."""
    from yolo_lite.detect.inference import trained_size

    if (trained := trained_size(model)) not in (None, img_size):
        words = f"the weights were trained at {trained} px, this run is at {img_size} px: --img-size {trained} keeps it"
        warnings.warn(words, stacklevel=2)


def _start(options: argparse.Namespace, names: tuple[str, ...], seed: int) -> "LayeredDetector":
    from yolo_lite.checkpoints.own import load
    from yolo_lite.data.source import declared_channels
    from yolo_lite.model.yolo import create_model

    if options.model:
        channels = None if Path(options.model).exists() else declared_channels(options.data)  # a file has its own ch
        return create_model(options.model, num_classes=len(names), names=names, channels=channels, seed=seed)
    return load(options.weights, num_classes=len(names), names=names, seed=seed)


def class_names(data: str, val: str | None) -> tuple[str, ...] | None:
    """The class names of the training data, found without reading images; else those of the validation data."""
    from yolo_lite.data.source import class_names

    return class_names(data) or (class_names(val, "val") if val is not None else None)


def numbered_classes(data: str, val: str | None) -> tuple[str, ...]:
    """The names "0", "1" ... up to the highest class in the labels of both."""
    from yolo_lite.data.source import open_source

    opened = [open_source(data)] + ([open_source(val, "val")] if val is not None else [])
    return max((source.names for source in opened), key=len)


def _resumed(options: argparse.Namespace) -> "Trainer":
    from yolo_lite.train.trainer import Trainer

    given = {name: value for name, value in _given(options).items() if name in OF_A_RESUMED}
    if "device" in given:
        given["device"] = str(pick_device(given["device"]))
    return Trainer.resume(options.resume, train=options.data, val=options.val, **given)


def _callbacks(options: argparse.Namespace, out_dir: Path) -> list[Any]:
    from yolo_lite.cli.options import show_progress
    from yolo_lite.train.callbacks import LineLog, ProgressBar, TensorBoardLog

    shown = ProgressBar() if show_progress() else LineLog()
    return [shown, *([TensorBoardLog(out_dir / "tensorboard")] if options.tensorboard else [])]


@contextlib.contextmanager
def _warnings_of_one(is_main: bool) -> Iterator[None]:
    """Of several processes with the same warnings, one prints them."""
    if not is_main:
        warnings.simplefilter("ignore")  # undone by main, which keeps the filters around every command
    yield


# ---- when training fails --------------------------------------------------------------------------------------------


def _with_advice(error: Exception, out_dir: Path) -> str:
    from yolo_lite.running.folder import LAST

    last = out_dir / LAST
    if "--resume" in str(error) or not last.exists():
        return str(error)
    return f"{error}. A new run can start from the last checkpoint: --weights {shlex.quote(str(last))}"
