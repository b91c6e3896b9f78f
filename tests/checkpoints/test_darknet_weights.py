import struct
from pathlib import Path

import numpy as np
import pytest
import torch

import yolo_lite as yl
from tests.family.darknet.cfgs import ALL, NET, V1, V3
from yolo_lite.checkpoints.darknet import (
    darknet_cfg,
    load_darknet_weights,
    read_darknet,
    read_weights_header,
    save_darknet_weights,
    stored_tensors,
)
from yolo_lite.checkpoints.unpickle import CheckpointError
from yolo_lite.family.darknet.network import Darknet
from yolo_lite.model.yolo import create_model, seeded

# One of each kind that has weights: 3 channels of 2 x 2 pixels, 2 filters
TINY = (
    "[net]\nwidth=2\nheight=2\nchannels=3\n"
    "[conv]\nbatch_normalize=1\nfilters=2\nsize=1\nactivation=linear\n"
    "[conv]\nfilters=1\nsize=1\ngroups=1\nactivation=linear\n"
    "[local]\nfilters=2\nsize=1\nactivation=linear\n"
    "[connected]\noutput=6\nbatch_normalize=1\nactivation=linear\n"
    "[detection]\nclasses=1\ncoords=4\nside=1\nnum=1\n"
)
PARTS = (  # of the file, in its order: layer, name of the tensor, its numbers
    (0, "bn.bias", 2), (0, "bn.weight", 2), (0, "bn.running_mean", 2), (0, "bn.running_var", 2), (0, "conv.weight", 6),
    (1, "conv.bias", 1), (1, "conv.weight", 2),
    (2, "bias", 8), (2, "weight", 8),
    (3, "bn.bias", 6), (3, "linear.weight", 48),
    (3, "bn.weight", 6), (3, "bn.running_mean", 6), (3, "bn.running_var", 6),
)  # fmt: skip
TOTAL = sum(count for _, _, count in PARTS)


def hand_made(header: bytes = struct.pack("<3iQ", 0, 2, 5, 77), count: int = TOTAL) -> bytes:
    return header + struct.pack(f"<{count}f", *range(1, count + 1))


def write(folder: Path, data: bytes, name: str = "net.weights") -> Path:
    file = folder / name
    file.write_bytes(data)
    return file


def filled(kind: str) -> Darknet:
    """A network with other numbers than those at the start, statistics too."""
    model = create_model({"family": "darknet", "cfg": ALL[kind]}, seed=2)
    assert isinstance(model, Darknet)
    with seeded(3), torch.no_grad():
        for layer in model.layers:
            for tensor in stored_tensors(layer):
                tensor.uniform_(0.1, 1)
    return model


def test_the_bytes_have_the_recorded_layout(tmp_path: Path) -> None:
    model = Darknet(TINY)
    read = load_darknet_weights(model, write(tmp_path, hand_made()))
    assert read.header == (0, 2, 5, 77, 20)
    assert (read.layers, read.of, read.last) == ((0, 1, 2, 3), 4, 3)
    position = 1
    state = model.state_dict()
    for layer, name, count in PARTS:
        numbers = state[f"layers.{layer}.{name}"].flatten().tolist()
        assert numbers == list(range(position, position + count)), (layer, name)
        position += count
    save_darknet_weights(model, tmp_path / "again.weights", seen=77)
    assert (tmp_path / "again.weights").read_bytes() == hand_made()


def test_weights_are_in_the_order_output_input_row_column(tmp_path: Path) -> None:
    text = NET + "[conv]\nfilters=8\nsize=2\nstride=64\nactivation=linear\n[region]\nanchors=1,1\nclasses=3\n"
    model = Darknet(text)
    load_darknet_weights(model, write(tmp_path, hand_made(count=8 + 8 * 3 * 4)))
    weight = model.state_dict()["layers.0.conv.weight"]  # (8, 3, 2, 2)
    expected = [1.0 + 8 + 12 * out + 4 * channel + 2 * row + col for out, channel, row, col in np.ndindex(8, 3, 2, 2)]
    assert weight.flatten().tolist() == expected
    assert weight[1, 2, 1, 0] == 8 + 12 + 8 + 2 + 1


