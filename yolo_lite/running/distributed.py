"""Several processes on one run, started by ``torchrun``: each trains on its part of every batch (YOLOv5: DDP).

Gradients are averaged over the processes before each step, so all of them hold the same weights all the time. The
running statistics of BatchNorm are each process's own, of its part of the batches; those of the main process are saved.

Some builds of PyTorch have no libuv (Debian's, for example), and torchrun stops there with "use_libuv was requested".
Such processes are started without it, each with RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and USE_LIBUV=0
in its environment (README.md shows how).
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as processes

from yolo_lite._moved import warn_renamed

Value = TypeVar("Value")
# How long the others wait for the main process, which validates alone. One that died is noticed by torchrun at once.
PATIENCE = timedelta(hours=4)
NO_LIBUV = (
    "this PyTorch was built without libuv, by which processes find each other unless set otherwise: "
    "set USE_LIBUV=0 in the environment of each of them"
)


class World(NamedTuple):
    """Which process this is, among how many."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # on this machine: which GPU

    @classmethod
    def current(cls) -> "World":
        """The processes that ``distributed`` has joined; without that, one."""
        if not (processes.is_available() and processes.is_initialized()):
            return cls()
        return cls(processes.get_rank(), processes.get_world_size(), int(os.environ.get("LOCAL_RANK", 0)))

    @property
    def is_main(self) -> bool:
        """The process that validates, saves and prints. YOLOv5: `RANK in {-1, 0}`."""
        return self.rank == 0

    def broadcast(self, value: Value) -> Value:
        """The main process's value, in every process; anything that can be pickled."""
        if self.size == 1:
            return value
        values = [value]
        processes.broadcast_object_list(values)
        return values[0]

    def gathered(self, value: Value) -> list[Value]:
        """The values of all processes, in the order of their ranks, in every process; anything that can be pickled."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        processes.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        """Waits until all processes have come here."""
        if self.size > 1:
            processes.barrier()

    def from_main(self, value: Value) -> Value:
        """``broadcast``, by its old name."""
        warn_renamed("World.from_main", "World.broadcast")
        return self.broadcast(value)

    def wait(self) -> None:
        """``barrier``, by its old name."""
        warn_renamed("World.wait", "World.barrier")
        self.barrier()


@contextmanager
def distributed() -> Iterator[World]:
    """Joins the processes that ``torchrun`` started, inside the with statement; alone, does nothing.

    A script for several GPUs makes its Trainer in it; ``torchrun --nproc_per_node 2 script.py`` runs it::

        with yl.distributed() as world:
            trainer = yl.Trainer(model, "data.yaml", out_dir="run", epochs=100).fit()
            if world.is_main:  # the process that validates and saves
                print(trainer.validate())

    Processes that were joined already, by ``torch.distributed.init_process_group``, stay as they are.
    NCCL between GPUs, gloo between CPUs.

    Raises:
        ConnectionError: this PyTorch has no libuv, and USE_LIBUV is not 0.

    >>> with distributed() as world:
    ...     world.is_main
    True
    """
    if not is_unjoined():
        yield World.current()
        return
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    try:
        processes.init_process_group(backend, timeout=PATIENCE)
    except RuntimeError as error:
        raise (ConnectionError(NO_LIBUV) if "libuv" in str(error) else error) from None
    try:
        yield World.current()
        processes.barrier()  # nobody hangs up while another still listens
    finally:
        processes.destroy_process_group()
        gc.collect()  # models that average hold its threads too, which must not outlive the interpreter


def is_unjoined() -> bool:
    """Whether a launcher such as ``torchrun`` started several processes that have not joined each other yet."""
    several = int(os.environ.get("WORLD_SIZE") or 1) > 1 and "RANK" in os.environ
    return several and World.current().size == 1


def require_joined() -> None:
    """Raises ValueError where every one of several processes would train by itself, into one folder."""
    if is_unjoined():
        raise ValueError(
            f"this is one of {os.environ['WORLD_SIZE']} processes (WORLD_SIZE), and nobody joined them: each would "
            "train a model of its own. Make the Trainer inside `with yl.distributed():`"
        )


def wrapped(model: nn.Module, world: World, sync_bn: bool = False) -> nn.Module:
    """The model as the loop calls it: alone as it is, otherwise with gradients averaged over the processes.

    Layers that are to stay frozen must be frozen before. With sync_bn, the model's own BatchNorm layers are replaced by
    ones whose statistics are those of all processes; the names of its state stay.
    """
    if world.size == 1:
        return model
    device = next(model.parameters()).device
    if sync_bn and device.type != "cuda":
        raise ValueError("sync_bn needs CUDA: PyTorch's SyncBatchNorm has no CPU form")
    if sync_bn:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return nn.parallel.DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of a tensor over all processes; alone, the tensor."""
    world = World.current()
    if world.size == 1:
        return values
    values = values.clone()
    processes.all_reduce(values)
    return values / world.size
