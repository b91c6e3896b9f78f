"""``yolo-lite predict``: the objects in photographs."""

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from yolo_lite.cli.options import (
    Commands,
    add_command,
    add_device,
    add_network_input,
    add_strict,
    add_weights,
    explained_size,
    load_trained,
    positive_int,
    print_json,
)
from yolo_lite.cli.saving import Found, Output, Source

if TYPE_CHECKING:
    from yolo_lite.detect.predict import Detections


def add_commands(commands: Commands) -> None:
    """Adds the commands of this file to the parser."""
    example = "yolo-lite predict photos/ 'more/*.jpg' clip.mp4 --weights yolov5n.pt --save drawn"
    what = "find the objects in images, videos, folders, or patterns"
    parser = add_command(commands, "predict", run_predict, what, example)
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a file, a folder (with the folders in it) or a pattern"
    )
    add_weights(parser)
    add_network_input(parser, conf_thres=0.25, iou_thres=0.45, max_det=1000)
    help_classes = "only these classes, by name or number"
    parser.add_argument("--classes", nargs="+", action="extend", metavar="CLASS", help=help_classes)
    help_agnostic = "class-agnostic NMS: boxes of different classes suppress each other too"
    parser.add_argument("--agnostic", action="store_true", help=help_agnostic)
    help_multi = "a box may be several classes: every one above the threshold, not the best alone"
    parser.add_argument("--multi-label", action="store_true", help=help_multi)
    help_batch = "images per batch; left out: 4 on the CPU, where that is fastest, 16 on a GPU"
    parser.add_argument("--batch-size", type=positive_int, metavar="N", help=help_batch)
    add_device(parser)
    parser.add_argument(
        "--save", type=Path, metavar="DIR", help="draw the boxes, and save PNG files and videos in this new folder"
    )
    add_strict(parser)
    parser.add_argument("--save-txt", type=Path, metavar="DIR", help="save YOLO label files in this new folder")
    help_conf = "with --save-txt: the confidence as the last number of each row"
    parser.add_argument("--save-conf", action="store_true", help=help_conf)


def run_predict(options: argparse.Namespace) -> int:
    """`yolo-lite predict`; returns the exit code."""
    from yolo_lite.detect.inference import input_size
    from yolo_lite.images.folders import describe_passed_over

    for folder in (options.save, options.save_txt):
        _check_new(folder)
    if options.save_conf and not options.save_txt:
        raise ValueError("--save-conf adds the confidence to label files: give --save-txt DIR as well")
    sources, passed_over = find_images(options.images)
    if passed_over:
        print(f"yolo-lite predict: {describe_passed_over(passed_over)}", file=sys.stderr)
        if options.strict:
            return 1
    model = load_trained(options.weights, options.device)
    if options.img_size is None:
        print(f"images of {explained_size(model, None)}", file=sys.stderr)
        options.img_size = input_size(model)
    options.classes = class_numbers(options.classes, model.names) if options.classes else None
    unreadable: list[dict[str, str]] = []
    results, videos = [], []
    width = max(len(str(source.path)) for source in sources)
    for source, of_one_file in groupby(_detect(model, sources, options, unreadable), lambda found: found.source):
        with Output(source, options.save, options.save_txt, options.save_conf) as output:
            for found in of_one_file:
                output.add(found)
                if options.json:
                    results.append(_as_dict(found))
        if output.is_video:
            videos.append(output.video_dict())
            if output.problem:
                unreadable.append({"path": str(source.path), "message": output.problem})
        if not options.json:
            print(f"{source.path!s:<{width}}  {output}", flush=True)
    if options.json:
        document = {"weights": options.weights, "img_size": options.img_size, "images": results, "videos": videos}
        print_json({**document, "unreadable": unreadable, "passed_over": passed_over})
    return 1 if unreadable else 0


def _as_dict(found: Found) -> dict[str, Any]:
    height, width = found.detections.size or (0, 0)
    frame = {"frame": found.detections.frame} if found.is_frame else {}
    return {
        "path": str(found.source.path),
        **frame,
        "height": height,
        "width": width,
        "seconds": found.seconds,
        "detections": found.detections.to_dicts(),
    }


