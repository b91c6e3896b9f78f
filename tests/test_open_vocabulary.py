"""benchmarks/open_vocabulary.py in small: the three measurements, and which pairs are left out."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import open_vocabulary as benchmark

from yolo_lite.datasets.shapes.coloured import colour_shape_pairs
from yolo_lite.model.yolo import create_model


@pytest.fixture(autouse=True)
def one_thread_and_few_images(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    monkeypatch.setattr(benchmark, "TEST_IMAGES", 8)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("count", [6, 12, 18])
def test_each_colour_and_each_shape_is_left_out_equally_often(count: int) -> None:
    pairs = benchmark.unseen_pairs(1, count)
    assert len(set(pairs)) == count
    for place in (0, 1):
        assert set(Counter(pair.split()[place] for pair in pairs).values()) == {count // 6}
    assert set(pairs) != set(benchmark.unseen_pairs(2, count))


def test_permuted_words_name_the_next_colour_and_shape() -> None:
    pairs = colour_shape_pairs()
    model = create_model({"family": "yolo-world", "name": "yolo-world"}, names=pairs, seed=0)
    with torch.no_grad():
        before = model.embeddings(["yellow tile", "red ring"])
        benchmark.permute_words(model)
        after = model.embeddings(["red ring", "black moon"])
    assert torch.equal(after, before)


def test_a_small_run_writes_all_three_measurements(tmp_path: Path) -> None:
    file = tmp_path / "results" / "words.json"
    small = ["--images", "16", "--epochs", "1", "--size", "64", "--seeds", "1"]
    assert benchmark.main([*small, "--out", str(file)]) == 0
    document = json.loads(file.read_text(encoding="utf-8"))
    assert [each["control"] for each in document["outcomes"]] == ["words", "permuted", "no words"]
    assert document["medians"].keys() == {"words", "no words", "permuted"}
    for outcome in document["outcomes"]:
        assert outcome["per_class"].keys() <= set(colour_shape_pairs())
        assert 0 <= outcome["seen"] <= 1


def test_a_number_of_pairs_that_is_uneven_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--left-out", "7"])
    assert "--left-out" in capsys.readouterr().err
