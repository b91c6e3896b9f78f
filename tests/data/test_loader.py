import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.yolo_folders import write_folder, write_image
from yolo_lite.data.dataset import Batch, Sample, YoloDataset
from yolo_lite.data.loader import EpochSampler, collate, create_dataloader, safe_context
from yolo_lite.data.memory import SharedBlocks, take_over, whole_block
from yolo_lite.data.report import DatasetError
from yolo_lite.hyperparameters import Hyperparameters

PROJECT = Path(__file__).parents[2]
# torch warns where a machine has fewer cores than there are workers here
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> YoloDataset:
    rows = {f"{index}.png": f"{index % 2} 0.5 0.5 0.{index + 1} 0.25\n" * (index % 4 > 0) for index in range(9)}
    folder = write_folder(tmp_path_factory.mktemp("nine"), rows, size=(96, 128))
    return YoloDataset(folder, 64, Hyperparameters(mixup=0.3, degrees=5), augment=True, seed=3)


def contents(batch: Batch) -> tuple:
    return batch.images.numpy().tobytes(), batch.targets.numpy().tobytes(), batch.paths, batch.geometry


# ---------------------------------------------------------------------------------------------------------- batches


def test_batches_do_not_depend_on_the_threads(tmp_path):
    folder = write_folder(tmp_path, {f"{index}.png": "0 0.5 0.5 0.5 0.5" for index in range(6)})
    found = [create_dataloader(folder, 3, img_size=64, augment=True, threads=threads) for threads in (1, 3)]
    assert [contents(batch) for batch in found[0]] == [contents(batch) for batch in found[1]]
    assert YoloDataset(folder, 64).threads > 0
    assert YoloDataset(folder, 64, transform=lambda image, objects, rng: (image, objects)).threads == 1
    assert YoloDataset(found[0].dataset.source, 64).threads == 1  # a source of one's own may not be safe in threads


def test_a_batch(dataset):
    batches = list(create_dataloader(dataset, batch_size=4))
    batch = batches[1]

    assert [len(batch.paths) for batch in batches] == [4, 4, 1]
    assert batch.images.shape == (4, 3, 64, 64)
    assert batch.images.dtype == torch.uint8
    for place, index in enumerate(range(4, 8)):
        sample = dataset[(0, index)]
        assert torch.equal(batch.images[place], sample.image)
        rows = batch.targets[batch.targets[:, 0] == place]
        assert torch.equal(rows[:, 1:], sample.labels[:, 1:])
        assert batch.paths[place] == sample.path
    assert len(batch.targets) == sum(len(dataset[(0, index)].labels) for index in range(4, 8))


def test_a_batch_of_background_images():
    sample = Sample(torch.zeros(3, 32, 32, dtype=torch.uint8), torch.zeros(0, 6), "a", None)
    batch = collate([sample, sample])

    assert batch.targets.shape == (0, 6)
    assert batch.geometry == (None, None)


def test_images_of_different_sizes_are_named():
    samples = [
        Sample(torch.zeros(3, side, 32, dtype=torch.uint8), torch.zeros(0, 6), f"{side}.jpg", None) for side in (32, 64)
    ]
    with pytest.raises(ValueError, match=r"32\.jpg \(32, 32\), 64\.jpg \(64, 32\)"):
        collate(samples)


def test_collate_leaves_the_samples_as_they_are(dataset):
    samples = [dataset[1], dataset[2]]
    collate(samples)

    assert samples[1].labels[:, 0].tolist() == [0] * len(samples[1].labels)


# ---------------------------------------------------------------------------------------------------------- workers


@pytest.fixture(scope="module")
def expected(dataset) -> list[tuple]:
    """Two epochs without workers."""
    loader = create_dataloader(dataset, batch_size=2, shuffle=True)
    return [contents(batch) for _ in range(2) for batch in loader]


