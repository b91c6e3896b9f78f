"""Two processes that torchrun starts: the same gradients, the same weights, every image once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.train.runs import HYP, PROJECT, SIZE, WITHOUT_NORM, digest, free_port, has_libuv, scenes, tiny, torchrun
from yolo_lite.data.loader import create_dataloader
from yolo_lite.running.distributed import World, distributed, mean_over_processes, wrapped

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or sys.platform == "win32", reason="needs torch.distributed with gloo"
)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    done = torchrun("-m", "tests.train.two_processes", str(folder), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def said(out: Path, name: str) -> list:
    return [json.loads((out / f"{name}-{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize(("place", "images"), [(0, 8), (1, 7)], ids=["even", "uneven"])
def test_the_averaged_gradient_is_that_of_the_whole_batch(out, place, images):
    here, there = (torch.load(out / f"gradients-{rank}.pt") for rank in range(2))
    model = tiny(WITHOUT_NORM).double()
    batch = list(create_dataloader(scenes(count=15), 8, shuffle=True))[place]
    assert len(batch.images) == images
    parts = model.criterion(HYP, SIZE)(model(batch.images.double() / 255), batch.targets)
    parts.total.backward()
    for name, p in model.named_parameters():
        assert torch.equal(here["gradients"][place][name], there["gradients"][place][name])
        torch.testing.assert_close(here["gradients"][place][name], p.grad, rtol=1e-9, atol=1e-12)
    total = here["totals"][place] + there["totals"][place]
    torch.testing.assert_close(total, parts.total.detach(), rtol=1e-9, atol=0)


def test_each_image_in_exactly_one_shard(out):
    shards = said(out, "shards")
    for epoch in range(10):
        images = [index for shard in shards for batch in shard["epochs"][epoch] for index in batch]
        assert sorted(images) == list(range(15))
        assert len(shards[0]["epochs"][epoch]) == len(shards[1]["epochs"][epoch])
    for shard in shards:
        assert set(shard["partners"]) == set(range(15))  # mosaics take from the whole set


def test_a_whole_run_of_two_processes(out):
    main, other = said(out, "run")
    assert main["batches"] == other["batches"] == 4
    assert main["count"] == [12, 3]
    assert other["count"] == [0, 0]  # callbacks run in the main process
    assert main["validates"]
    assert not other["validates"]
    assert main["class_maps"] == other["class_maps"] is not None
    assert (main["weights"], main["average"]) == (other["weights"], other["average"])
    assert main["hyp"] == other["hyp"] == [0.02, 0.5]  # a change reached both


def test_two_processes_resume(out):
    assert [each["begun_at"] for each in said(out, "run")] in ([5, 5], [6, 6])
    assert digest(out / "cut") == digest(out / "whole")


def test_frozen_layers_stay(out):
    assert [(out / f"frozen-{rank}").read_text() for rank in range(2)] == ["True", "True"]


def test_what_one_process_alone_is_told(out):
    main, other = said(out, "unlike")
    assert main == other
    for words, name in zip(main, ("epochs", "seed", "batch_size", "the training data"), strict=False):
        assert words.startswith(f"{name} differs between the processes")
    assert main[0].endswith("(1 in process 0, 2 in process 1): give all of them the same")
    assert main[-1] == "the run was stopped after 1 of 3 epochs: enough"


def test_as_many_processes_as_before(out):
    from tests.train.runs import resumed_run
    from yolo_lite.running.diagnose import TrainingError

    with pytest.raises(TrainingError, match=r"whole: .*2 processes.*1\b"):
        resumed_run(out / "whole")


FAILING = """
import torch
from tests.train.runs import new_run
from yolo_lite.running.distributed import distributed
torch.set_num_threads(1)
with distributed() as world:
    trainer = new_run(epochs=1, val=0)
    if world.rank == 1:
        trainer.model.layers[0].register_forward_hook(lambda module, inputs, output: output * torch.nan)
    trainer.fit()
