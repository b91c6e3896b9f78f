"""Official .pt files: equal to the recorded outputs, and nothing in a file is ever run."""

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import functools
import logging
import math
import operator
import pathlib
import pickle
import random
import re
import struct
import sys
import tracemalloc
import types
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from yolo_lite.checkpoints import archive
from yolo_lite.checkpoints.own import CheckpointError, load, save
from yolo_lite.checkpoints.unpickle import HOSTILE
from yolo_lite.model.yolo import Yolo, create_model

from .official_files import SPEC, save_official, small_model, with_extra, write_pt


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
    with pytest.raises(CheckpointError, match="activations"):
        load(tmp_path / "mixed.pt")


def test_another_eps_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    model.layers[0].bn.eps = 1e-5
    save_official(model, tmp_path / "eps.pt", monkeypatch)
    with pytest.raises(CheckpointError, match="eps 1e-05"):
        load(tmp_path / "eps.pt")


# What lies beside the network has no say -----------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1


class Flag(enum.IntFlag):
    A = 1
    B = 2


class Settings(dict):
    """A dict with attributes, as many trainers have their own."""

    def __init__(self, **values: object) -> None:
        super().__init__(values)
        self.__dict__ = self


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a, self.b = 1, [2]


Point = collections.namedtuple("Point", "x y")


def inert_things() -> dict[str, object]:
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    tagged = torch.ones(3)
    tagged.note = "an attribute"
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.note = "an attribute"
    return {
        "paths": [pathlib.PurePosixPath("runs/exp"), pathlib.PureWindowsPath(r"C:\runs\exp"), Path("x")],
        "collections": [
            collections.Counter("abba"),
            collections.deque([1, 2], maxlen=3),
            collections.defaultdict(list, a=[1]),
            collections.OrderedDict(a=1),
            collections.ChainMap({"a": 1}),
            Point(1, 2),
        ],
        "time": [datetime.datetime.now(datetime.UTC), datetime.timedelta(1), datetime.date.today()],
        "numpy": [np.float32(1), np.int64(2), np.dtype("float32"), np.arange(3), np.str_("x"), np.datetime64("now")],
        "random": [np.random.default_rng(0), np.random.RandomState(0), random.Random(0), random.getstate()],
        "torch": [torch.device("cpu"), torch.float16, torch.Size([1, 2]), torch.strided],
        "tensors": [
            tagged,
            parameter,
            torch.zeros(2, dtype=torch.complex64),
            torch.eye(2).to_sparse(),
            torch.Generator,
        ],
        "arguments": argparse.Namespace(freeze={0, 1}, weights=Path("x"), device=torch.device("cpu")),
        "settings": [Settings(lr=0.1), types.SimpleNamespace(a=1), fractions.Fraction(1, 2), decimal.Decimal("1.5")],
        "enums": [Colour.RED, Flag.A | Flag.B, {Colour.RED: 1}, {frozenset([1, 2]): 3}, {Point(1, 2): 4}],
        "callables": [functools.partial(len, [1]), len, "".join, math.sqrt, operator.itemgetter(1), network.forward],
        "logger": logging.getLogger("test"),
        "others": [Slotted(), slice(1, 2), range(3), complex(1, 2), bytearray(b"x"), b"bytes", re.compile("a+")],
        "exceptions": [ValueError("x"), NotImplemented, Ellipsis, type(None), uuid.UUID(int=3)],
        "optimizer": optimizer,
        "optimizer_state": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3).state_dict(),
        "module": torch.nn.Sequential(network, torch.nn.BatchNorm1d(2), torch.nn.CrossEntropyLoss()),
        "git": {"remote": None, "branch": "main", "commit": "abc"},
        5: {1.5: None, (1, 2): "keys of any kind", None: True},
    }


@pytest.mark.parametrize("name", list(inert_things()))
@pytest.mark.parametrize("protocol", [2, 4])
def test_inert_things_beside_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: object, protocol: int
) -> None:
    model, thing = small_model(), inert_things()[name]
    monkeypatch.setattr(torch.serialization, "DEFAULT_PROTOCOL", protocol)
    save = functools.partial(torch.save, pickle_protocol=protocol)
    monkeypatch.setattr(torch, "save", save)
    save_official(model, tmp_path / "best.pt", monkeypatch, content=lambda network: {name: thing, "model": network})
    again = load(tmp_path / "best.pt")
    assert again.names == model.names
    assert same_outputs(again, model)