@pytest.mark.parametrize(("workers", "context"), [(1, None), (2, "fork"), (2, "spawn"), (2, "forkserver"), (3, None)])
def test_batches_do_not_depend_on_the_workers(dataset, expected, workers, context):
    if context is not None and context not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot start processes by {context}")
    torch.mm(torch.rand(300, 300), torch.rand(300, 300))  # after both libraries have worked in this process
    cv2.GaussianBlur(np.zeros((1000, 1000, 3), np.uint8), (0, 0), 5)
    loader = create_dataloader(dataset, 2, shuffle=True, workers=workers, multiprocessing_context=context)

    assert [contents(batch) for _ in range(2) for batch in loader] == expected


def test_what_is_kept_of_a_batch_stays_while_workers_go_on(dataset):
    def first(loader) -> list:
        """Of each batch of two epochs the first image: a view, and every second time an array."""
        batches = (batch for _ in range(2) for batch in loader)
        return [batch.images[0].numpy() if number % 2 else batch.images[0] for number, batch in enumerate(batches)]

    found = first(create_dataloader(dataset, 2, shuffle=True, workers=1))
    plain = first(create_dataloader(dataset, 2, shuffle=True))

    assert [np.asarray(image).tobytes() for image in found] == [np.asarray(image).tobytes() for image in plain]


def test_workers_share_the_labels_and_a_cache_in_memory(dataset, tmp_path):
    root = Path(dataset.paths[0]).parents[2]
    options = {"img_size": 64, "augment": True, "seed": 3, "hyp": dataset.hyp}
    plain = create_dataloader(root, 3, **options)
    cached = create_dataloader(root, 3, workers=2, cache="ram", **options)

    assert [contents(batch) for batch in cached] == [contents(batch) for batch in plain]


def test_the_settings_of_this_process_stay(dataset):
    before = torch.get_num_threads(), cv2.getNumThreads()
    list(create_dataloader(dataset, 4, workers=1))

    assert (torch.get_num_threads(), cv2.getNumThreads()) == before


def test_forking_is_not_the_default():
    assert safe_context() in ("forkserver", "spawn")


@pytest.mark.parametrize("strict", [False, True])
def test_a_file_that_is_gone_is_named(tmp_path, strict):
    """By the process that asks, not by the worker that met it."""
    write_folder(tmp_path, {"a.png": "", "b.png": ""})
    loader = create_dataloader(tmp_path, 1, workers=1, img_size=32, strict=strict)
    (tmp_path / "images" / "train" / "b.png").unlink()

    if strict:
        with pytest.raises(DatasetError, match=r"b\.png: "):
            list(loader)
    else:
        with pytest.warns(UserWarning, match=r"b\.png: "):
            assert len(list(loader)) == 1


def test_an_error_in_a_worker_is_raised(dataset):
    loader = create_dataloader(dataset, 1, workers=1)
    loader.batch_sampler.order = lambda epoch: np.array([99])

    with pytest.raises(IndexError, match=r"\b99\b.*\b9\b"):
        list(loader)


