"""What is installed: little on import, everything the code reads in the wheel, one version everywhere."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import yolo_lite

PROJECT = Path(__file__).parent.parent
NOT_FOR_THE_LIBRARY = (
    "matplotlib",
    "IPython",
    "ipywidgets",
    "skimage",
    "plotly",
    "pandas",
    "pycocotools",
    "faster_coco_eval",  # where the rule "coco" asks for it
    "walkthrough",
)


def python(*arguments: str, cwd: Path = PROJECT, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, env=os.environ | environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_library_imports_nothing_that_only_pictures_need() -> None:
    loaded = python("-c", "import sys, yolo_lite; print(*(name.split('.')[0] for name in sys.modules))").split()
    assert set(loaded).isdisjoint(NOT_FOR_THE_LIBRARY)


def test_importing_the_library_changes_no_settings() -> None:
    code = (
        "import random, cv2, numpy as np, torch\n"
        "def settings():\n"
        "    chance = random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()\n"
        "    return chance, torch.get_num_threads(), cv2.getNumThreads(), torch.get_default_dtype()\n"
        "before = settings()\n"
        "import yolo_lite\n"
        "assert settings() == before"
    )
    python("-c", code)


def test_one_version_everywhere() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert yolo_lite.__version__ == version
    assert importlib.metadata.version("yolo-lite") == version
    assert yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version
    changes = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(version)}\]", changes, re.MULTILINE)


def test_the_command_tells_its_version() -> None:
    assert yolo_lite.__version__ in python("-m", "yolo_lite", "--version")


def test_every_direct_dependency_has_a_tested_version() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    pinned = re.findall(r"^([\w.-]+)==", (PROJECT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    names = {re.match(r"[\w.-]+", item).group().lower() for item in asked} - {project["name"]}
    assert names <= set(pinned)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the working tree, built in a copy so that nothing is left behind in it."""
    copy = tmp_path_factory.mktemp("wheel") / "project"
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("yolo_lite", "walkthrough"):
        shutil.copytree(PROJECT / package, copy / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, copy)
    python("-c", "from setuptools.build_meta import build_wheel; build_wheel('dist')", cwd=copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_both_packages_with_their_data_and_nothing_else(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        path.relative_to(PROJECT).as_posix()
        for package in ("yolo_lite", "walkthrough")
        for path in (PROJECT / package).rglob("*")
        if path.is_file() and path.suffix not in {".pyc"} and path.name != "package.json"  # for node, in tests/page
    }
    assert inside == expected


def test_type_checkers_find_the_types_of_an_installed_wheel(wheel: Path) -> None:
    inside = zipfile.ZipFile(wheel).namelist()
    assert {"yolo_lite/py.typed", "walkthrough/py.typed"} <= set(inside)


def test_the_wheel_works_without_the_clone(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import pathlib, yolo_lite as yl\n"
        f"assert pathlib.Path(yl.__file__).is_relative_to({str(tmp_path)!r}), yl.__file__\n"
        "print(sum(p.numel() for p in yl.create_model('yolov5n').parameters()))"
    )
    assert python("-c", code, cwd=tmp_path, PYTHONPATH=str(tmp_path)).strip() == "1872157"
