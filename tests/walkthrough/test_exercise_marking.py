"""Hand-outs without answers, and the table of marks: endless, broken, renamed, missing, honest and dishonest ones."""

import ast
import csv
import os
import re
import time
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from walkthrough.exercises.__main__ import main
from walkthrough.exercises.files import exercises_of, find_files, read_submission
from walkthrough.exercises.handout import hand_out, without_answers
from walkthrough.exercises.marking import Mark, mark, table_of_marks, write_csv
from walkthrough.exercises.memory import STATUS
from walkthrough.exercises.slicing import slice_for

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FLIP = "def my_flip_boxes(boxes, width):\n    left, top, right, bottom = boxes.T\n"
RIGHT = f"{FLIP}    return np.stack((width - right, top, width - left, bottom), 1)"


def notebook(*code: str, text: str = "") -> NotebookNode:
    cells = [nbformat.v4.new_markdown_cell(text)] if text else []
    return nbformat.v4.new_notebook(cells=[*cells, *map(nbformat.v4.new_code_cell, code)])


def write(folder: Path, name: str, *code: str, text: str = "") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook(*code, text=text), path)
    return path


def test_marks_of_a_class(tmp_path: Path) -> None:
    helpers = ("%matplotlib inline\nimport numpy as np", "SIDE = 1 / 0", "def join(*a):\n    return np.stack(a, 1)")
    own = f"{FLIP}    return join(width - right, top, width - left, bottom)"
    write(tmp_path, "anna/my copy (2).ipynb", *helpers, own, "while True: pass")  # other cells are not run
    write(tmp_path, "ben/02.ipynb", "import numpy as np", f"{FLIP}    return np.stack((left, top, right, bottom), 1)")
    write(tmp_path, "dora/02.ipynb", "x = 1", text="## Your turn: write `my_flip_boxes`")
    write(tmp_path, "emil/02.ipynb", "import numpy as np", "def my_flip_boxes(boxes, width):\n    return boxes +")
    write(tmp_path, "fred/02.ipynb", "import os", "def my_flip_boxes(boxes, width):\n    os._exit(0)")
    cut = "open('../answer.json', 'w').write('x')\n    os._exit(0)"
    write(tmp_path, "frida/02.ipynb", "import os", f"def my_flip_boxes(boxes, width):\n    {cut}")
    write(tmp_path, "ida/02.ipynb", "import nowhere_to_be_found as np", RIGHT)
    (tmp_path / "gina").mkdir()
    (tmp_path / "gina" / "02.ipynb").write_text("not a notebook")
    (tmp_path / "hugo.py").write_text(f"import numpy as np\n\n{RIGHT}\n")
    marks = mark([*find_files([tmp_path]), tmp_path / "hugo.py"], seconds=300, jobs=2)
    by_name = {Path(each.file).relative_to(tmp_path).parts[0]: each for each in marks}
    assert {name: (each.exercise, each.result) for name, each in by_name.items()} == {
        "anna": ("flip_boxes", "passed"),
        "ben": ("flip_boxes", "wrong"),
        "dora": ("flip_boxes", "missing"),
        "emil": ("flip_boxes", "broken"),
        "fred": ("flip_boxes", "broken"),
        "frida": ("flip_boxes", "broken"),
        "ida": ("flip_boxes", "broken"),
        "gina": ("-", "unreadable"),
        "hugo.py": ("flip_boxes", "passed"),
    }
    assert "yours" in by_name["ben"].message
    assert "line 2" in by_name["emil"].message
    assert "line 1 of code cell 1" in by_name["ida"].message
    assert "nowhere_to_be_found" in by_name["ida"].message
    assert table_of_marks(marks).endswith("2 of 9 passed")


def test_an_endless_loop_is_stopped_and_so_is_what_it_started(tmp_path: Path) -> None:
    started = tmp_path / "started"
    loop = f"""
import subprocess, sys
def my_flip_boxes(boxes, width):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    open({str(started)!r}, "w").write(str(child.pid))
    while True:
        pass
"""
    (found,) = mark([write(tmp_path, "carl.ipynb", loop)], seconds=8, jobs=1)
    assert (found.exercise, found.result) == ("flip_boxes", "stopped")
    assert "8 seconds" in found.message
    if started.is_file():  # on a machine that is very busy it did not come so far
        with pytest.raises(ProcessLookupError):
            wait_until_gone(int(started.read_text()))


