"""Names of 0.1.0 that moved: importing one warns and gives what is elsewhere now. They go in 0.3.0."""

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "yolo_lite.augment.survival": "yolo_lite.augment.box_filter",
    "yolo_lite.data.class_names": "yolo_lite.datasets.files.class_lists",
    "yolo_lite.data.coco_names": "yolo_lite.support.known_names",
    "yolo_lite.data.convert": "yolo_lite.datasets.convert",
    "yolo_lite.data.declared": "yolo_lite.datasets.files.declared",
    "yolo_lite.data.doubts": "yolo_lite.datasets.files.doubts",
    "yolo_lite.data.elsewhere": "yolo_lite.datasets.files.elsewhere",
    "yolo_lite.data.fetch": "yolo_lite.datasets.fetch",
    "yolo_lite.data.files": "yolo_lite.datasets.files.source",
    "yolo_lite.data.folders": "yolo_lite.images.folders",
    "yolo_lite.data.images": "yolo_lite.images.reading",
    "yolo_lite.data.image_lists": "yolo_lite.datasets.files.image_lists",
    "yolo_lite.data.label_files": "yolo_lite.datasets.files.label_files",
    "yolo_lite.data.layout": "yolo_lite.datasets.files.find_dataset",
    "yolo_lite.data.photos": "yolo_lite.datasets.photos",
    "yolo_lite.data.rgb": "yolo_lite.images.rgb",
    "yolo_lite.data.shapes": "yolo_lite.datasets.shapes",
    "yolo_lite.data.text": "yolo_lite.datasets.files.text",
    "yolo_lite.data.tiff": "yolo_lite.images.tiff",
    "yolo_lite.data.yolo_folder": "yolo_lite.datasets.yolo_folder",
    "yolo_lite.detect.coco": "yolo_lite.support.coco_ap",
    "yolo_lite.devices": "yolo_lite.train.devices",
    "yolo_lite.model.archive": "yolo_lite.checkpoints.archive",
    "yolo_lite.model.checkpoint": "yolo_lite.checkpoints.own",
    "yolo_lite.model.detect": "yolo_lite.model.head",
    "yolo_lite.model.more_blocks": "yolo_lite.model.block_variants",
    "yolo_lite.model.names": "yolo_lite.support.class_names",
    "yolo_lite.model.official": "yolo_lite.checkpoints.official",
    "yolo_lite.model.plain": "yolo_lite.checkpoints.plain",
    "yolo_lite.model.summary": "yolo_lite.support.summary",
    "yolo_lite.model.unpickle": "yolo_lite.checkpoints.unpickle",
    "yolo_lite.train.diagnose": "yolo_lite.running.diagnose",
    "yolo_lite.train.distributed": "yolo_lite.running.distributed",
}
MOVED_NAMES = {  # module -> name in it -> the module that has it now; "module:name" where it is called otherwise
    "yolo_lite.augment.box_filter": {"Survival": "yolo_lite.augment.box_filter:BoxFilter"},
    "yolo_lite.augment.geometry": {
        **dict.fromkeys(
            ("Geometry", "Letterboxed", "Resized", "letterbox", "resize_longest", "to_original"),
            "yolo_lite.augment.letterbox",
        ),
        **dict.fromkeys(
            ("WarpDraw", "WarpMatrices", "apply_warp", "draw_warp", "map_points", "warp_matrices"),
            "yolo_lite.augment.warp",
        ),
        "FILL": "yolo_lite.augment.objects:PADDING_VALUE",
        "Survival": "yolo_lite.augment.box_filter:BoxFilter",
    },
    "yolo_lite.augment.objects": {"FILL": "yolo_lite.augment.objects:PADDING_VALUE"},
    "yolo_lite.boxes": dict.fromkeys(("iou_gradient", "iou_gradients"), "yolo_lite.overlap_gradients"),
    "yolo_lite.checkpoints.own": {"remove_leftovers": "yolo_lite.writing"},
    "yolo_lite.checkpoints.official": {"Contents": "yolo_lite.checkpoints.contents:CheckpointContents"},
    "yolo_lite.checkpoints.unpickle": {
        "Record": "yolo_lite.checkpoints.unpickle:PickledObject",
        "StorageRecord": "yolo_lite.checkpoints.unpickle:PickledStorage",
        "TensorRecord": "yolo_lite.checkpoints.unpickle:PickledTensor",
    },
    "yolo_lite.images.reading": {
        **dict.fromkeys(("Size", "image_size"), "yolo_lite.images.headers"),
        **dict.fromkeys(
            (
                "IMAGE_SUFFIXES",
                "UNFINISHED_SUFFIXES",
                "UNREAD_SUFFIXES",
                "VIDEO_SUFFIXES",
                "advice",
                "looks_like_image",
            ),
            "yolo_lite.images.kinds",
        ),
    },
    "yolo_lite.model.spec": dict.fromkeys(("IMAGE", "MAX_NUMBER", "Row", "read_rows"), "yolo_lite.model.rows"),
    "yolo_lite.data.labels": {
        **dict.fromkeys(
            ("LabelRow", "image_to_label_path", "parse_label_file", "parse_row"), "yolo_lite.datasets.files.label_rows"
        ),
        **dict.fromkeys(
            ("BOX_VALUES", "DECIMAL_COMMA", "MAX_CLASSES", "NUMBER", "TOLERANCE"),
            "yolo_lite.datasets.files.label_rows",
        ),
        **dict.fromkeys(("Problem", "Report"), "yolo_lite.data.report"),
    },
    "yolo_lite.datasets.fetch": {"Record": "yolo_lite.datasets.fetch:ChecksumFile"},
    "yolo_lite.datasets.files.declared": {"Places": "yolo_lite.datasets.files.declared:DeclaredPlaces"},
    "yolo_lite.datasets.files.find_dataset": {
        "Layout": "yolo_lite.datasets.files.find_dataset:FoundDataset",
        "find_layout": "yolo_lite.datasets.files.find_dataset:find_dataset",
    },
    "yolo_lite.loss.focal": {"binary_loss": "yolo_lite.loss.focal:bce_with_focal"},
    "yolo_lite.loss.targets": {"encode": "yolo_lite.loss.targets:make_assignment"},
    "yolo_lite.model": {
        **dict.fromkeys(("CheckpointError", "load", "read_header", "save"), "yolo_lite.checkpoints.own"),
        "decode": "yolo_lite.coding",
    },
    "yolo_lite.model.head": dict.fromkeys(("decode", "decode_level"), "yolo_lite.coding"),
    "yolo_lite.train.optim": {"ModelEma": "yolo_lite.train.ema"},
    "yolo_lite.train.prepare": {
        **dict.fromkeys(("best_device", "weights_dtype"), "yolo_lite.train.devices"),
        **dict.fromkeys(("freeze_layers", "set_decay"), "yolo_lite.train.optim"),
        **dict.fromkeys(("random_size", "resized"), "yolo_lite.train.multi_scale"),
        **dict.fromkeys(("class_maps", "image_weights"), "yolo_lite.train.image_weights"),
        **dict.fromkeys(
            ("OF_THE_DATASET", "Source", "open_datasets", "settle_options", "source_name"), "yolo_lite.train.sources"
        ),
        **dict.fromkeys(("train_loader", "val_loader", "with_hyp"), "yolo_lite.train.sources"),
        "check_datasets": "yolo_lite.train.checks",
        "fit_anchors": "yolo_lite.train.auto_anchors",
    },
    "yolo_lite.train.state": {
        **dict.fromkeys(("BEST", "CHANGES", "LAST", "SETTINGS", "STATE", "VERSION"), "yolo_lite.running.folder"),
        **dict.fromkeys(("exists", "read_header", "require_free", "run_folder"), "yolo_lite.running.folder"),
        "write_changes": "yolo_lite.running.folder",
        "describe": "yolo_lite.train.saved_run",
    },
}


