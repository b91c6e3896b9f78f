"""The README keeps its word: its code runs and prints what it says, its links and make targets exist."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from PIL import Image

PROJECT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")


def test_the_code_runs_and_prints_what_the_comments_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    code = "\n".join(blocks)
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert printed.getvalue().splitlines() == re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    with Image.open(tmp_path / "assignment.png") as picture:
        assert picture.format == "PNG"
        assert picture.mode in ("RGB", "RGBA")  # all colours of the photographs, no palette


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    document = PROJECT / name
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_make_targets_and_test_files_exist(name: str) -> None:
    text = (PROJECT / name).read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake (\w+)\b(?=`|\s{2,}|\n)", text)) - {"notebook"} <= targets
    for path in re.findall(r"pytest (tests/[\w./]+)`", text):
        assert (PROJECT / path).exists(), path
