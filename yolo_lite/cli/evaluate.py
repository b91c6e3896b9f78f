"""``yolo-lite val``: how well a model finds the objects of a dataset."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from yolo_lite.cli.options import (
    Commands,
    add_command,
    add_data,
    add_device,
    add_names,
    add_network_input,
    add_strict,
    add_weights,
    explained_size,
    load_trained,
    natural,
    pick_workers,
    positive_int,
    print_json,
    print_problems,
    report_dict,
    show_progress,
)

if TYPE_CHECKING:
    from yolo_lite.detect.metrics import Metrics


def add_commands(commands: Commands) -> None:
    """Adds the commands of this file to the parser."""
    example = "yolo-lite val --weights yolov5n.pt --data coco8/data.yaml --rule yolov5"
    parser = add_command(
        commands, "val", run_val, "evaluate a model on labelled images: precision, recall, mAP", example
    )
    add_weights(parser)
    add_data(parser, "val")
    add_names(parser)
    help_classes = "keep the objects of these classes only, names in the order of the model's classes"
    parser.add_argument("--classes", nargs="+", metavar="NAME", help=help_classes)
    add_network_input(parser, conf_thres=0.001, iou_thres=0.6, max_det=300)
    help_rule = "how average precision is computed: as in pycocotools, or as in YOLOv5"
    parser.add_argument("--rule", choices=("coco", "yolov5"), default="coco", help=help_rule)
    parser.add_argument("--batch-size", type=positive_int, default=32, metavar="N", help="images per batch")
    help_rect = "the smallest rectangles that hold the images of a batch, instead of squares; left out: rectangles, "
    help_rect += "but squares for a network of one size"
    parser.add_argument("--rect", action=argparse.BooleanOptionalAction, help=help_rect)
    help_workers = "processes that load images; left out: 0 for few images, one for each core for many"
    parser.add_argument("--workers", type=natural, metavar="N", help=help_workers)
    add_device(parser)
    help_save = "write the detections as COCO's results JSON, which pycocotools scores as it is printed here"
    parser.add_argument("--save-json", type=Path, metavar="FILE", help=help_save)
    help_file = "take areas and crowd regions from this COCO file; left out: the one that `convert coco` wrote, if any"
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--annotations", metavar="JSON", help=help_file)
    help_none = "look for no such file: areas are those of the boxes"
    files.add_argument("--no-annotations", dest="annotations", action="store_const", const=False, help=help_none)
    add_strict(parser)


def run_val(options: argparse.Namespace) -> int:
    """`yolo-lite val`; returns the exit code."""
    from yolo_lite.data.loader import create_dataloader
    from yolo_lite.data.report import DatasetError
    from yolo_lite.detect.evaluate import evaluate
    from yolo_lite.detect.evaluation_data import open_dataset

    _require_folder(options.save_json)
    model = load_trained(options.weights, options.device)
    size = explained_size(model, options.img_size)
    given = {name: getattr(options, name) for name in ("img_size", "batch_size", "split", "rect", "names", "classes")}
    dataset = open_dataset(model, options.data, **given, progress=show_progress())
    options.img_size, options.rect = dataset.img_size, dataset.rect
    if options.strict and dataset.report:
        print(dataset.report, file=sys.stderr)
        return 1
    print_problems(dataset.report, options.data, options.split)
    dataset.strict = options.strict  # for an image that turns out to be damaged when it is read
    loader = create_dataloader(dataset, options.batch_size, workers=pick_workers(options.workers, len(dataset)))
    thresholds = {name: getattr(options, name) for name in ("conf_thres", "iou_thres", "max_det")}
    kept = {"keep_detections": options.save_json is not None, "annotations": options.annotations}
    try:
        metrics = evaluate(model, loader, options.rule, **thresholds, progress=show_progress(), **kept)
    except DatasetError as error:
        print(f"yolo-lite val: {error}", file=sys.stderr)
        return 1
    if options.save_json is not None:
        _save(metrics, options.save_json)
    if options.json:
        settings = {
            name: getattr(options, name) for name in ("weights", "data", "split", "img_size", "batch_size", "rect")
        }
        print_json({**settings, **thresholds, **metrics.to_dict(), "report": report_dict(dataset.report)})
    else:
        shape = "rectangles" if options.rect else "squares"
        print(f"{options.weights} on {options.data} ({options.split}), {shape} of {size}")
        print(metrics)
    return 0


def _require_folder(path: Path | None) -> None:
    """Raises FileNotFoundError, before the model runs, where a file cannot be written."""
    if path is not None and not path.parent.is_dir():
        raise FileNotFoundError(f"--save-json {path}: there is no folder {path.parent}")
    if path is not None and path.is_dir():
        raise IsADirectoryError(f"--save-json {path}: a folder; give the name of a file")


def _save(metrics: "Metrics", path: Path) -> None:
    """Writes the results, and says on stderr what they are to be compared with."""
    labels = None if metrics.annotations else path.with_name(f"{path.stem}-annotations.json")
    metrics.save_json(path, labels)
    ids = f"its ids are those of {metrics.annotations}" if labels is None else f"labels with the same ids: {labels}"
    print(f"{path}: COCO's results; {ids}", file=sys.stderr)
