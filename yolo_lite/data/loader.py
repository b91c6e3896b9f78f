"""create_dataloader: batches of samples, the same ones for any number of workers and any way of starting them.

YOLOv5: `create_dataloader`, `InfiniteDataLoader`, `collate_fn`.
The sampler (sampling.py) asks for keys (epoch, index), and a sample is a function of its key. So workers need no
state, may stay alive from epoch to epoch, and a run can be resumed in the middle of one.
"""

import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset, get_worker_info

from yolo_lite.data.dataset import Batch, Sample, YoloDataset
from yolo_lite.data.memory import SharedBlocks, take_over, whole_block
from yolo_lite.data.report import SHOWN_PER_KIND, DatasetError, Problem, Report
from yolo_lite.data.sampling import EpochSampler
from yolo_lite.data.source import ImageSource
from yolo_lite.data.transform import require_picklable
from yolo_lite.support.arguments import require_whole

WORKER_DIED = (
    "a worker process of the data loader died. Usual reasons: a script that starts workers without "
    '`if __name__ == "__main__":` around its code (each worker imports the script again); too little (shared) memory; '
    "a source or transform defined in a notebook cell, which workers cannot import. With workers=0 everything runs in "
    "this process"
)


class YoloLoader(DataLoader[Batch]):
    """A DataLoader of a YoloDataset whose errors say what to do. ``len``: batches in an epoch.

    YOLOv5: `InfiniteDataLoader`.
    ``unreadable`` holds the images, by path, that could not be read when their turn came. Each is named in a warning
    when it is found; a dataset with strict=True raises DatasetError instead. A batch of which no image can be read is
    left out.
    """

    dataset: YoloDataset  # type: ignore[assignment]  # DataLoader has one type for samples and batches
    batch_sampler: EpochSampler

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unreadable: dict[str, Problem] = {}
        self.warn: Callable[[str], None] | None = None  # in place of Python's warnings

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """The next pass over the loader is this epoch, from this batch on; the passes after it follow."""
        self.batch_sampler.set_epoch(epoch, start_batch)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # DataLoader's own class of iterators is private
        try:
            for batch in super().__iter__():
                for path in batch.paths:
                    self.unreadable.pop(path, None)  # somebody put it back
                self.note_unreadable(batch.unreadable)
                if batch.paths:
                    yield batch
        except (RuntimeError, EOFError, ConnectionError) as error:
            if _is_death_of_worker(error):
                raise RuntimeError(WORKER_DIED) from error
            raise

    def note_unreadable(self, problems: Iterable[Problem]) -> None:
        """Keeps these, and warns of those that are new."""
        for problem in problems:
            if self.dataset.strict:
                raise DatasetError(str(problem), Report(problems=(problem,)))
            if problem.path in self.unreadable:
                continue
            self.unreadable[problem.path] = problem
            warn = self.warn or partial(warnings.warn, stacklevel=3)
            if len(self.unreadable) <= SHOWN_PER_KIND:
                warn(f"{problem} ({len(self.unreadable)} so far)")
            elif len(self.unreadable) == SHOWN_PER_KIND + 1:
                more = "more images cannot be read; loader.unreadable has them all"
                warn(f"{problem}. From here on {more}")


def _is_death_of_worker(error: Exception) -> bool:
    """Whether a process is gone, rather than an error that the dataset raised in one ("Caught ... in DataLoader")."""
    if isinstance(error, RuntimeError):
        return "exited unexpectedly" in str(error) or "is killed by signal" in str(error)
    return "Caught" not in str(error)  # its end of the connection is closed


def create_dataloader(
    source: str | Path | Sequence[str | Path] | ImageSource | YoloDataset | Subset[Sample],
    batch_size: int = 16,
    *,
    shuffle: bool = False,
    workers: int = 0,
    drop_last: bool = False,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
    multiprocessing_context: str | None = None,
    **dataset_options: Any,
) -> YoloLoader:
    """Batches of a dataset, in an order that depends on (seed, epoch) only.

    Args:
        source: a YoloDataset, or PyTorch's Subset of one (see ``as_dataset``); or anything it is made from, and then
            ``dataset_options`` are its other arguments.
        shuffle: a new order in each epoch. workers: processes that load; 0 = this one does.
        drop_last: leave the last batch out where it is smaller. rank, world_size: this process and how many there are.
        pin_memory: page-locked batches, which a GPU fetches faster.
        multiprocessing_context: how workers start: "forkserver", "spawn" or "fork". Left out: "forkserver" where the
            system has it, else "spawn". "fork" starts fastest, but may hang where the process has used threads before
            (a notebook that has used torch); the other two need `if __name__ == "__main__":` in scripts.
    Returns:
        An iterable of Batch; ``loader.set_epoch(epoch, start_batch)`` resumes, otherwise each pass is the next epoch.
    Raises:
        ValueError: options that cannot go together.

    >>> batch = next(iter(create_dataloader("shapes", batch_size=2, img_size=64)))
    >>> batch.images.shape, batch.targets.shape[1]
    (torch.Size([2, 3, 64, 64]), 6)
    """
    require_whole(1, batch_size=batch_size)
    require_whole(0, workers=workers)
    if isinstance(given := as_dataset(source), YoloDataset):
        if dataset_options:
            raise ValueError(f"the dataset exists already: set its {', '.join(dataset_options)} where it is made")
        dataset = given
    else:
        dataset = YoloDataset(given, batch_size=batch_size, **dataset_options)
    if dataset.rect and (shuffle or dataset.batch_size % batch_size):
        raise ValueError(
            f"rect gives each {dataset.batch_size} consecutive images one shape: "
            f"use shuffle=False and a batch_size that divides {dataset.batch_size}"
        )
    context = (multiprocessing_context or safe_context()) if workers else None
    if context not in (None, "fork"):
        require_picklable(dataset.transform)
    return YoloLoader(
        dataset,
        batch_sampler=EpochSampler(len(dataset), batch_size, shuffle, dataset.seed, drop_last, rank, world_size),
        collate_fn=_WorkerCollate() if workers else collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        worker_init_fn=_set_up_worker if workers else None,
        multiprocessing_context=context,
    )


