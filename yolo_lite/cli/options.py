"""What the commands share: options that mean the same everywhere, models, tables, JSON."""

import argparse
import contextlib
import io
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from yolo_lite.support.tables import table as table

if TYPE_CHECKING:
    import torch

    from yolo_lite.data.report import Report
    from yolo_lite.model.layered import LayeredDetector

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # what add_subparsers returns
Run = Callable[[argparse.Namespace], int]
FEW_IMAGES = 256  # starting worker processes takes longer than loading this many
MAX_WORKERS = 8
IMPORT_FIRST = "in a shell, yolo-lite --import FILE.py COMMAND ... registers layers first"


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, and leaves the example as it is written."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, [], (), argparse.SUPPRESS) or not action.option_strings:
            return action.help
        return f"{action.help} (default: {shown_default(action.default)})"


def shown_default(value: object) -> str:
    """A default as the shell takes it: "yes", "train val".

    >>> shown_default(["train", "val"])
    'train val'
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose help ends with an example, and whose errors are one sentence."""

    later: "Callable[[Parser], None] | None" = None  # adds the options that need an import, once this parser is used

    def __init__(self, prog: str | None = None, *, example: str = "", **kwargs: Any) -> None:
        epilog = f"example:\n  {example}"
        super().__init__(prog, epilog=epilog, formatter_class=_Formatter, allow_abbrev=False, **kwargs)

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        add_options, self.later = self.later, None
        if add_options is not None:
            add_options(self)
        return super().parse_known_args(args if args is None else self._given_back(list(args)), namespace)

    def _given_back(self, words: list[str]) -> list[str]:
        """Moves what an option with several values takes too many of behind a ``--``: --classes 0 photo.jpg."""
        flags = self._option_string_actions
        needed = sum(action.nargs in (None, "+") for action in self._get_positional_actions())
        end, run = 0, range(0)  # the values of the last such option
        while end < len(words) and words[end] != "--":
            action = flags.get(words[end])
            end += 1
            if action is None:  # a word of the command itself, or --name=value
                needed -= not words[end - 1].startswith("-")
            elif action.nargs == "+":
                start = end
                while end < len(words) and not words[end].startswith("-"):
                    end += 1
                run = range(start, end)
            else:
                end += action.nargs is None
        if needed < 1 or len(run) <= needed or end < len(words):  # argparse says what is missing
            return words
        cut = run.stop - needed
        while cut - 1 > run.start and _is_pattern(words[cut - 1]):
            cut -= 1
        return [*words[:cut], *words[run.stop :], "--", *words[cut : run.stop]]

    def error(self, message: str) -> NoReturn:
        message += f": {IMPORT_FIRST}" if "--import" in message else ""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _is_pattern(word: str) -> bool:
    """Whether a word can only be a file or a pattern."""
    return any(mark in word for mark in "/\\*?") or Path(word).is_file()


def add_command(commands: Commands, name: str, run: Run, what: str, example: str) -> Parser:
    """A command with the options that every command has."""
    parser = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.", example=example)
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout and nothing else")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


# ---- options that several commands have -----------------------------------------------------------------------------


