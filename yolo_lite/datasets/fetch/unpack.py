"""Archives, unpacked without trusting them.

An archive may name files outside the folder, plant links and write through them, hold devices, or blow up from a
kilobyte to a terabyte. So every name is checked, nothing but plain files and folders is ever created (a link inside the
archive becomes a copy of what it points to), and sizes are bounded before the first byte is written. All of it
happens in a temporary folder; what is there already is never replaced.

tarfile's data filter does not replace this: it checks tars alone, makes links, and bounds no size.
"""

import bz2
import contextlib
import filecmp
import gzip
import lzma
import os
import posixpath
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, NamedTuple, cast

from yolo_lite.datasets.fetch.download import FetchError

CHUNK = 1 << 20
MAX_LINK = 4096  # bytes of a link's target
MAX_LINKS = 32  # links followed one after another
TAR_OPENERS: tuple[tuple[str, Callable[..., Any]], ...] = (
    (".tar", open),
    (".tar.gz", gzip.open),
    (".tgz", gzip.open),
    (".tar.bz2", bz2.open),
    (".tar.xz", lzma.open),
)
SUFFIXES = (".zip", *(suffix for suffix, _ in TAR_OPENERS))
BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)


class UnsafeArchive(FetchError, ValueError):
    """An archive that is broken, or would write where it must not; nothing of it is kept."""


class Limits(NamedTuple):
    """How large an archive may grow. Photographs and labels grow up to tenfold, a bomb a thousandfold."""

    ratio: float = 200.0  # unpacked bytes per archive byte
    harmless: int = 100 << 20  # unpacked bytes up to which the ratio does not matter
    members: int = 2_000_000


class Member(NamedTuple):
    """One entry of an archive."""

    name: str  # as the archive has it
    kind: Literal["file", "folder", "link"]
    size: int
    target: str  # of a link: a name in the archive
    open: Callable[[], IO[bytes]]


def archive_suffix(name: str) -> str:
    """The ending that makes a name an archive's, '' where none does.

    >>> archive_suffix("bccd.tar.gz"), archive_suffix("yolov5n.pt")
    ('.tar.gz', '')
    """
    return max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len, default="")


def unpack(archive: Path, folder: Path, limits: Limits = Limits()) -> Path:  # noqa: B008 (immutable)
    """Unpacks a .zip, .tar, .tar.gz (.tgz), .tar.bz2 or .tar.xz file.

    An archive with one folder at its top becomes that folder; otherwise a folder with the archive's name is made, so
    that nothing is scattered. Into a folder that exists, files are added; none is replaced.

    Returns:
        The unpacked folder, in ``folder``.
    Raises:
        UnsafeArchive: the archive is broken, too large, or names something outside of itself.
        FetchError: the disk is too small, or a file is there already with another content.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{archive.name}-", dir=folder))
    content = temporary / "content"
    content.mkdir()
    try:
        with _refusing(archive), _members(archive) as members:
            _extract(archive, _checked(archive, members, limits), content)
        return _settle(archive, content, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _refusing(archive: Path) -> Iterator[None]:
    """One kind of error for all that an archive can have wrong with it."""
    try:
        yield
    except FetchError:
        raise
    except BROKEN as error:
        raise UnsafeArchive(f"{archive}: the archive is damaged ({error})") from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile: a password, an unknown compression
        raise UnsafeArchive(f"{archive}: cannot be unpacked ({error})") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UnsafeArchive(f"{archive}: {Path(error.filename).name} is in the archive twice") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise UnsafeArchive(f"{archive}: the archive is damaged ({error})") from error  # bz2 says it that way


# ---- reading --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    suffix = archive_suffix(archive.name)
    if suffix == ".zip":
        with zipfile.ZipFile(archive) as opened:
            yield (_zip_member(opened, info) for info in opened.infolist())
    elif suffix:
        with (
            dict(TAR_OPENERS)[suffix](archive, "rb") as stream,
            tarfile.open(fileobj=cast(IO[bytes], _Bounded(stream)), mode="r:") as opened,
        ):
            yield (_tar_member(opened, info) for info in opened)
    else:
        raise UnsafeArchive(f"{archive}: not an archive that can be unpacked ({', '.join(SUFFIXES)})")


class _Bounded:
    """A stream that refuses one huge read: tarfile reads a header of any declared size into memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.seek, self.tell = stream, stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if size > 16 * CHUNK:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self.stream.read(size)


