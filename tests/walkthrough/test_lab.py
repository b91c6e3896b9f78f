"""The walkthrough command: finds notebooks, says what is missing, hands options on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from walkthrough import lab


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("00_start_here", "01_anchors", "02_anchors_again"):
        (tmp_path / f"{name}.ipynb").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("name", ["00_start_here", "00", "start", "00_start_here.ipynb"])
def test_a_notebook_is_found_by_part_of_its_name(folder: Path, name: str) -> None:
    assert lab.find_notebook(name, folder) == folder / "00_start_here.ipynb"


def test_a_notebook_is_found_by_its_path_wherever_it_is(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert lab.find_notebook(str(folder / "01_anchors.ipynb"), elsewhere) == folder / "01_anchors.ipynb"


def test_what_fits_no_notebook_or_several_is_said(folder: Path) -> None:
    with pytest.raises(lab.NoNotebooks, match=r"No notebook .* fits 'loss': there are 00_start_here, 01_anchors"):
        lab.find_notebook("loss", folder)
    with pytest.raises(lab.NoNotebooks, match=r"Several .*: there are 01_anchors, 02_anchors_again"):
        lab.find_notebook("anchors", folder)


def test_an_installed_package_says_where_notebooks_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(lab.walkthrough, "__file__", str(tmp_path / "site-packages" / "walkthrough" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    assert lab.main([]) == 2
    assert "walkthrough --notebooks DIR" in capsys.readouterr().err
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "00_start_here.ipynb").write_text("{}")
    assert lab.notebooks_folder() == tmp_path / "notebooks"
    with pytest.raises(lab.NoNotebooks, match="There is no folder absent"):
        lab.notebooks_folder(Path("absent"))


def test_options_reach_jupyterlab(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Done:
        returncode = 7

    monkeypatch.setattr(lab.subprocess, "run", lambda command, check, env: started.append(command) or Done)
    assert lab.main(["01", "--notebooks", str(folder), "--no-browser", "--port=9000"]) == 7
    (command,) = started
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert {"--no-browser", "--port=9000", f"--ServerApp.root_dir={folder}"} <= set(command)
    assert "--LabApp.default_url=/lab/tree/01_anchors.ipynb" in command
    assert ("--allow-root" in command) == (hasattr(os, "geteuid") and os.geteuid() == 0)


def test_a_clone_is_opened_at_its_root(folder: Path) -> None:
    notebooks = folder / "clone" / "notebooks"
    notebooks.mkdir(parents=True)
    (folder / "clone" / "pyproject.toml").write_text("")
    command = lab.lab_command(notebooks / "00_start_here.ipynb")
    assert f"--ServerApp.root_dir={folder / 'clone'}" in command
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in command


def test_without_jupyterlab_one_sentence_names_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(lab.importlib.util, "find_spec", lambda name: None)
    assert lab.main(["--notebooks", str(folder), "00"]) == 2
    assert (
        capsys.readouterr().err
        == "JupyterLab is not installed. It comes with the extra: pip install 'yolo-lite[lab]'\n"
    )


def test_kernels_sleep_where_they_wait_for_threads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    class Done:
        returncode = 0

    monkeypatch.delenv(lab.WAITING, raising=False)
    monkeypatch.setattr(lab.subprocess, "run", lambda command, check, env: given.append(env) or Done)
    assert lab.main(["01", "--notebooks", str(folder), "--no-browser"]) == 0
    assert given[0][lab.WAITING] == "passive"
    assert lab.WAITING not in os.environ  # the caller's own environment stays
    clone = Path(__file__).parents[2]
    assert "export OMP_WAIT_POLICY=passive" in (clone / "binder" / "start").read_text(encoding="utf-8")


def test_the_kernel_that_make_installs_says_so_to_any_program(tmp_path: Path) -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    (line,) = [line for line in makefile.splitlines() if "ipykernel install" in line]
    arguments = line.split("-m ", 1)[1].split(" >")[0].replace("--sys-prefix", f"--prefix {tmp_path}").split()
    subprocess.run([sys.executable, "-m", *arguments], check=True, capture_output=True)
    (spec,) = tmp_path.rglob("kernel.json")
    assert spec.parent.name == "python3"
    assert json.loads(spec.read_text())["env"] == {"OMP_WAIT_POLICY": "passive"}