def new_name(name: str, moved: Mapping[str, str] = MOVED) -> str | None:
    """Where a module of 0.1.0 is now; None where it is not one that moved.

    >>> new_name("yolo_lite.data.shapes.drawing")
    'yolo_lite.datasets.shapes.drawing'
    """
    old, inside = name, ""
    while old and old not in moved:
        old, _, last = old.rpartition(".")
        inside = f".{last}{inside}"
    return moved[old] + inside if old else None


def moved_name(module: str, name: str, moved: Mapping[str, Mapping[str, str]] = MOVED_NAMES) -> Any:
    """The ``__getattr__`` of a module whose names or submodules moved: warns, and gives what has the name now.

    moved: module -> name in it -> the module that has it now, or "module:name" where it has another name there.
    """
    submodule = MOVED.get(f"{module}.{name}")
    new, _, renamed = moved.get(module, {}).get(name, "").partition(":")
    if not (submodule or new):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    found = submodule or (f"{new}.{renamed}" if renamed else f"in {new}")
    warnings.warn(f"{module}.{name} is {found} now; the old name goes in 0.3.0", DeprecationWarning, stacklevel=2)
    return importlib.import_module(submodule) if submodule else getattr(importlib.import_module(new), renamed or name)


def renamed_field(result: object, old: str, new: str) -> Any:
    """The value of a field of a result by its old name: warns."""
    message = f"{type(result).__name__}.{old} is .{new} now; the old name goes in 0.3.0"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
    return getattr(result, new)


def warn_renamed(old: str, new: str) -> None:
    """What a method of 0.1.0 does first under its old name ("World.wait")."""
    warnings.warn(f"{old} is {new} now; the old name goes in 0.3.0", DeprecationWarning, stacklevel=3)


class _MovedFinder(MetaPathFinder, Loader):
    """Finds the old names.

    Before all other finders: a package has its new ``__path__`` under its old name too, so that they would load
    each of its submodules a second time, as ``yolo_lite.data.shapes.drawing``.
    """

    def __init__(self, moved: Mapping[str, str]) -> None:
        self.moved = moved

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = new_name(name, self.moved)
        if new is None or (name not in self.moved and importlib.util.find_spec(new) is None):
            return None
        return ModuleSpec(name, self)

    def exec_module(self, module: ModuleType) -> None:
        new = str(new_name(module.__name__, self.moved))
        warnings.warn(f"{module.__name__} is {new} now; the old name goes in 0.3.0", DeprecationWarning, stacklevel=2)
        sys.modules[module.__name__] = importlib.import_module(new)  # which the import statement then returns


def find_moved_modules(moved: Mapping[str, str] = MOVED) -> None:
    """Makes the old names importable."""
    if not any(isinstance(finder, _MovedFinder) and finder.moved == moved for finder in sys.meta_path):
        sys.meta_path.insert(0, _MovedFinder(moved))