@pytest.mark.skipif(not STATUS.is_file(), reason="needs a system that says how much memory a process has")
def test_what_takes_too_much_memory_has_a_sentence_in_its_row_and_others_go_on(tmp_path: Path) -> None:
    imports = "import numpy as np\nimport torch"
    body = RIGHT.removeprefix(FLIP)
    write(tmp_path, "a.ipynb", imports, f"{FLIP}    kept = torch.zeros(10**9)\n{body}")  # 4,000 megabytes
    write(tmp_path, "b.ipynb", imports, "K = np.zeros((10**5, 10**4))", f"{FLIP}    K\n{body}")
    write(tmp_path, "c.ipynb", imports, RIGHT)
    found = mark(find_files([tmp_path]), seconds=300, jobs=2, megabytes=1000)
    assert [each.result for each in found] == ["stopped", "stopped", "passed"], found
    assert all("more than 1000 megabytes" in each.message for each in found[:2])
    assert "line 3" in found[0].message
    assert "line 1 of code cell 2" in found[1].message


def wait_until_gone(pid: int) -> None:
    """Raises ProcessLookupError once there is no such process, or only its entry is left."""
    for _ in range(200):
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        if status.is_file() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            raise ProcessLookupError
        time.sleep(0.05)


def test_what_a_function_needs_is_found_across_cells() -> None:
    cells = [
        "import math\nimport sys",
        "raise SystemExit",
        "k = 3",
        "def half(x):\n    return x / k",
        "def my_nms(x):\n    return half(math.pi)",
    ]
    needed = slice_for(cells, ["my_nms"])
    assert [each.cell for each in needed.statements] == [0, 2, 3, 4]
    assert needed.statements[0].binds == {"math"}


def test_the_last_definition_counts_and_an_import_of_the_librarys_does_not() -> None:
    cells = ["from yolo_lite.detect.nms import nms", "def my_nms():\n    return 1", "def my_nms():\n    return 2"]
    assert slice_for(cells, ["my_nms", "nms"]).statements[-1].cell == 2
    assert slice_for(cells[:1], ["my_nms", "nms"]).problem == "there is no function my_nms"


def needed_lines(*cells: str, name: str = "my_nms") -> list[str]:
    """The first line of each statement that the function needs."""
    found = slice_for(cells, [name])
    assert found.problem == ""
    return [ast.unparse(each.node).splitlines()[0] for each in found.statements]


@pytest.mark.parametrize(
    "function",
    [
        "def my_nms(boxes):\n    side = boxes\n    return side",
        "def my_nms(x):\n    return [boxes for boxes in x for side in boxes]",
        "def my_nms(boxes):\n    def area():\n        side = 2\n        return boxes * side\n    return area()",
        "my_nms = lambda boxes, side=None: boxes * side",
    ],
)
def test_parameters_and_local_names_are_no_names_of_the_notebook(function: str) -> None:
    cells = ("boxes = load('gone.pt')", "side = 1 / 0", "for area in range(9):\n    side = area")
    assert needed_lines(*cells, function) == [ast.unparse(ast.parse(function)).splitlines()[0]]


def test_names_that_comprehensions_go_through_are_not_needed() -> None:
    cells = ("k = 1 / 0", "x = 3", "T = [k + x for k in range(x)]", "U = [x for x in range(x)]")
    assert needed_lines(*cells, "def my_nms(a):\n    return T") == [*cells[1:3], "def my_nms(a):"]
    assert needed_lines(*cells, "def my_nms(a):\n    return U") == ["x = 3", cells[3], "def my_nms(a):"]


def test_names_in_nested_functions_defaults_decorators_and_annotations_are_needed() -> None:
    cells = ("A = 1", "B = 2", "def wrap(f):\n    return f", "D = int", "E = 5", "F = 6")
    function = "@wrap\ndef my_nms(x: D, k=B):\n    def inner():\n        return A + k\n    return inner()"
    assert needed_lines(*cells, function) == ["A = 1", "B = 2", "def wrap(f):", "D = int", "@wrap"]


