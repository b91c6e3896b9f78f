"""python -m tests.golden.family: what is recorded is equal, and every recorded output is really compared."""

import contextlib
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.golden.family import compare
from tests.golden.family.__main__ import examine, main
from tests.golden.family.compare import read_recording
from tests.golden.family.registry import CHECKS, check_of, module_of

RECORDINGS = Path(__file__).parents[1] / "golden" / "family"
FILES = sorted(file.relative_to(RECORDINGS).as_posix() for file in RECORDINGS.rglob("*.npz"))
NOT_BUILT = {  # take out what is; the last line is of later generations
    *("yolov3", "yolov4", "darknet_layers", "darknet_real", "ssd", "retinanet", "fcos", "tv_ops"),
    *("yolov8", "modern_blocks", "yolo_world"),
}

# The last part of keys that hold what was put in, or say how; all other arrays are outputs.
INPUTS = re.compile(
    r"raw|out|x|targets|anchors|all_anchors|mask|net_size|stride|settings|letterbox_image"  # Darknet
    r"|boxes\d*|labels\d*|cls_logits|bbox_regression|bbox_ctrness|deltas|a|b|scores|classes|threshold|logits"
)


def outputs(recorded: compare.Recording) -> dict[str, list[str]]:
    """The keys of outputs by their last part: of several cases in a file, the same output."""
    names: dict[str, list[str]] = {}
    for key in recorded:
        name = key.rpartition("/")[2]
        if not INPUTS.fullmatch(name):
            names.setdefault(name, []).append(key)
    return names


def disturbed(key: str, recorded: np.ndarray) -> np.ndarray:
    """A copy with one element off by 1e-3 of the largest magnitude; an index by 1, a mask switched."""
    if not recorded.size:
        return np.zeros((1,) * recorded.ndim, recorded.dtype)  # an index that is not there
    copy = recorded.copy()
    values = copy.reshape(-1)
    random = np.random.default_rng(zlib.crc32(key.encode()))
    finite = np.isfinite(values).nonzero()[0]
    place = random.choice(finite) if len(finite) and "iou_losses" not in key else 0  # row 80 there does not count
    if copy.dtype == bool:
        values[place] = not values[place]
    elif np.issubdtype(copy.dtype, np.integer):
        values[place] += 1
    else:
        values[place] = np.nan_to_num(values[place]) + 1e-3 * (np.abs(values[finite]).max(initial=0) or 1)
    return copy


def differing_keys(file: Path) -> set[str]:
    """The keys that differ, as far as the check comes."""
    check = check_of(module_of(file))
    found: set[str] = set()
    with contextlib.suppress(Exception):
        for comparison in check(file):
            if not comparison.equal:
                found.add(comparison.key)
    return found


def built(name: str) -> bool:
    module = module_of(RECORDINGS / name)
    assert module is not None
    return check_of(module) is not None


@pytest.mark.parametrize("name", FILES)
def test_recording_is_equal_and_each_output_counts(name, tmp_path):
    finding = examine(RECORDINGS / name)
    if not built(name):
        assert finding.verdict == "skipped"
        return
    assert finding.verdict == "equal", finding.text
    recorded = read_recording(RECORDINGS / name)
    copy = tmp_path / Path(name).name
    for keys in outputs(recorded).values():
        np.savez(copy, **(recorded | {key: disturbed(key, recorded[key]) for key in keys}))
        for key in set(keys) - differing_keys(
            copy
        ):  # a disturbed index may end the check before it comes to the others
            np.savez(copy, **(recorded | {key: disturbed(key, recorded[key])}))
            assert examine(copy).verdict == "differ", f"disturbed, and equal: {key}"


def test_what_is_built_stays_built():
    assert {module for module in CHECKS.values() if check_of(module) is None} <= NOT_BUILT


def test_summary_counts_and_exit_code(tmp_path, capsys):
    (tmp_path / "deeper").mkdir()
    source = RECORDINGS / "darknet" / "v1_s3b2c4.npz"
    recorded = read_recording(source)
    np.savez(tmp_path / "deeper" / "v1_good.npz", **recorded)
    np.savez(tmp_path / "v8_later.npz", x=np.zeros(1))
    assert main([str(tmp_path)]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert last.startswith("1 equal, 0 differ, 1 skipped")

    np.savez(tmp_path / "v1_bad.npz", **(recorded | {"grad": disturbed("grad", recorded["grad"])}))
    np.savez(tmp_path / "v1_nan.npz", **(recorded | {"cost": np.float32(np.nan)}))
    np.savez(tmp_path / "v1_shape.npz", **(recorded | {"grad": recorded["grad"][:, :-1]}))
    np.savez(tmp_path / "v1_other.npz", something=np.zeros(3))
    np.savez(tmp_path / "holiday.npz", something=np.zeros(3))
    (tmp_path / "v1_torn.npz").write_bytes(source.read_bytes()[:1000])
    (tmp_path / "v1_empty.npz").write_bytes(b"")
    assert main([str(tmp_path)]) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert last.startswith("1 equal, 7 differ, 1 skipped")
    differ = {line.split()[1] for line in lines if line.startswith("differ")}
    assert {"v1_bad.npz", "v1_nan.npz", "v1_shape.npz", "v1_other.npz", "holiday.npz", "v1_torn.npz"} < differ


def test_nothing_to_check_is_not_success(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert main([str(tmp_path / "nowhere")]) == 1
    assert str(tmp_path / "nowhere") in capsys.readouterr().out


def test_tolerances():
    nan, inf = np.nan, np.inf
    assert compare.darknet("", [3.0 + 3.9e-5], [3.0]).equal
    assert not compare.darknet("", [3.0 + 4.1e-5], [3.0]).equal
    assert compare.relative("", 3.0 + 2.9e-5, 3.0).equal
    assert not compare.relative("", 3.0 + 3.1e-5, 3.0).equal
    assert not compare.relative("", 1e-9, 0.0).equal
    assert compare.floats("", [0.5 + 9e-4, 100.0], [0.5, 100.0]).equal
    assert not compare.floats("", [0.5 + 1.1e-3, 100.0], [0.5, 100.0]).equal
    assert compare.pixels("", [100.0009], [100.0]).equal
    assert not compare.pixels("", [100.0011], [100.0]).equal
    assert not compare.exact("", [1, 2], [1, 3]).equal
    assert not compare.exact("", [True], [False]).equal
    for helper in (compare.darknet, compare.relative, compare.floats, compare.pixels, compare.exact):
        assert helper("", [nan, 1.0, -inf], [nan, 1.0, -inf]).equal
        assert helper("", [], []).equal
        for ours, recorded in (([nan], [1.0]), ([1.0], [nan]), ([inf], [-inf]), ([inf], [1.0]), ([1.0], [[1.0]])):
            assert not helper("", ours, recorded).equal
