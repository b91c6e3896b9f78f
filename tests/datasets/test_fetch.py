"""Downloads against a real server on the loopback interface, with the faults that real servers have."""

import contextlib
import gzip
import hashlib
import http.server
import io
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from yolo_lite.datasets import fetch as fetching
from yolo_lite.datasets.fetch import COLLECTIONS, KNOWN, ChecksumError, Resource, UnsafeArchive, fetch
from yolo_lite.datasets.fetch.download import FetchError, download
from yolo_lite.datasets.fetch.unpack import Limits, unpack

PAYLOAD = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()


@dataclass
class Page:
    """One address of the server, and how it misbehaves."""

    body: bytes
    etag: str | None = '"v1"'
    modified: str | None = None
    ranges: bool = True
    drop: list[int] = field(default_factory=list)  # the next answers end after so many bytes
    status: list[int] = field(default_factory=list)  # the next answers have these codes
    redirect: str | None = None
    delay: float = 0.0  # seconds between pieces of `piece` bytes
    piece: int = 1 << 16
    length: bool = True
    lies: bool = False  # continues with another version although If-Range says not to


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, str | None]] = []  # path and Range
        self.stop = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that went away is part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        page = self.server.pages.get(self.path)
        if page is None or page.status:
            return self.send_error(page.status.pop(0) if page else 404)
        if page.redirect:
            self.send_response(302)
            self.send_header("Location", page.redirect)
            return self.end_headers()
        start = self._start(page)
        rest = page.body[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(page.body) - 1}/{len(page.body)}")
        if page.etag:
            self.send_header("ETag", page.etag)
        if page.modified:
            self.send_header("Last-Modified", page.modified)
        if page.length:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self._send(page, rest)
        return None

    def _start(self, page: Page) -> int:
        wanted = self.headers.get("Range")
        if not wanted or not page.ranges:
            return 0
        fresh = self.headers.get("If-Range") in (page.etag, page.modified)
        return int(wanted.removeprefix("bytes=").rstrip("-")) if fresh or page.lies else 0

    def _send(self, page: Page, rest: bytes) -> None:
        rest = rest[: page.drop.pop(0)] if page.drop else rest
        for at in range(0, len(rest), page.piece):
            self.wfile.write(rest[at : at + page.piece])
            self.wfile.flush()
            if self.server.stop.wait(page.delay):
                return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()
    thread.join()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- one file -------------------------------------------------------------------------------------------------------


def test_a_file_arrives_whole_and_is_recorded(server: Server, tmp_path: Path) -> None:
    server.pages["/a/weights.bin"] = Page(PAYLOAD)
    path = fetch(server.url("/a/weights.bin"), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "weights.bin"
    assert path.read_bytes() == PAYLOAD
    assert set(files_in(path.parent)) == {"weights.bin", "weights.bin.sha256"}
    checked = subprocess.run(["sha256sum", "-c", "weights.bin.sha256"], cwd=path.parent, capture_output=True, text=True)
    assert checked.stdout == "weights.bin: OK\n"


def test_the_second_fetch_asks_nobody(server: Server, tmp_path: Path) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD)
    fetch(server.url("/weights.bin"), tmp_path)
    fetch(server.url("/weights.bin"), tmp_path)
    assert len(server.requests) == 1


def test_a_dropped_connection_is_continued_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD, drop=[100_000, 50_000])
    assert fetch(server.url("/weights.bin"), tmp_path, pause=0).read_bytes() == PAYLOAD
    assert [wanted for _, wanted in server.requests] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD, drop=[100_000], ranges=False)
    assert fetch(server.url("/weights.bin"), tmp_path, pause=0).read_bytes() == PAYLOAD
    assert len(server.requests) == 2


def test_without_a_validator_nothing_is_glued(server: Server, tmp_path: Path) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD, etag=None, drop=[100_000])
    assert fetch(server.url("/weights.bin"), tmp_path, pause=0).read_bytes() == PAYLOAD
    assert [wanted for _, wanted in server.requests] == [None, None]


def test_last_modified_is_validator_enough(server: Server, tmp_path: Path) -> None:
    date = "Tue, 15 Nov 2022 12:45:26 GMT"
    server.pages["/weights.bin"] = Page(PAYLOAD, etag='W/"weak"', modified=date, drop=[100_000])
    assert fetch(server.url("/weights.bin"), tmp_path, pause=0).read_bytes() == PAYLOAD
    assert server.requests[1] == ("/weights.bin", "bytes=100000-")


