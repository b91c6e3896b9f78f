"""``yolo-lite info`` and ``yolo-lite anchors``: what a model is, what is in a dataset, and how they fit."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from yolo_lite.cli.options import (
    Commands,
    add_command,
    add_data,
    add_img_size,
    add_names,
    add_strict,
    add_weights,
    natural,
    open_model,
    positive,
    positive_int,
    print_json,
    print_problems,
    report_dict,
    show_progress,
    table,
)

if TYPE_CHECKING:
    from torch import Tensor

    from yolo_lite.data.source import ImageSource
    from yolo_lite.loss.anchors import AnchorFit
    from yolo_lite.model.layered import LayeredDetector


def add_commands(commands: Commands) -> None:
    """Adds the commands of this file to the parser."""
    example = "yolo-lite info --data coco8/data.yaml --strict"
    parser = add_command(commands, "info", run_info, "describe a model, a dataset, or both", example)
    add_weights(parser, required=False)
    add_data(parser, "train", required=False)
    add_names(parser)
    add_img_size(parser, "longest side of the input that FLOPs are counted for")
    add_strict(parser)

    example = "yolo-lite anchors --data my-dataset --model yolov5s --img-size 640"
    what = "measure how well anchors fit a dataset, and find better ones"
    parser = add_command(commands, "anchors", run_anchors, what, example)
    add_data(parser, "train")
    add_weights(parser, required=False)
    add_img_size(parser, "longest side of the input")
    help_anchor_t = "threshold of matching: the largest ratio between the sides of an object and of its anchor"
    parser.add_argument("--anchor-t", type=positive, default=4.0, metavar="T", help=help_anchor_t)
    help_fit = "find this many anchors per level, even where those in use fit"
    parser.add_argument("--fit", type=positive_int, metavar="K", help=help_fit)
    parser.add_argument(
        "--generations", type=natural, default=1000, metavar="N", help="generations of the evolutionary search"
    )
    parser.add_argument("--seed", type=natural, default=0, help="same seed, same anchors")
    add_strict(parser)


# ---- info -----------------------------------------------------------------------------------------------------------


def run_info(options: argparse.Namespace) -> int:
    """`yolo-lite info`; returns the exit code."""
    if not (options.weights or options.data):
        raise ValueError("nothing to describe: give --weights, --model or --data")
    document: dict[str, Any] = {}
    texts: list[str] = []
    source = None
    if options.weights:
        from yolo_lite.detect.inference import input_size

        model = open_model(options.weights)
        summary = model.summary(options.img_size or input_size(model))
        document["model"] = _model_dict(model, summary)
        texts.append(f"{options.weights}\n{summary}\n{_model_lines(model)}")
    if options.data:
        from yolo_lite.data.source import open_source

        source = open_source(options.data, options.split, options.names, progress=show_progress())
        document["data"] = _data_dict(source)
        others = " and ".join(split for split in ("train", "val", "test") if split != options.split)
        texts.append(
            f"{options.data} ({options.split}; --split shows {others})\n{_data_text(document['data'])}\n{source.report}"
        )
    if options.json:
        print_json(document)
    else:
        print("\n\n".join(texts))
    return 1 if options.strict and source and source.report else 0


def _model_dict(model: "LayeredDetector", summary: Any) -> dict[str, Any]:
    return {
        "parameters": summary.parameters,
        "flops": summary.flops,
        "img_size": list(summary.img_size),
        "strides": [int(stride) for stride in model.strides],
        "anchors": None if model.anchors is None else model.anchors.tolist(),
        "names": list(model.names),
        "left_out": [str(entry) for entry in model.left_out],
        "metadata": dict(model.metadata),
        "layers": [row._asdict() | {"arguments": [str(value) for value in row.arguments]} for row in summary.rows],
    }


def _model_lines(model: "LayeredDetector") -> str:
    names = list(model.names)
    shown = ", ".join(names[:20]) + (f" ... {names[-1]}" if len(names) > 20 else "")
    lines = [f"{len(names)} classes: {shown}"]
    if model.anchors is not None:
        lines.append("anchors in pixels, width x height:")
        levels = zip(model.strides, model.anchors, strict=True)
        lines += [f"  stride {int(stride):>3}: {_pairs(anchors)}" for stride, anchors in levels]
    if getattr(model, "has_auxiliary", False):
        lines.append(_auxiliary_line(model))
    trained = [f"{key} {value}" for key, value in model.metadata.items() if isinstance(value, str | int | float)]
    lines += [f"saved with it: {', '.join(trained)}"] * bool(trained)
    if model.left_out:
        lines.append(f"{len(model.left_out)} options without effect here:")
        lines += [f"  {entry}" for entry in model.left_out]
    return "\n".join(lines)


def _auxiliary_line(model: Any) -> str:
    first = model.heads[0] + 1
    without = sum(parameter.numel() for parameter in model.without_auxiliary().parameters())
    return (
        f"layers {first} to {len(model.layers) - 1}: a branch that only training has; without it {without:,} parameters"
    )


def _data_dict(source: "ImageSource") -> dict[str, Any]:
    import numpy as np

    store = source.labels
    classes = store.cls.numpy()
    image_of = np.repeat(np.arange(len(store)), store.objects_per_image)
    images_of = [len(np.unique(image_of[classes == cls])) for cls in range(len(source.names))]
    objects = np.bincount(classes, minlength=len(source.names)).tolist()
    rows = zip(source.names, images_of, objects, strict=True)
    heights, widths = source.sizes[:, 0].tolist(), source.sizes[:, 1].tolist()
    return {
        "classes": [dict(zip(("name", "images", "objects"), row, strict=True)) for row in rows],
        "width": [min(widths), max(widths)],
        "height": [min(heights), max(heights)],
        **report_dict(source.report),
    }


def _data_text(data: dict[str, Any]) -> str:
    present = [row for row in data["classes"] if row["objects"]]
    rows = [
        ("class", "images", "objects"),
        *((row["name"], str(row["images"]), str(row["objects"])) for row in present),
    ]
    absent = [row["name"] for row in data["classes"] if not row["objects"]]
    lines = [table(rows)]
    if absent:
        shown = ", ".join(absent[:10]) + (" ..." if len(absent) > 10 else "")
        lines.append(f"{len(absent)} of {len(data['classes'])} classes without an object: {shown}")
    (least_w, most_w), (least_h, most_h) = data["width"], data["height"]
    lines.append(f"images {least_w} to {most_w} pixels wide, {least_h} to {most_h} high")
    return "\n".join(lines)


# ---- anchors --------------------------------------------------------------------------------------------------------


def run_anchors(options: argparse.Namespace) -> int:
    """`yolo-lite anchors`; returns the exit code."""
    from yolo_lite.data.source import open_source
    from yolo_lite.detect.inference import input_size
    from yolo_lite.loss.anchors import anchor_fit, object_sizes

    source = open_source(options.data, options.split, progress=show_progress())
    if options.strict and source.report:
        print(source.report, file=sys.stderr)
        return 1
    print_problems(source.report, options.data, options.split)
    if not source.labels.num_objects:
        raise ValueError(f"{options.data}: not one object in {options.split}, so there is nothing to fit anchors to")
    model = open_model(options.weights or "yolov5n")
    if model.anchors is None:
        raise ValueError(f"{options.weights} is a network without anchors: there is nothing to fit to objects")
    options.img_size = options.img_size or input_size(model)
    wh = object_sizes(source, options.img_size)  # (n, 2)
    wh = wh[(wh > 0).all(1)]
    if not len(wh):
        raise ValueError(f"{options.data}: not one object in {options.split} has an area: there is nothing to fit to")
    in_use, strides = model.anchors.float(), [int(stride) for stride in model.strides]
    found, verdict = _better(wh, in_use, options)
    fits = {"in use": (in_use, anchor_fit(wh, in_use, options.anchor_t))}
    if found is not None:
        fits["suggested"] = (found, anchor_fit(wh, found, options.anchor_t))
    if options.json:
        entries = {name: _fit_dict(*fit) for name, fit in fits.items()}
        print_json(
            {
                "objects": len(wh),
                "img_size": options.img_size,
                "strides": strides,
                **entries,
                "verdict": verdict,
                "report": report_dict(source.report),
            }
        )
        return 0
    print(
        f"{len(wh)} objects of {options.data} ({options.split}) at {options.img_size} px, anchor_t {options.anchor_t:g}"
    )
    for name, (anchors, fit) in fits.items():
        print(f"\nanchors {name}: {fit}\n{_levels(wh, anchors, fit, strides, options.anchor_t)}")
    print(f"\n{verdict}")
    if found is not None:
        print(f"anchors: {[[round(side, 1) for side in level] for level in found.flatten(1).tolist()]}")
    return 0


def _better(wh: "Tensor", in_use: "Tensor", options: argparse.Namespace) -> tuple["Tensor | None", str]:
    """Anchors to use instead, or None; and a sentence on why."""
    from yolo_lite.loss.anchors import evolve_anchors, kmeans_anchors, searchable, suggest_anchors, too_few_sizes

    if options.fit:
        count = options.fit * len(in_use)
        no_search = too_few_sizes(wh, count)
        if no_search:
            raise ValueError(f"--fit {options.fit}: {no_search} ({options.fit} for each of {len(in_use)} strides)")
        sizes = searchable(wh)
        start = kmeans_anchors(sizes, count, options.seed)
        evolved = evolve_anchors(sizes, start, options.generations, options.seed, options.anchor_t)
        return evolved.anchors.reshape(len(in_use), -1, 2), "fitted to these objects, for a model's .yaml:"
    suggestion = suggest_anchors(wh, in_use, options.img_size, options.anchor_t, options.generations, options.seed)
    if suggestion.replace:
        return suggestion.anchors, "the suggested anchors miss fewer objects; for a model's .yaml:"
    return None, f"keep the anchors in use ({suggestion.no_search or '--fit 3 looks for others all the same'})"


def _fit_dict(anchors: "Tensor", fit: "AnchorFit") -> dict[str, Any]:
    names = ("best_possible_recall", "matches_per_object", "mean_best_ratio", "fitness")
    return {"anchors": anchors.tolist(), **{name: getattr(fit, name) for name in names}}


def _levels(wh: "Tensor", anchors: "Tensor", fit: "AnchorFit", strides: list[int], anchor_t: float) -> str:
    """A row for each level: fraction of the objects that its anchors match, matches per object, best fits."""
    from yolo_lite.loss.anchors import anchor_fit

    per_level = anchors.shape[1]
    rows = [("stride", "objects matched", "anchors per object", "best fit for", "anchors (width x height)")]
    for level, stride in enumerate(strides):
        alone = anchor_fit(wh, anchors[level], anchor_t)
        best = (fit.best_anchor // per_level == level).float().mean().item()
        matched, per_object = f"{alone.best_possible_recall:.1%}", f"{alone.matches_per_object:.2f}"
        rows.append((str(stride), matched, per_object, f"{best:.1%}", _pairs(anchors[level])))
    return table(rows, left=(4,))


def _pairs(anchors: "Tensor") -> str:
    """Anchors of a level, in words."""
    return "  ".join(f"{width:.4g} x {height:.4g}" for width, height in anchors.tolist())
