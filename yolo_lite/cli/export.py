"""``yolo-lite export``: a model as a file for other programs."""

import argparse
from pathlib import Path

from yolo_lite.cli.options import Commands, add_command, fraction, open_model, positive_int, print_json

ENDINGS = {"onnx": ".onnx", "torchscript": ".torchscript"}


def add_commands(commands: Commands) -> None:
    """Adds the command of this file to the parser."""
    what = "write a model as ONNX or TorchScript, and check the file"
    parser = add_command(commands, "export", run_export, what, "yolo-lite export best.safetensors --format onnx --nms")
    help_model = (
        "a checkpoint (.safetensors, .pt, .weights), bundled weights (shapes-n), or an untrained network's name"
    )
    parser.add_argument("model", metavar="MODEL", help=help_model)
    parser.add_argument("--format", choices=tuple(ENDINGS), default="onnx", help="of the file")
    help_out = "the file to write; left out: beside MODEL, with the ending of the format"
    parser.add_argument("--out", type=Path, metavar="FILE", help=help_out)
    help_decode = "give boxes (x, y, w, h, objectness, class scores) instead of raw maps"
    parser.add_argument("--decode", action="store_true", help=help_decode)
    parser.add_argument("--nms", action="store_true", help="give detections: decoding and NMS inside")
    help_conf = "confidence threshold that a file with --nms has unless it is run with another"
    parser.add_argument("--conf-thres", type=fraction, default=0.25, metavar="C", help=help_conf)
    parser.add_argument("--iou-thres", type=fraction, default=0.45, metavar="IOU", help="the same: IoU threshold")
    parser.add_argument("--max-det", type=positive_int, default=300, metavar="N", help="the same: detections per image")
    parser.add_argument("--opset", type=positive_int, default=18, metavar="N", help="version of ONNX's operators")
    parser.add_argument("--no-check", action="store_true", help="do not run the file and compare it with the model")


def run_export(options: argparse.Namespace) -> int:
    """`yolo-lite export`; returns the exit code."""
    from yolo_lite.exporting.export import export

    source = Path(options.model)
    default = source.with_suffix(ENDINGS[options.format]) if source.is_file() else None
    written = export(
        open_model(options.model),
        options.out or default or Path(f"{source.name}{ENDINGS[options.format]}"),
        options.format,
        options.decode,
        options.nms,
        options.conf_thres,
        options.iou_thres,
        options.max_det,
        options.opset,
        check=not options.no_check,
    )
    if options.json:
        check = None if written.check is None else written.check._asdict()
        print_json(
            {"path": str(written.path), "format": written.format, "dynamic_size": written.dynamic_size, "check": check}
        )
    else:
        print(written)
    return 0
