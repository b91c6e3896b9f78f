"""One file from one address, however often the connection breaks.

Bytes arrive in ``<file>.part``. Beside it ``<file>.part.json`` notes which version of the file they belong to (the
server's ETag, Last-Modified and length), so that a later attempt continues exactly that version or starts anew:
two versions are never glued together. Ranges and validators: RFC 9110, sections 13 and 14.

Written by hand: pooch and torch.hub begin anew after each break, and COCO's 19 GB take hours.
"""

import errno
import http.client
import json
import logging
import os
import re
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from tqdm import tqdm

logger = logging.getLogger(__name__)

SCHEMES = ("http", "https", "file")
CHUNK = 1 << 20  # bytes read at once
SLOWEST = 1024  # bytes per second; a server slower than that, for as long as the timeout, counts as stalled
PROGRESS = 1 << 20  # an attempt that adds this many bytes is not held against the number of retries
NETWORK_DOWN = (errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH)
RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)  # what a server says when it may say otherwise soon


class FetchError(OSError):
    """A file could not be fetched or unpacked; the message says which, why, and what to do."""


class _Interrupted(Exception):
    """An attempt that ended early, in a way that another attempt may cure."""


class Version(NamedTuple):
    """Which version of which file the bytes in the ``.part`` file belong to."""

    url: str
    etag: str | None
    modified: str | None
    length: int | None  # bytes of the whole file, where the server says so

    @property
    def validator(self) -> str | None:
        """What If-Range is given; a weak ETag may not be used there (RFC 9110, 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


def checked_scheme(url: str) -> str:
    """The address's scheme.

    Raises:
        ValueError: it is neither http, https nor file, or there is no host.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"{url}: only {', '.join(SCHEMES)} addresses are fetched, not {parts.scheme or 'a bare name'}")
    if parts.scheme != "file" and not parts.hostname:
        raise ValueError(f"{url}: the address names no host")
    return parts.scheme


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to http or https, and never from https back to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            raise FetchError(f"{req.full_url}: the server redirects to {newurl}, and that is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    url: str, part: Path, timeout: float = 30.0, retries: int = 5, pause: float = 1.0, progress: bool = False
) -> None:
    """Downloads ``url`` into the file ``part``, continuing what is there from an earlier attempt.

    Args:
        timeout: seconds without an answer, or with less than 1 KiB/s, after which an attempt is given up.
        retries: attempts after the first one that may fail; those that brought at least 1 MiB do not count.
        pause: seconds before the second attempt; doubled each time, up to 30.
        progress: a bar on stderr, where that is a terminal.
    Raises:
        FetchError: the address does not exist, the attempts are used up, or the disk is full. ``part`` stays.
    """
    failures, furthest = 0, part.stat().st_size if part.exists() else 0
    while True:
        try:
            with _alone(part) as file:
                _attempt(url, file, timeout, progress)
            return
        except _Interrupted as reason:
            size = part.stat().st_size
            failures = 0 if size >= furthest + PROGRESS else failures + 1
            furthest = max(furthest, size)
            if failures > retries:
                kept = f"; {size:,} bytes are kept in {part}, call again to continue" if size else ""
                raise FetchError(f"{url}: {reason}, {failures} times in a row{kept}") from reason.__cause__
            seconds = min(pause * 2 ** max(failures - 1, 0), 30.0)
            logger.warning("%s: %s; trying again in %g s", url, reason, seconds)
            time.sleep(seconds)


@contextmanager
def _alone(part: Path) -> Iterator[IO[bytes]]:
    """The ``.part`` file, opened to append, and locked where the system can (not on Windows)."""
    with part.open("ab") as file:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FetchError(f"{part}: another process is writing it; call again when that is done") from None
        yield file