def _zip_member(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    mode = info.external_attr >> 16  # of files made on Unix; 0 elsewhere
    name = info.filename.replace("\\", "/")
    if stat.S_ISLNK(mode):
        if info.file_size > MAX_LINK:
            raise UnsafeArchive(
                f"{opened.filename}: {info.filename} is a link with a target of {info.file_size:,} bytes"
            )
        target = opened.read(info).decode("utf-8", "replace")
        return Member(info.filename, "link", 0, _beside(name, target), lambda: opened.open(info))
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnsafeArchive(f"{opened.filename}: {info.filename} is a device or another special file")
    kind: Literal["file", "folder"] = "folder" if name.endswith("/") else "file"
    return Member(info.filename, kind, info.file_size, "", lambda: opened.open(info))


def _tar_member(opened: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    def content() -> IO[bytes]:
        stream = opened.extractfile(info)
        if stream is None:
            raise tarfile.ReadError(f"{info.name} has no content")
        return stream

    if info.issym():
        return Member(info.name, "link", 0, _beside(info.name, info.linkname), content)
    if info.islnk():
        return Member(info.name, "link", 0, info.linkname, content)
    if not (info.isfile() or info.isdir()):
        raise UnsafeArchive(f"{opened.name or 'the archive'!s}: {info.name} is a device or another special file")
    return Member(info.name, "folder" if info.isdir() else "file", info.size, "", content)


def _beside(name: str, target: str) -> str:
    """A symbolic link's target, relative to the archive instead of to the link."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), target.replace("\\", "/")))


# ---- checking -------------------------------------------------------------------------------------------------------


def _checked(archive: Path, members: Iterator[Member], limits: Limits) -> dict[PurePosixPath, Member]:
    """All members by where they go. Raises before anything has been written."""
    allowed = max(limits.harmless, int(archive.stat().st_size * limits.ratio))
    found: dict[PurePosixPath, Member] = {}
    total = 0
    for count, member in enumerate(members, 1):
        total += member.size
        if total > allowed or count > limits.members:
            grown = f"{count:,} files with {total:,} bytes or more"
            raise UnsafeArchive(
                f"{archive}: {archive.stat().st_size:,} bytes would grow to {grown}; it is not unpacked"
            )
        path = _safe_path(archive, member.name)
        if path.parts:  # "./", the top itself, has none
            found[path] = member
        elif member.kind != "folder":
            raise UnsafeArchive(f"{archive}: a file has no name")
    free = shutil.disk_usage(archive.parent).free
    if total > free:
        raise FetchError(f"{archive}: {total:,} bytes when unpacked, and {free:,} are free; make room, then call again")
    return found


def _safe_path(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))  # some tools on Windows write backslashes
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name) or "\0" in name:
        raise UnsafeArchive(f"{archive}: {name!r} points outside the archive; nothing was unpacked")
    return path


def _resolved(archive: Path, path: PurePosixPath, members: dict[PurePosixPath, Member]) -> Member:
    """The file that a link stands for, through as many links as it takes."""
    member = members[path]
    for _ in range(MAX_LINKS):
        if member.kind == "file":
            return member
        found = members.get(_safe_path(archive, member.target)) if member.kind == "link" else None
        if found is None:
            break
        member = found
    raise UnsafeArchive(f"{archive}: the link {path} leads to no file of the archive ({members[path].target})")


# ---- writing --------------------------------------------------------------------------------------------------------


def _extract(archive: Path, members: dict[PurePosixPath, Member], folder: Path) -> None:
    for links in (False, True):  # links last, so that a compressed tar is read front to back
        for path, member in members.items():
            target = folder / path
            if member.kind == "folder":
                target.mkdir(parents=True, exist_ok=True)
            elif (member.kind == "link") == links:
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(archive, _resolved(archive, path, members) if links else member, target)


def _write(archive: Path, member: Member, target: Path) -> None:
    left = member.size
    with member.open() as source, target.open("xb") as file:
        while chunk := source.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise UnsafeArchive(f"{archive}: {member.name} is longer than the archive says")
            file.write(chunk)
    if left:
        raise UnsafeArchive(f"{archive}: {member.name} ends {left:,} bytes early")


def _settle(archive: Path, content: Path, folder: Path) -> Path:
    """Moves what was unpacked to its place."""
    tops = [entry for entry in content.iterdir() if entry.name != "__MACOSX"]
    alone = len(tops) == 1 and tops[0].is_dir()
    source = tops[0] if alone else content
    name = tops[0].name if alone else archive.name[: -len(archive_suffix(archive.name))]
    target = folder / name
    if not target.exists():
        os.replace(source, target)
        return target
    files = [file.relative_to(source) for file in source.rglob("*") if file.is_file()]
    for file in files:
        if (target / file).exists() and not filecmp.cmp(source / file, target / file, shallow=False):
            raise FetchError(f"{target / file} is there already and differs from {archive}'s; nothing was replaced")
    for file in files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / file, target / file)
    return target
