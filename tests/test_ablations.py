"""benchmarks/ablations.py in small: every variant is built as its name says, trained, measured and written."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from yolo_lite.model.yolo import create_model

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import ablations

SMALL = ["--images", "8", "--epochs", "1", "--jobs", "1"]


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    monkeypatch.setattr(ablations, "VAL_IMAGES", 8)
    yield
    torch.set_num_threads(threads)


def run(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    file = tmp_path / "results" / "ablations.json"
    assert ablations.main([*SMALL, "--json", str(file), *arguments]) == 0
    return json.loads(file.read_text(encoding="utf-8"))["ablations"]


def test_an_ablation_is_trained_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(tmp_path, "small-objects", "--seeds", "0", "1")["small-objects"]
    outcomes = found["outcomes"]
    variants = ablations.ABLATIONS["small-objects"].variants
    assert {(each["variant"], each["seed"]) for each in outcomes} == {(name, s) for name in variants for s in (0, 1)}
    assert all(0 <= each["map"] <= each["map50"] <= 1 and each["seconds"] > 0 for each in outcomes)
    cost = {each["variant"]: (each["parameters"], each["flops"]) for each in outcomes}
    assert cost["P2 to P5"] > cost["P3 to P5"] < cost["wide P3"]
    assert found["run"]["budget"] == {"images": 8, "epochs": 1}
    assert found["run"]["command"].startswith("python benchmarks/ablations.py --images 8")
    printed = capsys.readouterr().out
    assert all(word in printed for word in (found["question"], found["verdict"], *variants))


def test_another_ablation_stays_in_the_file_and_a_seed_gives_the_same_again(tmp_path: Path) -> None:
    first = run(tmp_path, "sppf", "--seed", "3")
    both = run(tmp_path, "norm", "--seed", "1")
    assert set(both) == {"sppf", "norm"}
    assert both["sppf"] == first["sppf"]
    assert set(both["norm"]["batch"].values()) == {2, 8}
    again = run(tmp_path, "sppf", "--seed", "3")
    one, other = ([dict(each, seconds=0) for each in found["sppf"]["outcomes"]] for found in (first, again))
    assert one == other


def test_quick_writes_nothing_into_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablations, "RESULTS", tmp_path / "ablations.json")
    assert ablations.main([*SMALL, "--quick"]) == 0
    assert not (tmp_path / "ablations.json").exists()


@pytest.mark.parametrize("name", ablations.ABLATIONS)
def test_variants_differ_in_what_the_question_names(name: str) -> None:
    ablation = ablations.ABLATIONS[name]
    models = {each: create_model(variant.dials.spec(1)) for each, variant in ablation.variants.items()}
    assert all(ablation.size % model.strides[-1] == 0 for model in models.values())
    dials = list(ablation.variants.values())
    assert len(set(dials)) == len(dials) > 1
    if name == "p6":
        assert [model.strides for model in models.values()] == [(8, 16, 32), (8, 16, 32, 64)]
    elif name == "small-objects":
        assert models["P2 to P5"].strides == (4, 8, 16, 32)
    elif name != "norm":
        assert {model.strides for model in models.values()} == {(8, 16, 32)}


def test_the_verdict_needs_every_seed_of_more_than_one() -> None:
    assert "not decided" in ablations.verdict({"A": [0.1], "B": [0.9]})
    assert "not decided" in ablations.verdict({"A": [0.1, 0.5], "B": [0.4, 0.9]})
    assert "B above A by 0.50" in ablations.verdict({"A": [0.1, 0.3], "B": [0.6, 0.8]})
    assert "B below A" in ablations.verdict({"A": [0.6, 0.8], "B": [0.1, 0.3]})


def test_an_unknown_ablation_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        ablations.main(["colour"])
    assert "colour" in capsys.readouterr().err


def test_the_recorded_results_are_of_these_ablations() -> None:
    recorded = json.loads(ablations.RESULTS.read_text(encoding="utf-8"))["ablations"]
    assert set(recorded) <= set(ablations.ABLATIONS)
    for name, found in recorded.items():
        assert {each["variant"] for each in found["outcomes"]} <= set(ablations.ABLATIONS[name].variants)
        own = [ablations.Outcome(**each) for each in found["outcomes"]]
        assert found["verdict"] == ablations.verdict(ablations.by_variant(name, own))
