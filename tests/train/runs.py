"""Runs of a few seconds: a network of a few channels on a few small drawn scenes."""

import copy
import hashlib
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import distributed

from yolo_lite.data.dataset import YoloDataset
from yolo_lite.datasets.shapes import Shapes
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.yolo import Yolo, create_model
from yolo_lite.train.trainer import Trainer

PROJECT = Path(__file__).parents[2]
SIZE = 64
ANCHORS = [[8, 8, 16, 12], [24, 24, 40, 40]]
HYP = Hyperparameters(mixup=0.2, degrees=5)
TINY: dict[str, Any] = {
    "nc": 6,
    "anchors": ANCHORS,
    "depth_multiple": 1.0,
    "width_multiple": 1.0,
    "backbone": [[-1, 1, "Conv", [8, 3, 4]], [-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [8, 3, 2]]],
    "head": [[[1, 2], 1, "Detect", ["nc", "anchors"]]],
}
# Nothing in it looks at other images of the batch, so that a batch in two parts gives what it gives whole.
WITHOUT_NORM: dict[str, Any] = TINY | {
    "backbone": [
        [-1, 1, "nn.Conv2d", [8, 5, 4, 2]],
        [-1, 1, "nn.MaxPool2d", [2, 2, 0]],
        [-1, 1, "nn.Conv2d", [8, 3, 2, 1]],
    ]
}
# Everything that a checkpoint must keep: accumulation, moments, balance, weights of images, sizes.
RICH: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 4,
    "nominal_batch": 8,
    "least_warmup": 3,
    "optimizer": "Adam",
    "autobalance": True,
    "image_weights": True,
    "multi_scale": True,
    "auto_anchors": False,
    "device": "cpu",
}


def tiny(spec: dict[str, Any] = TINY, seed: int = 0) -> Yolo:
    return create_model(copy.deepcopy(spec), names=Shapes.names, seed=seed)


def scenes(
    split: str = "train", count: int = 16, augment: bool | None = None, hyp: Hyperparameters = HYP
) -> YoloDataset:
    augment = split == "train" if augment is None else augment
    return YoloDataset(Shapes(split, SIZE, count), SIZE, hyp, augment=augment)


def new_run(
    out_dir: Path | None = None, callbacks: tuple = (), val: int = 4, hyp: Hyperparameters = HYP, **options: Any
) -> Trainer:
    """A run with all there is to keep, unless told otherwise."""
    validation = scenes("val", val) if val else None
    settings = RICH | options
    return Trainer(tiny(), scenes(hyp=hyp), validation, hyp, out_dir=out_dir, callbacks=callbacks, **settings)


def resumed_run(out_dir: Path, callbacks: tuple = (), val: int = 4) -> Trainer:
    return Trainer.resume(out_dir, train=scenes(), val=scenes("val", val) if val else None, callbacks=callbacks)


def digest(out_dir: Path) -> str:
    """Of all tensors in a run's state: weights, average, moments, balance."""
    tensors = safetensors.torch.load_file(out_dir / "state.safetensors")
    summed = hashlib.sha256()
    for name in sorted(tensors):
        summed.update(name.encode() + tensors[name].numpy().tobytes())
    return summed.hexdigest()


def torchrun(*command: str, timeout: float = 300, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a script, or a module after "-m", in two processes of one thread each, from the project's root."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    if not has_libuv():
        return _started_by_hand(command, timeout, environment)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *command]
    return subprocess.run(run, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=timeout)


def _started_by_hand(
    command: tuple[str, ...], timeout: float, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """What torchrun does, which does not start where PyTorch was built without libuv."""
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "USE_LIBUV": "0"}
    places = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    pipe, run = subprocess.PIPE, [sys.executable, *command]
    processes = [
        subprocess.Popen(run, cwd=PROJECT, env=environment | shared | place, stdout=pipe, stderr=pipe, text=True)
        for place in places
    ]

    def output_of(process: subprocess.Popen[str]) -> tuple[str, str]:
        said = process.communicate(timeout=timeout)
        if process.returncode:  # the other one may wait for it
            for each in processes:
                each.terminate()
        return said

    try:
        with ThreadPoolExecutor() as pool:  # a process whose output nobody reads stops when the pipe is full
            said = list(pool.map(output_of, processes))
    finally:
        for process in processes:
            process.kill()
    code = max(abs(process.returncode) for process in processes)
    return subprocess.CompletedProcess(run, code, *("".join(streams) for streams in zip(*said, strict=True)))


def has_libuv() -> bool:
    """Whether this PyTorch was built with libuv, without which torchrun does not start."""
    try:
        distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, use_libuv=True)
    except RuntimeError as error:
        if "libuv" not in str(error):
            raise
        return False
    return True


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
