"""Files that are written whole or not at all."""

import contextlib
import glob
import os
import secrets
from pathlib import Path


def atomic_write(path: str | Path, data: bytes, flush: bool = True) -> None:
    """Write a file whole or not at all: a new file beside it, flushed to the disk, then put in its place.

    Args:
        flush: wait for the disk, so that the file outlives a loss of power; what can be made again need not.
    Raises:
        FileNotFoundError: there is no such folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}: make it first")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def remove_leftovers(*paths: str | Path) -> None:
    """Deletes what a process killed in ``atomic_write`` left beside these files. No other may be writing them."""
    for path in map(Path, paths):
        for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            with contextlib.suppress(OSError):
                temporary.unlink()
