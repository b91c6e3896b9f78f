"""Several processes on one run, started by ``torchrun``: each trains on its share of every batch.

Gradients are averaged over the processes before each step, so all of them hold the same weights all the time.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, distributed, nn

Value = TypeVar("Value")
# How long the others wait for the main process, which validates alone. One that died is noticed by torchrun at once.
PATIENCE = timedelta(hours=4)


class World(NamedTuple):
    """Which process this is, among how many."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # on this machine: which GPU

    @classmethod
    def current(cls) -> "World":
        """The processes that ``started`` has brought together; without that, one."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size(), int(os.environ.get("LOCAL_RANK", 0)))

    @property
    def is_main(self) -> bool:
        """The process that validates, saves and speaks."""
        return self.rank == 0

    def from_main(self, value: Value) -> Value:
        """What the main process says, everywhere; anything that can be pickled."""
        if self.size == 1:
            return value
        said = [value]
        distributed.broadcast_object_list(said)
        return said[0]

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def started() -> Iterator[World]:
    """Joins the processes that ``torchrun`` started; alone, does nothing.

    NCCL between GPUs, gloo between CPUs.

    >>> with started() as world:
    ...     world.is_main
    True
    """
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield World()
        return
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield World.current()
        distributed.barrier()  # nobody hangs up while another still listens
    finally:
        distributed.destroy_process_group()
        gc.collect()  # models that average hold its threads too, which must not outlive the interpreter


def wrapped(model: nn.Module, world: World, sync_bn: bool = False) -> nn.Module:
    """The model as the loop calls it: alone as it is, otherwise with gradients averaged over the processes.

    What is to stay frozen must be so before. With sync_bn, the model's own BatchNorm layers are exchanged for those
    that share their statistics; the names of its state stay.
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
    distributed.all_reduce(values)
    return values / world.size