def killed(image, objects, rng):
    """Ends the process that makes the sample; from outside, it might end while it holds a lock of the loader's."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_an_error_and_not_a_hang(dataset):
    doomed = YoloDataset(Path(dataset.paths[0]).parents[2], 64, transform=killed)

    with pytest.raises(RuntimeError, match="workers=0"):
        list(create_dataloader(doomed, 1, workers=1))


def test_a_script_without_a_guard_gets_an_explanation(dataset, tmp_path):
    root = Path(dataset.paths[0]).parents[2]
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from yolo_lite.data.loader import create_dataloader\n"
        f"loader = create_dataloader({str(root)!r}, 2, workers=1, img_size=32)\n"
        "print(len(list(loader)))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100, env=environment)

    assert run.returncode != 0
    assert 'without `if __name__ == "__main__":` around its code' in run.stderr


# ------------------------------------------------------------------------------------------------------------ order


def test_each_pass_is_the_next_epoch_unless_told(dataset):
    loader = create_dataloader(dataset, 2, shuffle=True)
    first, second = ([batch.paths for batch in loader] for _ in range(2))

    assert len(loader) == len(first) == 5
    assert sorted(sum(first, ())) == sorted(dataset.paths)
    assert first != second
    loader.set_epoch(0)
    assert [batch.paths for batch in loader] == first
    assert [batch.paths for batch in loader] == second


@pytest.mark.parametrize("workers", [0, 1])
def test_resuming_within_an_epoch(dataset, expected, workers):
    loader = create_dataloader(dataset, 2, shuffle=True, workers=workers)
    loader.set_epoch(0, start_batch=3)

    assert [contents(batch) for batch in loader] == expected[3:5]
    assert [contents(batch) for batch in loader] == expected[5:]  # the next epoch from its beginning


def test_a_pass_that_is_broken_off_does_not_disturb_the_next(dataset, expected):
    loader = create_dataloader(dataset, 2, shuffle=True, workers=2)
    for _ in loader:
        break

    assert [contents(batch) for batch in loader] == expected[5:]


def test_the_order_is_that_of_seed_and_epoch():
    orders = {
        (seed, epoch): EpochSampler(50, shuffle=True, seed=seed).order(epoch).tolist()
        for seed in (0, 1)
        for epoch in (0, 1)
    }

    assert len(set(map(tuple, orders.values()))) == 4
    assert EpochSampler(50, batch_size=7, shuffle=True, seed=1, world_size=3).order(1).tolist() == orders[1, 1]
    assert all(sorted(order) == list(range(50)) for order in orders.values())


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 5), st.booleans(), st.integers(0, 3))
def test_each_image_falls_to_exactly_one_process(num_images, batch_size, world_size, shuffle, epoch):
    if shuffle and num_images < world_size:
        with pytest.raises(ValueError, match=rf"\b{num_images} images.*\b{world_size} processes"):
            EpochSampler(num_images, batch_size, shuffle, world_size=world_size)
        return
    if not shuffle and -(-num_images // batch_size) < world_size:
        return  # some process would have no batch: see below
    samplers = [
        EpochSampler(num_images, batch_size, shuffle, rank=rank, world_size=world_size) for rank in range(world_size)
    ]
    shards = [sampler.batches(epoch) for sampler in samplers]
    seen = Counter(index for shard in shards for batch in shard for index in batch.tolist())

    assert seen == Counter(range(num_images))
    assert [len(shard) for shard in shards] == [len(sampler) for sampler in samplers]
    assert max(map(len, shards)) - min(map(len, shards)) <= (0 if shuffle else 1)
    assert max(len(batch) for shard in shards for batch in shard) <= batch_size + shuffle
    assert min(len(batch) for shard in shards for batch in shard) >= 1


def test_processes_see_together_what_one_would_see_in_larger_batches():
    alone = EpochSampler(40, batch_size=8, shuffle=True, seed=4).batches(2)
    ranks = [
        EpochSampler(40, batch_size=4, shuffle=True, seed=4, rank=rank, world_size=2).batches(2) for rank in (0, 1)
    ]

    for batch, first, second in zip(alone, *ranks, strict=True):
        assert batch.tolist() == [*first, *second]


def test_processes_that_validate_share_the_batches_of_one():
    alone = EpochSampler(10, batch_size=3).batches(0)
    shards = [EpochSampler(10, batch_size=3, rank=rank, world_size=2).batches(0) for rank in (0, 1)]

    assert [batch.tolist() for batch in shards[0]] == [alone[0].tolist(), alone[2].tolist()]
    assert [batch.tolist() for batch in shards[1]] == [alone[1].tolist(), alone[3].tolist()]


def test_weights_draw_with_replacement():
    sampler = EpochSampler(4, batch_size=2)
    sampler.weights = np.array([0.0, 1, 1, 2])
    drawn = Counter(index for _ in range(1000) for batch in sampler for _, index in batch)

    assert drawn[0] == 0
    assert drawn[3] / 4000 == pytest.approx(0.5, abs=0.03)
    assert sampler.order(7).tolist() == sampler.order(7).tolist()
    for weights in ([1, 2], [0, 0, 0, 0], [1, 1, 1, -1], [1, 1, 1, float("nan")]):
        sampler.weights = np.array(weights)
        with pytest.raises(ValueError, match=r"weights.*\b4\b"):
            list(sampler)


def test_dropping_the_last_batch():
    assert [len(batch) for batch in EpochSampler(10, batch_size=4, drop_last=True)] == [4, 4]
    assert [len(batch) for batch in EpochSampler(10, batch_size=4, shuffle=True, drop_last=True)] == [4, 4]
    with pytest.raises(ValueError, match=r"\b3 images.*\b4 x 1\b.*drop_last=False"):
        EpochSampler(3, batch_size=4, drop_last=True)


# ---------------------------------------------------------------------------------------------------------- options


def test_rectangular_batches_have_their_shapes(tmp_path):
    for index, size in enumerate([(40, 80), (80, 80), (80, 40), (45, 80), (80, 41)]):
        write_image(tmp_path / "images" / f"{index}.png", *size)
    with pytest.warns(UserWarning, match="label file"):
        loader = create_dataloader(tmp_path, 2, img_size=64, rect=True)

    assert [tuple(batch.images.shape[2:]) for batch in loader] == [(64, 96), (96, 96), (96, 64)]
    assert [Path(path).stem for batch in loader for path in batch.paths] == ["0", "3", "1", "4", "2"]
    for options in ({"shuffle": True}, {"batch_size": 4}):
        with pytest.raises(ValueError, match=r"rect.*\b2\b.*shuffle=False"):
            create_dataloader(loader.dataset, **{"batch_size": 2, **options})
    assert [len(batch.paths) for batch in create_dataloader(loader.dataset, 1)] == [1] * 5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number, at least 1, not 0"),
        ({"workers": -1}, "workers must be a whole number, at least 0, not -1"),
        ({"rank": 2, "world_size": 2}, "rank 2"),
        ({"img_size": 320}, "img_size"),
    ],
)
def test_options_that_cannot_be(dataset, options, says):
    with pytest.raises(ValueError) as error:
        create_dataloader(dataset, **options)
    assert says in str(error.value)


def test_a_real_dataset_with_workers(shared):
    options = {"img_size": 128, "split": "test", "augment": True}
    plain = create_dataloader(shared / "data" / "bccd" / "data.yaml", 16, **options)
    parallel = create_dataloader(shared / "data" / "bccd" / "data.yaml", 16, workers=2, **options)

    assert len(plain) == 5
    assert [contents(batch) for batch in parallel] == [contents(batch) for batch in plain]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_that_lets_go_of_its_views_gives_no_block_back() -> None:
    lent = SharedBlocks().lend((2, 3))
    block = whole_block(lent)
    received = [take_over(block, (2, 3))]
    child = os.fork()
    if not child:
        received.clear()
        os._exit(0)
    os.waitpid(child, 0)
    assert block[0] == 1
    received.clear()
    assert block[0] == 0


class Deeper(YoloDataset):
    """Samples of 16 bits with a sign."""

    def sample(self, *arguments: Any, **options: Any) -> Any:
        found = super().sample(*arguments, **options)
        return found._replace(image=found.image.to(torch.int16) * 4 - 100)


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_of_another_type_stay_what_they_are(workers: int) -> None:
    dataset = Deeper("shapes", 64).subset(range(2))
    (batch,) = create_dataloader(dataset, 2, workers=workers)
    assert batch.images.dtype is torch.int16
    assert batch.images.min() < 0
