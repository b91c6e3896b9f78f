"""``yolo-lite train``: a detector from random weights, or a trained one fitted to other data."""

import argparse
import contextlib
import shlex
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from yolo_lite.cli.options import (
    FEW_IMAGES,
    Commands,
    NamesAction,
    Parser,
    add_command,
    pick_device,
    pick_workers,
    positive,
    say_data,
)

if TYPE_CHECKING:
    from yolo_lite.cli.training_log import Clock
    from yolo_lite.hyperparameters import Hyperparameters
    from yolo_lite.model.yolo import Yolo
    from yolo_lite.running.distributed import World
    from yolo_lite.train.options import TrainOptions
    from yolo_lite.train.trainer import Trainer

RUNS = Path("runs")
OWN = ("model", "weights", "hyp", "set", "preset", "out")  # what a resumed run has settled already


def add_commands(commands: Commands) -> None:
    """Adds the commands of this file to the parser."""
    example = "yolo-lite train --data shapes --model yolov5n --img-size 160 --epochs 20 --cache ram --preset small-data"
    what = "train a detector, from random weights or from a checkpoint"
    parser = add_command(commands, "train", run_train, what, example)
    help_data = "data.yaml, a folder, a .txt list of images, or the name of a dataset that comes along: shapes, photos"
    parser.add_argument("--data", metavar="DATA", help=f"{help_data}; number and names of the classes come from it")
    parser.add_argument("--val", metavar="DATA", help="what to validate on; left out: the split val of --data")
    start = parser.add_mutually_exclusive_group()
    help_model = "a new network with random weights: its name (yolov5n) or .yaml"
    start.add_argument("--model", metavar="NAME", help=help_model)
    help_weights = "start from a checkpoint: .safetensors, an official YOLOv5 .pt, or a name; other classes: a new head"
    start.add_argument("--weights", metavar="FILE", help=help_weights)
    help_preset = "settings that go together; left out: scratch with --model, finetune with --weights"
    parser.add_argument("--preset", choices=("scratch", "finetune", "small-data"), help=help_preset)
    help_hyp = "hyperparameters from a YAML file, an official hyp.*.yaml for example"
    parser.add_argument("--hyp", type=Path, metavar="FILE", help=help_hyp)
    help_set = "one hyperparameter, after --preset and --hyp; may be repeated"
    parser.add_argument("--set", type=_setting, action="append", default=[], metavar="NAME=VALUE", help=help_set)
    help_out = "folder of the run; left out: the next free runs/train-N"
    parser.add_argument("--out", type=Path, metavar="DIR", help=help_out)
    help_resume = "go on with the run in this folder (or of this last.safetensors), with its own settings; --data says "
    help_resume += "where its data lie now"
    parser.add_argument("--resume", type=Path, metavar="DIR", help=help_resume)
    help_stop = "stop after so much training (validation does not count), validate, save; --resume goes on later"
    parser.add_argument("--stop-after", type=positive, metavar="S", help=help_stop)
    parser.add_argument("--tensorboard", action="store_true", help="the figures for TensorBoard, in DIR/tensorboard")
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
    with distributed() as world, _speaking(world.is_main):
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
            print(f"yolo-lite train: {_with_way_out(error, out_dir)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt as stop:  # the trainer says in it how to go on
            if world.is_main:
                print(f"yolo-lite train: {stop}" if stop.args else "stopped before training began", file=sys.stderr)
            return 130


def _train(options: argparse.Namespace, world: "World", out_dir: Path) -> int:
    from yolo_lite.cli.training_log import Clock, cut_here, report

    clock = Clock()
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for the result alone
        trainer = _resumed(options) if options.resume else _new(options, out_dir)
        if world.is_main:
            _say_datasets(trainer, options)
            trainer.callbacks += [clock, *_callbacks(options, out_dir)]
        cut = _run(trainer, clock, options.stop_after, world)
        metrics = cut_here(trainer, clock) if cut and world.is_main else None
    if world.is_main:
        report(trainer, clock, metrics, options.json)
    world.barrier()  # none leaves while another may still be in touch with it
    return 0


def _say_datasets(trainer: "Trainer", options: argparse.Namespace) -> None:
    """A line for each dataset of which something was left out."""
    train, val = trainer.sources  # as text, where they are
    for dataset, said, split in (
        (trainer.train_set, options.data or train, "train"),
        (trainer.val_set, options.val or options.data or val or train, "val"),
    ):
        if dataset is not None and said is not None:
            say_data(dataset.report, said, split)


def _run(trainer: "Trainer", clock: "Clock", limit: float | None, world: "World") -> bool:
    """Trains to the end, or to the limit in seconds; returns whether the limit came first."""
    with contextlib.closing(trainer.steps()) as steps:
        for step in steps:
            is_last = step.iteration + 1 == trainer.schedule.iterations  # it ends by itself
            # All processes stop at the same batch: the one that the main process says.
            if limit is not None and not is_last and world.broadcast(clock.training >= limit):
                return True
    return False


# ---- what is asked for ----------------------------------------------------------------------------------------------


def add_fields(parser: Parser) -> None:
    """An option for each field of TrainOptions, of its type, with its comment as help."""
    from yolo_lite.train.options import TrainOptions

    group = parser.add_argument_group("settings of the run")
    comments = field_comments(TrainOptions)
    for name, kind in TrainOptions.__annotations__.items():
        default = getattr(TrainOptions, name)
        said = "" if default is None else f" (default: {default})".replace("True", "yes").replace("False", "no")
        about = {"default": argparse.SUPPRESS, "help": (comments.get(name, "") + said).strip().replace("%", "%%")}
        group.add_argument(f"--{name.replace('_', '-')}", **_reading(kind), **about)


def field_comments(cls: type) -> dict[str, str]:
    """The comment behind each field of a dataclass; none where the source is not at hand.

    >>> from yolo_lite.train.options import TrainOptions
    >>> field_comments(TrainOptions)["batch_size"]
    'images per process and batch'
    """
    import inspect
    import re

    try:
        source = inspect.getsource(cls)
    except OSError:
        return {}
    return dict(re.findall(r"^ +(\w+): .*?  # (.+)$", source, re.MULTILINE))


def _reading(kind: Any) -> dict[str, Any]:
    """How argparse reads a type: a Literal as choices, a bool as --name and --no-name."""
    if kind == int | tuple[int, ...]:
        return {"type": int, "metavar": "N", "nargs": "+", "action": _OneOrSeveral}
    kinds = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) is Literal:
        return {"choices": kinds}
    if get_origin(kind) is tuple:
        return {"nargs": "+", "action": NamesAction, "metavar": "NAME"}
    if len(kinds) == 1:  # the other was None
        return _reading(kinds[0])
    return {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind, "metavar": _METAVARS[kind]}