@pytest.mark.parametrize("lies", [False, True], ids=["If-Range respected", "If-Range ignored"])
def test_a_file_that_changes_between_two_attempts_is_not_glued(server: Server, tmp_path: Path, lies: bool) -> None:
    url = server.url("/weights.bin")
    server.pages["/weights.bin"] = Page(PAYLOAD, drop=[100_000])
    with pytest.raises(FetchError, match=r"100,000 bytes.*weights.bin.part"):
        fetch(url, tmp_path, retries=0)
    changed = PAYLOAD[::-1]
    server.pages["/weights.bin"] = Page(changed, etag='"v2"', lies=lies)
    assert fetch(url, tmp_path, pause=0).read_bytes() == changed


def test_a_part_longer_than_the_file_has_become_is_dropped(server: Server, tmp_path: Path) -> None:
    url = server.url("/weights.bin")
    server.pages["/weights.bin"] = Page(PAYLOAD, drop=[100_000])
    with pytest.raises(FetchError):
        fetch(url, tmp_path, retries=0)
    server.pages["/weights.bin"] = Page(b"short", etag='"v2"', status=[416])
    assert fetch(url, tmp_path, pause=0).read_bytes() == b"short"


def test_failing_attempts_are_bounded(server: Server, tmp_path: Path) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD, status=[503] * 99)
    with pytest.raises(FetchError, match=r"503.*\b4 times"):
        fetch(server.url("/weights.bin"), tmp_path, retries=3, pause=0)
    assert len(server.requests) == 4
    assert files_in(tmp_path) == {}


def test_a_connection_that_brings_nothing_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD, drop=[0])
    with pytest.raises(FetchError, match=r"\b0 of 300,000 bytes"):
        fetch(server.url("/weights.bin"), tmp_path, retries=0)
    assert files_in(tmp_path) == {}


def test_an_error_that_stays_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="404"):
        fetch(server.url("/nothing.bin"), tmp_path)
    assert len(server.requests) == 1
    assert files_in(tmp_path) == {}


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(FetchError, match="refused"):
        fetch(f"http://127.0.0.1:{port}/a.bin", tmp_path, retries=1, pause=0)


def test_a_silent_server_is_given_up(server: Server, tmp_path: Path) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD, delay=60, piece=10)
    start = time.monotonic()
    with pytest.raises(FetchError, match=r"\b10 bytes"):
        fetch(server.url("/weights.bin"), tmp_path, timeout=0.3, retries=0)
    assert time.monotonic() - start < 5


def test_a_trickling_server_is_given_up(server: Server, tmp_path: Path) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD, delay=0.05, piece=10)
    start = time.monotonic()
    with pytest.raises(FetchError, match=r"\d+ bytes in 0\.5 seconds"):
        fetch(server.url("/weights.bin"), tmp_path, timeout=0.5, retries=0)
    assert time.monotonic() - start < 5


def test_a_file_of_unknown_length(server: Server, tmp_path: Path) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD, length=False)
    assert fetch(server.url("/weights.bin"), tmp_path).read_bytes() == PAYLOAD


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process group of its own")
def test_ctrl_c_leaves_what_the_next_call_continues(server: Server, tmp_path: Path) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD, delay=0.2, piece=50_000)
    url = server.url("/weights.bin")
    code = f"from yolo_lite.datasets.fetch import fetch; fetch({url!r}, {str(tmp_path)!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    part = tmp_path / "weights.bin.part"
    deadline = time.monotonic() + 30
    while not (len(server.requests) and part.exists()) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    kept = part.stat().st_size
    assert 0 < kept < len(PAYLOAD)
    server.pages["/weights.bin"].delay = 0
    assert fetch(url, tmp_path).read_bytes() == PAYLOAD
    assert server.requests[-1] == ("/weights.bin", f"bytes={kept}-")


