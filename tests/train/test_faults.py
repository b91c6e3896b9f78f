"""Full disks, unwritable folders, Ctrl-C, numbers that are none: the last checkpoint stays whole, and a sentence says
how to go on."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.train.kills import SERVER
from tests.train.runs import digest, new_run, resumed_run
from yolo_lite import writing
from yolo_lite.running import diagnose
from yolo_lite.running.diagnose import BatchTooLargeError, Memory, NonFiniteLossError, TrainingError, batch_that_fits

PROJECT = Path(__file__).parents[2]


class FullDisk:
    """Takes half of what is written; stands where ``writing`` finds ``open``."""

    def __init__(self, path, mode):
        self.file = open(path, mode)  # noqa: SIM115

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, data: bytes) -> int:
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk(tmp_path, monkeypatch):
    new_run(tmp_path / "whole", epochs=2).fit()
    trainer = new_run(tmp_path / "cut", epochs=2)
    steps = trainer.steps()
    while next(steps).iteration < 4:
        pass
    before = {path.name: path.read_bytes() for path in (tmp_path / "cut").iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(writing, "open", FullDisk, raising=False)
        with pytest.raises(TrainingError, match=r"cut.*No space left.*Trainer\.resume\(.*cut.*--resume"):
            list(steps)
    assert {path.name: path.read_bytes() for path in (tmp_path / "cut").iterdir()} == before
    resumed_run(tmp_path / "cut").fit()
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")


def run_with_small_files(out_dir: Path, limit: int) -> None:
    """The system itself refuses files larger than the limit."""
    import resource

    trainer = new_run(out_dir, epochs=2)
    steps = trainer.steps()
    next(steps)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        list(steps)
    except TrainingError as error:
        (out_dir / "message").write_text(str(error))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_file_that_may_not_grow(tmp_path):
    new_run(tmp_path / "whole", epochs=2).fit()
    process = SERVER.Process(target=run_with_small_files, args=(tmp_path / "cut", 20_000))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert "File too large" in (tmp_path / "cut" / "message").read_text()
    resumed_run(tmp_path / "cut").fit()
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"file/run: .*out_dir"):
        new_run(tmp_path / "file" / "run")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(TrainingError, match=r"run: Permission denied.*out_dir"):
            new_run(tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_that_vanished(tmp_path):
    trainer = new_run(tmp_path / "run", epochs=1)
    steps = trainer.steps()
    next(steps)
    (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.raises(TrainingError, match=r"cannot save to .*run: .*there is no folder"):
        list(steps)
    assert resumed_run(tmp_path / "moved").iteration == 0


# ------------------------------------------------------------------------------------------------------------- Ctrl-C

SCRIPT = """
import sys
from pathlib import Path
from tests.train.runs import new_run
class Say:
    def on_batch_end(self, trainer, step):
        print(step.iteration, flush=True)
    def on_break(self, trainer, error):
        print("broken off by", type(error).__name__, flush=True)
new_run(Path(sys.argv[1]), (Say(),), save_every=0, epochs=1000).fit()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process alone")
def test_ctrl_c(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "run")], cwd=PROJECT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    while process.stdout.readline().strip() != "6":
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert said.splitlines()[-1] == "broken off by KeyboardInterrupt"
    last = errors.strip().splitlines()[-1]
    assert re.match(r"KeyboardInterrupt: .*epoch \d+.*\d of 4 batches", last)
    assert f"Trainer.resume('{tmp_path / 'run'}').fit() or `yolo-lite train --resume {tmp_path / 'run'}`" in last
    assert "batches since the last checkpoint (save_every) will be done again" in last
    assert resumed_run(tmp_path / "run").iteration >= 6
    assert not list((tmp_path / "run").glob(".*"))


class Interrupt:
    def on_batch_end(self, trainer, step):
        raise KeyboardInterrupt


def test_ctrl_c_of_a_run_that_is_not_kept():
    with pytest.raises(KeyboardInterrupt, match=r"epoch 1, .*1 of 4 batches.*out_dir"):
        new_run(callbacks=(Interrupt(),), val=0).fit()


# --------------------------------------------------------------------------------------------- numbers that are none


def until_the_fault(trainer, iteration: int):
    steps = trainer.steps()
    while next(steps).iteration < iteration:
        pass
    return steps


def plain_run(out_dir: Path | None = None):
    return new_run(out_dir, val=0, image_weights=False, autobalance=False, multi_scale=False, nominal_batch=4)


