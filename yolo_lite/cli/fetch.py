"""``yolo-lite fetch``: datasets and weights from the web, only when asked."""

import argparse
from pathlib import Path

from yolo_lite.cli.options import Commands, add_command, natural, positive, print_json, table


def add_commands(commands: Commands) -> None:
    """Adds the commands of this file to the parser."""
    example = "yolo-lite fetch coco8 yolov5n --folder downloads"
    what = "download datasets, weights, or any web address, and unpack archives"
    parser = add_command(commands, "fetch", run_fetch, what, example)
    parser.add_argument("names", nargs="*", metavar="NAME_OR_URL", help="a known name (see --list) or a web address")
    parser.add_argument("--list", action="store_true", help="show the known names, what they are, and their licences")
    parser.add_argument("--folder", type=Path, default=Path(), metavar="DIR", help="folder to download to")
    parser.add_argument("--sha256", metavar="DIGEST", help="64 hexadecimal digits that the file must have")
    help_unpack = "unpack archives"
    parser.add_argument("--unpack", action=argparse.BooleanOptionalAction, default=True, help=help_unpack)
    parser.add_argument("--keep-archive", action="store_true", help="keep an archive that has been unpacked")
    parser.add_argument(
        "--timeout", type=positive, default=30.0, metavar="S", help="give up after this many seconds without data"
    )
    parser.add_argument(
        "--retries", type=natural, default=5, metavar="N", help="give up after this many failed attempts"
    )


def run_fetch(options: argparse.Namespace) -> int:
    """`yolo-lite fetch`; returns the exit code."""
    from yolo_lite.datasets.fetch import fetch

    if options.list:
        _list(options.json)
        return 0
    if not options.names:
        raise ValueError("nothing to fetch: give a known name (yolo-lite fetch --list shows them) or a web address")
    if options.sha256 and len(options.names) > 1:
        raise ValueError(f"--sha256 is for one file, but {len(options.names)} are given: fetch them one by one")
    paths = {}
    for name in options.names:
        paths[name] = fetch(
            name,
            options.folder,
            options.sha256,
            options.unpack,
            progress=True,
            keep_archive=options.keep_archive,
            timeout=options.timeout,
            retries=options.retries,
        )
        if not options.json:
            data_yaml = paths[name] / "data.yaml"
            print(data_yaml if data_yaml.is_file() else paths[name], flush=True)
    if options.json:
        print_json({"fetched": {name: str(path) for name, path in paths.items()}})
    return 0


def _list(as_json: bool) -> None:
    from yolo_lite.datasets.fetch.resources import COLLECTIONS, KNOWN

    if as_json:
        documents = {name: {**resource._asdict(), "splits": dict(resource.splits)} for name, resource in KNOWN.items()}
        print_json({"known": documents, "collections": {name: list(parts) for name, parts in COLLECTIONS.items()}})
        return
    collections = [(name, " + ".join(parts), "") for name, parts in COLLECTIONS.items()]
    known = [(name, resource.what, resource.licence.split(":")[0]) for name, resource in KNOWN.items()]
    print(table([("name", "what it is", "licence"), *known, *collections], left=(0, 1, 2)))