@pytest.mark.parametrize(
    ("header", "seen", "size"),
    [
        (struct.pack("<4i", 0, 1, 0, 5), 5, 16),
        (struct.pack("<3iQ", 0, 2, 0, 2**40), 2**40, 20),
        (struct.pack("<3iQ", 1, 0, 0, 6), 6, 20),
        (struct.pack("<4i", 0, 1001, 0, 7), 7, 16),
    ],
)
def test_headers_of_sixteen_and_twenty_bytes(tmp_path: Path, header: bytes, seen: int, size: int) -> None:
    file = write(tmp_path, hand_made(header))
    found = read_weights_header(file)
    assert (found.seen, found.size) == (seen, size)
    model = Darknet(TINY)
    load_darknet_weights(model, file)
    assert model.state_dict()["layers.0.bn.bias"].tolist() == [1, 2]


def test_connected_layers_of_old_files_are_transposed(tmp_path: Path) -> None:
    new, old = Darknet(TINY), Darknet(TINY)
    load_darknet_weights(new, write(tmp_path, hand_made()))
    load_darknet_weights(old, write(tmp_path, hand_made(struct.pack("<4i", 0, 1001, 0, 0))))
    name = "layers.3.linear.weight"  # (6, 8)
    assert torch.equal(old.state_dict()[name].T.flatten(), new.state_dict()[name].flatten())
    assert torch.equal(old.state_dict()["layers.2.weight"], new.state_dict()["layers.2.weight"])


@pytest.mark.parametrize("kind", ALL)
def test_written_and_read_back_is_identical(tmp_path: Path, kind: str) -> None:
    model = filled(kind)
    save_darknet_weights(model, tmp_path / "net.weights", seen=12)
    (tmp_path / "net.cfg").write_text(ALL[kind], encoding="utf-8")
    again = yl.load(tmp_path / "net.weights")
    assert not again.training
    for name, value in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, again.state_dict()[name]), name
    save_darknet_weights(again, tmp_path / "again.weights", seen=12)  # type: ignore[arg-type]
    assert (tmp_path / "again.weights").read_bytes() == (tmp_path / "net.weights").read_bytes()


def test_partial_files_are_backbones(tmp_path: Path) -> None:
    model = Darknet(TINY)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.warns(UserWarning, match=r"2 of the 4 layers.*layer 1"):
        read = load_darknet_weights(model, write(tmp_path, hand_made(count=17), "tiny.conv.2"))
    assert (read.layers, read.of, read.last) == ((0, 1), 4, 1)
    assert "2 of 4" in str(read)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[1] for name in changed} == {"0", "1"}


def test_upto_reads_the_first_layers(tmp_path: Path) -> None:
    model, file = Darknet(TINY), write(tmp_path, hand_made())
    read = load_darknet_weights(model, file, upto=2)
    assert read.layers == (0, 1)
    assert model.state_dict()["layers.1.conv.weight"].flatten().tolist() == [16, 17]
    assert load_darknet_weights(Darknet(TINY), write(tmp_path, hand_made(count=TOTAL + 9)), upto=4).last == 3
    for upto in (0, 6):
        with pytest.raises(CheckpointError, match=str(upto)):
            load_darknet_weights(model, file, upto=upto)


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (b"", ["0 bytes"]),
        (struct.pack("<3i", 0, 2, 0), ["12 bytes"]),
        (struct.pack("<3iI", 0, 2, 0, 0), ["16 bytes", "20"]),
        (struct.pack("<3iQ", -1, 2, 0, 0), ["-1.2.0"]),
        (hand_made(count=0), ["0 numbers", f"{TOTAL}"]),
        (hand_made(count=15), ["too short", "15", f"{TOTAL}", "layer 1", "[convolutional]"]),
        (hand_made(count=TOTAL - 1), ["too short", f"{TOTAL - 1}", "layer 3", "[connected]"]),
        (hand_made(count=TOTAL + 4), ["too long", f"{TOTAL + 4}", f"{TOTAL}"]),
        (hand_made()[:-1], ["truncated"]),
        (hand_made(count=TOTAL - 1) + struct.pack("<f", float("nan")), ["not finite", f"{TOTAL - 1}"]),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_its_numbers(tmp_path: Path, data: bytes, facts: list[str]) -> None:
    model = Darknet(TINY)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_darknet_weights(model, write(tmp_path, data))
    assert all(fact in str(caught.value) for fact in ["net.weights", *facts])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_fused_networks_have_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="fuse"):
        save_darknet_weights(Darknet(V3).fuse(), tmp_path / "net.weights")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CheckpointError, match="Yolo"):
        save_darknet_weights(create_model("yolov5n"), tmp_path / "net.weights")  # type: ignore[arg-type]


