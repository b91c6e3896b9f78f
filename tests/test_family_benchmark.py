"""benchmarks/family.py in small: every generation is trained and measured, under one budget."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import family

SMALL = ["--images", "8", "--epochs", "1", "--size", "64", "--jobs", "1"]
ONE_NETWORK = ("v3", "v3-paper", "v4-mse", "v4", "v4-paper", "csp", "v5", "v7-loss")
LATER = ("v8-loss", "v7", "v8", "v9", "v9-pgi", "v11", "world")


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    monkeypatch.setattr(family, "VAL_IMAGES", 8)
    yield
    torch.set_num_threads(threads)


def run(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    file = tmp_path / "family.json"
    assert family.main([*SMALL, "--json", str(file), *arguments]) == 0
    return json.loads(file.read_text(encoding="utf-8"))


def test_all_generations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = run(tmp_path, "--seed", "3")
    assert document["budget"] == {"images": 8, "epochs": 1, "size": 64, "lr": family.LEARNING_RATE}
    rows = {outcome["name"]: outcome for outcome in document["outcomes"]}
    assert list(rows) == list(family.GENERATIONS)
    assert {outcome["seed"] for outcome in rows.values()} == {3}
    assert all(0 <= row["map"] <= row["map50"] <= 1 and row["seconds"] > 0 for row in rows.values())
    assert len({rows[name]["parameters"] for name in ONE_NETWORK}) == 1
    assert rows["v9"]["parameters"] == rows["v9-pgi"]["parameters"]  # the branch is not counted
    assert all(1.4e6 < rows[name]["parameters"] < 2e6 for name in LATER)
    assert all(2e5 < row["parameters"] < 2.5e6 for row in rows.values())
    # YOLOv1 and v3 have one prediction for an object at most, YOLOv4 and v5 several
    assert all(rows[name]["positives"] <= 1 for name in ("v1", "v2", "v3", "v3-paper"))
    assert 1 < rows["v4"]["positives"] == rows["v4-mse"]["positives"] < rows["v5"]["positives"]
    for name in ("v8-loss", "v8", "v9", "v9-pgi", "v11", "world"):  # ten at most, each for one object
        assert 1 < rows[name]["positives"] <= 10, name
    for name in ("ssd", "retinanet", "retinanet-giou"):  # the best default box or anchor is forced
        assert rows[name]["unmatched"] < 0.05
    measured, published = capsys.readouterr().out.split("Published")
    assert "not to be compared" in published
    assert all(row.source in published and row.source not in measured for row in family.PUBLISHED.values())


def test_claims_have_all_seeds_and_others_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = run(tmp_path, "v4", "v3", "--seeds", "0", "1")
    assert [(outcome["name"], outcome["seed"]) for outcome in document["outcomes"]] == [("v4", 0), ("v3", 0), ("v4", 1)]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("v3", "v4"))]
    assert "+-" in lines[0]
    assert "+-" not in lines[1]


def test_a_budget_is_spent_the_same_way_again(tmp_path: Path) -> None:
    first, second = (run(tmp_path, "v2", "--seed", "1")["outcomes"][0] for _ in range(2))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_an_unknown_generation_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        family.main(["v6"])
    assert "v6" in capsys.readouterr().err
