"""Downloads, only on demand: known names or any address; resumed, checked, safely unpacked.

What a file's first download was is written beside it, in ``<file>.sha256``: a text file that ``sha256sum -c`` reads
too, with the address and what was unpacked as comments. From then on the file must have that digest, wherever the
folder is moved. Nothing is kept anywhere else.
"""

import hashlib
import logging
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from yolo_lite._moved import moved_name
from yolo_lite.datasets.fetch.download import FetchError, checked_scheme, discard_empty, download, finish
from yolo_lite.datasets.fetch.resources import COLLECTIONS, KNOWN, Resource
from yolo_lite.datasets.fetch.unpack import Limits, UnsafeArchive, archive_suffix
from yolo_lite.datasets.fetch.unpack import unpack as unpack_archive
from yolo_lite.datasets.yolo_folder import write_data_yaml
from yolo_lite.support.known_names import coco_names
from yolo_lite.writing import atomic_write

__all__ = ["COLLECTIONS", "KNOWN", "ChecksumError", "FetchError", "Limits", "Resource", "UnsafeArchive", "fetch"]

logger = logging.getLogger(__name__)


class ChecksumError(FetchError, ValueError):
    """A file is not the one it should be."""


class Options(NamedTuple):
    """How to fetch: the keyword arguments of ``fetch``."""

    unpack: bool
    keep_archive: bool
    timeout: float
    retries: int
    pause: float
    progress: bool
    limits: Limits


def fetch(
    name_or_url: str,
    folder: str | Path = ".",
    sha256: str | None = None,
    unpack: bool = True,
    progress: bool = False,
    *,
    keep_archive: bool = False,
    timeout: float = 30.0,
    retries: int = 5,
    pause: float = 1.0,
    limits: Limits = Limits(),  # noqa: B008 (immutable)
) -> Path:
    """Fetches a dataset, weights, or any file, into ``folder``; does nothing where it is there already.

    A broken download is continued by the next call, after Ctrl-C too. The digest is checked against ``sha256``, or
    the known one, or the one recorded at the first fetch. A dataset known by name gets a ``data.yaml``.

    Args:
        name_or_url: a name of ``KNOWN`` or ``COLLECTIONS``, or an http, https or file address.
        sha256: 64 hexadecimal digits that the file must have.
        unpack: unpack .zip, .tar, .tar.gz, .tar.bz2, .tar.xz files.
        progress: a bar on stderr, where that is a terminal.
        keep_archive: keep the archive that was downloaded after it has been unpacked.
        timeout: seconds after which a silent or stalled server is given up. retries: bound on failing attempts.
        pause: seconds before the second attempt, doubled each time. limits: how large an archive may grow.
    Returns:
        The file, or the folder that was unpacked.
    Raises:
        ChecksumError: another digest; what was downloaded is kept as ``<file>.mismatch`` and is not unpacked.
        UnsafeArchive: an archive that must not be unpacked. FetchError: anything else that went wrong on the way.
        ValueError: an unknown name or a malformed address or digest.

    >>> fetch("coco9")
    Traceback (most recent call last):
    ValueError: 'coco9' is neither a web address nor one of the known names: coco, coco-val, coco8, ...
    """
    options = Options(unpack, keep_archive, timeout, retries, pause, progress, limits)
    sha256 = _checked_digest(sha256)
    folder = Path(folder)
    if name_or_url in COLLECTIONS:
        if sha256 or not unpack:
            raise ValueError(
                f"{name_or_url} is several files ({', '.join(COLLECTIONS[name_or_url])}): fetch them one by one"
            )
        fetched = [_fetch_one(KNOWN[name], folder, None, options, name) for name in COLLECTIONS[name_or_url]]
        return fetched[0]
    for name, resource in KNOWN.items():
        if name_or_url == name or name_or_url in resource.urls:
            return _fetch_one(resource, folder, sha256, options, name)
    if not re.match("[A-Za-z][A-Za-z0-9+.-]*:", name_or_url):
        known = ", ".join([*COLLECTIONS, *KNOWN])
        raise ValueError(f"{name_or_url!r} is neither a web address nor one of the known names: {known}")
    return _fetch_one(Resource("", "", (name_or_url,)), folder, sha256, options)


