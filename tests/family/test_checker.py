"""python -m tests.golden.family: what is recorded is equal, and every recorded output is really compared."""

import contextlib
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.family.tiny import TINY
from tests.golden.family import compare, darknet_real
from tests.golden.family.__main__ import examine, main
from tests.golden.family.compare import read_recording
from tests.golden.family.registry import CHECKS, check_of, layout_of_module, module_of
from yolo_lite.checkpoints.darknet import save_darknet_weights
from yolo_lite.model.yolo import create_model

RECORDINGS = Path(__file__).parents[1] / "golden" / "family"
FILES = sorted(file.relative_to(RECORDINGS).as_posix() for file in RECORDINGS.rglob("*.npz"))
NOT_BUILT = {  # take out what is; the last line is of later generations
    *("yolov3", "yolov4", "darknet_layers", "darknet_real", "ssd", "retinanet", "fcos", "tv_ops"),
}

# The last part of keys that hold what was put in, or say how; all other arrays are outputs.
INPUTS = re.compile(
    r"raw|out|x\d*|targets|anchors|all_anchors|mask|net_size|stride|settings|letterbox_image"  # Darknet
    r"|boxes\d*|labels\d*|cls_logits|bbox_regression|bbox_ctrness|deltas|a|b|scores|classes|threshold|logits"
    r"|pd_scores|pd_bboxes|anc_points|anc_stride|gt_labels|gt_bboxes|mask_gt|map\d+|points|boxes_xyxy|dist_in|target"
)
DECODED = re.compile(r"decode\w*/out")  # an output all the same
# YOLOv8 with no metric above 0: which points are taken then is left open.
OPEN = re.compile(
    r"zero_metric/(selected_topk|assigned|target_labels|target_bboxes|fg_mask|target_gt_idx)"
    r"|no_fg_weight/(fg_mask|target_bboxes)"
)


def outputs(recorded: compare.Recording) -> dict[str, list[str]]:
    """The keys of outputs by their last part: of several cases in a file, the same output."""
    names: dict[str, list[str]] = {}
    for key in recorded:
        name = key.rpartition("/")[2]
        given = INPUTS.fullmatch(name) or "/p/" in key  # weights of blocks are inputs, too
        if (not given or DECODED.fullmatch(key)) and not OPEN.fullmatch(key):
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


