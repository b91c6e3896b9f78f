"""Official .pt files: equal to the recorded outputs, and nothing in a file is ever run."""

import pickle
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from yolo_lite.model.checkpoint import CheckpointError, load, save
from yolo_lite.model.yolo import create_model

from .official_files import SPEC, save_official, small_model, write_pt


@pytest.mark.parametrize("image", [0, 1, 2])
def test_yolov5n_computes_the_recorded_boxes(shared: Path, image: int) -> None:
    model = load(shared / "weights" / "yolov5n.pt")
    recorded = np.load(shared / "golden" / "yolov5n_forward.npz")
    pixels = np.ascontiguousarray(recorded[f"image{image}"][..., ::-1])  # recorded as OpenCV reads, BGR
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        decoded = model.decode(model(images))[0].numpy()
    rows, expected = recorded[f"decoded_rows{image}"], recorded[f"decoded{image}"]
    np.testing.assert_allclose(decoded[rows, :4], expected[:, :4], atol=1e-2, rtol=0)
    np.testing.assert_allclose(decoded[rows, 4:], expected[:, 4:], atol=1e-4, rtol=0)
    np.testing.assert_allclose(decoded.sum(0, dtype=np.float64), recorded[f"decoded_sum{image}"], rtol=1e-4)
    assert model.names[:3] == ("person", "bicycle", "car")
    assert len(model.names) == 80


@pytest.mark.parametrize("package", ["", "yolov5."])
@pytest.mark.parametrize("root_class", ["Model", "DetectionModel"])
@pytest.mark.parametrize("training", [False, True])
def test_a_file_of_three_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, root_class: str, training: bool
) -> None:
    model = small_model()
    save_official(model, tmp_path / "best.pt", monkeypatch, package, root_class, training)
    again = load(tmp_path / "best.pt")
    assert again.names == ("red", "white", "platelet")
    assert torch.allclose(again.anchors, model.anchors, rtol=1e-3)  # the file has them in half precision
    assert (again.strides, again.metadata) == ((4, 8), {"epoch": 4, "date": "now"})
    images = torch.rand(2, 3, 32, 64)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(again(images), model(images), strict=True))
    save(again, tmp_path / "own.safetensors")  # and on, in our own format
    with torch.no_grad():
        assert torch.equal(load(tmp_path / "own.safetensors")(images)[0], model(images)[0])


def test_another_activation_is_read_from_the_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model({**SPEC, "activation": "nn.LeakyReLU(0.1)"}).half().float().eval()
    save_official(model, tmp_path / "leaky.pt", monkeypatch)  # whose yaml says nothing of it
    again, images = load(tmp_path / "leaky.pt"), torch.rand(1, 3, 32, 32)
    assert again.spec["activation"] == "nn.LeakyReLU(0.1)"
    with torch.no_grad():
        assert torch.equal(again(images)[0], model(images)[0])
    model.layers[0].act = torch.nn.ReLU()
    save_official(model, tmp_path / "mixed.pt", monkeypatch)
    with pytest.raises(CheckpointError, match="mixes the activations"):
        load(tmp_path / "mixed.pt")


def test_another_eps_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    model.layers[0].bn.eps = 1e-5
    save_official(model, tmp_path / "eps.pt", monkeypatch)
    with pytest.raises(CheckpointError, match="eps 1e-05"):
        load(tmp_path / "eps.pt")


# What a file must not be able to do ---------------------------------------------------------------------------------


def call(module: str, name: str, *arguments: str) -> bytes:
    """A pickle that calls module.name(*arguments), protocol 0 so that it can be read."""
    texts = "".join(f"V{argument}\n" for argument in arguments)
    return f"c{module}\n{name}\n({texts}tR.".encode()


def refused(tmp_path: Path, pickled: bytes, words: str, storages: dict[str, bytes] | None = None) -> None:
    path = write_pt(tmp_path / "evil.pt", pickled, storages)
    with pytest.raises(CheckpointError, match=words) as error:
        load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("__builtin__", "eval"),
        ("builtins", "getattr"),
        ("builtins", "__import__"),
        ("importlib", "import_module"),
        ("functools", "partial"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch.serialization", "load"),
        ("numpy", "load"),
        ("pathlib", "os.system"),
        ("collections", "OrderedDict.fromkeys"),
        ("models.common", "Evil"),
        ("models.common", "Conv.forward"),
        ("models.yolo", "os"),
        ("yolov5.models.common", "Evil"),
        ("torch.nn.modules.module", "os"),
        ("torch.nn.modules.conv", "Conv2d.__init__"),
        ("yolo_lite.model.unpickle", "Builder"),
    ],
)
def test_a_name_that_is_not_on_the_list(tmp_path: Path, module: str, name: str) -> None:
    marker = tmp_path / "ran"
    shown = module.removeprefix("yolov5.").replace("__builtin__", "builtins")
    refused(tmp_path, call(module, name, f"touch {marker}"), rf"it asks for {shown}\.{name}")
    assert not marker.exists()


