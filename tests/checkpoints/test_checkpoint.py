"""Our own files: what goes in comes out, whole or not at all; and a sentence for every file that is something else."""

import json
import os
import re
import struct
import warnings
from pathlib import Path

import pytest
import safetensors.torch
import torch

from yolo_lite.checkpoints import assemble
from yolo_lite.checkpoints import own as checkpoint
from yolo_lite.checkpoints.own import CheckpointError, load, read_header, save
from yolo_lite.model.yolo import create_model

from .official_files import SPEC, save_official, small_model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save(small_model(), path, metadata={"epoch": 3, "map": 0.5})
    return path


def rewritten(path: Path, **changes: object) -> Path:
    """The same file with some entries of its header changed."""
    with safetensors.safe_open(path, "pt") as stored:
        header = json.loads(stored.metadata()["yolo_lite"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    safetensors.torch.save_file(tensors, path, {"yolo_lite": json.dumps(header | changes)})
    return path


def test_any_length_of_the_header_is_told_from_an_old_pickle(tmp_path: Path) -> None:
    """The first byte of a safetensors file is the low byte of its header's length; pickles begin with 0x80."""
    first_bytes = set()
    for length in range(0, 256, 8):
        path = tmp_path / f"{length}.safetensors"
        save(small_model(), path, metadata={"padding": "x" * length})
        first_bytes.add(path.read_bytes()[0])
        assert load(path).metadata == {"padding": "x" * length}
    assert 0x80 in first_bytes


def test_round_trip(saved: Path) -> None:
    model, again = small_model().train(), load(saved)
    assert model.state_dict().keys() == again.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert (again.names, again.strides, again.spec) == (model.names, model.strides, model.spec)
    assert again.metadata == {"epoch": 3, "map": 0.5}
    assert not again.training
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(model.eval()(images), again(images), strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["own", "official"])
def test_weights_that_are_no_numbers_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, kind: str
) -> None:
    model, path = small_model(), tmp_path / ("a.safetensors" if kind == "own" else "a.pt")
    first, *_, last = [name for name in model.state_dict() if name.endswith("conv.weight")]
    for name in (first, last):
        model.state_dict()[name].view(-1)[3] = value
    save(model, path) if kind == "own" else save_official(model, path, monkeypatch)
    with pytest.warns(UserWarning, match=rf"^{re.escape(str(path))}: 2 of its \d+ tensors.*first {re.escape(first)}:"):
        load(path)


def test_saving_what_was_loaded_keeps_its_metadata(saved: Path, tmp_path: Path) -> None:
    save(load(saved), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()
    header = read_header(saved)
    assert header["format_version"] == 1
    assert header["names"] == ["red", "white", "platelet"]


def test_half_is_half_the_size_and_comes_back_as_float(saved: Path, tmp_path: Path) -> None:
    model = small_model()
    model.set_anchors(model.anchors + 0.123456)  # not to be rounded to half precision
    save(model, tmp_path / "half.safetensors", half=True)
    again = load(tmp_path / "half.safetensors")
    assert {value.dtype for value in again.state_dict().values()} == {torch.float32, torch.int64}
    assert torch.equal(again.anchors, model.anchors)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.65 * saved.stat().st_size
    assert read_header(tmp_path / "half.safetensors")["dtype"] == "float16"
    save(model.half(), tmp_path / "halved.safetensors")
    assert next(load(tmp_path / "halved.safetensors").parameters()).dtype == torch.float32


def test_a_fused_model_stays_fused(tmp_path: Path) -> None:
    fused = small_model().fuse()
    save(fused, tmp_path / "fused.safetensors")
    again, images = load(tmp_path / "fused.safetensors"), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(images)[0], fused(images)[0])


def test_odd_anchors_come_back_in_their_order(tmp_path: Path) -> None:
    model = small_model()
    model.set_anchors(model.anchors.flip(0))  # large ones at the small stride: allowed, if asked for
    save(model, tmp_path / "odd.safetensors")
    assert torch.equal(load(tmp_path / "odd.safetensors").anchors, model.anchors)
    other = load(tmp_path / "odd.safetensors", num_classes=1)
    assert torch.equal(other.anchors, model.anchors)
    assert other.spec["anchors"] == model.spec["anchors"]


def test_another_number_of_classes_starts_the_head_anew(saved: Path) -> None:
    model, other = load(saved), load(saved, names=["a", "b"], seed=3)
    assert (other.num_classes, other.names) == (2, ("a", "b"))
    for name, value in model.state_dict().items():
        if name.startswith("layers.8.m."):
            assert value.shape != other.state_dict()[name].shape
        else:
            assert torch.equal(value, other.state_dict()[name]), name
    assert torch.equal(load(saved, num_classes=2, seed=3).detect.m[0].weight, other.detect.m[0].weight)
    renamed = load(saved, names=["x", "y", "z"])
    assert renamed.names == ("x", "y", "z")
    assert torch.equal(renamed.detect.m[0].weight, model.detect.m[0].weight)
    with pytest.raises(CheckpointError, match=r"\b0\b"):
        load(saved, num_classes=0)


@pytest.mark.parametrize("names", [["white", "red"], ["red", "white", "platelet", "other"], {0: "a", 1: "Platelet"}])
def test_a_new_head_for_names_of_the_file_is_said(saved: Path, names: list[str] | dict[int, str]) -> None:
    with pytest.warns(UserWarning, match=r"of the \d names.*red, white, platelet.*num_classes") as said:
        other = load(saved, names=names)
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # where it is asked for, or no name is shared, nobody expects the old head
        again = load(saved, num_classes=len(names), names=names)
        load(saved, names=["a", "b"])
        load(saved, names=["red", "white", "platelet"])
        load(saved, num_classes=2)
    assert torch.equal(again.detect.m[0].weight, other.detect.m[0].weight)


def test_loading_leaves_the_global_random_state(saved: Path) -> None:
    before = torch.get_rng_state()
    load(saved)
    load(saved, num_classes=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_file_whole(saved: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space"):
        save(create_model(SPEC, seed=9), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]  # nothing is left lying about


def test_a_save_that_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(small_model(), tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Linear"):
        save(torch.nn.Linear(1, 1), tmp_path / "a")
    with pytest.raises(CheckpointError, match="JSON"):
        save(small_model(), tmp_path / "a", metadata={"tensor": torch.zeros(1)})
    with pytest.raises(FileNotFoundError):
        save(small_model(), tmp_path / "nowhere" / "a")
    assert list(tmp_path.iterdir()) == []


def test_names_of_bundled_weights(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "WEIGHTS", saved.parent)
    assert load("model").names == ("red", "white", "platelet")
    with pytest.raises(CheckpointError, match=r"shapes-q: .*model"):
        load("shapes-q")
    with pytest.raises(CheckpointError, match=r"create_model"):
        load("yolov5n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"<html>not found</html>", "neither a checkpoint of this library nor a .pt"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "before 1.6"),
        (b"\0" * 257 + b"ustar" + b"\0" * 300, "before 1.6"),
        (struct.pack("<Q", 2) + b"{}", "no yolo_lite in its header"),
        (struct.pack("<Q", 2**60) + b"{}", "damaged or truncated"),
        (b"PK\x03\x04 and no more", "damaged or truncated .pt"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words) as error:
        load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_folder_and_unreadable(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="file"):
        load(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="folder"):
        load(tmp_path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_truncated(saved: Path, share: float) -> None:
    saved.write_bytes(saved.read_bytes()[: int(saved.stat().st_size * share)])
    with pytest.raises(CheckpointError, match="damaged"):
        load(saved)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 3}, "format 3 by a newer yolo-lite"),
        ({"format_version": "new"}, "no format_version"),
        ({"spec": None}, "spec is missing"),
        ({"names": ["one"]}, "1 names for 3 classes"),
        (
            {"spec": SPEC | {"nc": 4}, "names": ["a", "b", "c", "d"]},
            r"layers.8.m.0.weight is \(24, .*\(27, .*4 classes",
        ),
        ({"spec": SPEC | {"width_multiple": 0.7}}, "do not fit the network"),
        ({"spec": SPEC | {"width_multiple": 1e9}}, "do not fit|cannot be built"),
        ({"spec": SPEC | {"backbone": SPEC["backbone"][:2]}}, "cannot be built.*layer"),
        ({"spec": SPEC | {"backbone": [[-1, 1, "Convoy", [8]]]}}, "unknown layer 'Convoy'"),
        ({"fused": True}, "do not fit the network"),
    ],
)
def test_a_header_that_disagrees(saved: Path, changes: dict, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        load(rewritten(saved, **changes))


@pytest.mark.parametrize(
    "row", [[-1, 1000, "C3", [8]], [-1, 1000, "Conv", [8, 1]], [-1, 1000, "nn.Upsample", [None, 1]]]
)
def test_a_small_file_cannot_describe_a_huge_network(
    saved: Path, row: list, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """1 KB used to keep the reader busy for minutes: nothing of it is built now."""
    changes = {"spec": SPEC | {"backbone": [*SPEC["backbone"], *[row] * 1000]}}
    monkeypatch.setattr(assemble, "_network", lambda contents, file: pytest.fail("it is built"))
    with pytest.raises(CheckpointError, match=r"1,000,\d{3} blocks.*tensors") as error:
        load(rewritten(saved, **changes))
    assert str(saved) in str(error.value)
    official = tmp_path / "best.pt"

    def inflated(network: torch.nn.Module) -> dict:
        network.yaml |= changes["spec"]
        return {"model": network}

    save_official(small_model(), official, monkeypatch, content=inflated)
    with pytest.raises(CheckpointError, match=r"1,000,\d{3} blocks.*tensors"):
        load(official)


def test_a_large_network_of_ones_own_is_built_saved_and_loaded(tmp_path: Path) -> None:
    deep = [[-1, 50, "C3", [8]], *[[-1, 1, "nn.Upsample", [None, 1]]] * 40]
    model = create_model(
        SPEC | {"backbone": [*deep, *SPEC["backbone"]], "head": [[[-1], 1, "Detect", []]], "anchors": 3}
    )
    for half_built in (model, model.fuse()):
        save(half_built, tmp_path / "deep.safetensors")
        assert len(load(tmp_path / "deep.safetensors").layers) == len(model.layers)


def test_flipped_bits_load_or_are_refused(saved: Path) -> None:
    content, generator = saved.read_bytes(), torch.Generator().manual_seed(0)
    header_end = 8 + struct.unpack("<Q", content[:8])[0]
    refused = 0
    for _ in range(200):
        damaged = bytearray(content)
        place = int(torch.randint(header_end, (), generator=generator))
        damaged[place] ^= 1 << int(torch.randint(8, (), generator=generator))
        saved.write_bytes(damaged)
        try:
            load(saved)
        except CheckpointError:
            refused += 1
    assert refused > 100  # most of a header matters