def same_outputs(model: Yolo, other: Yolo, tolerance: float = 0.0) -> bool:
    images = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pairs = zip(model(images), other(images), strict=True)
        return all(torch.allclose(a, b, rtol=0, atol=tolerance) for a, b in pairs)


class ModelEMA:
    """Under this name training scripts keep the average of the weights."""

    def __init__(self, ema: nn.Module) -> None:
        self.ema, self.updates = ema, 7


class AutoShape(nn.Module):
    """Under this name the reference's hub hands out its models."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


CONTAINERS: dict[str, Callable[[nn.Module], object]] = {
    "the model alone": lambda network: network,
    "model None": lambda network: {"model": None, "ema": network},
    "no ema": lambda network: {"model": network},
    "data parallel": lambda network: {"model": nn.DataParallel(network), "ema": None},
    "data parallel alone": lambda network: nn.DataParallel(network),
    "average as an object": lambda network: {"model": None, "ema": ModelEMA(network)},
    "average and updates": lambda network: {"model": None, "ema": (network, 7)},
    "from the hub": lambda network: AutoShape(AutoShape(network)),
    "float32": lambda network: {"model": network.float()},
    "float64": lambda network: {"model": network.double()},
    "bfloat16": lambda network: {"model": network.bfloat16()},
    "an OrderedDict": lambda network: collections.OrderedDict(epoch=1, model=network),
}


@pytest.mark.parametrize("how", list(CONTAINERS))
def test_where_a_training_script_puts_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    model = small_model()
    save_official(model, tmp_path / "best.pt", monkeypatch, content=CONTAINERS[how])
    assert same_outputs(load(tmp_path / "best.pt"), model, 0.1 if how == "bfloat16" else 0.0)


def test_an_average_that_is_no_network_is_passed_over_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model()
    save_official(
        model,
        tmp_path / "best.pt",
        monkeypatch,
        content=lambda network: {"model": network, "ema": network.state_dict()},
    )
    with pytest.warns(UserWarning, match="'ema'"):
        again = load(tmp_path / "best.pt")
    assert same_outputs(again, model)


@pytest.mark.parametrize("name", ["best.pt", "code.pt", "data.pt", "archive.zip", "Modell ü.pt"])
def test_any_name_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """torch.save calls the folder inside the zip after the file."""
    save_official(small_model(), tmp_path / name, monkeypatch)
    assert load(tmp_path / name).num_classes == 3


def test_older_zips_have_no_byte_order_and_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_official(small_model(), tmp_path / "new.pt", monkeypatch)
    with zipfile.ZipFile(tmp_path / "new.pt") as new, zipfile.ZipFile(tmp_path / "old.pt", "w") as old:
        for name in new.namelist():
            if name.split("/")[-1] == "data.pkl" or "/data/" in name:
                old.writestr(name.replace("new/", "archive/"), new.read(name))
        old.writestr("archive/version", b"2\n")
    assert same_outputs(load(tmp_path / "old.pt"), small_model())


def test_a_fused_model_is_read_as_fused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its convolutions hold a bound method in place of ``forward``: it is a name like any other here."""
    model = small_model()

    def fused(network: nn.Module) -> object:
        for module in network.float().modules():
            if type(module).__name__ == "Conv":
                module.conv = fuse_conv_bn_eval(module.conv.eval(), module.bn.eval())
                del module.bn
                module.forward = module.extra_repr
        return {"model": network}

    save_official(model, tmp_path / "fused.pt", monkeypatch, content=fused)
    again = load(tmp_path / "fused.pt")
    assert same_outputs(again, model, 1e-4)
    save(again, tmp_path / "own.safetensors")
    assert same_outputs(load(tmp_path / "own.safetensors"), again)