def test_what_later_cells_call_by_a_helpers_name_does_not_count() -> None:
    area, function = "def area(s):\n    return s * s", "def my_nms(s):\n    return area(s) + K"
    assert needed_lines(area, function, "area = 5", "K = 2") == ["def area(s):", "K = 2", "def my_nms(s):"]


FILLED = (
    ("T = torch.zeros(1)", "T[0] = 2"),
    ("T = []", "for k in range(2):\n    T.append(1)"),
    ("T = []", "T.extend([1, 2])", "T += [3]"),
    ("T = C()", "T.size[0].width = 3"),
    ("T = {}", "if True:\n    T['a'] = 1"),
    ("T = {1: 2}", "del T[1]"),
    ("for T in range(3):\n    pass",),
    ("try:\n    import T\nexcept ImportError:\n    T = None",),
    ("T = zeros()", "with no_grad():\n    T.fill_(2)"),
)


@pytest.mark.parametrize("cells", FILLED, ids=[each[-1] for each in FILLED])
def test_what_fills_a_constant_is_needed(cells: tuple[str, ...]) -> None:
    function = "def my_nms(x):\n    return T"
    lines = [each.splitlines()[0] for each in cells]
    assert needed_lines("k = 1 / 0", *cells, "U = 1\nU[0] = T", function, "T[0] = 7") == [*lines, "def my_nms(x):"]


def test_calls_on_modules_are_not_needed() -> None:
    cells = ("import torch", "torch.manual_seed(0)\nfor epoch in range(9):\n    torch.cuda.synchronize()")
    assert needed_lines(*cells, "def my_nms(x):\n    return torch.tensor(x)") == ["import torch", "def my_nms(x):"]


def test_a_function_is_found_however_it_is_bound() -> None:
    assert needed_lines("K = 2", "my_nms: object = lambda x: K") == ["K = 2", "my_nms: object = lambda x: K"]
    assert needed_lines("K = 2", "if True:\n    def my_nms(x):\n        return K") == ["K = 2", "if True:"]
    assert needed_lines("my_nms?\nfiles = !ls\n%cd ..\ndef my_nms(x):\n    return 1") == ["def my_nms(x):"]
    assert needed_lines("def my_nms(x):\n    return my_nms.k", "my_nms.k = 2") == ["def my_nms(x):", "my_nms.k = 2"]


def test_marks_of_unusual_notebooks(tmp_path: Path) -> None:
    imported = "import numpy as np"
    write(tmp_path, "a.ipynb", imported, RIGHT, "my_flip_boxes = 5")
    write(tmp_path, "b.ipynb", "K = 1\nraise SystemExit(3)", f"{imported}\nK = {{}}\n{RIGHT}")
    body = RIGHT.partition("return ")[2]
    write(
        tmp_path,
        "c.ipynb",
        imported,
        "left, top, right, bottom = 1 / 0",
        f"if True:\n  {FLIP}".replace("\n    ", "\n      ") + f"      return {body}",
    )
    for name in ("a", "b", "c"):  # as an editor on Windows may save it
        path = tmp_path / f"{name}.ipynb"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    (tmp_path / "d.py").write_text(f"{imported}\n{RIGHT}", encoding="utf-8-sig")
    found = mark([*find_files([tmp_path]), tmp_path / "d.py"], seconds=300, jobs=2)
    assert [each.result for each in found] == ["broken", "passed", "passed", "passed"], found
    assert found[0].message == "my_flip_boxes is 5 and not a function"


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("class")
    assert main(["--hand-out", str(folder), "--notebooks", str(NOTEBOOKS)]) == 0
    return folder


def test_hand_outs_have_no_answers_and_all_else(handed_out: Path) -> None:
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        before, after = (nbformat.read(each, as_version=4) for each in (path, handed_out / path.name))
        nbformat.validate(after)
        texts = "\n".join(cell.source for cell in after.cells if cell.cell_type == "markdown")
        assert "<details" not in texts, path.stem
        assert "```python\ndef my_" not in texts, path.stem
        summaries = re.findall(r"<summary>(.*?)</summary>", "\n".join(cell.source for cell in before.cells))
        assert [each for each in summaries if not each.startswith("An answer") and f"- {each}" not in texts] == []
        assert tuple(after.metadata["yolo_lite"]["exercises"]) == exercises_of(before)
        code = [cell for cell in after.cells if cell.cell_type == "code"]
        kept = [cell for cell in before.cells if cell.cell_type == "code"][: len(code)]
        assert [(cell.source, cell.outputs) for cell in code] == [(cell.source, cell.outputs) for cell in kept]