def test_a_loss_that_is_no_number(tmp_path):
    trainer = plain_run(tmp_path)
    steps = until_the_fault(trainer, 5)
    before = digest(tmp_path)
    trainer.model.layers[1].register_forward_hook(lambda module, inputs, output: output * torch.inf)
    with pytest.raises(NonFiniteLossError) as caught:
        next(steps)
    message = str(caught.value)
    expected = trainer.loader.batch_sampler.batches(1)[2]
    for index in expected:
        assert f"shapes/train/{index:06d}" in message
    assert message.count("shapes/train/") == 4
    assert "layer 1 (Conv), in layers.1." in message
    assert "box nan" in message
    assert f"Trainer.resume('{tmp_path}')" in message
    assert digest(tmp_path) == before
    assert resumed_run(tmp_path, val=0).iteration == 4


def test_where_it_began():
    trainer = plain_run()
    model, images = trainer.model, torch.rand(2, 3, 64, 64)
    assert diagnose.first_non_finite(model, images) == "All layers give finite numbers, so it began in the loss"
    assert diagnose.first_non_finite(model, images / 0) == "It began in the images themselves"
    hook = model.layers[2].act.register_forward_hook(lambda module, inputs, output: output * torch.nan)
    assert diagnose.first_non_finite(model, images) == "It began in layer 2 (Conv), in layers.2.act"
    hook.remove()
    nested = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1), torch.nn.ReLU())
    nested[1].register_forward_hook(lambda module, inputs, output: output * torch.nan)
    assert diagnose.first_non_finite(nested, images) == "It began in 1 (ReLU)"
    assert not any(module._forward_hooks for module in model.modules())
    with torch.no_grad():
        model.layers[0].conv.weight[0] = torch.nan
    assert diagnose.first_non_finite(model, images).startswith("It began in the weights: layers.0.conv.weight")


def test_a_gradient_that_is_no_number():
    trainer = plain_run()
    steps = until_the_fault(trainer, 2)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.model.layers[0].conv.weight.register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(NonFiniteLossError, match=r"gradient of layers\.0\.conv\.weight"):
        next(steps)
    assert all(map(torch.equal, before, trainer.model.parameters()))


@pytest.mark.parametrize("which", ["model", "ema"])
def test_broken_weights_are_not_saved(tmp_path, which):
    trainer = plain_run(tmp_path)
    until_the_fault(trainer, 5)
    before = digest(tmp_path)
    broken = trainer.model if which == "model" else trainer.ema.model
    with torch.no_grad():
        next(broken.parameters())[0] = torch.nan
    with pytest.raises(NonFiniteLossError, match=r"layers\.0\.conv\.weight hold NaN"):
        trainer.save(best=True)
    assert digest(tmp_path) == before


# --------------------------------------------------------------------------------------------------------- memory


def test_out_of_memory_suggests_a_batch():
    trainer = plain_run()

    def full(images):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    trainer.network = full
    with pytest.raises(BatchTooLargeError, match=r"4 images of 64 x 64 pixels.*cpu.*batch_size=2"):
        next(trainer.steps())


def test_other_errors_pass():
    trainer = plain_run()

    def broken(images):
        raise RuntimeError("something else")

    trainer.network = broken
    with pytest.raises(RuntimeError, match="something else"):
        next(trainer.steps())


def test_the_batch_that_fits():
    assert batch_that_fits(Memory(10_000, 1_100, 1_200), 256) == 80  # 90 % of 10000 = 1000 fixed + 80 x 100
    assert batch_that_fits(Memory(1_000, 1_100, 1_200), 16) == 1
    assert batch_that_fits(Memory(10_000, 1_100, 1_200), 32) == 31  # it did not fit, whatever was measured


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_batch_that_fits_a_gpu_fits():
    from yolo_lite.running.diagnose import within_memory

    weights = torch.ones(1 << 20, device="cuda", requires_grad=True)

    def gradients(images, targets):
        (images.flatten(1).repeat(1, 64) * weights[: 64 * images[0].numel()].sigmoid()).exp().sum().backward()

    images = torch.rand(1, 3, 64, 64, device="cuda").expand(1 << 16, 3, 64, 64)
    with pytest.raises(BatchTooLargeError, match=r"batch_size=\d+"):
        within_memory(gradients, images, torch.zeros(0, 6))