@pytest.mark.parametrize(
    "names",
    [
        {"0": "red", "1": "white", "2": "platelet"},
        {2: "platelet", 0: "red", 1: "white"},
        ["red", "white", "platelet"],
        ("red", "white", "platelet"),
        [np.str_("red"), np.str_("white"), "platelet"],
        collections.OrderedDict([(0, "red"), (1, "white"), (2, "platelet")]),
        Settings(**{"0": "red", "1": "white", "2": "platelet"}),
        {np.int64(0).item(): "red", 1: "white", 2: "platelet"},
    ],
)
def test_names_of_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: object) -> None:
    def named(network: nn.Module) -> object:
        network.names = names
        return {"model": network}

    save_official(small_model(), tmp_path / "best.pt", monkeypatch, content=named)
    assert load(tmp_path / "best.pt").names == ("red", "white", "platelet")


@pytest.mark.parametrize(
    ("names", "expected", "said"),
    [
        (["red", "white"], ("red", "white", "class2"), "2"),
        (["red", "white", "platelet", "dust"], ("red", "white", "platelet"), "dust"),
        ({0: "red", 2: "platelet"}, ("red", "class1", "platelet"), "1"),
        ({"1": "red", "2": "white", "3": "platelet"}, ("class0", "red", "white"), "platelet"),
        ([Path("a"), "white", "platelet"], None, "0"),
    ],
)
def test_too_few_names_or_too_many_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: object, expected: tuple[str, ...] | None, said: str
) -> None:
    def named(network: nn.Module) -> object:
        network.names = names
        return {"model": network}

    save_official(small_model(), tmp_path / "best.pt", monkeypatch, content=named)
    with pytest.warns(UserWarning, match=said):
        found = load(tmp_path / "best.pt").names
    assert found == (expected or ("class0", "white", "platelet"))


@pytest.mark.parametrize("names", [None, [], {}, "cat", 3])
def test_without_names_the_classes_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: object) -> None:
    def named(network: nn.Module) -> object:
        network.names = names
        return {"model": network}

    save_official(small_model(), tmp_path / "best.pt", monkeypatch, content=named)
    assert load(tmp_path / "best.pt").names == ("class0", "class1", "class2")


def test_odd_entries_of_the_yaml_have_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(network: nn.Module) -> object:
        network.yaml |= {"nc": np.int64(3), "yaml_file": Path("x.yaml"), "note": Colour.RED, 7: None}
        return {"model": network}

    save_official(small_model(), tmp_path / "best.pt", monkeypatch, content=odd)
    assert same_outputs(load(tmp_path / "best.pt"), small_model())


@pytest.mark.parametrize(
    ("noted", "size"),
    [
        ({"opt": {"imgsz": 192}}, 192),
        ({"opt": argparse.Namespace(imgsz=320, weights=Path("x"))}, 320),
        ({"opt": argparse.Namespace(img_size=[640, 416])}, 640),
        ({"train_args": Settings(imgsz=416)}, 416),
        ({"opt": {"imgsz": np.int64(96)}}, 96),
        ({"opt": None, "hyp": {"imgsz": 128}}, 128),
        ({"opt": {"imgsz": "640"}}, None),
        ({"opt": {"imgsz": -1}}, None),
        ({"opt": {"imgsz": []}}, None),
        ({"opt": {"imgsz": float("nan")}}, None),
        ({"opt": 7}, None),
        ({}, None),
    ],
)
def test_the_image_size_is_read_where_it_was_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: dict, size: int | None
) -> None:
    save_official(small_model(), tmp_path / "best.pt", monkeypatch, content=lambda network: {"model": network, **noted})
    assert load(tmp_path / "best.pt").metadata.get("img_size") == size


def test_a_layer_that_is_not_known_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def foreign(network: nn.Module) -> object:
        network.model[2].add_module("extra", torch.nn.GRUCell(2, 2))
        return {"model": network}

    save_official(small_model(), tmp_path / "best.pt", monkeypatch, content=foreign)
    with pytest.raises(CheckpointError, match=r"GRUCell at 2\.extra"):
        load(tmp_path / "best.pt")


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