def test_outputs_can_be_cleared() -> None:
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("stream", text="1")], execution_count=1)
    cleared = hand_out(nbformat.v4.new_notebook(cells=[cell]), clear_outputs=True)
    assert (cleared.cells[0].outputs, cleared.cells[0].execution_count) == ([], None)
    assert cell.outputs  # the notebook itself is as it was


def test_cells_that_compute_answers_are_left_out() -> None:
    question = "<details><summary>Why?</summary>\n\nSo.\n</details>"
    asked = notebook("1 + 1", text=f"## Questions\n\n{question}\n\nThe answers, computed:")
    assert [cell.source for cell in hand_out(asked).cells] == ["## Questions\n\n- Why?"]
    assert without_answers("<details><summary>An answer</summary>\n\n```python\n1\n```\n</details>") == ""


def test_a_hand_out_remembers_its_exercises_under_any_name(tmp_path: Path) -> None:
    handed = hand_out(notebook("def my_nms(a, b, c, d):\n    ..."))
    handed.cells = []  # the student deletes everything
    nbformat.write(handed, tmp_path / "homework.ipynb")
    assert read_submission(tmp_path / "homework.ipynb").exercises == ("nms",)


def test_what_was_handed_out_without_an_exercise_gets_no_row(handed_out: Path) -> None:
    assert mark([handed_out / "90_gallery.ipynb"]) == []


def test_a_spreadsheet_gets_no_formula(tmp_path: Path) -> None:
    write_csv([Mark("=cmd|x.ipynb", "nms", "wrong", "a\nb, c")], tmp_path / "marks.csv")
    with (tmp_path / "marks.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file))[1] == ["'=cmd|x.ipynb", "nms", "wrong", "a\nb, c"]


def test_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path / "none")]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert main(["--hand-out", str(tmp_path / "out"), "--notebooks", str(tmp_path)]) == 2
    assert "--notebooks" in capsys.readouterr().err


WRONG_OPTIONS = (
    ("--jobs", "0"),
    ("--jobs", "-2"),
    ("--seconds", "0"),
    ("--seconds", "nan"),
    ("--seconds", "inf"),
    ("--megabytes", "-1"),
    ("--csv", "no/such/folder/marks.csv"),
    ("--csv", "."),
)


@pytest.mark.parametrize(("option", "value"), WRONG_OPTIONS, ids=map(" ".join, WRONG_OPTIONS))
def test_a_wrong_option_is_said_before_the_work(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walkthrough.exercises.__main__.mark", lambda *_: pytest.fail("it began to work"))
    path = write(tmp_path, "a.ipynb", "import numpy as np", RIGHT)
    assert main([str(path), option, value]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert f"{option} {value}" in told.err


def test_names_and_messages_that_are_not_utf_8_are_written(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_csv([Mark("caf\udce9.ipynb", "nms", "wrong", "\ud800")], tmp_path / "marks.csv")
    assert "caf\\udce9.ipynb,nms,wrong,\\ud800" in (tmp_path / "marks.csv").read_text(encoding="utf-8-sig")
    folder = tmp_path / "class\udce9"
    folder.mkdir()
    (folder / "gina.ipynb").write_text("")
    assert main([str(folder), "--csv", str(tmp_path / "marks.csv")]) == 1
    assert "class\\udce9" in capsys.readouterr().out


def test_half_a_character_breaks_nothing() -> None:
    assert needed_lines("K = '\ud800'", "x = '\0'", "def my_nms(x):\n    return K")[-1] == "def my_nms(x):"


def test_hidden_copies_are_not_marked(tmp_path: Path) -> None:
    write(tmp_path, ".ipynb_checkpoints/a-checkpoint.ipynb", "1")
    path = write(tmp_path, "a.ipynb", "1")
    assert find_files([tmp_path, path]) == [path]
