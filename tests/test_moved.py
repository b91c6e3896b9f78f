"""Names of 0.1.0 that moved: they still work, and say where they are now."""

import importlib
import subprocess
import sys

import pytest

from walkthrough import _moved as of_walkthrough
from yolo_lite import _moved as of_the_library

MOVED = of_the_library.MOVED | of_walkthrough.MOVED
MOVED_NAMES = of_the_library.MOVED_NAMES | of_walkthrough.MOVED_NAMES


@pytest.mark.parametrize("old", MOVED)
def test_an_old_module_is_the_new_one(old: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is {MOVED[old]} now"):
        module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in MOVED_NAMES.items() for name in names]
)
def test_an_old_name_is_what_has_the_new_one(module: str, name: str) -> None:
    where, _, called = MOVED_NAMES[module][name].partition(":")
    if name in vars(importlib.import_module(module)):  # which uses it under this name itself
        assert getattr(importlib.import_module(module), name) is getattr(importlib.import_module(where), called or name)
        return
    with pytest.warns(DeprecationWarning, match=rf"{module}\.{name} is .*{where}"):
        found = getattr(importlib.import_module(module), name)
    assert found is getattr(importlib.import_module(where), called or name)


def test_old_names_of_functions_that_went_elsewhere() -> None:
    with pytest.warns(DeprecationWarning, match=r"yolo_lite\.coding"):
        from yolo_lite.model.detect import decode
    with pytest.warns(DeprecationWarning, match=r"yolo_lite\.overlap_gradients"):
        from yolo_lite.boxes import iou_gradient
    import yolo_lite as yl
    from yolo_lite import coding

    assert decode is coding.decode
    assert iou_gradient is yl.iou_gradient


def test_a_module_that_never_was_is_still_an_error() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("yolo_lite.data.nothing")


def test_importing_both_packages_warns_of_nothing() -> None:
    subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", "import yolo_lite, walkthrough"], check=True
    )
