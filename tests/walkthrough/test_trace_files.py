"""A trace in a file: read again without the function, its module, or anything being run."""

import importlib
import json
import linecache
import sys
import zipfile

import numpy as np
import pytest
import torch

import yolo_lite as yl
from tests.walkthrough.test_trace import ANCHORS, GRIDS, STRIDES, some_targets
from walkthrough.trace import RecordedError, Trace, load_trace, trace
from yolo_lite.loss import targets as module_of_targets


@pytest.fixture
def recording() -> Trace:
    return trace(yl.build_targets, into=module_of_targets)(some_targets(), GRIDS, ANCHORS, STRIDES)


def test_a_trace_comes_back_as_it_was(recording, tmp_path):
    recording.save(tmp_path / "targets.trace")
    again = load_trace(tmp_path / "targets.trace")
    assert repr(again) == repr(recording)
    assert again.listing() == recording.listing()
    assert (again.calls, again.sources, again.notes) == (recording.calls, recording.sources, recording.notes)
    for ours, theirs in zip(again, recording, strict=True):
        assert [change.name for change in ours.changes] == [change.name for change in theirs.changes]
        for here, there in zip(ours.changes, theirs.changes, strict=True):
            assert (here.kind, here.note) == (there.kind, there.note)
            if there.value is None:  # deleted
                assert here.value is None
                continue
            assert here.value.stats == there.value.stats
            if there.value.array is not None:
                np.testing.assert_array_equal(here.value.array, there.value.array)
                assert here.value.array.dtype == there.value.array.dtype
    last = recording.of("make_assignment")[-1]
    assert again.state(last.index).keys() == recording.state(last.index).keys()
    assert np.array_equal(again.at("return").value.part("0.row").array, recording.result[0].row)
    assert again.result is None


def test_values_that_json_has_no_words_for_and_copies_that_gave_way(tmp_path):
    def work():
        strange = torch.tensor([[float("nan"), float("inf")]] * 9)
        names = np.array(["a", "ü"])
        empty = np.zeros((0, 3))
        half = torch.ones(3, dtype=torch.bfloat16)
        for k in range(9):
            large = torch.full((200_000,), float(k))
        return strange, names, empty, half, large

    recording = trace(work, memory=2)()
    recording.save(tmp_path / "strange.trace")
    again = Trace.load(tmp_path / "strange.trace")
    assert again.listing() == recording.listing()
    assert [value.array is None for value in again.at("large").values] == [
        value.array is None for value in recording.at("large").values
    ]
    assert again.at("large").values[0].gone
    assert again.at("names").value.array.tolist() == ["a", "ü"]


def test_an_error_comes_back_in_its_words(tmp_path):
    def wrong(x):
        raise ValueError(f"not {x}")

    recording = trace(wrong)(3)
    recording.save(tmp_path / "wrong.trace")
    again = load_trace(tmp_path / "wrong.trace")
    assert isinstance(again.error, RecordedError)
    assert str(again.error) == "ValueError: not 3"
    assert again.failed == recording.failed
    again.save(tmp_path / "again.trace")
    assert str(load_trace(tmp_path / "again.trace").error) == "ValueError: not 3"


def test_a_trace_is_read_where_its_source_is_gone(tmp_path, monkeypatch):
    (tmp_path / "passing_by.py").write_text("def passing(x):\n    y = x + 1\n    return y\n")
    monkeypatch.syspath_prepend(tmp_path)
    trace(importlib.import_module("passing_by").passing)(1).save(tmp_path / "passing.trace")
    (tmp_path / "passing_by.py").unlink()
    linecache.clearcache()
    del sys.modules["passing_by"]
    again = load_trace(tmp_path / "passing.trace")
    assert again.text(again.at("y")[0]).strip() == "y = x + 1"
    assert str(tmp_path) not in zipfile.ZipFile(tmp_path / "passing.trace").read("trace.json").decode()


