"""Reading a very large set: one file per picture against shards, by some processes; and sharing it among many machines.

usage: python benchmarks/shards.py [--samples 4000] [--processes 1 2 4] [--json shards.json] [--page docs/scaling.md]

A shard is a tar file of pictures and label files that follow each other, as webdataset writes them. It is read from its
beginning to its end, so a disk or an object store is asked for one thing instead of thousands; in exchange the order is
not free: shards come in a drawn order, and a buffer of some samples mixes what comes out of them.

What is measured: samples a second, bytes, the requests that a store would get (one for each file that is opened),
memory of the buffers, how far an epoch is from a free permutation, and how often two tiles of a mosaic are
from one shard. The pictures are in the machine's page cache, so that samples a second are those of reading and decoding
alone; what a store adds is requests times its latency. What many machines share out is computed with the library's own
sampler; what they send each other is a formula.

The library reads folders today, not shards: this is what a change would bring.
"""

import argparse
import io
import json
import multiprocessing
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from pages import with_part

from yolo_lite.cli.options import table
from yolo_lite.data.sampling import EpochSampler
from yolo_lite.datasets.shapes import export_shapes

PER_SHARD = 250
BUFFER = 500  # samples that a process mixes
PICTURES = 50  # different ones; they come again and again
LINKS = {"25 Gbit/s": 25e9 / 8, "100 Gbit/s": 100e9 / 8, "400 Gbit/s": 400e9 / 8}  # bytes a second between machines
PARAMETERS = {"yolov5n": 1_867_405, "yolov5s": 7_235_389, "yolov5m": 21_190_557, "yolov5x": 86_749_405}  # 80 classes


class Read(NamedTuple):
    """What one process read in an epoch."""

    order: list[int]  # samples, as they came
    bytes: int
    opened: int  # files
    buffered: int  # bytes of samples that waited, at most


# ---- files on a disk ------------------------------------------------------------------------------------------------


def encode(count: int) -> list[tuple[bytes, bytes]]:
    """JPEG and label file of some drawn scenes, as a YOLO folder has them."""
    with tempfile.TemporaryDirectory() as name:
        export_shapes(name, ("train",), 320, count)
        images, labels = (sorted(Path(name, kind, "train").iterdir()) for kind in ("images", "labels"))
        return [(image.read_bytes(), label.read_bytes()) for image, label in zip(images, labels, strict=True)]


def write(folder: Path, samples: int) -> None:
    """The same samples twice: a file each in ``files``, and in the shards of ``shards``."""
    encoded = encode(min(samples, PICTURES))
    (folder / "files").mkdir()
    (folder / "shards").mkdir()
    for first in range(0, samples, PER_SHARD):
        with tarfile.open(folder / "shards" / f"{first // PER_SHARD:06}.tar", "w") as shard:
            for index in range(first, min(first + PER_SHARD, samples)):
                for suffix, content in zip((".jpg", ".txt"), encoded[index % len(encoded)], strict=True):
                    (folder / "files" / f"{index:08}{suffix}").write_bytes(content)
                    entry = tarfile.TarInfo(f"{index:08}{suffix}")
                    entry.size = len(content)
                    shard.addfile(entry, io.BytesIO(content))


# ---- reading --------------------------------------------------------------------------------------------------------


def read_files(folder: Path, samples: int, rank: int, processes: int) -> Read:
    """A free permutation, each picture and each label file opened by itself."""
    sampler = EpochSampler(samples, batch_size=16, shuffle=True, rank=rank, world_size=processes)
    order, size = [], 0
    for batch in sampler:
        for _, index in batch:
            jpeg, text = ((folder / "files" / f"{index:08}{suffix}").read_bytes() for suffix in (".jpg", ".txt"))
            decode(jpeg)
            order.append(index)
            size += len(jpeg) + len(text)
    return Read(order, size, 2 * len(order), 0)


def read_shards(folder: Path, samples: int, rank: int, processes: int) -> Read:
    """The shards of this process in a drawn order, mixed in a buffer."""
    del samples
    order, buffer = [], []
    size = waiting = most = opened = 0
    generator = np.random.default_rng([0, rank])
    for path in shards_of(sorted((folder / "shards").iterdir()), rank, processes):
        opened += 1
        for index, jpeg, text in entries(path):
            size += len(jpeg) + len(text)
            waiting += len(jpeg) + len(text)
            most = max(most, waiting)
            buffer.append((index, jpeg, len(jpeg) + len(text)))
            if len(buffer) > BUFFER:
                waiting -= _take(buffer, generator, order)
    while buffer:
        _take(buffer, generator, order)
    return Read(order, size, opened, most)


def shards_of(shards: Sequence[Path], rank: int, processes: int) -> list[Path]:
    """Every process's own: the same drawn order for all of them, dealt out in turn."""
    drawn = np.random.default_rng(0).permutation(len(shards))
    return [shards[index] for index in drawn[rank::processes]]


def entries(path: Path) -> Iterator[tuple[int, bytes, bytes]]:
    """Samples of a shard, from its beginning to its end: "r|" never goes back."""
    with tarfile.open(path, "r|") as shard:
        jpeg = b""
        for entry in shard:
            content = shard.extractfile(entry)
            if content is None:
                continue
            if entry.name.endswith(".jpg"):
                jpeg = content.read()
            else:
                yield int(entry.name[:8]), jpeg, content.read()


