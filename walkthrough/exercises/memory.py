"""How much memory a process may take, and what running out of it looks like."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OUT_OF_MEMORY = "there is not enough memory"
STATUS = Path("/proc/self/status")  # Linux has it


@contextmanager
def memory_limit(megabytes: float) -> Iterator[None]:
    """Within it, this process gets that many megabytes (10^6 bytes) more than it has, and each one it starts as many.

    It is a limit of the system, on private memory (RLIMIT_DATA). Where the system does not say how much of it a process
    has, as on Windows and macOS, there is no limit.

    >>> with memory_limit(500):  # bytearray(600_000_000) would raise a MemoryError
    ...     len(bytearray(100_000_000))
    100000000
    """
    used = _private_memory()
    if used is None:
        yield
        return
    import resource  # Windows has no such module

    before = resource.getrlimit(resource.RLIMIT_DATA)  # (soft, hard)
    lower = [limit for limit in before if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([used + round(megabytes * 1e6), *lower]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _private_memory() -> int | None:
    """Bytes that this process has taken for itself; None where the system does not say."""
    found = re.search(r"^VmData:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE) if STATUS.is_file() else None
    return int(found[1]) * 1024 if found else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. Python and NumPy raise a MemoryError, PyTorch a RuntimeError that says so.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes do not fit"))
    (True, False)
    >>> is_out_of_memory(ValueError("not enough memory"))  # a sentence of the reader's own
    False
    """
    words = ("can't allocate memory", "not enough memory")
    says_so = isinstance(error, RuntimeError) and any(each in str(error) for each in words)
    return isinstance(error, MemoryError) or says_so