def test_a_reduce_inside_a_reduce(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    inner = call("os", "system", f"touch {marker}")[:-1]
    refused(tmp_path, b"ccollections\nOrderedDict\n((l(" + inner + b"V1\ntatR.", "it asks for os.system")
    twice = b"ccollections\nOrderedDict\n(tR(tR."  # calls what the call gave
    refused(tmp_path, twice, "damaged")
    assert not marker.exists()


class Popen:
    """Pickles as a call of os.system; the protocol decides how the name is written."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple:
        import os

        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_protocol(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "ran"
    content = {"model": [Popen(f"touch {marker}")]}
    refused(tmp_path, pickle.dumps(content, protocol), r"it asks for (posix|nt|os)\.system")
    torch.save(content, tmp_path / "saved.pt")
    with pytest.raises(CheckpointError, match="system"):
        load(tmp_path / "saved.pt")
    assert not marker.exists()


@pytest.mark.parametrize(
    "target",
    [
        b"ccollections\nOrderedDict\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch\nFloatStorage\n",
        b"cmodels.common\nConv\n",
        b"c__builtin__\nset\n",
        b"(l",
        b"V1\n",
    ],
)
def test_attributes_cannot_be_set(tmp_path: Path, target: bytes) -> None:
    """BUILD with a dict, and with the pair that sets slots: on a function it could replace its defaults."""
    attributes = b"(dV__defaults__\n(V1\nts"
    refused(tmp_path, target + attributes + b"b.", "sets attributes|damaged")
    refused(tmp_path, target + b"(N" + attributes + b"tb.", "sets attributes|damaged")
    model = small_model()
    assert model(torch.zeros(1, 3, 8, 8))[0].shape == (1, 3, 2, 2, 8)


def storage(numel: int = 4) -> bytes:
    return b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI%d\ntQ" % numel


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (b"(%b I0\n(I5\nt(I1\ntI00\n(dtR" % storage(), "beyond its storage"),
        (b"(%b I1\n(I4\nt(I1\ntI00\n(dtR" % storage(), "beyond its storage"),
        (b"(%b I0\n(I2\nt(I4\ntI00\n(dtR" % storage(), "beyond its storage"),
        (b"(%b I-1\n(I2\nt(I1\ntI00\n(dtR" % storage(), "makes no sense"),
        (b"(%b I0\n(I2\nt(I-1\ntI00\n(dtR" % storage(), "makes no sense"),
        (b"(%b I0\n(I2\nI2\nt(I1\ntI00\n(dtR" % storage(), "makes no sense"),
        (b"(%b I0\n(I1000000000000\nt(I0\ntI00\n(dtR" % storage(), "beyond its storage"),
        (b"(V0\nI0\n(I2\nt(I1\ntI00\n(dtR", "without a storage"),
        (b"(VnotaQ", "damaged|no storage"),
    ],
)
def test_a_tensor_outside_its_storage(tmp_path: Path, tensor: bytes, words: str) -> None:
    pickled = b"ctorch._utils\n_rebuild_tensor_v2\n" + tensor.replace(b" ", b"") + b"."
    refused(tmp_path, pickled, words, {"0": struct.pack("<4f", 1, 2, 3, 4)})


def test_a_small_pickle_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    refused(tmp_path, b"\x80\x02]r\xff\xff\xff\x7f.", "memo index")
    refused(tmp_path, b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".", "damaged|BYTEARRAY8")
    refused(tmp_path, b"\x80\x02X\xff\xff\xff\x7f.", "damaged")


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_zips_of_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(CheckpointError, match=r"no data\.pkl"):
        load(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10**6)
    with pytest.raises(CheckpointError, match="compressed"):
        load(path)
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))
    with pytest.raises(CheckpointError, match="TorchScript"):
        load(path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999])
def test_truncated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    path = tmp_path / "best.pt"
    save_official(small_model(), path, monkeypatch)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CheckpointError, match="damaged or truncated"):
        load(path)


def test_models_of_other_kinds(tmp_path: Path) -> None:
    refused(tmp_path, call("ultralytics.nn.tasks", "DetectionModel"), "newer, anchor-free")
    refused(tmp_path, call("models.yolo", "SegmentationModel"), "segmentation or classification")
    refused(tmp_path, call("models.yolo", "ClassificationModel"), "segmentation or classification")
    torch.save(small_model().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="weights without an architecture"):
        load(tmp_path / "weights.pt")
    torch.save(small_model().state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"before 1\.6"):
        load(tmp_path / "old.pt")
    refused(tmp_path, call("models.yolo", "Model"), "no part named|_modules|no `yaml`")
    refused(tmp_path, b"N.", "no model")


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # in damaged texts
@pytest.mark.parametrize("what", ["anywhere", "pickle"])
def test_mutated_files_load_or_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """200 times up to eight bytes changed: in the zip, or in the pickle of a zip that is otherwise sound."""
    path = tmp_path / "best.pt"
    save_official(small_model(), path, monkeypatch)
    content, chance, refusals = path.read_bytes(), random.Random(0), 0
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    pickle_name = next(name for name in entries if name.endswith("data.pkl"))
    before = sorted(tmp_path.iterdir())
    for _ in range(200):
        damaged = bytearray(content if what == "anywhere" else entries[pickle_name])
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        if what == "anywhere":
            path.write_bytes(damaged)
        else:
            with zipfile.ZipFile(path, "w") as archive:
                for name, data in (entries | {pickle_name: bytes(damaged)}).items():
                    archive.writestr(name, data)
        try:
            load(path)
        except CheckpointError:
            refusals += 1
    assert refusals > 100
    assert sorted(tmp_path.iterdir()) == before
