"""Names of 0.1.0 that moved: they still work, and say where they are now."""

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from walkthrough import _moved as of_walkthrough
from yolo_lite import _moved as of_the_library

PROJECT = Path(__file__).parent.parent
MOVED = of_the_library.MOVED | of_walkthrough.MOVED
MOVED_NAMES = of_the_library.MOVED_NAMES | of_walkthrough.MOVED_NAMES


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """What a process of its own prints."""
    command = [sys.executable, *(options or ("-W", "ignore::DeprecationWarning")), "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert answer.returncode == 0, answer.stderr
    return answer


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


def test_a_submodule_under_its_old_name_is_not_loaded_a_second_time() -> None:
    answer = python(
        """if True:
        import yolo_lite.data.shapes.drawing as old
        from yolo_lite.data.shapes import layout
        import yolo_lite.datasets.shapes.drawing as new
        import importlib, sys
        assert old is new is sys.modules["yolo_lite.data.shapes.drawing"], old
        assert new.__name__ == "yolo_lite.datasets.shapes.drawing"
        assert layout is sys.modules["yolo_lite.datasets.shapes.layout"]
        assert importlib.reload(old) is new
        """
    )
    assert answer.stderr == ""


def test_a_submodule_that_never_was_is_an_error_and_is_not_found() -> None:
    sys.modules.pop("yolo_lite.data.shapes", None)
    with pytest.warns(DeprecationWarning, match="yolo_lite.datasets.shapes"):
        assert importlib.util.find_spec("yolo_lite.data.shapes.nothing") is None
    with pytest.raises(ModuleNotFoundError, match=r"yolo_lite\.data\.shapes\.nothing"):
        importlib.import_module("yolo_lite.data.shapes.nothing")


def test_looking_for_an_old_module_imports_nothing_and_warns_of_nothing() -> None:
    python(
        """if True:
        import yolo_lite, importlib.util, sys
        before = set(sys.modules)
        for name in yolo_lite._moved.MOVED:
            assert importlib.util.find_spec(name) is not None, name
        assert set(sys.modules) == before, set(sys.modules) - before
        """,
        "-W",
        "error::DeprecationWarning",
    )


def test_no_old_module_is_there_still_nor_moved_twice() -> None:
    for old, new in MOVED.items():
        place = PROJECT / old.replace(".", "/")
        assert not place.is_dir(), old
        assert not place.with_suffix(".py").exists(), old
        assert new not in MOVED, new


def test_a_pickle_of_0_1_0_names_old_modules() -> None:
    names = {
        "yolo_lite.data.shapes.canvas": "Canvas",
        "yolo_lite.model.checkpoint": "save",
        "yolo_lite.augment.survival": "Survival",
        "yolo_lite.model.detect": "decode",
        "yolo_lite.boxes": "iou_gradient",
    }
    answer = python(
        f"""if True:
        import yolo_lite, pickle
        for module, name in {names}.items():
            print(pickle.loads(f"c{{module}}\\n{{name}}\\n.".encode()).__module__)
        """
    )
    found = answer.stdout.split()
    assert found == [
        "yolo_lite.datasets.shapes.canvas",
        "yolo_lite.checkpoints.own",
        "yolo_lite.augment.box_filter",
        "yolo_lite.coding",
        "yolo_lite.overlap_gradients",
    ]


def test_old_modules_are_attributes_of_the_packages_still() -> None:
    code = "import yolo_lite as yl; print(yl.model.checkpoint.__name__, yl.data.text.__name__, yl.devices.__name__)"
    answer = python(code, "-W", "default::DeprecationWarning:__main__")
    assert answer.stdout.split() == [MOVED[f"yolo_lite.{old}"] for old in ("model.checkpoint", "data.text", "devices")]
    assert answer.stderr.count("DeprecationWarning") == 3
    with pytest.raises(AttributeError, match="nothing"):
        importlib.import_module("yolo_lite.data").nothing  # noqa: B018


def test_warnings_made_errors_stop_the_import_and_leave_nothing_behind() -> None:
    python(
        """if True:
        import yolo_lite, sys, warnings
        for statement in ("import yolo_lite.data.shapes", "from yolo_lite.data import shapes"):
            with warnings.catch_warnings():
                warnings.simplefilter("error", DeprecationWarning)
                try:
                    exec(statement)
                except DeprecationWarning as error:
                    assert "yolo_lite.datasets.shapes" in str(error)
                else:
                    raise AssertionError(statement)
            assert "yolo_lite.data.shapes" not in sys.modules
        import yolo_lite.data.shapes
        """
    )


def test_a_warning_names_the_line_that_imports(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import yolo_lite\nimport yolo_lite.data.shapes\nfrom yolo_lite.model import load\n")
    answer = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert re.findall(r"script\.py:(\d+): DeprecationWarning", answer.stderr) == ["2", "3"]


def test_worker_processes_and_help_know_old_names(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, pydoc, sys, warnings\n"
        "def look(name):\n"
        "    warnings.simplefilter('ignore')\n"
        "    __import__(name)\n"
        "    return sys.modules[name].__name__\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.apply(look, ('yolo_lite.data.shapes.drawing',)))\n"
        "    print(pydoc.render_doc('yolo_lite.data.class_names').splitlines()[0])\n"
    )
    answer = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd=PROJECT)
    worker, title = answer.stdout.splitlines()
    assert worker == "yolo_lite.datasets.shapes.drawing"
    assert "yolo_lite.datasets.files.class_lists" in title or "yolo_lite.data.class_names" in title


def test_importing_both_packages_warns_of_nothing() -> None:
    subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", "import yolo_lite, walkthrough"], check=True
    )