ATTACKS = [
    ("os", "system"),
    ("posix", "system"),
    ("nt", "execv"),
    ("subprocess", "Popen"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("__builtin__", "eval"),
    ("builtins", "__import__"),
    ("importlib", "import_module"),
    ("torch", "load"),
    ("torch.hub", "load"),
    ("torch.serialization", "load"),
    ("numpy", "load"),
    ("pathlib", "os.system"),
    ("types", "FunctionType"),
    ("pickle", "loads"),
]
HARMLESS_OR_UNKNOWN = [  # read inertly: as a name that nothing is ever looked up for
    ("builtins", "getattr"),
    ("functools", "partial"),
    ("collections", "OrderedDict.fromkeys"),
    ("models.common", "Evil"),
    ("models.common", "Conv.forward"),
    ("models.yolo", "os"),
    ("yolov5.models.common", "Evil"),
    ("torch.nn.modules.module", "os"),
    ("torch.nn.modules.conv", "Conv2d.__init__"),
    ("yolo_lite.checkpoints.unpickle", "Builder"),
    ("operator", "methodcaller"),
    ("cloudpickle.cloudpickle", "_make_function"),
    ("torch.storage", "_load_from_bytes"),
    ("no_such_module", "no_such_name"),
]


@pytest.mark.parametrize(("module", "name"), ATTACKS)
def test_a_name_that_only_an_attack_writes_is_refused(tmp_path: Path, module: str, name: str) -> None:
    marker = tmp_path / "ran"
    shown = module.replace("__builtin__", "builtins")
    refused(tmp_path, call(module, name, f"touch {marker}"), rf"it asks for {shown}\.{name}")
    assert not marker.exists()


@pytest.mark.parametrize(("module", "name"), HARMLESS_OR_UNKNOWN)
def test_any_other_name_is_never_looked_up(tmp_path: Path, module: str, name: str) -> None:
    marker = tmp_path / "ran"
    inert = re.escape(f"{module.removeprefix('yolov5.')}.{name}")
    before = set(sys.modules)
    refused(
        tmp_path,
        call(module, name, f"touch {marker}"),
        f"it holds a {inert}, which was not run",
    )
    assert not marker.exists()
    assert set(sys.modules) == before


@pytest.mark.parametrize(("module", "name"), HARMLESS_OR_UNKNOWN)
def test_any_other_name_beside_the_network_has_no_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    marker = tmp_path / "ran"
    save_official(small_model(), tmp_path / "best.pt", monkeypatch)
    beside = call(module, name, f"touch {marker}")[:-1]
    before = set(sys.modules)
    again = load(with_extra(tmp_path / "best.pt", tmp_path / "odd.pt", beside))
    assert again.names == ("red", "white", "platelet")
    assert not marker.exists()
    assert set(sys.modules) == before


@pytest.mark.parametrize(("module", "name"), ATTACKS)
def test_an_attack_beside_a_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    marker = tmp_path / "ran"
    save_official(small_model(), tmp_path / "best.pt", monkeypatch)
    path = with_extra(tmp_path / "best.pt", tmp_path / "odd.pt", call(module, name, f"touch {marker}")[:-1])
    with pytest.raises(CheckpointError, match=r"odd\.pt: "):
        load(path)
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
        (b"(V0\nI0\n(I2\nt(I1\ntI00\n(dtR", "expected a YOLOv5 model"),  # no storage: inert
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
    names = b"".join(b"cm\nN%d\n0" % number for number in range(5000))  # a class each
    refused(tmp_path, names + b"N.", "names more than 2000")
    refused(tmp_path, b"\x80\x02}N" + b"\x85" * 1_000_000 + b"K\x01s.", "tuples inside each other")


def test_a_large_pickle_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its check takes seconds per MB; the limit is eight times the largest official file's 0.5 MB."""
    monkeypatch.setattr(archive, "check_opcodes", lambda data: pytest.fail("it is read"))
    refused(tmp_path, b"\x80\x02" + b"]" * 2**22 + b"a" * (2**22 - 1) + b".", "larger than 4 MB")


def test_opcodes_that_take_more_than_there_is() -> None:
    for data in (b"a.", b"]a.", b"0.", b"e.", b"\x86.", b"N\x86.", b"(00].", b"h\x00.", b"]q\x00h\x01.", b"Nb."):
        with pytest.raises(CheckpointError, match="damaged"):
            archive.check_opcodes(data)
    for data in (
        b"(].",
        b"(]N\x86.",
        b"]N\x86.",
        b"](NNe.",
        b"}NNs.",
        b"}(NNu.",
        b"(NNt.",
        b"N0N.",
        b"(0N.",
        b"]q\x00h\x00a.",
    ):
        archive.check_opcodes(data)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("socket", "AF_INET"),
        ("socket", "AddressFamily"),
        ("ctypes", "c_float"),
        ("subprocess", "CalledProcessError"),
        ("shutil", "SameFileError"),
        ("pickle", "PicklingError"),
    ],
)
def test_harmless_names_of_dangerous_modules_are_inert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    assert not HOSTILE.search(f"{module}.{name}")
    refused(tmp_path, call(module, name), "expected a YOLOv5 model")