def decode(jpeg: bytes) -> np.ndarray:
    """A picture (H, W, 3), as training would need it."""
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def _take(buffer: list[tuple[int, bytes, int]], generator: np.random.Generator, order: list[int]) -> int:
    """Draws a sample out of the buffer; returns its bytes."""
    place = int(generator.integers(len(buffer)))
    buffer[place], buffer[-1] = buffer[-1], buffer[place]
    index, jpeg, size = buffer.pop()
    decode(jpeg)
    order.append(index)
    return size


READERS = {"files": read_files, "shards": read_shards}


def _reader(what: str, *arguments: int | Path) -> Read:
    cv2.setNumThreads(1)
    return READERS[what](*arguments)  # type: ignore[arg-type]


def measure(what: str, folder: Path, samples: int, processes: int) -> tuple[float, list[Read]]:
    """Seconds of an epoch, and what each process read."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.starmap(_reader, [(what, folder, 16 * processes, rank, processes) for rank in range(processes)])  # warm
        started = time.perf_counter()
        found = pool.starmap(_reader, [(what, folder, samples, rank, processes) for rank in range(processes)], 1)
        return time.perf_counter() - started, found


# ---- what it means for training -------------------------------------------------------------------------------------


def neighbours_kept(order: Sequence[int]) -> float:
    """How often two samples that follow each other are from one shard; of a free permutation: one in all shards."""
    shards = np.asarray(order) // PER_SHARD
    return float((shards[1:] == shards[:-1]).mean()) if len(shards) > 1 else 0.0


def mosaics_of_one_shard(order: Sequence[int]) -> float:
    """How many mosaics have two tiles of one shard, where the other three are drawn from the last BUFFER samples."""
    shards, generator, found = np.asarray(order) // PER_SHARD, np.random.default_rng(0), 0
    places = np.arange(len(shards))[min(BUFFER, len(shards) // 2) :]
    for place in places:
        tiles = shards[np.append(generator.integers(max(0, place - BUFFER), place, 3), place)]
        found += len(set(tiles.tolist())) < 4
    return found / len(places)


def shared_out(samples: int, machines: int) -> tuple[int, int, float]:
    """An epoch of the library's sampler on machines of eight GPUs: fewest and most samples of a process, seconds.

    The seconds are those in which one process draws the order.

    Raises:
        RuntimeError: a sample falls to no process or to two.
    """
    world, started = 8 * machines, time.perf_counter()
    sampler = EpochSampler(samples, batch_size=64, shuffle=True, rank=0, world_size=world)
    order = sampler.order(0)
    drawn = time.perf_counter() - started
    seen = np.zeros(samples, np.int8)
    sizes = []
    for rank in range(world):
        mine = np.concatenate(sampler._of_process(order, rank))
        seen[mine] += 1
        sizes.append(len(mine))
    if not (seen == 1).all():
        raise RuntimeError(f"{(seen != 1).sum()} samples fell to no process or to two")
    return min(sizes), max(sizes), drawn


def sent(parameters: int, machines: int, bandwidth: float) -> float:
    """Milliseconds in which a ring of machines adds their float32 gradients: each sends 2 (m - 1) / m of them."""
    return 1000 * 2 * (machines - 1) / machines * 4 * parameters / bandwidth


# ---- the tables -----------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="a Markdown file that gets the tables, as docs/scaling.md has them")
    options = parser.parse_args(arguments)
    tables = {
        "reading": reading(options.samples, options.processes),
        "machines": sharing(100 * options.samples, options.machines),
        "gradients": sending(options.machines),
    }
    for name, rows in tables.items():
        print(f"\n{name}\n{table(rows)}")
    if options.json:
        options.json.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")
    if options.page:
        page = options.page.read_text(encoding="utf-8")
        for name, (head, *rows) in tables.items():
            lines = (head, ("---",) * len(head), *rows)
            page = with_part(page, name, "\n".join(f"| {' | '.join(line)} |" for line in lines))
        options.page.write_text(page, encoding="utf-8")


def reading(samples: int, processes: Sequence[int]) -> list[tuple[str, ...]]:
    rows = [("as", "processes", "samples/s", "MB", "opened", "buffer MB each", "neighbours", "mosaics of one shard")]
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), samples)
        for count in processes:
            for what in READERS:
                seconds, found = measure(what, Path(name), samples, count)
                order = found[0].order
                if sorted(index for read in found for index in read.order) != list(range(samples)):
                    raise RuntimeError(f"{what}: an epoch of {count} processes has not every sample once")
                figures = (
                    f"{samples / seconds:.0f}",
                    f"{sum(read.bytes for read in found) / 1e6:.0f}",
                    str(sum(read.opened for read in found)),
                    f"{max(read.buffered for read in found) / 1e6:.1f}",
                    f"{neighbours_kept(order):.0%}",
                    f"{mosaics_of_one_shard(order):.0%}",
                )
                rows.append((what, str(count), *figures))
    return rows


def sharing(samples: int, machines: Sequence[int]) -> list[tuple[str, ...]]:
    rows = [
        ("machines of 8", "samples", "fewest of a process", "most", "ms to draw the order", "MB of it, each process")
    ]
    for count in machines:
        fewest, most, seconds = shared_out(samples, count)
        rows.append(
            (str(count), str(samples), str(fewest), str(most), f"{1000 * seconds:.0f}", f"{8 * samples / 1e6:.1f}")
        )
    return rows


def sending(machines: Sequence[int]) -> list[tuple[str, ...]]:
    rows = [("network", "machines", *(f"ms at {link}" for link in LINKS))]
    for name, parameters in PARAMETERS.items():
        for count in machines[1:]:
            rows.append((name, str(count), *(f"{sent(parameters, count, speed):.1f}" for speed in LINKS.values())))
    return rows


if __name__ == "__main__":
    main()