"""


def test_an_error_in_one_process_ends_both(tmp_path):
    (tmp_path / "failing.py").write_text(f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n{FAILING}")
    done = torchrun(str(tmp_path / "failing.py"), CUDA_VISIBLE_DEVICES="")
    assert done.returncode != 0
    assert "NonFiniteLossError: " in done.stderr


def test_alone_everything_stays_as_it_is():
    model, values = tiny(), torch.ones(2)
    with distributed() as world:
        assert world == World() == World.current()
    assert wrapped(model, World()) is model
    assert mean_over_processes(values) is values
    assert World().broadcast("word") == "word"
    World().barrier()


def test_the_old_names_warn():
    with pytest.warns(DeprecationWarning, match="World.broadcast"):
        assert World().from_main("word") == "word"
    with pytest.warns(DeprecationWarning, match="World.barrier"):
        World().wait()


def test_a_pytorch_without_libuv_says_which_variable_to_set(monkeypatch):
    words = "use_libuv was requested but PyTorch was build without libuv support"  # PyTorch's own
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: fail(words))
    with pytest.raises(ConnectionError, match="USE_LIBUV=0"), distributed():
        pass
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: fail("no such host"))
    with pytest.raises(RuntimeError, match="no such host"), distributed():
        pass


def fail(words: str) -> None:
    raise RuntimeError(words)


@pytest.mark.skipif(has_libuv(), reason="this PyTorch has libuv: the first process would wait for the second")
def test_without_libuv_a_process_that_was_started_by_hand_says_so_in_a_sentence(tmp_path):
    run = [
        sys.executable,
        "-m",
        "yolo_lite",
        "train",
        "--data",
        "shapes",
        "--model",
        "yolov5n",
        "--out",
        str(tmp_path / "out"),
    ]
    places = {"RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    environment = os.environ | {"WORLD_SIZE": "2"} | places
    done = subprocess.run(run, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "USE_LIBUV=0" in done.stderr


def test_sync_bn_needs_cuda():
    with pytest.raises(ValueError, match=r"sync_bn.*CUDA"):
        wrapped(tiny(), World(0, 2), sync_bn=True)


# ------------------------------------------------------------------------------------------- a script of one's own

OWN_SCRIPT = """
import json, logging, sys
from pathlib import Path
import torch
import yolo_lite as yl
from tests.train.runs import TINY
from tests.train.test_inputs import OPTIONS
torch.set_num_threads(1)
out, data = Path(sys.argv[1]), sys.argv[2]

def train():
    options = {**OPTIONS, "epochs": 2, "batch_size": 1, "nominal_batch": 4}
    trainer = yl.Trainer(yl.create_model(TINY, names=("a", "b"), seed=0), data, out_dir=out / "run", **options)
    return trainer.fit()
"""
JOINED = """
said = []
logging.getLogger("yolo_lite.train").addFilter(lambda record: said.append(record.getMessage()) or True)
with yl.distributed() as world:
    trainer = train()
    loader = yl.create_dataloader(data, 2, split="val", img_size=64)
    answer = {
        "size": world.size,
        "batches": len(trainer.loader),
        "unreadable": sorted(problem.path for problem in trainer.unreadable),
        "warned": sorted(text.split(": ")[0] for text in said if "takes its place" in text),
        "weights": sum(p.detach().double().sum().item() for p in trainer.model.parameters()),
        "map": yl.evaluate(trainer.ema.model, loader).map,
        "validated": trainer.validate().map if world.is_main else None,
    }
    (out / f"own-{world.rank}.json").write_text(json.dumps(answer))
assert not torch.distributed.is_initialized()
"""


def own_script(tmp_path: Path, body: str) -> subprocess.CompletedProcess:
    from tests.train.test_inputs import damaged_run

    if not (tmp_path / "data").exists():
        damaged_run(tmp_path / "data")  # two damaged images for training
    (tmp_path / "own.py").write_text(f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n{OWN_SCRIPT}{body}")
    return torchrun(str(tmp_path / "own.py"), str(tmp_path), str(tmp_path / "data"))


def test_a_script_that_joins_its_processes(tmp_path):
    done = own_script(tmp_path, JOINED)
    assert done.returncode == 0, done.stderr[-4000:]
    main, other = said(tmp_path, "own")
    assert main["size"] == other["size"] == 2
    assert main["batches"] == other["batches"] == 4  # eight images, one of them in each process and batch
    assert main["weights"] == other["weights"]
    assert main["map"] == other["map"] == main["validated"]
    damaged = [str(tmp_path / "data" / "images" / "train" / name) for name in ("2.jpg", "7.jpg")]
    assert main["unreadable"] == other["unreadable"] == damaged  # whichever process met them
    assert main["warned"] == damaged  # each once, by one process
    assert other["warned"] == []


def test_a_script_that_joins_nobody_is_stopped(tmp_path):
    done = own_script(tmp_path, "train()")
    assert done.returncode != 0
    assert "2 processes (WORLD_SIZE)" in done.stderr
    assert "with yl.distributed():" in done.stderr
    assert not (tmp_path / "run").exists()


def test_going_on_with_a_run_needs_the_processes_joined_too(tmp_path, monkeypatch):
    from tests.train.runs import new_run, resumed_run

    new_run(tmp_path, epochs=1, val=0).save()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match=r"2 processes \(WORLD_SIZE\).*yl\.distributed"):
        resumed_run(tmp_path)
    monkeypatch.delenv("RANK")  # a variable of a cluster's, not of a launcher
    assert resumed_run(tmp_path, val=0).world == World()
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert resumed_run(tmp_path, val=0).world == World()
