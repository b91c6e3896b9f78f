"""benchmarks/programmable_gradients.py in small: trained with and without the branch from one start, and measured."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import programmable_gradients as benchmark


@pytest.fixture(autouse=True)
def one_thread_and_few_images(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    monkeypatch.setattr(benchmark, "TEST_IMAGES", 8)
    yield
    torch.set_num_threads(threads)


def test_the_main_layers_begin_with_the_same_weights() -> None:
    main, both = (benchmark.new_model(branch, seed=3) for branch in (False, True))
    begun = both.state_dict()
    assert len(begun) > len(main.state_dict())
    assert all(torch.equal(value, begun[name]) for name, value in main.state_dict().items())
    other = benchmark.new_model(True, seed=4).state_dict()
    assert not torch.equal(begun["layers.0.conv.weight"], other["layers.0.conv.weight"])


def test_a_small_run_writes_outcomes_and_gradients(tmp_path: Path) -> None:
    file = tmp_path / "results" / "gradients.json"
    small = ["--images", "16", "--epochs", "1", "--size", "64", "--seeds", "1", "--weight", "0.5"]
    assert benchmark.main([*small, "--out", str(file)]) == 0
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["budget"] == {"images": 16, "epochs": 1, "size": 64, "lr": 0.004, "weight": 0.5}
    assert [(each["branch"], each["seed"], each["steps"]) for each in document["outcomes"]] == [
        (False, 1, 2),
        (True, 1, 2),
    ]
    assert document["summary"]["difference of mAP50"].keys() == {"1"}
    rows = document["gradients"]
    for when in ("start", "end"):
        changed = {row["index"] for row in rows if row["when"] == when and row["norm"] != row["norm_with"]}
        assert changed == set(range(10))  # the backbone, which the branch reads, and nothing else


def test_a_size_that_does_not_fit_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--size", "70"])
    assert "70" in capsys.readouterr().err