def test_load_needs_a_cfg(tmp_path: Path) -> None:
    file = write(tmp_path, hand_made())
    with pytest.raises(CheckpointError, match=r"cfg=.*net\.cfg"):
        yl.load(file)
    (tmp_path / "other.cfg").write_text(TINY, encoding="utf-8")
    assert yl.load(file, cfg=tmp_path / "other.cfg").num_classes == 1
    (tmp_path / "net.cfg").write_text(V1, encoding="utf-8")
    with pytest.raises(CheckpointError, match="too short"):
        yl.load(file)
    (tmp_path / "net.cfg").write_text("[nett]", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"net\.cfg.*line 1.*nett"):
        yl.load(file)
    with pytest.raises(CheckpointError, match="absent"):
        yl.load(file, cfg=tmp_path / "absent.cfg")
    with pytest.raises(CheckpointError, match="yolov5n"):
        yl.load(file, cfg="yolov5n")


def test_a_bundled_cfg_is_found_by_the_name_of_the_file(tmp_path: Path) -> None:
    for name, needed in (("yolov3-tiny", 8_858_734), ("tiny-yolov1", 27_099_950), ("yolov4-tiny", 6_062_814)):
        with pytest.raises(CheckpointError, match=f"{needed:,}"):
            yl.load(write(tmp_path, hand_made(), f"{name}.weights"))


def test_other_classes_keep_everything_but_the_layers_before_the_heads(tmp_path: Path) -> None:
    model = filled("v3")
    save_darknet_weights(model, tmp_path / "net.weights")
    (tmp_path / "net.cfg").write_text(V3, encoding="utf-8")
    other = read_darknet(tmp_path / "net.weights", names=["a", "b"])
    assert other.names == ("a", "b")
    state = model.state_dict()
    same = {name for name, value in other.state_dict().items() if value.shape == state[name].shape}
    assert {name.split(".")[1] for name in set(state) - same} == {"3", "6"}
    assert all(torch.equal(other.state_dict()[name], state[name]) for name in same if "tracked" not in name)
    renamed = read_darknet(tmp_path / "net.weights", names=["a", "b", "c"])
    assert torch.equal(renamed.state_dict()["layers.3.conv.weight"], state["layers.3.conv.weight"])


def test_predict_finds_objects_with_a_real_network(shared: Path) -> None:
    model = yl.load(shared / "weights" / "darknet" / "yolo-fastest-1.1.weights")
    with np.load(shared / "golden" / "family" / "darknet" / "real_yolo-fastest-1.1.npz") as recorded:
        photos = [recorded["image_a"], recorded["image_b"]]
    found = yl.predict(model, photos)
    assert all(len(detections) for detections in found)
    assert sum(len(detections) for detections in yl.predict(model.fuse(), photos)) == sum(map(len, found))


def test_names_stand_beside_the_file(tmp_path: Path) -> None:
    write(tmp_path, hand_made())
    (tmp_path / "net.cfg").write_text(TINY)
    assert read_darknet(tmp_path / "net.weights").names == ("class0",)
    names = tmp_path / "net.names"
    names.write_text("horse\n\n")
    assert read_darknet(tmp_path / "net.weights").names == ("horse",)
    assert read_darknet(tmp_path / "net.weights", names=["cow"]).names == ("cow",)
    names.write_text("horse\ncow\n")
    with pytest.raises(CheckpointError, match=r"net\.names.*2.*1"):
        read_darknet(tmp_path / "net.weights")


def test_eighty_classes_are_cocos(shared: Path) -> None:
    assert yl.load(shared / "weights" / "darknet" / "yolo-fastest-1.1.weights").names[54] == "donut"


@pytest.mark.parametrize("kind", ALL)
def test_the_cfg_of_a_changed_network_fits_its_weights(tmp_path: Path, kind: str) -> None:
    model = create_model({"family": "darknet", "cfg": ALL[kind]}, num_classes=2)
    assert isinstance(model, Darknet)
    if model.anchors is not None:
        model.set_anchors(model.all_anchors * 1.5)
    save_darknet_weights(model, tmp_path / "net.weights")
    (tmp_path / "net.cfg").write_text(darknet_cfg(model))
    again = read_darknet(tmp_path / "net.weights")
    assert again.num_classes == 2
    torch.testing.assert_close(again.all_anchors, model.all_anchors, rtol=1e-6, atol=1e-5)
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_our_format_is_not_written_under_darknets_ending(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"x\.weights"):
        yl.save(create_model("yolov5n", num_classes=1), tmp_path / "x.weights")
    assert not list(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match="-1"):
        save_darknet_weights(filled("v3"), tmp_path / "x.weights", seen=-1)