@pytest.mark.skipif(sys.platform == "win32", reason="the .part file is locked on POSIX systems only")
def test_two_processes_do_not_write_one_file(server: Server, tmp_path: Path) -> None:
    import fcntl

    server.pages["/weights.bin"] = Page(PAYLOAD)
    with (tmp_path / "weights.bin.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(FetchError, match=r"\.part: .*another process"):
            fetch(server.url("/weights.bin"), tmp_path)


def test_a_full_disk_is_said_before_the_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(FetchError, match=r"300,000.*\b1,000\b"):
        fetch(server.url("/weights.bin"), tmp_path)


# ---- which addresses ------------------------------------------------------------------------------------------------


def test_a_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    server.pages["/old.bin"] = Page(b"", redirect="/new-name")
    server.pages["/new-name"] = Page(PAYLOAD)
    assert fetch(server.url("/old.bin"), tmp_path).name == "old.bin"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a"])
def test_a_redirect_to_another_scheme_is_not(server: Server, tmp_path: Path, target: str) -> None:
    server.pages["/a.bin"] = Page(b"", redirect=target)
    with pytest.raises(FetchError, match=r"[Rr]edirect"):
        fetch(server.url("/a.bin"), tmp_path)
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize("url", ["ftp://host/a.bin", "data:text/plain,hello", "http:///a.bin", "http://host/", "a.bin"])
def test_addresses_that_make_no_sense(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match=url.split(":")[0]):
        fetch(url, tmp_path)


@pytest.mark.parametrize("name", ["..", "%2e%2e", "..%2f..%2fevil", "..%5cevil", "a%00b"])
def test_a_file_name_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="usable file name"):
        fetch(f"http://127.0.0.1/x/{name}", tmp_path)


def test_a_file_address(tmp_path: Path) -> None:
    source = tmp_path / "source of it" / "data.bin"
    source.parent.mkdir()
    source.write_bytes(PAYLOAD)
    assert fetch(source.as_uri(), tmp_path / "target").read_bytes() == PAYLOAD
    with pytest.raises(FetchError, match="No such file"):
        fetch((tmp_path / "none.bin").as_uri(), tmp_path / "target")


def test_the_next_address_is_tried(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.pages["/mirror/thing.bin"] = Page(PAYLOAD)
    thing = Resource("a thing", "none", (server.url("/gone/thing.bin"), server.url("/mirror/thing.bin")))
    monkeypatch.setattr(fetching, "KNOWN", {"thing": thing})
    assert fetch("thing", tmp_path).read_bytes() == PAYLOAD
    assert fetch("thing", tmp_path).read_bytes() == PAYLOAD
    assert len(server.requests) == 2


def test_another_address_does_not_get_the_file_of_the_first(server: Server, tmp_path: Path) -> None:
    server.pages["/one/data.bin"] = Page(PAYLOAD)
    server.pages["/two/data.bin"] = Page(b"other")
    fetch(server.url("/one/data.bin"), tmp_path)
    with pytest.raises(FetchError, match="another folder"):
        fetch(server.url("/two/data.bin"), tmp_path)


# ---- digests --------------------------------------------------------------------------------------------------------


def test_a_wrong_digest_keeps_the_file_aside(server: Server, tmp_path: Path) -> None:
    server.pages["/data.zip"] = Page(zipped({"data/a.txt": b"a"}))
    with pytest.raises(ChecksumError, match=r"data\.zip\.mismatch"):
        fetch(server.url("/data.zip"), tmp_path, sha256="0" * 64)
    assert set(files_in(tmp_path)) == {"data.zip.mismatch"}


def test_the_right_digest_in_capitals(server: Server, tmp_path: Path) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD)
    assert fetch(server.url("/weights.bin"), tmp_path, sha256=digest(PAYLOAD).upper()).read_bytes() == PAYLOAD


@pytest.mark.parametrize("wrong", ["", "abc", "g" * 64])
def test_what_is_no_digest(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ValueError, match="64"):
        fetch("http://127.0.0.1/a.bin", tmp_path, sha256=wrong)


def test_the_first_fetch_decides_what_the_second_must_bring(server: Server, tmp_path: Path) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD)
    path = fetch(server.url("/weights.bin"), tmp_path)
    path.unlink()
    server.pages["/weights.bin"] = Page(b"something else", etag='"v2"')
    with pytest.raises(ChecksumError, match=r"weights\.bin\.sha256"):
        fetch(server.url("/weights.bin"), tmp_path)
    assert not path.exists()
    (tmp_path / "weights.bin.sha256").unlink()  # what the message says
    assert fetch(server.url("/weights.bin"), tmp_path).read_bytes() == b"something else"