def test_files_that_are_no_traces_get_a_sentence(tmp_path, recording):
    path = tmp_path / "other.trace"
    path.write_bytes(b"not a zip")
    with pytest.raises(ValueError, match="not a trace that this version can read"):
        load_trace(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("trace.json", json.dumps({"format": "walkthrough trace", "version": 99}))
    with pytest.raises(ValueError, match="version 99"):
        load_trace(path)
    recording.save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="not a trace"):
        load_trace(path)
    with pytest.raises(FileNotFoundError):
        load_trace(tmp_path / "none.trace")


def test_pickled_arrays_are_not_read(tmp_path, recording):
    path = tmp_path / "evil.trace"
    recording.save(path)
    content = zipfile.ZipFile(path).read("trace.json")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("trace.json", content)
        with file.open("0.npy", "w") as entry:
            np.lib.format.write_array(entry, np.array([{"code": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="not a trace"):
        load_trace(path)


def written(path, content, copies) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("trace.json", json.dumps(content))
        for name, data in copies.items():
            file.writestr(name, data)


@pytest.fixture
def small() -> Trace:
    def work(x):
        y = [x * 2, 1]
        return y

    return trace(work)(torch.arange(20.0))


def test_damaged_files_are_read_as_they_were_or_get_a_sentence(small, tmp_path):
    path = tmp_path / "damaged.trace"
    small.save(path)
    raw = path.read_bytes()
    damaged = [raw[:at] + bytes([raw[at] ^ 0x55]) + raw[at + 1 :] for at in range(0, len(raw), 3)]
    damaged += [raw[:at] + raw[at + 10 :] for at in range(0, len(raw), 40)]
    refused = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            assert "trace of" in repr(load_trace(path))
        except ValueError as problem:
            assert "is not a trace that this version can read" in str(problem)  # noqa: PT017
            refused += 1
    assert refused > len(damaged) / 2


def test_fields_that_make_no_sense_get_a_sentence_when_read(small, tmp_path):
    path = tmp_path / "wrong.trace"
    small.save(path)
    with zipfile.ZipFile(path) as file:
        original = json.loads(file.read("trace.json"))
        copies = {name: file.read(name) for name in file.namelist() if name != "trace.json"}

    def loads(change) -> None:
        content = json.loads(json.dumps(original))
        change(content)
        written(path, content, copies)
        load_trace(path)

    loads(lambda content: None)
    wrong = [
        lambda c: c["calls"][0].update(parent=0),
        lambda c: c["calls"][0].update(source=7),
        lambda c: c["calls"][0].update(name=None),
        lambda c: c["steps"][1].update(call=-1),
        lambda c: c["steps"][1].update(call="0"),
        lambda c: c["steps"][1].update(kind="jump"),
        lambda c: c["steps"][1].update(index=0),
        lambda c: c["steps"][0]["changes"][0].__setitem__(2, -1),
        lambda c: c["steps"][0]["changes"][0].__setitem__(2, None),
        lambda c: c["values"][0].update(text=5),
        lambda c: c["values"][0].update(shape=[2, 3]),
        lambda c: c["values"][-1].update(parts=[["0", 10**6]]),
        lambda c: c["sources"][0].update(lines=[1]),
        lambda c: c.update(returned=True),
        lambda c: c.update(notes=[None]),
        lambda c: c.pop("steps"),
    ]
    for change in wrong:
        with pytest.raises(ValueError, match="is not a trace that this version can read"):
            loads(change)


def test_a_folder_gets_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        load_trace(tmp_path)


def test_saving_leaves_a_whole_file_or_the_one_before(small, tmp_path, monkeypatch):
    path = tmp_path / "kept.trace"
    small.save(path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            small.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["kept.trace"]
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        small.save(tmp_path / "none" / "kept.trace")


def test_words_that_are_no_unicode_come_back(tmp_path):
    recording = trace(lambda d: d)({"\udc80": 1})
    recording.save(tmp_path / "half.trace")
    assert load_trace(tmp_path / "half.trace").returned.parts[0][0] == "\udc80"
