"""benchmarks/shards.py: both ways read every sample once, and each figure can be another one."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import shards

from yolo_lite.data.sampling import EpochSampler


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name, value in {"PER_SHARD": 7, "BUFFER": 5, "PICTURES": 3}.items():
        monkeypatch.setattr(shards, name, value)
    shards.write(tmp_path, 30)
    return tmp_path


@pytest.mark.parametrize("what", shards.READERS)
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_sample_is_read_once(small: Path, what: str, processes: int) -> None:
    found = [shards.READERS[what](small, 30, rank, processes) for rank in range(processes)]
    assert sorted(index for read in found for index in read.order) == list(range(30))
    files = list((small / "files").iterdir())
    assert sum(read.bytes for read in found) == sum(path.stat().st_size for path in files)
    assert sum(read.opened for read in found) == (len(files) if what == "files" else 5)  # shards of 7, the last of 2
    assert all((read.buffered > 0) == (what == "shards") for read in found)


def test_what_an_order_is_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "PER_SHARD", 10)
    monkeypatch.setattr(shards, "BUFFER", 8)
    assert shards.neighbours_kept(range(40)) == pytest.approx(36 / 39)
    assert shards.mosaics_of_one_shard(range(40)) == 1.0
    apart = (np.arange(40) * 10 % 40 + np.arange(40) // 4).tolist()  # four shards in turn
    assert shards.neighbours_kept(apart) == 0.0
    assert shards.mosaics_of_one_shard(apart) < 1.0


def test_a_sample_that_two_processes_get_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shards.shared_out(100, 1)[:2] == (12, 13)
    monkeypatch.setattr(EpochSampler, "_of_process", lambda self, order, rank=None: [order[:2]])
    with pytest.raises(RuntimeError, match="100 samples fell to no process"):
        shards.shared_out(100, 1)


def test_what_machines_send() -> None:
    assert shards.sent(1_000_000, 2, 4e6) == pytest.approx(1000)  # 4 MB, each sends all of it once
    assert shards.sent(1_000_000, 1, 4e6) == 0


def test_the_tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, value in {"PER_SHARD": 7, "PICTURES": 3}.items():
        monkeypatch.setattr(shards, name, value)
    reads = {what: shards.READERS[what] for what in shards.READERS}
    monkeypatch.setattr(
        shards,
        "measure",
        lambda what, folder, samples, count: (
            2.0,
            [reads[what](folder, samples, rank, count) for rank in range(count)],
        ),
    )
    out = tmp_path / "shards.json"
    page = tmp_path / "scaling.md"
    page.write_text((Path(shards.__file__).parents[1] / "docs/scaling.md").read_text(encoding="utf-8"), "utf-8")
    given = ["--samples", "20", "--processes", "1", "--machines", "1", "2", "--json", str(out), "--page", str(page)]
    shards.main(given)
    assert "\n| shards | 1 | 10 |" in page.read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert out.exists()
    assert [line.split()[:3] for line in printed.splitlines() if line.startswith(("files", "shards"))] == [
        ["files", "1", "10"],
        ["shards", "1", "10"],
    ]
