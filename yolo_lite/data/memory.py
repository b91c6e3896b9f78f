"""keep_freed_memory: the memory of a sample serves the next one, instead of going back to the system in between."""

from functools import cache

import numpy as np

LARGEST = (32 << 20) - (64 << 10)  # bytes: a little below the limit of glibc's own rule, 32 MiB


@cache
def keep_freed_memory() -> None:
    """Lets the C library keep up to 64 MiB of freed memory, once per process.

    glibc gives blocks of many KiB back to the system when they are freed, and gets each page (4 KiB) anew, cleared:
    a third of the time of an augmented sample. It stops for blocks no larger than the largest that was ever freed, up
    to 32 MiB: see M_MMAP_THRESHOLD in mallopt(3). So such a block is taken and freed here; nothing is written into it,
    and no memory is used. The C libraries of other systems are not affected.
    """
    np.empty(LARGEST, np.uint8)