def test_a_file_damaged_on_disk_is_noticed(server: Server, tmp_path: Path) -> None:
    server.pages["/weights.bin"] = Page(PAYLOAD)
    path = fetch(server.url("/weights.bin"), tmp_path)
    path.write_bytes(PAYLOAD[:-1])
    with pytest.raises(ChecksumError, match="Move it away"):
        fetch(server.url("/weights.bin"), tmp_path)
    assert path.read_bytes() == PAYLOAD[:-1]


def test_a_file_that_was_there_before_is_used_and_kept(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = tmp_path / "data.zip"
    archive.write_bytes(zipped({"data/a.txt": b"a"}))
    assert fetch(server.url("/data.zip"), tmp_path) == tmp_path / "data"
    assert archive.exists()
    assert not server.requests
    assert "used as it is" in caplog.text


# ---- archives -------------------------------------------------------------------------------------------------------


def test_an_archive_is_unpacked_once_and_removed(server: Server, tmp_path: Path) -> None:
    server.pages["/data.zip"] = Page(zipped({"bccd/images/a.txt": b"a", "bccd/b.txt": b"b", "__MACOSX/._a": b"x"}))
    for _ in range(2):
        assert fetch(server.url("/data.zip"), tmp_path) == tmp_path / "bccd"
    assert len(server.requests) == 1
    assert set(files_in(tmp_path)) == {"bccd/images/a.txt", "bccd/b.txt", "data.zip.sha256"}
    checked = subprocess.run(
        ["sha256sum", "--ignore-missing", "-c", "data.zip.sha256"], cwd=tmp_path, capture_output=True
    )
    assert b"improperly formatted" not in checked.stderr


def test_an_archive_may_be_kept_or_not_unpacked(server: Server, tmp_path: Path) -> None:
    server.pages["/data.zip"] = Page(zipped({"a.txt": b"a", "b.txt": b"b"}))
    assert fetch(server.url("/data.zip"), tmp_path, unpack=False) == tmp_path / "data.zip"
    for _ in range(2):
        assert fetch(server.url("/data.zip"), tmp_path, keep_archive=True) == tmp_path / "data"
    assert len(server.requests) == 1
    assert set(files_in(tmp_path)) == {"data.zip", "data.zip.sha256", "data/a.txt", "data/b.txt"}


def test_nothing_of_the_users_is_replaced(server: Server, tmp_path: Path) -> None:
    server.pages["/data.zip"] = Page(zipped({"data/a.txt": b"theirs", "data/b.txt": b"b"}))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_bytes(b"mine")
    with pytest.raises(FetchError, match="already"):
        fetch(server.url("/data.zip"), tmp_path)
    assert set(files_in(tmp_path)) == {"data/a.txt", "data.zip", "data.zip.sha256"}
    assert (tmp_path / "data" / "a.txt").read_bytes() == b"mine"


def known(server: Server, path: str, **fields: object) -> Resource:
    return Resource("what it is", "its licence", (server.url(path),), **fields)


def test_a_known_dataset_says_its_licence_and_gets_a_data_yaml(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server.pages["/tiny.zip"] = Page(zipped({"tiny/images/train/a.jpg": b"jpg", "tiny/labels/train/a.txt": b""}))
    tiny = known(server, "/tiny.zip", result="tiny", splits={"train": "images/train"})
    monkeypatch.setattr(fetching, "KNOWN", {"tiny": tiny})
    assert fetch("tiny", tmp_path) == tmp_path / "tiny"
    assert "its licence" in caplog.text
    assert fetch(tiny.urls[0], tmp_path / "by address") == tmp_path / "by address" / "tiny"
    content = yaml.safe_load((tmp_path / "tiny" / "data.yaml").read_text())
    assert content["train"] == "images/train"
    assert content["names"][79] == "toothbrush"


def test_a_collection_comes_together_in_one_folder_in_any_order(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pages["/labels.zip"] = Page(zipped({"coco/labels/val2017/a.txt": b"", "coco/LICENSE": b"l"}))
    server.pages["/val2017.zip"] = Page(zipped({"val2017/a.jpg": b"jpg"}))
    labels = known(server, "/labels.zip", result="coco", splits=KNOWN["coco-labels"].splits)
    images = known(server, "/val2017.zip", unpack_in="coco/images", result="coco/images/val2017")
    monkeypatch.setattr(fetching, "KNOWN", {"coco-labels": labels, "coco-val-images": images})
    fetch("coco-val-images", tmp_path)
    assert fetch("coco-val", tmp_path) == tmp_path / "coco"
    assert {"coco/labels/val2017/a.txt", "coco/images/val2017/a.jpg", "coco/data.yaml"} < set(files_in(tmp_path))
    assert len(server.requests) == 2


def test_a_known_archive_whose_layout_has_changed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pages["/tiny.zip"] = Page(zipped({"renamed/images/a.jpg": b"jpg"}))
    monkeypatch.setattr(fetching, "KNOWN", {"tiny": known(server, "/tiny.zip", result="tiny")})
    with pytest.raises(FetchError, match="layout"):
        fetch("tiny", tmp_path)


def test_every_known_name_is_complete() -> None:
    assert {"coco8", "coco128", "yolov5n", "yolov5x6"} < set(KNOWN)
    modern = {f"{version}{size}" for version in ("yolov8", "yolo11") for size in "nsmlx"}
    assert modern < set(KNOWN)
    assert all(KNOWN[name].urls[0].endswith(f"/{name}.pt") for name in modern)
    assert {name for names in COLLECTIONS.values() for name in names} <= set(KNOWN)
    for name, resource in KNOWN.items():
        assert resource.what, name
        assert resource.licence, name
        assert all(url.startswith(("http://", "https://")) for url in resource.urls), name
        assert resource.sha256 is None or len(resource.sha256) == 64, name
        # whoever gives away the file decides about the licence, not the name of the network
        of_ultralytics = any("/ultralytics/" in url and url.endswith(".pt") for url in resource.urls)
        assert of_ultralytics == name.startswith(("yolov5", "yolov8", "yolo11")), name
        assert of_ultralytics == ("AGPL-3.0" in resource.licence), name


def test_the_known_digest_is_that_of_the_official_file(shared: Path) -> None:
    assert KNOWN["yolov5n"].sha256 == digest((shared / "weights" / "yolov5n.pt").read_bytes())


# ---- archives that must not be trusted ------------------------------------------------------------------------------


def tarred(*members: tuple[tarfile.TarInfo, bytes], compress: bool = True) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if compress else "w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def unpacked(tmp_path: Path, name: str, content: bytes, limits: Limits = Limits()) -> Path:  # noqa: B008
    """Unpacks two folders below tmp_path, so that what escapes is seen."""
    folder = tmp_path / "in" / "here"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return unpack(folder / name, folder, limits)


def refused(tmp_path: Path, name: str, content: bytes, match: str, limits: Limits = Limits()) -> None:  # noqa: B008
    with pytest.raises(UnsafeArchive, match=match):
        unpacked(tmp_path, name, content, limits)
    assert set(files_in(tmp_path)) == {f"in/here/{name}"}
    assert [path.name for path in (tmp_path / "in" / "here").iterdir()] == [name]  # no temporary folder either


EVIL = ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "a\\..\\..\\evil", "C:\\evil", "c:evil", "\\\\host\\evil"]


@pytest.mark.parametrize("name", EVIL)
def test_a_zip_may_not_name_what_is_outside(tmp_path: Path, name: str) -> None:
    refused(tmp_path, "a.zip", zipped({"data/good": b"good", name: b"evil"}), "points outside")


@pytest.mark.parametrize("name", EVIL)
def test_a_tar_may_not_name_what_is_outside(tmp_path: Path, name: str) -> None:
    refused(tmp_path, "a.tar.gz", tarred((entry("data/good"), b"good"), (entry(name), b"evil")), "points outside")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "missing", "link", "data"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE], ids=["symbolic", "hard"])
