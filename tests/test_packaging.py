"""What is installed: little on import, everything the code reads in the wheel, one version everywhere."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
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


def test_the_wheel_holds_its_licence_its_commands_and_its_address(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    texts = {name.partition(".dist-info/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
    assert archive.read(texts["licenses/LICENSE"]) == (PROJECT / "LICENSE").read_bytes()
    assert set(re.findall(r"^[\w-]+", archive.read(texts["entry_points.txt"]).decode(), re.MULTILINE)) == {
        "yolo-lite",
        "walkthrough",
    }
    assert "Project-URL: Repository, https://" in archive.read(texts["METADATA"]).decode()


def tracked() -> list[str]:
    """What git keeps of this clone."""
    if not shutil.which("git"):
        pytest.skip("there is no git to say which files belong to the project")
    done = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout:
        pytest.skip("this is no clone: nothing says which files belong to it")
    return [name for name in done.stdout.splitlines() if (PROJECT / name).is_file()]


@pytest.fixture(scope="module")
def source_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of what git keeps, among what other tools leave in a clone."""
    copy = tmp_path_factory.mktemp("sdist") / "project"
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, copy / name)
    for left in ("tests/__pycache__/a.pyc", "notebooks/.ipynb_checkpoints/a.ipynb", "tests/page/node_modules/a.js"):
        (copy / left).parent.mkdir(parents=True, exist_ok=True)
        (copy / left).write_text("")
    python("-c", "from setuptools.build_meta import build_sdist; build_sdist('dist')", cwd=copy)
    (built,) = (copy / "dist").glob("*.tar.gz")
    return built


def test_the_source_archive_holds_everything_that_git_keeps_and_nothing_else(source_archive: Path) -> None:
    with tarfile.open(source_archive) as archive:
        members = [member.name.partition("/")[2] for member in archive if member.isfile()]
    made = {name for name in members if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    assert sorted(set(members) - made) == sorted(tracked())


def test_the_registry_would_take_both(wheel: Path, source_archive: Path) -> None:
    pytest.importorskip("twine", reason="twine is not installed: pip install 'yolo-lite[release]'")
    assert python("-m", "twine", "check", "--strict", str(wheel), str(source_archive)).count("PASSED") == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "source_archive"])
def test_each_installs_and_has_all_that_it_reads(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    built = request.getfixturevalue(kind)
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--target", str(target))
    python("-m", "pip", "install", *offline, str(built), cwd=tmp_path)
    said = python(str(PROJECT / ".ci" / "installed.py"), cwd=tmp_path, PYTHONPATH=str(target))
    assert str(target) in said


def test_a_release_needs_tools_that_neither_readers_nor_developers_install() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    tools = {requirement.split(">")[0] for requirement in extras.pop("release")}
    assert tools == {"build", "twine"}
    for requirements in extras.values():
        assert tools.isdisjoint(requirement.split(">")[0] for requirement in requirements)
        assert not any("release" in requirement for requirement in requirements)


ADDRESS = re.compile(  # of this project, wherever it is
    r"(?:github\.com|raw\.githubusercontent\.com|mybinder\.org/v2/gh|colab\.research\.google\.com/github)/([\w.-]+/yolo-lite)\b"
)


def test_every_address_of_the_project_is_that_in_pyproject_and_nothing_is_left_to_fill_in() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    repository = project["urls"]["Repository"].removeprefix("https://github.com/")
    assert yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))["repository-code"].endswith(
        repository
    )
    endings, found = {".md", ".py", ".ipynb", ".toml", ".cff", ".yml", ".txt"}, set()
    left = re.compile(r"ADDRESS_OF|YOUR_|OWNER/")
    for name in tracked():
        if Path(name).suffix in endings and name != Path(__file__).relative_to(PROJECT).as_posix():
            text = (PROJECT / name).read_text(encoding="utf-8")
            others = set(ADDRESS.findall(text)) - {repository}
            assert not others, f"{name} has the address {others}, pyproject.toml {repository}"
            assert not left.search(text), f"{name} leaves {left.search(text)} to be filled in"
            found |= {name} if ADDRESS.search(text) else set()
    assert {"README.md", "binder/README.md", "notebooks/00_start_here.ipynb"} <= found
    assert f"gh/{repository}/" in (PROJECT / "README.md").read_text(encoding="utf-8")


def test_the_release_workflow_publishes_only_where_that_was_set_up() -> None:
    text = (PROJECT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    assert set(jobs) == {"build", "github", "pypi"}
    assert "vars.PUBLISH_TO_PYPI == 'true'" in jobs["pypi"]["if"]
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}
    assert not re.search(r"secrets\.|password", text.replace("no password is kept", ""))
    assert all("github.ref_type == 'tag'" in jobs[name]["if"] for name in ("github", "pypi"))
    used = re.findall(r"uses: (\S+)", text)
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", name) for name in used), used
