"""Which samples come when: batches of keys (epoch, index), and single keys for PyTorch's own DataLoader.

YOLOv5: `SmartDistributedSampler`.
"""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

from yolo_lite.data.labels import shared
from yolo_lite.support.arguments import require_whole

Key = tuple[int, int]  # epoch, index
ORDER = 1  # sets the draws of the order apart from those of the samples, which share seed and epoch


class _Key(Key):
    """Says what to use instead where PyTorch's Subset takes it for a place in its list of images."""

    __slots__ = ()

    def __index__(self) -> int:
        raise TypeError(
            f"the sampler gives keys (epoch, index), such as {tuple(self)}, which PyTorch's Subset does not pass on: "
            "make part = dataset.subset(indices), and use it and part.sampler() in the DataLoader"
        )


class EpochSampler(Sampler[list[Key]]):
    """Batches of keys (epoch, index) for one of ``world_size`` processes; each pass is the next epoch.

    Shuffled (for training), every process gets the same number of batches, and each image falls to exactly one of
    them: the order is cut into groups of batch_size * world_size, and each group is shared out evenly. What is left
    after the last whole group is shared out too; fewer images than processes join the group before. In order (for
    validation), process r has every world_size-th batch from the r-th on, so that the batches are those of a single
    process, and one process may have one batch more than another.

    >>> sampler = EpochSampler(5, batch_size=2)
    >>> list(sampler)
    [[(0, 0), (0, 1)], [(0, 2), (0, 3)], [(0, 4)]]
    >>> next(iter(sampler))
    [(1, 0), (1, 1)]
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int = 16,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        require_whole(1, batch_size=batch_size, world_size=world_size)
        require_whole(0, rank=rank)
        if rank >= world_size:
            raise ValueError(f"rank {rank} must lie between 0 and {world_size - 1}, one less than world_size")
        self.num_images, self.batch_size, self.shuffle, self.seed = num_images, batch_size, shuffle, seed
        self.drop_last, self.rank, self.world_size = drop_last, rank, world_size
        self.epoch = 0  # of the next pass
        self.start_batch = 0  # the next pass leaves out this many batches
        self.weights: np.ndarray | None = None  # (num_images,) >= 0: draw with replacement, in proportion
        if not len(self):
            raise ValueError(f"{num_images} images fill no batch of {batch_size} x {world_size}: use drop_last=False")

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """The next pass is this epoch, from this batch on; the passes after it follow."""
        require_whole(0, epoch=epoch, start_batch=start_batch)
        self.epoch, self.start_batch = int(epoch), int(start_batch)

    def order(self, epoch: int) -> np.ndarray:
        """Indices in the order of an epoch, for all processes together; a function of (seed, epoch) and the weights."""
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, epoch], spawn_key=(ORDER,)))
        if self.weights is not None:
            weights = np.asarray(self.weights, np.float64)
            if weights.shape != (self.num_images,) or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
                raise ValueError(f"weights must be {self.num_images} numbers from 0 on, one per image, not all 0")
            return generator.choice(self.num_images, self.num_images, p=weights / weights.sum())
        return generator.permutation(self.num_images) if self.shuffle else np.arange(self.num_images)

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The batches of this process in an epoch, as indices."""
        return self._of_process(self.order(epoch))

    @property
    def smallest_batch(self) -> int:
        """Images in the smallest batch of an epoch, of all processes."""
        every = np.arange(self.num_images)
        return min(len(batch) for rank in range(self.world_size) for batch in self._of_process(every, rank))

    def __len__(self) -> int:
        """Batches in a whole epoch of this process."""
        return len(self._of_process(np.arange(self.num_images)))

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, start_batch = self.epoch, self.start_batch
        self.set_epoch(epoch + 1)
        for batch in self.batches(epoch)[start_batch:]:
            yield [_Key((epoch, index)) for index in batch.tolist()]

    def _of_process(self, order: np.ndarray, rank: int | None = None) -> list[np.ndarray]:
        """The batches of a process, this one if none is given."""
        rank = self.rank if rank is None else rank
        if not (self.shuffle or self.weights is not None):
            return self._cut(order, self.batch_size)[rank :: self.world_size]
        groups = self._cut(order, self.batch_size * self.world_size)
        if groups and len(groups[-1]) < self.world_size:
            if len(groups) == 1:
                raise ValueError(f"{self.num_images} images are too few for {self.world_size} processes")
            groups[-2:] = [np.concatenate(groups[-2:])]
        return [np.array_split(group, self.world_size)[rank] for group in groups]

    def _cut(self, order: np.ndarray, size: int) -> list[np.ndarray]:
        end = len(order) // size * size if self.drop_last else len(order)
        return [order[start : start + size] for start in range(0, end, size)]


class KeySampler(Sampler[Key]):
    """Keys (epoch, index), one at a time, for PyTorch's own DataLoader; each pass is the next epoch.

    ``YoloDataset.sampler`` makes it. The order is that of ``create_dataloader`` with batches of one image; the keys of
    several processes are shared out as evenly.

    >>> sampler = KeySampler(EpochSampler(3, batch_size=1))
    >>> list(sampler), next(iter(sampler))
    ([(0, 0), (0, 1), (0, 2)], (1, 0))
    """

    def __init__(self, batches: EpochSampler) -> None:
        self._batches = batches

    def set_epoch(self, epoch: int) -> None:
        """The next pass is this epoch; the passes after it follow."""
        self._batches.set_epoch(epoch)

    def __len__(self) -> int:
        """Keys in an epoch of this process."""
        return sum(map(len, self._batches.batches(0)))

    def __iter__(self) -> Iterator[Key]:
        for batch in self._batches:
            yield from batch


class EpochClock:
    """The epoch of ``dataset[i]``, and how often a DataLoader has asked for each sample of it, by its index alone.

    In memory that worker processes share: they see an epoch that is set, and count together.
    """

    def __init__(self, num_images: int) -> None:
        self._state = shared(torch.zeros(3, dtype=torch.int64))  # epoch, its largest batch, 1 after the warning
        self._asked = shared(torch.zeros(num_images, dtype=torch.int32))  # how often in this epoch

    @property
    def epoch(self) -> int:
        return int(self._state[0])

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        require_whole(0, epoch=epoch)
        self._state[0], self._state[1] = int(epoch), 0
        self._asked.zero_()

    def count(self, indices: Sequence[int]) -> None:
        """Warns, once, of a second pass in the same epoch, whose samples are the same.

        That is: more samples than images; or, over a part such as PyTorch's Subset, every image asked for once more.
        One batch that a reader looks at several times is none.
        """
        if self._state[2] or not indices:
            return
        self._state[1] = max(int(self._state[1]), len(indices))
        np.add.at(self._asked.numpy(), list(indices), 1)
        asked = self._asked[self._asked > 0]
        if asked.sum() > len(self._asked) or (asked.min() > 1 and len(asked) > self._state[1]):
            self._state[2] = 1
            warnings.warn(
                f"a DataLoader has asked for {asked.sum()} samples of {len(asked)} of the dataset's "
                f"{len(self._asked)} images, all in epoch {self.epoch}: each pass has the same augmented samples. Use "
                "create_dataloader(dataset, ...), or give the DataLoader sampler=dataset.sampler() instead of "
                "shuffle=True (and dataset.subset(indices) instead of a Subset), or set dataset.epoch before each pass",
                stacklevel=4,
            )
