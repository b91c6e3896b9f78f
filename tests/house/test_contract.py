"""A folder is a chapter: no import points upward and there is no circle, counting those inside functions and for types.

Names that readers give ("shapes") are resolved through strings of the form "module:function"; they are the only way
from an upper chapter to a lower one, and listed here.
"""

import importlib
import re

import pytest

from tests.house.imports import PROJECT, chapter, circles, imports, modules

# From top to bottom; an upper chapter knows nothing of those below it.
ORDER = {
    "yolo_lite": (
        *("_moved", "writing", "boxes", "overlap_gradients", "coding", "hyperparameters"),
        *(
            "support",
            "augment",
            "images",
            "data",
            "loss",
            "model",
            "family",
            "checkpoints",
            "detect",
            "analysis",
            "exporting",
        ),
        *("running", "train", "datasets"),
        *("", "cli", "__main__"),  # "": the package's own __init__
    ),
    "walkthrough": (
        *("_moved", "numbers", "images", "style", "tables", "heatmap", "scene", "seen", "serialise", "graphs"),
        *("charts", "compose", "show", "drawings", "layers", "gradients", "trace", "run", "blocks"),
        *("render", "frozen", "explorers", "exercises"),
        *("", "lab", "__main__"),
    ),
}
# Where strings stand for functions of chapters below, and where they lead: names that readers give; the painter,
# which a scene asks to show it and which is made of scenes; the Stepper, which Trace.show() opens.
BY_NAME = {
    "yolo_lite.model.families": {
        "yolo_lite.family.darknet.network",
        "yolo_lite.family.ssd.network",
        "yolo_lite.family.retinanet.network",
        "yolo_lite.family.fcos.network",
        "yolo_lite.family.yolov7.network",
        "yolo_lite.family.yolov8.network",
        "yolo_lite.family.yolo_world.network",
    },
    "yolo_lite.model.registry": {"yolo_lite.family.blocks"},
    "yolo_lite.data.source": {
        "yolo_lite.datasets.shapes",
        "yolo_lite.datasets.photos",
        "yolo_lite.datasets.files.source",
    },
    "walkthrough.scene": {"walkthrough.render.matplotlib", "walkthrough.render.files", "walkthrough.seen"},
    "walkthrough.trace.replay": {"walkthrough.explorers.stepper"},
}

# One names them in order to refuse them in files, one runs a file that its user asked for, one asks whether there are
# boxes of widgets that an explorer could be put into.
LOOKING_AROUND = {"yolo_lite.checkpoints.unpickle", "yolo_lite.cli.imports", "walkthrough.explorers.nesting"}


@pytest.mark.parametrize("package", ORDER)
def test_there_is_no_circle(package: str) -> None:
    assert circles(imports(package)) == []


@pytest.mark.parametrize("package", ORDER)
def test_no_import_points_upward(package: str) -> None:
    order = ORDER[package]
    wrong = [
        f"{name} imports {target}"
        for name, targets in imports(package).items()
        for target in targets
        if order.index(chapter(target)) > order.index(chapter(name))
    ]
    assert wrong == []


@pytest.mark.parametrize("package", ORDER)
def test_every_chapter_has_its_place(package: str) -> None:
    assert {chapter(name) for name in modules(package)} <= set(ORDER[package])


def test_only_the_registries_lead_downward_by_name() -> None:
    found: dict[str, set[str]] = {}
    for package in ("yolo_lite", "walkthrough"):
        for name, file in modules(package).items():
            if name == f"{package}._moved":  # old names, which are found when somebody asks for them
                continue
            targets = re.findall(
                r"""["']((?:yolo_lite|walkthrough)[\w.]*):[\w.]+["']""", file.read_text(encoding="utf-8")
            )
            if targets:
                found[name] = set(targets)
    assert found == BY_NAME


def test_modules_are_imported_by_name_nowhere_else() -> None:
    """What an import statement does not show: importlib, __import__, sys.modules, pkgutil.resolve_name."""
    ways = r"import_module|__import__|sys\.modules|resolve_name"
    found = {
        name
        for package in ORDER
        for name, file in modules(package).items()
        if re.search(ways, file.read_text(encoding="utf-8"))
    }
    assert found - {"yolo_lite._moved", "walkthrough._moved"} <= BY_NAME.keys() | LOOKING_AROUND


def test_the_library_knows_nothing_of_the_walkthrough() -> None:
    found = [
        name
        for name, file in modules("yolo_lite").items()
        if re.search(r"^\s*(import|from) walkthrough\b", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert found == []


@pytest.mark.parametrize("name", BY_NAME)
def test_what_the_registries_name_exists(name: str) -> None:
    source = modules(name.split(".")[0])[name].read_text(encoding="utf-8")
    for module, named in re.findall(r'"((?:yolo_lite|walkthrough)(?:\.\w+)+):(\w+)"', source):
        assert hasattr(importlib.import_module(module), named)  # a function, or a table of layers


@pytest.mark.parametrize("package", ORDER)
def test_contributing_names_every_chapter_that_is_a_folder(package: str) -> None:
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = {chapter(name) for name in modules(package) if name.count(".") > 1}
    assert [name for name in sorted(folders) if f"`{name}/`" not in text] == []
