"""Memory that serves the next sample or batch, instead of going back to the system in between.

The system clears each page (4 KiB) that it gives, which takes longer than writing pixels into it.
"""

import math
import os
import weakref
from functools import cache

import numpy as np
import torch
from torch import Tensor

LARGEST = (32 << 20) - (64 << 10)  # bytes: a little below the limit of glibc's own rule, 32 MiB
HEAD = 64  # bytes before the values in a block; the first is 1 while the block is lent
KEPT = 4  # blocks of a worker: one that it fills, two that are fetched in advance, one that the main process uses


@cache
def keep_freed_memory() -> None:
    """Lets the C library keep up to 64 MiB of freed memory, once per process.

    glibc gives blocks of many KiB back to the system when they are freed, and gets each page (4 KiB) anew, cleared:
    a third of the time of an augmented sample. It stops for blocks no larger than the largest that was ever freed, up
    to 32 MiB: see M_MMAP_THRESHOLD in mallopt(3). So such a block is taken and freed here; nothing is written into it,
    and no memory is used. The C libraries of other systems are not affected.
    """
    np.empty(LARGEST, np.uint8)


class SharedBlocks:
    """Blocks of shared memory in which a worker process hands values to the main process, which gives them back.

    >>> blocks = SharedBlocks()
    >>> lent = blocks.lend((2, 3)).fill_(7)
    >>> received = take_over(whole_block(lent), (2, 3))
    >>> received.tolist(), blocks.lend((2, 3)).data_ptr() == lent.data_ptr()
    ([[7, 7, 7], [7, 7, 7]], False)
    >>> del received
    >>> blocks.lend((2, 3)).data_ptr() == lent.data_ptr()
    True
    """

    def __init__(self) -> None:
        self._blocks: list[Tensor] = []  # (HEAD + bytes,) uint8 each

    def lend(self, shape: tuple[int, ...]) -> Tensor:
        """Room for values of a shape, uint8, with anything in it; beyond ``KEPT`` blocks in memory that is new."""
        size = HEAD + math.prod(shape)
        free = [block for block in self._blocks if not block[0]]
        block = next((block for block in free if len(block) >= size), None)
        if block is None:
            block = torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(size))
            self._blocks = [kept for kept in self._blocks if not any(kept is small for small in free)]
            self._blocks += [block] if len(self._blocks) < KEPT else []
        block[0] = 1
        return block[HEAD:size].view(shape)


def whole_block(lent: Tensor) -> Tensor:
    """The block in which lent values lie."""
    return torch.empty(0, dtype=torch.uint8).set_(lent.untyped_storage())


def take_over(block: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The values in a block, uint8; when they and all views of them are gone, the block may be lent again."""
    values = block.numpy()[HEAD : HEAD + math.prod(shape)].reshape(shape)
    weakref.finalize(values, _give_back, block, os.getpid()).atexit = False
    return torch.from_numpy(values)  # whose views all keep the array


def _give_back(block: Tensor, process: int) -> None:
    """The block may be lent again, where this process took it over: a fork of it lets go of its own views alone."""
    if os.getpid() == process:
        block[0] = 0