class _OneOrSeveral(argparse.Action):
    """One number stays a number, several become a tuple."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, values[0] if len(values) == 1 else tuple(values))


_METAVARS: dict[Callable, str] = {int: "N", float: "X", str: "NAME"}


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as box=0.1")
    return name.strip(), value


def _check(options: argparse.Namespace) -> None:
    if options.resume:
        extra = [*(name for name in OWN if getattr(options, name)), *_given(options)]
        if extra:
            words = ", ".join(f"--{name.replace('_', '-')}" for name in extra)
            raise ValueError(f"--resume goes on with the run's own settings: leave out {words}")
        return
    if not options.data:
        raise ValueError("what to train on? Give --data (shapes needs no files), or --resume DIR to go on with a run")
    if not options.model and not options.weights:
        raise ValueError("train what? Give --model NAME (random weights) or --weights FILE (start from a checkpoint)")


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of TrainOptions that were asked for."""
    from yolo_lite.train.options import TrainOptions

    return {name: getattr(options, name) for name in TrainOptions.__annotations__ if hasattr(options, name)}


def settings(options: argparse.Namespace) -> tuple["Hyperparameters", "TrainOptions"]:
    """The preset, with what was asked for besides."""
    from yolo_lite.hyperparameters import Hyperparameters
    from yolo_lite.train.options import preset

    hyp, train_options = preset(preset_name(options))
    hyp = Hyperparameters.from_yaml(options.hyp) if options.hyp else hyp
    given = _given(options)
    device = pick_device(given.get("device"))
    if "device" in given:
        given["device"] = str(device)
    if device.type != "cpu":  # which would wait for images; a CPU is busy training
        given.setdefault("workers", pick_workers(None, FEW_IMAGES))
    return hyp.replace(**dict(options.set)), train_options.replace(**given)