def as_dataset(source: Any) -> Any:
    """PyTorch's ``Subset`` of a YoloDataset as the YoloDataset of these images; anything else as it is.

    Its mosaics are made of these images alone, while those of a Subset in PyTorch's own DataLoader may show any image
    of the whole dataset, those kept for validation among them.

    Raises:
        TypeError: a Subset of another dataset; a subclass of Subset that makes other samples.

    >>> as_dataset(Subset(YoloDataset("shapes", img_size=64), [5, 7])).paths[1]
    'shapes/train/000007'
    """
    if not isinstance(source, Subset):
        return source
    for name in ("__getitem__", "__getitems__"):
        if getattr(type(source), name) is not getattr(Subset, name):
            raise TypeError(
                f"{type(source).__name__} is a Subset with a {name} of its own, which would not be called here: give "
                "YoloDataset what it does as transform=, and pass a plain Subset or dataset.subset(indices)"
            )
    whole = as_dataset(source.dataset)
    if not isinstance(whole, YoloDataset):
        raise TypeError(
            f"a Subset of {type(whole).__name__} has no labels that are known here: give one of YoloDataset"
        )
    return whole.subset(source.indices)


def safe_context() -> str:
    """How to start worker processes from a process that may have used threads: never by forking it."""
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def _set_up_worker(worker: int) -> None:
    """One thread in each worker: there are several of them already."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)  # 0 = no thread of its own


def collate(found: Sequence[Sample | Problem], blocks: SharedBlocks | None = None) -> Batch:
    """Samples -> a batch; column 0 of the targets becomes the place of the image in the batch. YOLOv5: `collate_fn`.

    Args:
        found: a Problem is an image that could not be read: it is left out. Without any sample the images are
            (0, 3, 0, 0).
        blocks: the memory in which a worker process stacks the images; left out: new memory.
    Raises:
        ValueError: images of different sizes, with the sizes.
    """
    samples = [sample for sample in found if isinstance(sample, Sample)]
    unreadable = [problem for problem in found if isinstance(problem, Problem)]
    unreadable += [problem for sample in samples for problem in sample.unreadable]
    if not samples:
        return Batch(torch.zeros(0, 3, 0, 0, dtype=torch.uint8), torch.zeros(0, 6), (), (), tuple(unreadable))
    if len({sample.image.shape for sample in samples}) > 1:
        sizes = ", ".join(f"{sample.path} {tuple(sample.image.shape[1:])}" for sample in samples)
        raise ValueError(f"images of different sizes cannot form a batch: {sizes}; letterbox them to one size")
    counts = torch.tensor([len(sample.labels) for sample in samples])
    targets = torch.cat([sample.labels for sample in samples])  # (n, 6)
    targets[:, 0] = torch.arange(len(samples)).repeat_interleave(counts)
    tables = [sample.hsv for sample in samples if sample.hsv is not None]
    images = [sample.image for sample in samples]
    is_lent = get_worker_info() is not None and all(image.dtype is torch.uint8 for image in images)
    # a worker stacks in shared memory: no copy is made to hand it over
    room = (blocks or SharedBlocks()).lend((len(images), *images[0].shape)) if is_lent else None
    return Batch(
        torch.stack(images, out=room),
        targets,
        tuple(sample.path for sample in samples),
        tuple(sample.geometry for sample in samples),
        tuple(unreadable),
        torch.stack(tables) if tables else None,
    )


class _WorkerCollate:
    """``collate`` of a worker process, in memory that the main process gives back."""

    def __init__(self) -> None:
        self._blocks = SharedBlocks()

    def __call__(self, found: Sequence[Sample | Problem]) -> Batch:
        batch = collate(found, self._blocks)
        is_lent = batch.paths and batch.images.dtype is torch.uint8 and get_worker_info() is not None
        return _Lent(*batch) if is_lent else batch


class _Lent(Batch):
    """A batch whose images lie in a block of a worker process; the process that gets it gets a Batch."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (whole_block(self.images), tuple(self.images.shape), *self[1:])


def _received(block: Tensor, shape: tuple[int, ...], *others: Any) -> Batch:
    return Batch(take_over(block, shape), *others)
