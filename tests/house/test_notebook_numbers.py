"""The comparison of the notebooks' numbers, on small notebooks whose differences are known."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.house.notebook_numbers import compare, main, numbers_in

Outputs = list[dict[str, Any]]


def cell(source: str, *outputs: dict[str, Any], id: str = "a") -> dict[str, Any]:
    return {"cell_type": "code", "id": id, "source": source.splitlines(keepends=True), "outputs": list(outputs)}


def printed(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": [text]}


def shown(**data: str) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {f"text/{kind}": text for kind, text in data.items()}}


def notebook(*cells: dict[str, Any]) -> dict[str, Any]:
    return {"cells": [{"cell_type": "markdown", "source": ["Chapter 7"]}, *cells]}


def kinds(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [difference.kind for difference in compare(old, new, "00.ipynb")]


@pytest.mark.parametrize(
    ("text", "exact", "approximate"),
    [
        ("yolov5n P3 float32 mAP50 x1", [], []),
        ("25,200 boxes, [1, 2, 300]", ["25200", "1", "2", "300"], []),
        ("1. 0.50 .25 3.", ["1", "0.5", "0.25", "3"], []),
        ("-3 −3 5-3 1e-05 2E3", ["-3", "-3", "5", "3", "0.00001", "2000"], []),
        ("6x6 at 640px, 98%", ["6", "6", "640", "98"], []),
        ("nan and -inf, information", ["nan", "-infinity"], []),
        ("≈ 0.98 of 10, ≈ -1.2e-05", ["10"], ["0.98", "-0.000012"]),
        ("1e-300", ["1e-300"], []),
        ("0.076 s in 3 epochs, 5 steps of the recording", ["3"], ["0.076", "5"]),
    ],
)
def test_what_counts_as_a_number(text: str, exact: list[str], approximate: list[str]) -> None:
    found = numbers_in(text)
    assert (found.exact, found.approximate) == (exact, approximate)


def test_other_words_around_the_same_numbers_are_no_difference() -> None:
    old = notebook(cell("f()", printed("3 of 9 objects taken\n")))
    assert kinds(old, notebook(cell("f()", printed("3 of 9 objects matched, P3\n")))) == []


def test_a_changed_number_is_named_with_its_cell() -> None:
    old, new = notebook(cell("f(1)", printed("a 3, b 4"))), notebook(cell("f(1)", printed("a 3, b 5")))
    (difference,) = compare(old, new, "06_loss.ipynb")
    assert difference.kind == "changed"
    assert "06_loss.ipynb" in difference.where
    assert "f(1)" in difference.where
    assert difference.message == "4 -> 5"


def test_exchanged_numbers_are_changed_numbers() -> None:
    assert kinds(notebook(cell("f()", printed("3 4"))), notebook(cell("f()", printed("4 3")))) == ["changed"]


def test_a_number_that_went_is_a_changed_number() -> None:
    assert kinds(notebook(cell("f()", printed("3 4"))), notebook(cell("f()", printed("3")))) == ["changed"]


def test_numbers_after_the_sign_may_differ_and_are_listed_apart() -> None:
    old, new = notebook(cell("f()", printed("≈ 0.98 of 3"))), notebook(cell("f()", printed("≈ 0.97 of 3")))
    assert kinds(old, new) == ["approximate"]
    assert kinds(old, notebook(cell("f()", printed("≈ 0.98 of 4")))) == ["changed"]


def test_a_number_that_lost_its_sign_is_found() -> None:
    old, new = notebook(cell("f()", printed("≈ 0.98"))), notebook(cell("f()", printed("0.98")))
    assert kinds(old, new) == ["approximate", "new"]
    assert kinds(new, old) == ["approximate", "changed"]


TABLE = "<style>td {width: 9px}</style><table><tr><td title='8'>1</td><td>&minus;2</td></tr></table>"


def picture(words: str) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {"text/plain": words, "image/png": "iVBOR1"}}


def test_a_table_that_was_a_picture_brings_new_numbers() -> None:
    old = notebook(cell("show()", printed("7"), picture("Table: 5 rows")))
    new = notebook(cell("show()", printed("7"), shown(plain="1 -2", html=TABLE)))
    assert kinds(old, new) == ["table", "new", "new"]  # the words are listed; text and HTML of the table are new
    assert kinds(old, notebook(cell("show()", printed("8"), shown(plain="1 -2", html=TABLE)))).count("changed") == 1
    assert "table" not in kinds(notebook(cell("show()", picture("Table: 1 row"))), new)


def test_numbers_of_a_table_are_compared_once_it_is_one() -> None:
    old = notebook(cell("show()", shown(plain="1 -2", html=TABLE)))
    assert kinds(old, old) == []
    assert kinds(old, notebook(cell("show()", shown(plain="1 -2", html=TABLE.replace("2<", "3<"))))) == ["changed"]
    assert kinds(old, notebook(cell("show()", shown(plain="1 -3", html=TABLE)))) == ["changed"]
    assert kinds(old, notebook(cell("show()", picture("Table: 1 row")))) == ["changed", "changed"]


def test_words_of_a_picture_that_stays_one_are_compared() -> None:
    old = notebook(cell("show()", picture("3 boxes")))
    assert kinds(old, notebook(cell("show()", picture("4 boxes")))) == ["changed"]


def test_pictures_and_text_outside_of_outputs_are_not_compared() -> None:
    old = notebook(cell("f()", {"output_type": "display_data", "data": {"image/png": "iVBOR1"}}))
    new = notebook(cell("f()", {"output_type": "display_data", "data": {"image/png": "iVBOR2"}}))
    new["cells"][0]["source"] = ["Chapter 8"]
    assert kinds(old, new) == []


def test_a_cell_is_found_by_id_then_by_source_then_by_likeness() -> None:
    old = notebook(
        cell("f(1)", printed("1"), id="a"),
        cell("print('takes', g(2))", printed("2"), id="b"),
        cell("h(3)", printed("3"), id="c"),
    )
    new = notebook(
        cell("h(3)", printed("3"), id="y"),
        cell("other name", printed("1"), id="a"),
        cell("print('is matched', g(2))", printed("2"), id="z"),
    )
    assert kinds(old, new) == []


def test_cells_that_came_and_went() -> None:
    old = notebook(cell("f()", printed("1"), id="a"))
    new = notebook(cell("f()", printed("1"), id="a"), cell("something = else_()", printed("2"), id="b"))
    assert kinds(old, new) == ["new"]
    assert kinds(new, old) == ["changed"]


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed here")
def test_the_command_on_a_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def git(*arguments: str) -> None:
        author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        subprocess.run(["git", *author, *arguments], cwd=tmp_path, check=True, capture_output=True)

    path = tmp_path / "notebooks" / "00_try.ipynb"
    path.parent.mkdir()
    git("init")
    path.write_text(json.dumps(notebook(cell("f()", printed("17 of 20")))), encoding="utf-8")
    git("add", ".")
    git("commit", "-m", "first")

    assert main(["HEAD"], tmp_path) == 0
    path.write_text(json.dumps(notebook(cell("f()", printed("18 of 20, 5 left")))), encoding="utf-8")
    assert main(["HEAD"], tmp_path) == 1
    assert "17 -> 18" in capsys.readouterr().out
    path.write_text('{"cells": [}', encoding="utf-8")
    assert main(["HEAD"], tmp_path) == 2
    assert "00_try.ipynb is not JSON" in capsys.readouterr().out
    path.unlink()
    assert main(["HEAD"], tmp_path) == 1  # a notebook that is gone takes its numbers with it
    assert main(["no-such-revision"], tmp_path) == 2
    assert "no-such-revision" in capsys.readouterr().out
    assert main([], tmp_path) == 2
