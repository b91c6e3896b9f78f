"""``yolo-lite val``: how well a model finds the objects of a dataset."""

import argparse
import sys

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


def add_commands(commands: Commands) -> None:
    """Adds the commands of this file to the parser."""
    example = "yolo-lite val --weights yolov5n.pt --data coco8/data.yaml --rule yolov5"
    parser = add_command(
        commands, "val", run_val, "evaluate a model on labelled images: precision, recall, mAP", example
    )
    add_weights(parser)
    add_data(parser, "val")
    add_names(parser)
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
    add_strict(parser)


def run_val(options: argparse.Namespace) -> int:
    """`yolo-lite val`; returns the exit code."""
    from yolo_lite.data.dataset import YoloDataset
    from yolo_lite.data.loader import create_dataloader
    from yolo_lite.data.report import DatasetError
    from yolo_lite.data.source import class_names
    from yolo_lite.detect.evaluate import evaluate
    from yolo_lite.detect.inference import input_size, size_multiple

    model = load_trained(options.weights, options.device)
    size = explained_size(model, options.img_size)
    if options.img_size is None or model.fixed_size is not None:
        options.img_size = input_size(model, options.img_size)
    options.rect = model.fixed_size is None if options.rect is None else options.rect
    dataset = YoloDataset(
        options.data,
        options.img_size,
        split=options.split,
        names=options.names or class_names(options.data, options.split) or model.names,
        rect=options.rect,
        batch_size=options.batch_size,
        stride=size_multiple(model),
        progress=show_progress(),
    )
    if options.strict and dataset.report:
        print(dataset.report, file=sys.stderr)
        return 1
    print_problems(dataset.report, options.data, options.split)
    dataset.strict = options.strict  # for an image that turns out to be damaged when it is read
    loader = create_dataloader(dataset, options.batch_size, workers=pick_workers(options.workers, len(dataset)))
    thresholds = {name: getattr(options, name) for name in ("conf_thres", "iou_thres", "max_det")}
    try:
        metrics = evaluate(model, loader, options.rule, **thresholds, progress=show_progress())
    except DatasetError as error:
        print(f"yolo-lite val: {error}", file=sys.stderr)
        return 1
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
