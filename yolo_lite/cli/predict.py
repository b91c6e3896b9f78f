"""``yolo-lite predict``: the objects in photographs."""

import argparse
import glob
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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

if TYPE_CHECKING:
    from yolo_lite.augment.objects import Image
    from yolo_lite.detect.predict import Detections


class Source(NamedTuple):
    """A file to look at, and what its results are called."""

    path: Path
    name: PurePath  # of what is saved, without the suffix; below the folder to save in


class Found(NamedTuple):
    """One image and what is in it."""

    source: Source
    image: "Image"
    detections: "Detections"
    seconds: float  # reading, network and suppression; the mean of its batch


def add_commands(commands: Commands) -> None:
    """Adds the commands of this file to the parser."""
    example = "yolo-lite predict photos/ 'more/*.jpg' --weights yolov5n.pt --save drawn"
    parser = add_command(commands, "predict", run_predict, "find the objects in images, folders, or patterns", example)
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a file, a folder (with the folders in it) or a pattern"
    )
    add_weights(parser)
    add_network_input(parser, conf_thres=0.25, iou_thres=0.45, max_det=1000)
    help_classes = "only these classes, by name or number"
    parser.add_argument("--classes", nargs="+", action="extend", metavar="CLASS", help=help_classes)
    help_agnostic = "class-agnostic NMS: boxes of different classes suppress each other too"
    parser.add_argument("--agnostic", action="store_true", help=help_agnostic)
    parser.add_argument("--batch-size", type=positive_int, default=1, metavar="N", help="images per batch")
    add_device(parser)
    parser.add_argument(
        "--save", type=Path, metavar="DIR", help="draw the boxes, and save PNG files in this new folder"
    )
    add_strict(parser)
    parser.add_argument("--save-txt", type=Path, metavar="DIR", help="save YOLO label files in this new folder")


def run_predict(options: argparse.Namespace) -> int:
    """`yolo-lite predict`; returns the exit code."""
    from yolo_lite.detect.inference import input_size

    for folder in (options.save, options.save_txt):
        _check_new(folder)
    sources, passed_over = find_images(options.images)
    if passed_over:
        print(f"yolo-lite predict: {describe_passed_over(passed_over)}", file=sys.stderr)
        if options.strict:
            return 1
    model = load_trained(options.weights, options.device)
    if options.img_size is None:
        print(f"images of {explained_size(model, None)}", file=sys.stderr)
        options.img_size = input_size(model)
    classes = class_numbers(options.classes, model.names) if options.classes else None
    unreadable: list[dict[str, str]] = []
    results = []
    width = max(len(str(source.path)) for source in sources)
    for found in _detect(model, sources, classes, options, unreadable):
        if options.save:
            save_drawing(found, options.save)
        if options.save_txt:
            save_labels(found, options.save_txt)
        if options.json:
            results.append(_as_dict(found))
        else:
            milliseconds = f"{1000 * found.seconds:.0f} ms"
            print(f"{found.source.path!s:<{width}}  {milliseconds:>8}  {found.detections}", flush=True)
    if options.json:
        print_json(
            {
                "weights": options.weights,
                "img_size": options.img_size,
                "images": results,
                "unreadable": unreadable,
                "passed_over": passed_over,
            }
        )
    return 1 if unreadable else 0


class Images(NamedTuple):
    """What files, folders and patterns stand for."""

    sources: list[Source]
    passed_over: list[str]  # pictures of kinds that are not read


def find_images(patterns: Sequence[str]) -> Images:
    """The images that files, folders and patterns stand for, in that order, each once.

    Raises:
        FileNotFoundError: a pattern that nothing matches, or a folder without images.
    """
    from yolo_lite.datasets.files.folders import is_passed_over, pictures_below
    from yolo_lite.images.kinds import IMAGE_SUFFIXES

    sources: dict[Path, Source] = {}
    passed_over: dict[str, None] = {}
    twice = [pattern for pattern, count in Counter(patterns).items() if count > 1]
    if twice:
        print(f"yolo-lite predict: given twice, used once: {', '.join(twice)}", file=sys.stderr)
    for pattern in dict.fromkeys(patterns):
        if not pattern.strip():  # Path("") would be the working folder
            raise FileNotFoundError(
                f"{pattern!r} is not the name of a file: give a file, a folder (. for this one) or a pattern"
            )
        matches = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))
        found: list[Source] = []
        unread: list[str] = []
        for match in map(Path, matches):
            if match.is_dir():
                inside = pictures_below(match)
                found += [Source(path, path.relative_to(match).with_suffix("")) for path in map(Path, inside.images)]
                unread += inside.passed_over
            elif match == Path(pattern) or match.suffix.lower() in IMAGE_SUFFIXES:
                found.append(Source(match, PurePath(match.stem)))
            elif is_passed_over(match):
                unread.append(str(match))
        if not found:
            reason = "no images in it" if matches else "no such file or folder, and no file matches it"
            raise FileNotFoundError(
                f"{pattern}: {reason}" + (f", but {describe_passed_over(unread)}" if unread else "")
            )
        for source in found:
            sources.setdefault(source.path, source)
        passed_over.update(dict.fromkeys(unread))
    return Images(_with_own_names(sources.values()), list(passed_over))