def add_weights(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """The option that names a model."""
    parser.add_argument(
        "--weights",
        "--model",
        required=required,
        metavar="FILE",
        help="a checkpoint: .safetensors, an official .pt (YOLOv5, v8, v9, 11), a Darknet .weights with its .cfg "
        "beside it, or the name of bundled weights (shapes-n)"
        + ("" if required else "; or an untrained model: its name (yolov5n, yolov4-tiny ...), .yaml or .cfg")
        + f"; with layers of your own: {IMPORT_FIRST}",
    )


DATA_HELP = "data.yaml, obj.data, a folder, a .txt list of images, or a bundled dataset: shapes, photos"


def add_data(parser: argparse.ArgumentParser, split: str, required: bool = True) -> None:
    """The options that name a dataset and its split."""
    parser.add_argument("--data", required=required, metavar="DATA", help=DATA_HELP)
    parser.add_argument("--split", default=split, choices=("train", "val", "test"), help="which split of the data")


class NamesAction(argparse.Action):
    """``--names a b c`` and ``--names a,b,c`` are the same."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        names = [name.strip() for value in values for name in value.split(",")]
        if not all(names):
            raise argparse.ArgumentError(self, f"an empty name in {' '.join(values)!r}")
        setattr(namespace, self.dest, tuple(names))


def add_names(parser: argparse.ArgumentParser) -> None:
    """The option that names the classes."""
    help_names = "class names in the order of the class numbers, in place of those of the data: dog,person,cat"
    parser.add_argument("--names", nargs="+", action=NamesAction, metavar="NAME", help=help_names)


def add_device(parser: argparse.ArgumentParser) -> None:
    """The option that names a device."""
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps ...; left out: a GPU where there is one")


def add_network_input(parser: argparse.ArgumentParser, conf_thres: float, iou_thres: float, max_det: int) -> None:
    """Image size and the thresholds of non-maximum suppression."""
    add_img_size(parser, "longest side of the input")
    help_conf = "confidence threshold: detections below it are left out"
    parser.add_argument("--conf-thres", type=fraction, default=conf_thres, metavar="C", help=help_conf)
    help_iou = "IoU threshold of NMS: of boxes of one class that overlap more, the most confident stays"
    parser.add_argument("--iou-thres", type=fraction, default=iou_thres, metavar="IOU", help=help_iou)
    help_max = "maximum number of detections in an image"
    parser.add_argument("--max-det", type=positive_int, default=max_det, metavar="N", help=help_max)


def add_img_size(parser: argparse.ArgumentParser, what: str) -> None:
    """The size of the network input, which stands in a checkpoint."""
    help_size = f"{what}; left out: as in training, or 640 where the checkpoint does not say"
    parser.add_argument("--img-size", type=positive_int, metavar="PX", help=help_size)


def explained_size(model: "LayeredDetector", asked: int | None) -> str:
    """Which image size is used, and why: "256 px, as in training"."""
    from yolo_lite.detect.inference import input_size, trained_size

    if asked is not None:
        return f"{asked} px"
    reason = "as in training" if trained_size(model) else "as the checkpoint does not say at which it was trained"
    if model.fixed_size is not None or (model.img_size is not None and not trained_size(model)):
        reason = "as its description says"
    return f"{input_size(model)} px, {reason}"


def positive_int(text: str) -> int:
    """A whole number, 1 or larger.

    >>> positive_int("16")
    16
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or larger")
    return int(text)


def natural(text: str) -> int:
    """A whole number, 0 or larger."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or larger")
    return int(text)


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return number


def positive(text: str) -> float:
    """A number above 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


# ---- models and devices ---------------------------------------------------------------------------------------------


def load_trained(weights: str, device: str | None) -> "LayeredDetector":
    """The model in a checkpoint, with BatchNorm folded in, on its device.

    Raises:
        ValueError: no such file, not a checkpoint, a network without weights, or no such device.
    """
    from yolo_lite.checkpoints.own import load

    chosen = pick_device(device)
    require_weights(weights)
    return load(weights).fuse().to(chosen)


def require_weights(weights: str) -> None:
    """Raises ValueError for the name or description of a network where weights are needed, with what gets them."""
    from yolo_lite.datasets.fetch.resources import KNOWN
    from yolo_lite.model.families import NAMED
    from yolo_lite.model.spec import MODELS

    require_fetched(weights)
    known = weights in MODELS or weights in NAMED
    if weights.endswith((".yaml", ".yml", ".cfg")) and not Path(weights).exists():
        raise ValueError(f"{weights}: no such file; weights are in a .pt, .safetensors or .weights")
    if weights.endswith((".yaml", ".yml", ".cfg")) or (known and not Path(weights).exists()):
        fetched = KNOWN[weights].urls[0].rsplit("/", 1)[-1] if weights in KNOWN else ""
        hint = f"`yolo-lite fetch {weights}` gets {fetched}" if fetched else "give a .pt, .safetensors or .weights"
        raise ValueError(f"{weights} is a network without weights: {hint}")


def require_fetched(weights: str) -> None:
    """Raises ValueError for an official file that is not here yet, with the command that gets it."""
    from yolo_lite.datasets.fetch.resources import KNOWN

    file = Path(weights)
    if file.suffix == ".pt" and file.stem in KNOWN and not file.exists():
        raise ValueError(f"{weights}: no such file; `yolo-lite fetch {file.stem}` gets it")


def open_model(source: str) -> "LayeredDetector":
    """The model in a checkpoint, or a new one by its name, .yaml or .cfg."""
    from yolo_lite.checkpoints.own import load
    from yolo_lite.model.families import NAMED
    from yolo_lite.model.spec import MODELS
    from yolo_lite.model.yolo import create_model

    require_fetched(source)
    is_spec = source in MODELS or source in NAMED or source.endswith((".yaml", ".yml", ".cfg"))
    return create_model(source) if is_spec and not (source in MODELS and Path(source).is_file()) else load(source)


def pick_device(name: str | None) -> "torch.device":
    """The device of that name; None: the first GPU, or the CPU where there is none.

    Raises:
        ValueError: no such device, or not on this machine.
    """
    import torch

    from yolo_lite.train.devices import default_device

    if name is None:
        return default_device()
    try:
        device = torch.device(f"cuda:{name}" if name.isdecimal() else name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"--device {name}: cannot be used here ({str(error).splitlines()[0]})") from None
    return device


def pick_workers(workers: int | None, num_images: int) -> int:
    """The number of worker processes; None: 0 for few images, one for each core for many."""
    if workers is not None:
        return workers
    return 0 if num_images < FEW_IMAGES else min(MAX_WORKERS, os.cpu_count() or 1)


# ---- output ---------------------------------------------------------------------------------------------------------


def show_progress() -> bool:
    """Whether to draw progress bars: on stderr, where it is a terminal."""
    return sys.stderr.isatty()


def print_json(document: Mapping[str, object]) -> None:
    """Prints the document of --json, in ASCII for every console. NaN, which JSON does not have, becomes null."""
    text = json.dumps(_without_nan(document), allow_nan=False) + "\n"
    sys.stdout.flush()
    if hasattr(sys.stdout, "buffer"):  # not in a notebook
        sys.stdout.buffer.write(text.encode("ascii"))
        sys.stdout.buffer.flush()
    else:
        sys.stdout.write(text)


@contextlib.contextmanager
def any_letter() -> Iterator[None]:
    r"""Inside, a letter that the console cannot show is printed as \u5b89; a redirected stdout on Windows knows few."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    before = [stream.errors for stream in streams]
    try:
        for stream in streams:
            stream.reconfigure(errors="backslashreplace")
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it anymore
                stream.reconfigure(errors=errors)


def _without_nan(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def report_dict(report: "Report") -> dict[str, object]:
    """A report as plain values."""
    return {"counts": report.counts, "problems": [problem._asdict() for problem in report.problems]}


def add_strict(parser: argparse.ArgumentParser) -> None:
    """The option that makes problems of the data an error."""
    parser.add_argument("--strict", action="store_true", help="exit code 1 if anything had to be left out")


def print_problems(report: "Report", data: str, split: str) -> None:
    """One line on stderr about everything that was left out of a dataset or noted; none where there is nothing."""
    if not report.problems:
        return
    warning = "warning: " if report.is_doubtful else ""
    command = f"yolo-lite info --data {shlex.quote(data)} --split {split}"
    print(f"{warning}{data} ({split}): {report.summary}; for all of it: {command}", file=sys.stderr, flush=True)
