"""One process at a time, for work whose result the others can use."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PATIENCE = 600.0  # seconds: whoever holds it longer hangs, and need not be waited for
POLL = 0.05  # seconds


@contextlib.contextmanager
def file_lock(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Waits until no other process of this machine is inside with the same path; a process that dies leaves.

    It only saves work: without locks (Windows, some network file systems), and after ``patience`` seconds, it lets
    everybody in.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            held.callback(os.close, file)  # which releases the lock
            end = time.monotonic() + patience
            while fcntl is not None and time.monotonic() < end:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(POLL)
        yield