def _check_new(folder: Path | None) -> None:
    if folder and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not an empty folder: give the name of a new one, or empty it")


class Images(NamedTuple):
    """What files, folders and patterns stand for."""

    sources: list[Source]
    passed_over: list[str]  # pictures of kinds that are not read


def find_images(patterns: Sequence[str]) -> Images:
    """The images that files, folders and patterns stand for, in that order, each once.

    Raises:
        FileNotFoundError: a pattern that nothing matches, or a folder without images.
    """
    from yolo_lite.images.folders import find_files

    sources: dict[Path, Source] = {}
    passed_over: dict[str, None] = {}
    twice = [pattern for pattern, count in Counter(patterns).items() if count > 1]
    if twice:
        print(f"yolo-lite predict: given twice, used once: {', '.join(twice)}", file=sys.stderr)
    for pattern in dict.fromkeys(patterns):
        files, unread = find_files(pattern)
        for path, folder in files:
            name = Path(path).relative_to(folder).with_suffix("") if folder else PurePath(Path(path).stem)
            sources.setdefault(Path(path), Source(Path(path), name))
        passed_over.update(dict.fromkeys(unread))
    return Images(_with_own_names(sources.values()), list(passed_over))


def _with_own_names(sources: Iterable[Source]) -> list[Source]:
    """Numbers what would be saved under one name: a/1.jpg and b/1.jpg become 1 and 1-2."""
    taken: set[str] = set()
    named = []
    for source in sources:
        name, number = source.name, 1
        while str(name).lower() in taken:
            number += 1
            name = source.name.with_name(f"{source.name.name}-{number}")
        taken.add(str(name).lower())
        named.append(Source(source.path, name))
    return named


def class_numbers(wanted: Sequence[str], names: Sequence[str]) -> list[int]:
    """Class names or numbers -> numbers.

    >>> class_numbers(["dog", "0"], ["cat", "dog"])
    [1, 0]
    """
    numbers = []
    for text in wanted:
        if text in names:
            numbers.append(list(names).index(text))
        elif text.isdecimal() and int(text) < len(names):
            numbers.append(int(text))
        else:
            known = ", ".join(names[:100])
            hint = " (images come before --classes, or behind a --)" if Path(text).exists() else ""
            raise ValueError(
                f"--classes {text}: neither a class nor a number from 0 to {len(names) - 1}{hint}; there are {known}"
            )
    return numbers


def _detect(
    model: Any, sources: Sequence[Source], options: argparse.Namespace, unreadable: list[Any]
) -> Iterator[Found]:
    """Image after image, a batch at a time; prints on stderr which cannot be read, and continues."""
    from yolo_lite.detect.inference import default_batch
    from yolo_lite.detect.predict import predict

    warnings.filterwarnings("ignore", r".* images left out: ")  # they are printed here, one by one
    names = ("conf_thres", "iou_thres", "img_size", "classes", "agnostic", "max_det", "multi_label")
    settings = {name: getattr(options, name) for name in names}
    batch_size = options.batch_size or default_batch(model)
    by_path = {str(source.path): source for source in sources}
    start, batch = time.perf_counter(), []
    for place, found in enumerate(predict(model, list(by_path), batch_size=batch_size, stream=True, **settings), 1):
        if found.unreadable:
            print(f"yolo-lite predict: {found.unreadable}", file=sys.stderr)
            unreadable.append({"path": found.path, "message": found.unreadable})
        else:
            batch.append(found)
        if place % batch_size == 0:
            yield from _timed(batch, by_path, start)
            start, batch = time.perf_counter(), []
    yield from _timed(batch, by_path, start)


def _timed(batch: Sequence["Detections"], by_path: Mapping[str, Source], start: float) -> Iterator[Found]:
    seconds = (time.perf_counter() - start) / max(len(batch), 1)
    return (Found(by_path[found.path], found, seconds) for found in batch)
