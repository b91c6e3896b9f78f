"""yolo-lite --import: a file with layers of one's own runs before the command."""

import sys

import pytest

from yolo_lite.cli import main

LAYER = """
import yolo_lite as yl
from torch import nn

@yl.register_layer("Twice{number}", takes="none")
class Twice{number}(nn.Module):
    def forward(self, x):
        return x * 2
"""
SPEC = """
nc: 2
depth_multiple: 1.0
width_multiple: 1.0
anchors: [[8, 8, 16, 12], [24, 24, 40, 40]]
backbone: [[-1, 1, Conv, [8, 3, 4]], [-1, 1, Twice{number}, []], [-1, 1, Conv, [8, 3, 2]], [-1, 1, Conv, [8, 3, 2]]]
head: [[[2, 3], 1, Detect, [nc, anchors]]]
"""


@pytest.fixture
def clean(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_layers_of_a_file(tmp_path, capsys, clean):
    (tmp_path / "own_layers_1.py").write_text(LAYER.replace("{number}", "1"))
    (tmp_path / "own.yaml").write_text(SPEC.replace("{number}", "1"))
    assert main(["info", "--model", str(tmp_path / "own.yaml")]) == 2
    assert "yolo-lite --import FILE.py COMMAND" in (said := capsys.readouterr().err)
    assert "Twice1" in said
    assert main(["info", "--import", "a.py", "--model", "yolov5n"]) == 2
    assert "yolo-lite --import FILE.py COMMAND" in capsys.readouterr().err
    for _ in range(2):  # once in a process
        assert main(["--import", str(tmp_path / "own_layers_1.py"), "info", "--model", str(tmp_path / "own.yaml")]) == 0
    out, err = capsys.readouterr()
    assert "Twice1" in out
    assert err.splitlines() == [f"ran {tmp_path / 'own_layers_1.py'}"]


@pytest.mark.parametrize(
    ("name", "text", "facts"),
    [
        ("own_a.py", "x = 1\n\nx.nothing\n", ["own_a.py, line 3: AttributeError", "nothing"]),
        ("own_b.py", "x = 1\ny = (\n", ["own_b.py, line 2: SyntaxError"]),
        ("own_c.py", "import own_c_helper_that_is_not_there\n", ["own_c.py, line 1: ModuleNotFoundError"]),
        ("own_e.py", "raise SystemExit(0)\n", ["own_e.py, line 1: SystemExit: 0"]),
        ("own_d.txt", "x = 1\n", ["own_d.txt", ".py"]),
        ("json.py", "x = 1\n", ["json.py", "another name"]),
        ("none.py", None, ["none.py: no such file"]),
    ],
)
def test_a_file_that_stops_with_an_error(tmp_path, capsys, clean, name, text, facts):
    if text is not None:
        (tmp_path / name).write_text(text)
    assert main(["--import", str(tmp_path / name), "info", "--model", "yolov5n"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("yolo-lite --import ")
    assert all(fact in err for fact in facts), err