def test_a_tar_link_must_lead_to_a_file_of_the_archive(tmp_path: Path, kind: bytes, target: str) -> None:
    content = tarred((entry("data", tarfile.DIRTYPE), b""), (entry("link", kind, target), b""))
    refused(tmp_path, "a.tar", gzip.decompress(content), "points outside|leads to no file")


def test_a_file_cannot_be_written_through_a_link(tmp_path: Path) -> None:
    content = tarred((entry("data", tarfile.SYMTYPE, "/tmp"), b""), (entry("data/evil"), b"evil"))
    refused(tmp_path, "a.tgz", content, "points outside|twice")


def test_links_inside_a_tar_become_copies(tmp_path: Path) -> None:
    content = tarred(
        (entry("data/sub/soft", tarfile.SYMTYPE, "../chain"), b""),
        (entry("data/chain", tarfile.LNKTYPE, "data/real"), b""),
        (entry("data/real"), PAYLOAD),
    )
    folder = unpacked(tmp_path, "a.tar.gz", content)
    assert files_in(folder) == {"sub/soft": PAYLOAD, "chain": PAYLOAD, "real": PAYLOAD}
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def zip_with_link(target: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data/real", b"real")
        info = zipfile.ZipInfo("data/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, target)
    return buffer.getvalue()


def test_links_in_a_zip(tmp_path: Path) -> None:
    assert files_in(unpacked(tmp_path / "good", "a.zip", zip_with_link("real"))) == {"link": b"real", "real": b"real"}
    for number, target in enumerate(["/etc/passwd", "../../../etc/passwd", "nothing"]):
        refused(tmp_path / str(number), "a.zip", zip_with_link(target), "points outside|leads to no file")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    refused(tmp_path, "a.tar.gz", tarred((entry("device", kind), b"")), "special file")


def test_backslashes_are_folders(tmp_path: Path) -> None:
    folder = unpacked(tmp_path, "a.zip", zipped({"data\\images\\a.txt": b"a", "data\\b.txt": b"b"}))
    assert files_in(folder) == {"images/a.txt": b"a", "b.txt": b"b"}


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path, name: str) -> None:
    zeros = bytes(5_000_000)
    content = zipped({"zeros": zeros}) if name == "a.zip" else tarred((entry("zeros"), zeros))
    refused(tmp_path, name, content, "would grow to", Limits(ratio=100, harmless=1_000_000))
    assert unpacked(tmp_path, name, content, Limits(ratio=100)).is_dir()  # 5 MB harm nobody


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "a.zip", zipped({str(n): b"" for n in range(20)}), "would grow to", Limits(members=10))


