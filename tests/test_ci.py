"""The second leg of CI: what it takes from this machine, how it counts, and where it says that it did not run."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CI = Path(__file__).parent.parent / ".ci"
REPORT = "<testsuites><testsuite>{}</testsuite></testsuites>"
PASSED = '<testcase classname="tests.a" name="passes"/>'
FAILED = '<testcase classname="tests.a" name="fails"><failure message="no"/></testcase>'
BROKEN = '<testcase classname="tests.a" name="breaks"><error message="no fixture"/></testcase>'
SKIPPED = '<testcase classname="tests.a" name="waits"><skipped message="needs a GPU"/></testcase>'


def counted(folder: Path, least: int, *cases: str) -> subprocess.CompletedProcess[str]:
    reports = [folder / f"{number}.xml" for number in range(len(cases))]
    for report, case in zip(reports, cases, strict=True):
        report.write_text(REPORT.format(case))
    command = [sys.executable, CI / "count_tests.py", str(least), *reports]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_tests_of_several_reports_are_added_up_with_the_reasons_of_those_that_were_skipped(tmp_path: Path) -> None:
    done = counted(tmp_path, 2, PASSED + SKIPPED, PASSED + SKIPPED)
    assert done.returncode == 0
    assert "2 tests ran" in done.stdout
    assert "2 skipped: needs a GPU" in done.stdout


@pytest.mark.parametrize(
    ("least", "case", "says"),
    [(1, FAILED, "tests.a::fails"), (1, BROKEN, "tests.a::breaks"), (3, PASSED, "at least 3")],
)
def test_a_failed_test_and_too_few_are_an_error(tmp_path: Path, least: int, case: str, says: str) -> None:
    done = counted(tmp_path, least, PASSED + case)
    assert done.returncode == 1
    assert says in done.stdout


def test_a_run_that_left_no_report_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, CI / "count_tests.py", "0", tmp_path / "none.xml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "none.xml" in done.stdout


def test_pip_is_told_the_same_index_but_no_folder_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\n"
        "index-url = https://packages.example/simple\n"
        "extra-index-url = file:///mnt/simple https://more.example/simple\n"
        "find-links = /mnt/wheels\n"
        "constraint = /etc/constraints.txt\n"
        "timeout = 20\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment = kept | {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_TIMEOUT": "90", "PIP_NO_INDEX": ""}
    done = subprocess.run(
        [sys.executable, CI / "pip_settings.py"], env=environment, capture_output=True, text=True, check=True
    )
    said = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert said["PIP_INDEX_URL"] == "https://packages.example/simple"
    assert said["PIP_EXTRA_INDEX_URL"] == "https://more.example/simple"
    assert said["PIP_TIMEOUT"] == "90"  # the environment wins over files
    assert not {"PIP_FIND_LINKS", "PIP_CONSTRAINT"} & set(said)


def test_type_checking_needs_an_extra_that_neither_readers_nor_older_versions_install() -> None:
    extras = tomllib.loads((CI.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    types = {requirement.split(">")[0] for requirement in extras["types"]}
    assert "mypy" in types
    for extra in ("lab", "test"):  # what .ci/older installs
        assert types.isdisjoint(requirement.split(">")[0] for requirement in extras[extra])
    assert "types" in extras["dev"][0]


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
@pytest.mark.parametrize(
    ("target", "commands"),
    [
        ("lint", ["ruff check .", "ruff format --check .", "-m mypy", "lint-page"]),
        ("sizes", ["-m tests.house.sizes"]),
        ("test-notebooks", ["--nbval"]),
        ("notebooks", ["notebooks/refresh.py"]),
    ],
)
def test_make_runs_what_its_first_lines_say(target: str, commands: list[str]) -> None:
    command = ["make", "--dry-run", target]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of make test
    done = subprocess.run(command, cwd=CI.parent, env=environment, capture_output=True, text=True, check=True)
    assert all(part in done.stdout for part in commands), done.stdout
    assert not done.stderr  # of a target that is there twice


@pytest.mark.skipif(not shutil.which("bash") or sys.platform == "win32", reason="a script for Debian and Ubuntu")
def test_without_root_it_says_that_it_did_not_run_and_fails_nobody(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(["bash", CI / "older"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "NOT RUN" in done.stdout
    assert "root" in done.stdout
    assert not (tmp_path / "cache").exists()
