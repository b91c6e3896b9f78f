"""Binder installs what is tested here: the same packages in the same versions."""

import re
import stat
import tomllib
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
BINDER = HOUSE / "binder"


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE))


def test_every_version_is_the_tested_one() -> None:
    tested = pins(HOUSE / "constraints.txt")
    installed = {name: version.removesuffix("+cpu") for name, version in pins(BINDER / "requirements.txt").items()}
    assert installed == {name: tested.get(name) for name in installed}


def test_everything_that_the_notebooks_need_is_installed() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["lab"]]
    names = {re.match(r"[A-Za-z0-9-]+", requirement).group().lower() for requirement in needed}
    assert names - pins(BINDER / "requirements.txt").keys() == set()


def test_torch_is_a_build_for_cpus() -> None:
    assert pins(BINDER / "requirements.txt")["torch"].endswith("+cpu")


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_can_be_executed_and_stop_at_the_first_error(name: str) -> None:
    path = BINDER / name
    assert path.stat().st_mode & stat.S_IXUSR
    assert "set -e" in path.read_text(encoding="utf-8") or "exec " in path.read_text(encoding="utf-8")