def _attempt(url: str, file: IO[bytes], timeout: float, progress: bool) -> None:
    """One connection: continues the file or fills it anew. Raises _Interrupted where trying again makes sense."""
    part = Path(file.name)
    held = _held_version(part, url)
    have = part.stat().st_size if held else 0
    if held and have == held.length:
        return  # complete already: only the last step was missing
    request = urllib.request.Request(url, headers={"User-Agent": "yolo-lite", "Accept-Encoding": "identity"})
    if held and have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", held.validator or "")
    opener = urllib.request.build_opener(_Redirects)
    with _as_interruptions(url, file), opener.open(request, timeout=timeout) as response:
        version = _version(url, response)
        if response.status == 206:
            if not (held and _continues(response, have, held, version)):
                file.truncate(0)
                raise _Interrupted("the server sent another part of the file than the one asked for")
            version = held
        else:  # 200: the whole file, because nothing was asked for, Range is ignored, or the file has changed
            have = 0
            file.truncate(0)
            _version_file(part).write_text(json.dumps(version._asdict()), encoding="utf-8")
        _check_space(part, (version.length or 0) - have)
        have = _copy(response, file, have, version.length, timeout, progress)
    if version.length is not None and have != version.length:
        if have > version.length:
            file.truncate(0)
        raise _Interrupted(f"the connection ended after {have:,} of {version.length:,} bytes")


@contextmanager
def _as_interruptions(url: str, file: IO[bytes]) -> Iterator[None]:
    """Sorts the many errors of a connection: _Interrupted where another attempt may help, FetchError where not."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the part is longer than the file has become
            file.truncate(0)
        elif error.code not in RETRIED_STATUS:
            raise FetchError(f"{url}: the server answers {error.code} {error.reason}") from None
        raise _Interrupted(f"the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        unknown_host = isinstance(error.reason, socket.gaierror) and not file.tell()
        if unknown_host:
            raise FetchError(f"{url}: the host is not found ({error.reason}); is this machine online?") from None
        if isinstance(error.reason, ssl.SSLCertVerificationError) or urlsplit(url).scheme == "file":
            raise FetchError(f"{url}: {error.reason}") from None
        raise _Interrupted(str(error.reason)) from error
    except (TimeoutError, ConnectionError, http.client.HTTPException, ssl.SSLError) as error:
        raise _Interrupted(str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno not in NETWORK_DOWN:
            raise
        raise _Interrupted(str(error)) from error


def _copy(response: Any, file: IO[bytes], have: int, length: int | None, timeout: float, progress: bool) -> int:
    """Appends the body to the file; returns how many bytes the file then has. A trickle counts as a stall."""
    since, arrived = time.monotonic(), 0
    with tqdm(
        total=length,
        initial=have,
        unit="B",
        unit_scale=True,
        desc=Path(file.name).stem,
        disable=None if progress else True,
    ) as bar:
        while chunk := response.read1(CHUNK):
            file.write(chunk)
            have += len(chunk)
            arrived += len(chunk)
            bar.update(len(chunk))
            if time.monotonic() - since > timeout:
                if arrived < SLOWEST * timeout:
                    raise TimeoutError(f"only {arrived:,} bytes in {timeout:g} seconds")
                since, arrived = time.monotonic(), 0
    return have


def _version(url: str, response: Any) -> Version:
    headers = response.headers
    length = headers.get("Content-Length", "")
    return Version(url, headers.get("ETag"), headers.get("Last-Modified"), int(length) if length.isdigit() else None)


def _continues(response: Any, have: int, held: Version, now: Version) -> bool:
    """Whether a 206 answer is the rest of exactly the file that was begun."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not found or int(found[1]) != have:
        return False
    same_length = found[2] == "*" or held.length is None or int(found[2]) == held.length
    return same_length and held.etag in (now.etag, None) and (not now.modified or held.modified == now.modified)


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _held_version(part: Path, url: str) -> Version | None:
    """What the bytes at hand belong to; None where they cannot be continued safely."""
    try:
        held = Version(**json.loads(_version_file(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return held if held.url == url and held.validator else None


def finish(part: Path, file: Path) -> None:
    """Gives a complete ``.part`` file its name, atomically."""
    os.replace(part, file)
    _version_file(part).unlink(missing_ok=True)


def discard_empty(part: Path) -> None:
    """Removes a ``.part`` that not one byte has reached."""
    if part.exists() and not part.stat().st_size:
        part.unlink()
        _version_file(part).unlink(missing_ok=True)


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise FetchError(f"{part}: {needed:,} more bytes are needed and {free:,} are free; make room, then call again")
