"""``yolo-lite convert`` and ``yolo-lite write``: datasets written as YOLO folders."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from yolo_lite.cli.options import (
    Commands,
    add_command,
    add_strict,
    natural,
    positive_int,
    print_json,
    report_dict,
    show_progress,
)

if TYPE_CHECKING:
    from yolo_lite.data.report import Report

SPLITS = ("train", "val", "test")


def add_commands(commands: Commands) -> None:
    """Adds the commands of this file to the parser."""
    what = "turn a dataset into a YOLO folder: images, labels, data.yaml"
    example = "yolo-lite convert coco annotations/instances_train.json my-dataset"
    parser = commands.add_parser("convert", help=what, description=f"{what[0].upper()}{what[1:]}.", example=example)
    formats = parser.add_subparsers(dest="format", metavar="FORMAT", required=True)
    _add_coco(formats)
    _add_voc(formats)

    what = "write a bundled dataset as a YOLO folder"
    example = "yolo-lite write shapes my-shapes --count 500 --size 320"
    parser = add_command(commands, "write", run_write, what, example)
    parser.add_argument("dataset", choices=("shapes",), help="shapes: scenes drawn from a seed")
    parser.add_argument("out", type=Path, metavar="DIR", help="a new or empty folder")
    default = ["train", "val"]
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=default, help="which splits of it")
    parser.add_argument("--size", type=positive_int, default=320, metavar="PX", help="width and height of the images")
    parser.add_argument("--count", type=positive_int, metavar="N", help="images in each split; left out: all of them")
    parser.add_argument("--seed", type=natural, default=0, help="same seed, same images")


def _add_coco(formats: Commands) -> None:
    what = "COCO JSON: boxes and polygons"
    example = "yolo-lite convert coco train.json my-dataset --val val.json --image-dir photos"
    parser = add_command(formats, "coco", run_coco, what, example)
    parser.add_argument("json_path", type=Path, metavar="JSON", help="an annotation file, or a folder of them")
    _add_output(parser)
    parser.add_argument("--split", choices=SPLITS, default="train", help="which split JSON becomes")
    for split in SPLITS:
        parser.add_argument(f"--{split}", type=Path, metavar="JSON", help=f"another JSON, which becomes {split}")
    help_dir = "the folder that the file names in JSON start at; left out: the usual places around it"
    parser.add_argument("--image-dir", type=Path, metavar="DIR", help=help_dir)
    parser.add_argument("--boxes-only", action="store_true", help="leave polygons out")
    help_crowd = "regions marked iscrowd: keep them as boxes of objects for training, or drop them from the labels "
    help_crowd += "(`val` counts them as crowds in any case); left out: dropped and reported as a problem"
    parser.add_argument("--crowd", choices=("keep", "drop"), help=help_crowd)
    parser.add_argument("--merge-names", action="store_true", help="categories with the same name become one class")


def _add_voc(formats: Commands) -> None:
    what = "Pascal VOC: XML files and their images, in VOC's folders or others"
    parser = add_command(formats, "voc", run_voc, what, "yolo-lite convert voc VOCdevkit/VOC2012 voc2012")
    help_folder = "the folder that everything is in, or the folder of the XML files"
    parser.add_argument("folder", type=Path, metavar="FOLDER", help=help_folder)
    _add_output(parser)
    help_dir = "the folder of the images; left out: the usual places in and around FOLDER"
    parser.add_argument("--image-dir", type=Path, metavar="DIR", help=help_dir)
    help_names = "these classes in this order; left out: all, sorted"
    parser.add_argument("--names", nargs="+", action="extend", metavar="CLASS", help=help_names)
    parser.add_argument("--skip-difficult", action="store_true", help="leave objects marked as difficult out")
    help_zero = "coordinates count pixels from 0, as some labelling tools write them, not from 1 as VOC does"
    parser.add_argument("--zero-based", action="store_true", help=help_zero)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="a new or empty folder")
    help_images = "link: hard links, which take no space (copies where the disk cannot link); none: labels only"
    parser.add_argument("--images", choices=("link", "copy", "none"), default="link", help=help_images)
    add_strict(parser)


def run_coco(options: argparse.Namespace) -> int:
    """`yolo-lite convert coco`; returns the exit code."""
    from yolo_lite.datasets.convert import convert_coco

    others = {split: getattr(options, split) for split in SPLITS if getattr(options, split)}
    if options.json_path.is_dir() and (others or options.split != "train"):
        raise ValueError(f"{options.json_path} is a folder: give its JSON files one by one, or the folder alone")
    if options.split in others:
        raise ValueError(f"--{options.split} {others[options.split]}: {options.json_path} is {options.split} already")
    report = convert_coco(
        options.json_path if options.json_path.is_dir() else {options.split: options.json_path, **others},
        options.out,
        options.image_dir,
        placing=options.images,
        polygons=not options.boxes_only,
        crowd=options.crowd,
        merge_names=options.merge_names,
        progress=show_progress(),
    )
    return _finish(report, options)


def run_voc(options: argparse.Namespace) -> int:
    """`yolo-lite convert voc`; returns the exit code."""
    from yolo_lite.datasets.convert import convert_voc

    report = convert_voc(
        options.folder,
        options.out,
        options.names,
        images=options.image_dir,
        placing=options.images,
        difficult=not options.skip_difficult,
        one_based=not options.zero_based,
        progress=show_progress(),
    )
    return _finish(report, options)


def _finish(report: "Report", options: argparse.Namespace) -> int:
    if options.json:
        print_json({"data": str(options.out / "data.yaml"), **report_dict(report)})
    else:
        print(f"{options.out / 'data.yaml'}\n{report}")
        if options.images == "none":
            print(f"no images were placed: put them in {options.out / 'images'}, one folder per split")
    if not report.objects:
        print("yolo-lite convert: there is no object in it: a dataset of background images only", file=sys.stderr)
    return 1 if not report.objects or (options.strict and report) else 0


def run_write(options: argparse.Namespace) -> int:
    """`yolo-lite write`; returns the exit code."""
    from yolo_lite.datasets.shapes import export_shapes

    count = export_shapes(options.out, options.splits, options.size, options.count, options.seed)
    if options.json:
        print_json({"data": str(options.out / "data.yaml"), "images": count})
    else:
        print(f"{options.out / 'data.yaml'}\n{count} images")
    return 0