def test_summary_counts_and_exit_code(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(CHECKS, "later_", "a module that is not there")
    (tmp_path / "deeper").mkdir()
    source = RECORDINGS / "darknet" / "v1_s3b2c4.npz"
    recorded = read_recording(source)
    np.savez(tmp_path / "deeper" / "v1_good.npz", **recorded)
    np.savez(tmp_path / "later_one.npz", x=np.zeros(1))
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


def test_nothing_to_check_is_not_success(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(CHECKS, "later_", "a module that is not there")
    assert main([str(tmp_path)]) == 1
    assert main([str(tmp_path / "nowhere")]) == 1
    assert str(tmp_path / "nowhere") in capsys.readouterr().out
    np.savez(tmp_path / "later_one.npz", x=np.zeros(1))
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 equal, 0 differ, 1 skipped")


def test_one_file_is_checked_alone(tmp_path, capsys):
    np.savez(tmp_path / "v1_other.npz", something=np.zeros(3))
    good = tmp_path / "v1_good.NPZ"  # the ending may be in capitals
    good.write_bytes((RECORDINGS / "darknet" / "v1_s3b2c4.npz").read_bytes())
    assert main([str(good)]) == 0
    line, last = capsys.readouterr().out.splitlines()
    assert line.split()[:2] == ["equal", "v1_good.NPZ"]
    assert last.startswith("1 equal, 0 differ, 0 skipped")
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 equal, 1 differ, 0 skipped")


KINDS = [  # a recording of every layout
    *("v1_s3b2c4", "v2_voc_late", "v2ab_voc_late", "v3_collide_s32", "v3_ig05_s32", "v4_csp_s16", "v4_cfg_s32"),
    *("extra_layers", "tv_ops", "tv_ssd", "tv_fcos", "tv_retinanet", "v8_tal", "v8_loss", "v8_dfl_decode"),
]


def recording(kind: str) -> compare.Recording:
    (name,) = (name for name in FILES if Path(name).stem == kind)
    return read_recording(RECORDINGS / name)


def problems(file: Path, recorded: compare.Recording) -> list[str]:
    """What is wrong with a recording, one by one."""
    np.savez(file, **recorded)
    finding = examine(file)
    assert finding.verdict == "differ"
    return finding.text.split("; ")


@pytest.mark.parametrize("kind", KINDS)
def test_no_array_may_be_missing_and_none_unknown(kind, tmp_path):
    recorded, name = recording(kind), f"{kind}.npz"
    layout = layout_of_module(module_of(Path(name)))(recorded, name)
    assert layout.inputs | layout.outputs == set(recorded)
    assert not layout.inputs & layout.outputs
    for key in recorded:
        rest = {other: array for other, array in recorded.items() if other != key}
        assert f"missing: {key}" in problems(tmp_path / name, rest)
    key = min(layout.outputs)
    assert problems(tmp_path / name, recorded | {f"{key}2": recorded[key]}) == [f"not compared: {key}2"]
    assert problems(tmp_path / name, recorded | {"more": np.zeros(2)}) == ["not compared: more"]


def test_blocks_need_all_their_weights(tmp_path):
    recorded, file = recording("yolo_blocks"), tmp_path / "yolo_blocks.npz"
    layout = layout_of_module("modern_blocks")({}, file.name)  # whatever is recorded, the same arrays have to be
    assert layout.inputs | layout.outputs == set(recorded)
    assert not layout.inputs & layout.outputs
    for key in ("repconv/p/conv2.bn.running_var", "head_v11/p/dfl.conv.weight", "cbfuse/x2", "cblinear/y1"):
        without = {other: array for other, array in recorded.items() if other != key}
        assert problems(file, without) == [f"missing: {key}"]
    more = {"repconv/p/bn.weight": np.ones(12), "new_block/y": np.ones(2)}
    assert set(problems(file, recorded | more)) == {f"not compared: {key}" for key in more}
    for key in ("c2f_n2_shortcut/p/m.1.cv2.conv.weight", "c2psa_n1/p/m.0.attn.pe.bn.running_mean"):
        assert problems(file, recorded | {key: disturbed(key, recorded[key]) + 1})


def test_parts_of_a_case_that_are_missing_together(tmp_path):
    """Matches with their objects, or all that has to do with the loss: what is left is not enough."""
    for kind in ("tv_ssd", "tv_fcos", "tv_retinanet"):
        recorded = recording(kind)
        file = tmp_path / f"{kind}.npz"
        without = {key: array for key, array in recorded.items() if not key.endswith("/matched")}
        assert "missing: base/matched" in problems(file, without)
        without = {key: array for key, array in recorded.items() if not key.startswith("base/loss_")}
        assert "missing: base/loss_cls" in problems(file, without)
        case = {"extra/boxes0", "extra/labels0", "extra/matched"}
        extra = {key: recorded[key.replace("extra", "base")] for key in case}
        extra["extra/matched"] = extra["extra/matched"][:1]
        np.savez(file, **recorded | extra)
        assert examine(file).verdict == "equal"  # a case may be without a loss
        assert "missing: extra/cls_logits" in problems(file, recorded | extra | {"extra/loss_cls": np.float32(0)})
        extra["extra/boxes1"] = extra["extra/boxes0"]  # of an image that is not there
        assert problems(file, recorded | extra) == ["not compared: extra/boxes1"]
        globally = {key: array for key, array in recorded.items() if "/boxes" not in key and "/labels" not in key}
        assert "missing: base/boxes0" in problems(file, globally)


@pytest.mark.parametrize(("kind", "part"), [("tv_fcos", "points"), ("tv_retinanet", "anchors")])
def test_a_case_of_a_size_that_is_not_recorded(kind, part, tmp_path):
    recorded, file = recording(kind), tmp_path / f"{kind}.npz"
    other = {"other/matched": np.full((1, 5000), -1), "other/boxes0": np.zeros((0, 4)), "other/labels0": np.zeros(0)}
    (problem,) = problems(file, recorded | other)
    assert problem.startswith(f"missing: {part}")
    assert {"other,", "5000"} < set(problem.split())
    without = {key: array for key, array in recorded.items() if not key.startswith(f"{part}/128x128")}
    (problem,) = problems(file, without)
    assert problem.startswith(f"missing: {part}")
    without = {key: array for key, array in recorded.items() if not key.startswith(f"{part}/")}
    assert all(problem.startswith(f"missing: {part}/") for problem in problems(file, without))


def test_parts_of_operations_that_are_missing(tmp_path):
    recorded, file = recording("tv_ops"), tmp_path / "tv_ops.npz"
    for part in ("box_iou", "iou_losses", "nms1", "focal"):
        without = {key: array for key, array in recorded.items() if not key.startswith(f"{part}/")}
        assert all(problem.startswith(f"missing: {part}/") for problem in problems(file, without))
    assert "missing: nms7/keep" in problems(file, recorded | {"nms7/keep_batched": np.zeros(3)})


def test_arrays_that_are_not_real_numbers(tmp_path):
    recorded, file = recording("v3_ig05_s32"), tmp_path / "v3_other.npz"
    for array in (recorded["grad"].astype(complex), np.array([{}, []], object), recorded["grad"].astype(str)):
        (problem,) = problems(file, recorded | {"grad": array})
        assert "cannot be checked" in problem


def test_settings_that_are_missing_are_named(tmp_path):
    for kind, other in (("v1_s3b2c4", "v1"), ("v2_voc_late", "v2"), ("v3_ig05_s32", "v3"), ("v4_cfg_s16", "v4")):
        changed = recording(kind) | {"settings": np.array("{}")}
        (problem,) = problems(tmp_path / f"{other}_x.npz", changed)
        assert problem.startswith("missing: ")


@pytest.fixture
def network(tmp_path) -> tuple[Path, compare.Recording]:
    """A small network with weights of its own, and a recording of it with two images."""
    model = create_model(TINY["v4-ciou"].source, seed=1).eval()
    (tmp_path / "tiny.cfg").write_text(TINY["v4-ciou"].source.read_text())
    save_darknet_weights(model, tmp_path / "tiny.weights")
    recorded: compare.Recording = {}
    for level, stride in enumerate(model.strides):
        recorded |= {f"stride{level}": np.array(stride), f"anchors{level}": model.level_anchors[level].numpy()}
    for photo in "ab":
        image = np.random.default_rng(ord(photo)).integers(0, 256, (64, 96, 3), np.uint8)
        recorded[f"image_{photo}"] = image
        with torch.inference_mode():
            maps = model(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
        for level, raw in enumerate(maps):
            head = darknet_real.activated(raw[0], model.described_heads[level].coding)
            recorded[f"head{level}_{photo}"] = head.numpy()
    return tmp_path / "real_tiny.npz", recorded


def test_heads_and_images_of_a_whole_network(network):
    file, recorded = network
    np.savez(file, **recorded)
    assert examine(file).verdict == "equal", examine(file).text
    np.savez(file, **{key.replace("_b", "_two words"): array for key, array in recorded.items()})
    assert examine(file).verdict == "equal", examine(file).text
    for begin, missing in (
        (("image", "head"), "image_NAME"),
        ("image", "image_a"),
        ("head", "head0_a"),
        ("image_b", "image_b"),
        ("head1_b", "head1_b"),
        ("stride", "stride0"),
    ):
        without = {key: array for key, array in recorded.items() if not key.startswith(begin)}
        assert f"missing: {missing}" in problems(file, without)
    without = {key: array for key, array in recorded.items() if not key.startswith(("head1", "stride1", "anchors1"))}
    (problem,) = problems(file, without)
    assert problem.startswith("missing: stride1")
    lacked = {key.replace("1", "2"): array for key, array in recorded.items() if "1" in key}
    assert set(problems(file, recorded | lacked)) == {f"not compared: {key}" for key in lacked}
    assert problems(file, recorded | {"note": np.zeros(1)}) == ["not compared: note"]
    assert problems(file, recorded | {"head1_b": disturbed("head1_b", recorded["head1_b"])})
    file.with_name("tiny.weights").unlink()
    np.savez(file, **recorded)
    assert examine(file).verdict == "skipped"
    assert problems(file, recorded | {"note": np.zeros(1)}) == ["not compared: note"]


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