def describe_passed_over(paths: Sequence[str], shown: int = 5) -> str:
    """The sentence about pictures of kinds that are not read.

    >>> describe_passed_over(["a.HEIC", "b.heic"])
    '2 pictures passed over (2 .heic): a.HEIC, b.heic; convert it to JPEG'
    """
    from yolo_lite.images.kinds import advice

    kinds = Counter(PurePath(path).suffix.lower() or "no suffix" for path in paths)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    number = f"{len(paths)} picture{'s' * (len(paths) > 1)}"
    named = ", ".join(paths[:shown]) + " ..." * (len(paths) > shown)
    return f"{number} passed over ({counts}): {named}; {', '.join(dict.fromkeys(map(advice, paths)))}"


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
    model: Any, sources: Sequence[Source], classes: list[int] | None, options: argparse.Namespace, unreadable: list[Any]
) -> Iterator[Found]:
    """Image after image, a batch at a time; prints on stderr which cannot be read, and continues."""
    from yolo_lite.detect.predict import predict
    from yolo_lite.images.reading import ImageError, read_image

    names = ("conf_thres", "iou_thres", "img_size", "agnostic", "max_det", "batch_size")
    settings = {name: getattr(options, name) for name in names}
    for first in range(0, len(sources), options.batch_size):
        start = time.perf_counter()
        batch = []
        for source in sources[first : first + options.batch_size]:
            try:
                batch.append((source, read_image(source.path)))
            except (ImageError, OSError) as error:
                print(f"yolo-lite predict: {error}", file=sys.stderr)
                unreadable.append({"path": str(source.path), "message": str(error)})
        found = predict(model, [image for _, image in batch], classes=classes, **settings)
        seconds = (time.perf_counter() - start) / max(len(batch), 1)
        for (source, image), detections in zip(batch, found, strict=True):
            yield Found(source, image, detections, seconds)


def _as_dict(found: Found) -> dict[str, Any]:
    height, width = found.image.shape[:2]
    classes = found.detections.cls.tolist()
    return {
        "path": str(found.source.path),
        "height": height,
        "width": width,
        "seconds": found.seconds,
        "detections": [
            {"class": cls, **detection._asdict()}
            for cls, detection in zip(classes, found.detections.named(), strict=True)
        ],
    }


# ---- saving ---------------------------------------------------------------------------------------------------------


def _check_new(folder: Path | None) -> None:
    if folder and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not an empty folder: give the name of a new one, or empty it")


def save_drawing(found: Found, folder: Path) -> None:
    """The image with its boxes, as ``folder/<name>.png``."""
    import cv2

    from yolo_lite.cli.drawing import draw_detections

    bgr = cv2.cvtColor(draw_detections(found.image, found.detections), cv2.COLOR_RGB2BGR)
    path = _file(folder, found.source, ".png")
    path.write_bytes(cv2.imencode(".png", bgr)[1].tobytes())  # cv2.imwrite fails on Windows for names beyond ASCII


def save_labels(found: Found, folder: Path) -> None:
    """The boxes as a YOLO label file, ``folder/<name>.txt``; empty where nothing was found."""
    from yolo_lite.boxes import xyxy_to_xywh
    from yolo_lite.datasets.yolo_folder import label_row

    height, width = found.image.shape[:2]
    boxes = xyxy_to_xywh(found.detections.xyxy.double().numpy()) / (width, height, width, height)  # (n, 4)
    rows = [label_row(cls, box) for cls, box in zip(found.detections.cls.tolist(), boxes, strict=True)]
    _file(folder, found.source, ".txt").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


def _file(folder: Path, source: Source, suffix: str) -> Path:
    path = folder / source.name.with_name(source.name.name + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