def _fetch_one(resource: Resource, folder: Path, sha256: str | None, options: Options, name: str = "") -> Path:
    file = folder / _file_name(resource.urls[0])
    archive = options.unpack and bool(archive_suffix(file.name))
    record = ChecksumFile.read(file)
    if record and record.urls and not set(record.urls) & set(resource.urls):
        raise FetchError(
            f"{file} was fetched from {record.urls[0]}, not from {resource.urls[0]}: choose another folder"
        )
    expected = sha256 or resource.sha256 or (record.sha256 if record else None)
    if archive and record and record.unpacked and (folder / record.unpacked).is_dir():
        if expected != record.sha256:
            raise ChecksumError(
                f"{folder / record.unpacked} was unpacked from a file with SHA-256 {record.sha256}, not {expected}"
            )
        return _dataset(resource, folder, folder / record.unpacked)

    downloaded = not file.exists()
    if downloaded:
        folder.mkdir(parents=True, exist_ok=True)
        if name:
            logger.warning("%s: %s. Licence: %s", name, resource.what, resource.licence)
        record = _download(resource, file, expected, options)
    elif expected:
        _verify(file, expected, record)
    else:
        logger.warning("%s is there already and is used as it is: nothing says what it should be", file)
    if not archive:
        return file

    unpacked = unpack_archive(file, folder / resource.unpack_in, options.limits)
    if record:
        record._replace(unpacked=unpacked.relative_to(folder).as_posix()).write(file)
    if downloaded and not options.keep_archive:  # an archive that was here before is the user's
        file.unlink()
    return _dataset(resource, folder, unpacked)


def _dataset(resource: Resource, folder: Path, unpacked: Path) -> Path:
    """What a known dataset needs besides its files: to be where it should, and a data.yaml."""
    result = folder / resource.result if resource.result else unpacked
    if not result.is_dir():
        raise FetchError(
            f"{resource.urls[0]} was unpacked in {unpacked}, and there is no {result}: its layout has changed"
        )
    if resource.splits and not (result / "data.yaml").exists():
        write_data_yaml(result, coco_names(), resource.splits)
    return result


def _download(resource: Resource, file: Path, expected: str | None, options: Options) -> "ChecksumFile":
    """Tries the addresses in turn; returns the record of the file that is then there, checked."""
    for url in resource.urls:
        checked_scheme(url)
    part = file.with_name(file.name + ".part")
    for url in resource.urls:
        try:
            download(url, part, options.timeout, options.retries, options.pause, options.progress)
            break
        except FetchError as error:
            if url == resource.urls[-1]:
                discard_empty(part)
                raise
            logger.warning("%s; trying %s", error, resource.urls[resource.urls.index(url) + 1])
    digest = _digest(part)
    if expected and digest != expected:
        aside = file.with_name(file.name + ".mismatch")
        finish(part, aside)
        raise ChecksumError(
            f"{url} has SHA-256 {digest}, not {expected} ({_origin(file)}): kept as {aside.name}, nothing was unpacked."
            f" If the change is expected, delete {file.name}.sha256 or give the new sha256, and fetch again"
        )
    record = ChecksumFile(digest, (url, *(other for other in resource.urls if other != url)))
    record.write(file)
    finish(part, file)
    return record


def _verify(file: Path, expected: str, record: "ChecksumFile | None") -> None:
    digest = _digest(file)
    if digest != expected:
        raise ChecksumError(
            f"{file} has SHA-256 {digest}, not {expected} ({_origin(file)}): it was changed or is another file. "
            "Move it away to fetch it again"
        )


def _origin(file: Path) -> str:
    return f"recorded in {file.name}.sha256 at the first fetch" if ChecksumFile.read(file) else "known or given"


def _file_name(url: str) -> str:
    name = unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    if not name or name in (".", "..") or re.search(r'[/\\:*?"<>|\x00-\x1f]', name) or len(name) > 200:
        raise ValueError(f"{url}: the address does not end in a usable file name")
    return name


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _checked_digest(sha256: str | None) -> str | None:
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256 must be 64 hexadecimal digits, not {sha256!r}")
    return sha256.lower() if sha256 else None


class ChecksumFile(NamedTuple):
    """What ``<file>.sha256`` says of the file beside it."""

    sha256: str
    urls: tuple[str, ...] = ()
    unpacked: str = ""  # folder, relative to the file's

    @staticmethod
    def path(file: Path) -> Path:
        return file.with_name(file.name + ".sha256")

    @classmethod
    def read(cls, file: Path) -> "ChecksumFile | None":
        """The record beside the file; None where there is none. Also reads what sha256sum itself has written."""
        try:
            text = cls.path(file).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        digest = re.search(r"^([0-9a-fA-F]{64})\b", text, re.MULTILINE)
        if not digest:
            raise FetchError(f"{cls.path(file)} holds no SHA-256 digest: delete it, or put the right one there")
        urls = tuple(re.findall(r"^# from (\S+)$", text, re.MULTILINE))
        unpacked = re.search(r"^# unpacked in (.+)$", text, re.MULTILINE)
        return cls(digest[1].lower(), urls, unpacked[1] if unpacked else "")

    def write(self, file: Path) -> None:
        """Writes the record beside the file, atomically."""
        comments = [f"# from {url}" for url in self.urls] + (
            [f"# unpacked in {self.unpacked}"] if self.unpacked else []
        )
        atomic_write(self.path(file), "\n".join([*comments, f"{self.sha256}  {file.name}", ""]).encode())


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error
    __getattr__ = partial(moved_name, __name__)  # until 0.3.0