def preset_name(options: argparse.Namespace) -> str:
    """The preset asked for, or the one that goes with where the weights come from."""
    return options.preset or ("scratch" if options.model else "finetune")


def free_folder(parent: Path) -> Path:
    """parent/train-1, or the first number after it that nothing is called."""
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
        train_options = train_options.replace(names=names)  # kept with the run, whichever of them come up in its data
    model = _start(options, names, train_options.seed)
    _say_size(model, train_options.img_size)
    given = dataclasses.asdict(train_options)
    metadata = {"preset": preset_name(options)}
    return Trainer(model, options.data, options.val, hyp, out_dir=out_dir, metadata=metadata, **given)


def _say_size(model: "Yolo", img_size: int) -> None:
    """A word where weights go on with at another image size than they were trained at."""
    from yolo_lite.detect.inference import trained_size

    if (trained := trained_size(model)) not in (None, img_size):
        words = f"the weights were trained at {trained} px, this run is at {img_size}: --img-size {trained} keeps to it"
        warnings.warn(words, stacklevel=2)


def _start(options: argparse.Namespace, names: tuple[str, ...], seed: int) -> "Yolo":
    from yolo_lite.checkpoints.own import load
    from yolo_lite.model.yolo import create_model

    if options.model:
        return create_model(options.model, num_classes=len(names), names=names, seed=seed)
    return load(options.weights, num_classes=len(names), names=names, seed=seed)


def class_names(data: str, val: str | None) -> tuple[str, ...] | None:
    """The names that a dataset has for its classes, without a look at its images; else those of the validation's."""
    from yolo_lite.data.source import class_names

    return class_names(data) or (class_names(val, "val") if val is not None else None)


def numbered_classes(data: str, val: str | None) -> tuple[str, ...]:
    """ "0", "1" ... up to the highest class in the labels of both."""
    from yolo_lite.data.source import open_source

    opened = [open_source(data)] + ([open_source(val, "val")] if val is not None else [])
    return max((source.names for source in opened), key=len)


def _resumed(options: argparse.Namespace) -> "Trainer":
    from yolo_lite.train.trainer import Trainer

    return Trainer.resume(options.resume, train=options.data, val=options.val)


def _callbacks(options: argparse.Namespace, out_dir: Path) -> list[Any]:
    from yolo_lite.cli.options import show_progress
    from yolo_lite.cli.training_log import LineLog
    from yolo_lite.train.callbacks import CsvLog, ProgressBar, TensorBoardLog

    shown = ProgressBar() if show_progress() else LineLog()
    board = [TensorBoardLog(out_dir / "tensorboard")] if options.tensorboard else []
    return [shown, CsvLog(out_dir / "results.csv"), *board]


@contextlib.contextmanager
def _speaking(is_main: bool) -> Any:
    """Of several processes that would warn of the same, one does."""
    if not is_main:
        warnings.simplefilter("ignore")  # undone by main, which keeps the filters around every command
    yield


# ---- when it does not come to its end -------------------------------------------------------------------------------


def _with_way_out(error: Exception, out_dir: Path) -> str:
    from yolo_lite.running.folder import LAST

    last = out_dir / LAST
    if "--resume" in str(error) or not last.exists():
        return str(error)
    return f"{error}. A new run can start from the last checkpoint: --weights {shlex.quote(str(last))}"
