"""What decoders print while they decode a damaged picture, caught: it names no file, and belongs into the sentence that
does.

libjpeg and libpng write to C's ``stderr``. Turning the file descriptor 2 elsewhere would take along what other threads
print and what programs started meanwhile inherit. The C library's variable ``stderr`` is less: only C code that prints
in these milliseconds reads it, and what is not of the two is printed afterwards. glibc documents that it may be set;
with any other C library nothing is caught.

OpenCV's own log (of TIFF and others) goes another way: its level is at "silent" meanwhile, for all threads, and then
what it was. So this is for pictures alone that are known to be damaged (``whole.is_whole``). What is found damaged only
while it is decoded is not caught: wrong bytes in the middle of a JPEG, of a compressed TIFF, a GIF, JPEG 2000 or AVIF;
nor are libtiff's warnings of files that it reads all the same.
"""

import ctypes
import functools
import os
import platform
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import cv2

SILENT = 0  # of OpenCV's log levels
OF_DECODERS = (
    *("Corrupt JPEG data", "Premature end of JPEG", "Invalid SOS", "Inconsistent progression"),
    *("libpng error: ", "libpng warning: "),
)


class _Catcher(NamedTuple):
    variable: ctypes.c_void_p  # the C library's stderr
    stream: int  # the FILE * in its place
    file: Any  # in which the stream writes; open as long as the process, as other threads may hold the FILE *


@contextmanager
def caught_words() -> Iterator[list[str]]:
    """Catches what decoders print inside; afterwards the list holds the words of libjpeg and libpng, each line once.

    >>> with caught_words() as words:
    ...     pass
    >>> words
    []
    """
    words: list[str] = []
    with _lock(os.getpid()), _silent_opencv():
        catcher = _catcher(os.getpid())
        if catcher is None:
            yield words
            return
        before = catcher.variable.value
        catcher.variable.value = catcher.stream
        try:
            yield words
        finally:
            catcher.variable.value = before
            catcher.file.seek(0)
            lines = catcher.file.read().decode(errors="replace").splitlines()
            catcher.file.truncate(0)
            words += dict.fromkeys(line.strip() for line in lines if line.startswith(OF_DECODERS))
            if others := [line for line in lines if line and not line.startswith(OF_DECODERS)]:
                os.write(2, "".join(f"{line}\n" for line in others).encode())


@contextmanager
def _silent_opencv() -> Iterator[None]:
    """OpenCV's log level is that of the process: to be entered by one thread at a time."""
    log: Any = getattr(cv2.utils, "logging", cv2)  # where OpenCV 5 has what OpenCV 4 has in cv2 itself
    before = log.setLogLevel(SILENT)
    try:
        yield
    finally:
        log.setLogLevel(before)


@functools.cache
def _lock(process: int) -> threading.Lock:
    """Of this process: one that was forked off must not wait for a thread that it does not have."""
    return threading.Lock()


@functools.cache
def _catcher(process: int) -> _Catcher | None:
    """Of this process; None where the C library is not glibc."""
    if platform.libc_ver()[0] != "glibc":
        return None
    library = ctypes.CDLL(None)
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    library.fdopen.restype, library.fdopen.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_char_p)
    library.setbuf.restype, library.setbuf.argtypes = None, (ctypes.c_void_p, ctypes.c_void_p)
    stream = library.fdopen(os.dup(file.fileno()), b"a")
    if not stream:
        return None
    library.setbuf(stream, None)  # written at once
    return _Catcher(ctypes.c_void_p.in_dll(library, "stderr"), stream, file)