def test_a_tar_header_of_many_megabytes_is_refused(tmp_path: Path) -> None:
    content = tarred((entry("header", tarfile.XHDTYPE), bytes(40_000_000)), (entry("data"), b""))
    refused(tmp_path, "a.tar.gz", content, r"damaged.*header of")


def test_two_members_of_one_name(tmp_path: Path) -> None:
    assert files_in(unpacked(tmp_path, "a.tar", gzip.decompress(tarred((entry("d/a"), b"1"), (entry("d/a"), b"2")))))
    refused(tmp_path / "clash", "a.zip", zipped({"a": b"1", "a/b": b"2"}), "twice")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
@pytest.mark.parametrize("content", [b"", b"no archive at all", PAYLOAD])
def test_what_is_no_archive(tmp_path: Path, name: str, content: bytes) -> None:
    refused(tmp_path, name, content, "damaged")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_torn_archive(tmp_path: Path, name: str) -> None:
    content = zipped({"data/a": PAYLOAD}) if name == "a.zip" else tarred((entry("data/a"), PAYLOAD))
    refused(tmp_path, name, content[: len(content) // 2], "damaged")


def test_a_zip_with_a_damaged_member(tmp_path: Path) -> None:
    content = bytearray(zipped({"data/a": PAYLOAD}))
    content[1000] ^= 0xFF
    refused(tmp_path, "a.zip", bytes(content), "damaged")


def test_an_archive_too_large_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(FetchError, match=r"300,000.*\b1,000\b"):
        unpacked(tmp_path, "a.zip", zipped({"data/a": PAYLOAD}))


def test_download_alone_leaves_a_part_with_its_version(server: Server, tmp_path: Path) -> None:
    server.pages["/a.bin"] = Page(PAYLOAD)
    download(server.url("/a.bin"), tmp_path / "a.part")
    assert (tmp_path / "a.part").read_bytes() == PAYLOAD
    download(server.url("/a.bin"), tmp_path / "a.part")
    assert len(server.requests) == 1  # complete already