@pytest.mark.parametrize(
    "name",
    ["subprocess.Popen", "subprocess.run", "subprocess._args_from_interpreter_flags", "socket.socket", "ctypes.CDLL",
     "ctypes.cdll", "ctypes.memmove", "shutil.rmtree", "importlib.import_module", "pickle.loads", "_pickle.Unpickler",
     "marshal.loads", "pty.spawn", "webbrowser.open", "runpy.run_path", "pdb.set_trace"],
)  # fmt: skip
def test_names_that_only_an_attack_uses(tmp_path: Path, name: str) -> None:
    refused(tmp_path, call(*name.rsplit(".", 1)), "an attack does")


@pytest.mark.parametrize("call", [b"cbuiltins\nset\n", b"ctorch\nSize\n", b"cpathlib\nPosixPath\n", b"cm\nN\n"])
@pytest.mark.parametrize("what", [b"]", b"("])
def test_calls_with_the_same_long_list_copy_nothing(tmp_path: Path, call: bytes, what: bytes) -> None:
    """100,000 values, given to 2,000 calls of a few bytes each: copies of them would take 1.6 GB."""
    values = b"K\x01" * 100_000
    arguments = b"](" + values + b"e\x85" if what == b"]" else b"(" + values + b"t"  # one list, or so many arguments
    data = b"\x80\x02](" + call + b"q\x00" + arguments + b"q\x02R" + b"h\x00h\x02R" * 2000 + b"e."
    tracemalloc.start()
    refused(tmp_path, data, "not hold a model|damaged")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


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
    with pytest.raises(CheckpointError, match="damaged"):
        load(path)


def test_models_of_other_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path, call("ultralytics.nn.tasks", "DetectionModel"), "YOLOv8")
    refused(tmp_path, call("models.yolo", "SegmentationModel"), "SegmentationModel")
    refused(tmp_path, call("models.yolo", "ClassificationModel"), "ClassificationModel")
    torch.save(small_model().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=r"state_dict.*load_state_dict"):
        load(tmp_path / "weights.pt")
    torch.save({"model": small_model()}, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=r"yolo_lite.*yl\.save\(model, path\)"):
        load(tmp_path / "weights.pt")
    for head, words in (("SegmentationModel", "segmentation"), ("ClassificationModel", "classification")):
        save_official(small_model(), tmp_path / "other.pt", monkeypatch, root_class=head)
        with pytest.raises(CheckpointError, match=words):
            load(tmp_path / "other.pt")
    foreign = {name.replace("layers.", "model."): value for name, value in small_model().state_dict().items()}
    for content in (foreign, {"model": foreign}, {"state_dict": foreign, "epoch": 3}):
        torch.save(content, tmp_path / "weights.pt")
        with pytest.raises(CheckpointError, match=r"state_dict.*torch\.save\(\{'model'"):
            load(tmp_path / "weights.pt")
    torch.save(small_model().state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"before 1\.6"):
        load(tmp_path / "old.pt")
    refused(tmp_path, call("models.experimental", "Ensemble"), r"holds a models\.experimental\.Ensemble")
    refused(tmp_path, call("models.yolo", "Model"), "no part named|_modules|no `yaml`")
    refused(tmp_path, b"N.", "not hold a model")


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
