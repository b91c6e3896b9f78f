"""Parts of a dataset, a step of one's own, and PyTorch's own DataLoader."""

import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset

from tests.data.test_dataset import ALL_ON, Rectangles, same
from tests.datasets.yolo_folders import write_folder
from yolo_lite.augment.objects import Objects
from yolo_lite.data.dataset import YoloDataset
from yolo_lite.data.labels import ImageLabels, LabelStore
from yolo_lite.data.loader import collate, create_dataloader
from yolo_lite.data.transform import transform_name
from yolo_lite.detect.evaluate import evaluate
from yolo_lite.hyperparameters import Hyperparameters
from yolo_lite.model.yolo import create_model

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


def brighter(image, objects, rng):
    """A step of one's own."""
    gain = int(rng.integers(1, 100))
    return np.minimum(image.astype(int) + gain, 255).astype(np.uint8), objects


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    polygon = "0 0.2 0.2 0.8 0.3 0.7 0.8 0.3 0.7"
    rows = {f"{k}.png": f"{k % 3} 0.5 0.5 0.{k + 1} 0.4\n{polygon}\n" * (k % 4 > 0) for k in range(8)}
    return write_folder(tmp_path_factory.mktemp("eight"), rows, size=(48, 64))


def dataset_of(folder, **options) -> YoloDataset:
    options = {"augment": True, "seed": 3, "hyp": Hyperparameters(mixup=0.3), "img_size": 64} | options
    return YoloDataset(folder, **options)


def pictures(loader) -> list[bytes]:
    return sorted(image.numpy().tobytes() for batch in loader for image in batch.images)


# --------------------------------------------------------------------------------- PyTorch's own DataLoader


def passes(dataset, workers=0, persistent=False, **options) -> tuple[list, list]:
    """Two passes of PyTorch's own DataLoader."""
    options = {"shuffle": True} | options
    loader = DataLoader(dataset, 3, collate_fn=collate, num_workers=workers, persistent_workers=persistent, **options)
    return pictures(loader), pictures(loader)


def test_pytorchs_own_loader_warns_once_that_every_pass_is_the_same(folder):
    dataset = dataset_of(folder)
    with pytest.warns(UserWarning, match=r"create_dataloader.*dataset\.sampler\(\)"):
        first, second = passes(dataset)

    assert first == second
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        passes(dataset)


def test_a_second_pass_over_a_part_is_warned_of(folder):
    part = Subset(dataset_of(folder), [1, 2, 5, 6])
    with pytest.warns(UserWarning, match=r"8 samples of 4 of the dataset's 8 images.*dataset\.subset"):
        passes(part)


def test_the_warning_comes_out_of_workers(folder, capfd):
    dataset = dataset_of(folder)
    passes(dataset, workers=1, multiprocessing_context="spawn")  # others of each pass; they count together
    passes(dataset, workers=1, persistent=True, multiprocessing_context="forkserver")

    assert capfd.readouterr().err.count("dataset.sampler()") == 1


def test_what_is_no_mistake_is_not_warned_of(folder):
    dataset, plain = dataset_of(folder), dataset_of(folder, augment=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            dataset[0], next(iter(DataLoader(dataset, 2, collate_fn=collate)))  # a reader looks at it
            passes(dataset, sampler=dataset.sampler(), shuffle=False)
            passes(plain)
            list(create_dataloader(dataset, 3, shuffle=True))
        for epoch in range(3):
            dataset.epoch = epoch
            list(DataLoader(dataset, 3, collate_fn=collate))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_sampler_makes_each_pass_another_epoch(folder, workers):
    dataset = dataset_of(folder)
    context = "forkserver" if workers else None
    first, second = passes(dataset, workers, shuffle=False, sampler=dataset.sampler(), multiprocessing_context=context)
    ours = create_dataloader(dataset, 3, shuffle=True)

    assert first != second
    assert (first, second) == (pictures(ours), pictures(ours))


def test_the_sampler_of_the_whole_over_a_part_is_said(folder):
    dataset = dataset_of(folder)
    for indices in ([1, 2, 3], range(8)):
        loader = DataLoader(Subset(dataset, indices), 2, sampler=dataset.sampler(), collate_fn=collate)
        with pytest.raises(TypeError, match=r"dataset\.subset\(indices\)"):
            list(loader)
    part = dataset.subset([1, 2, 3])
    keys = list(part.sampler())
    assert [type(pickle.loads(pickle.dumps(key))) for key in keys] == [type(key) for key in keys]
    assert len(next(iter(DataLoader(part, 3, sampler=part.sampler(), collate_fn=collate))).paths) == 3


def test_the_sampler_of_several_processes(folder):
    dataset = dataset_of(folder)
    samplers = [dataset.sampler(rank=rank, world_size=2) for rank in (0, 1)]
    for sampler in samplers:
        sampler.set_epoch(5)
    keys = [list(sampler) for sampler in samplers]

    assert [len(sampler) for sampler in samplers] == [4, 4]
    assert sorted(keys[0] + keys[1]) == [(5, index) for index in range(8)]
    with pytest.raises(ValueError, match="shuffle=False"):
        dataset_of(folder, rect=True, augment=False).sampler(shuffle=True)


def test_workers_that_are_there_already_see_the_epoch(folder):
    dataset = dataset_of(folder)
    loader = DataLoader(
        dataset, 4, collate_fn=collate, num_workers=1, persistent_workers=True, multiprocessing_context="forkserver"
    )
    seen = []
    for epoch in (0, 1):
        dataset.epoch = epoch
        seen.append(pictures(loader))

    assert seen[0] != seen[1]


# --------------------------------------------------------------------------------------- a step of one's own


@pytest.mark.parametrize("augment", [False, True])
def test_a_transform_is_the_last_stage(folder, augment):
    dataset, plain = dataset_of(folder, transform=brighter, augment=augment), dataset_of(folder, augment=augment)
    for index in range(4):
        draw = dataset.draw(index, epoch=2)
        stages, before = list(dataset.stages(draw)), list(plain.stages(draw))
        gain = int(stages[-1].image.min()) - int(before[-1].image.min())

        assert [stage.name for stage in stages] == [*(stage.name for stage in before), "transform"]
        assert 0 < gain < 100
        assert np.array_equal(stages[-1].image, brighter(before[-1].image, None, Drawn(gain))[0])
        assert dataset.sample(index, 2).geometry == plain.sample(index, 2).geometry
        assert torch.equal(dataset.sample(index, 2).labels, plain.sample(index, 2).labels)


class Drawn:
    """Random numbers that are known."""

    def __init__(self, number: int) -> None:
        self.integers = lambda low, high: number


def test_its_random_numbers_follow_from_seed_epoch_and_index(folder):
    drawn = []
    remember = lambda image, objects, rng: (drawn.append(rng.random()), (image, objects))[1]  # noqa: E731
    for seed, epoch, index in [(3, 0, 1), (3, 0, 1), (3, 1, 1), (3, 0, 2), (4, 0, 1)]:
        dataset_of(folder, seed=seed, transform=remember).sample(index, epoch)

    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 4


def test_it_may_write_into_what_it_gets(folder):
    def destroy(image, objects, rng):
        image[:], objects.boxes[:], objects.cls[:] = 7, 1, 0
        return image, objects

    dataset = dataset_of(folder, augment=False, transform=destroy, cache="ram")
    *_, before, last = dataset.stages(dataset.draw(1))

    assert (before.image != 7).any()
    assert not np.array_equal(before.objects.boxes, last.objects.boxes)
    assert last.objects.num_objects == 0  # boxes without area are left out
    assert same(dataset[1], dataset[1])


BOX = [[1.0, 1, 9, 9]]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda image, objects, rng: image, "ndarray"),
        (lambda image, objects, rng: (image / 255, objects), "float64"),
        (lambda image, objects, rng: (image[:32], objects), "(32, 64, 3)"),
        (lambda image, objects, rng: (image, [1]), "list"),
        (lambda image, objects, rng: (image, Objects.build([0], [[np.nan, 1, 2, 3]])), "nan"),
        (lambda image, objects, rng: (image, Objects.build([3], BOX)), "class 3"),
        (lambda image, objects, rng: (image, Objects.build([0], [[9, 1, 1, 9]])), "box 0 as [9.0, 1.0, 1.0, 9.0]"),
        (lambda image, objects, rng: (image, Objects.build([0, 0], [*BOX, [1, 9, 9, 1]])), "box 1"),
        (lambda image, objects, rng: image, "1.png)"),
        (lambda image, objects, rng: (image, Objects.build([1.5], BOX)), "class 1.5"),
        (lambda image, objects, rng: (image, Objects.build([np.nan], BOX)), "class nan"),
        (lambda image, objects, rng: (image, Objects(np.array([1.5]), np.array(BOX), (None,))), "class 1.5"),
        (lambda image, objects, rng: (image, Objects.build([0], np.array(BOX) + 1j)), "[(1+1j), (1+1j), (9+1j)"),
        (lambda image, objects, rng: (image, Objects(np.zeros(1), np.array(BOX) + 1j, (None,))), "(9+1j)"),
        (lambda image, objects, rng: (image, Objects.build([0], [[0.25, 0.25, 0.5, 0.5]])), "[0.25, 0.25, 0.5, 0.5]"),
        (lambda image, objects, rng: (image, Objects.build([1.5], BOX)), "1.png)"),
        (lambda image, objects, rng: (image, Objects(np.zeros(2), np.array(BOX), (None,))), "(1, 4)"),
        (lambda image, objects, rng: Path("/not/there").read_bytes(), "not"),
    ],
)
@pytest.mark.filterwarnings("error::numpy.exceptions.ComplexWarning")
def test_what_it_returns_is_checked(folder, function, says):
    dataset = dataset_of(folder, transform=function)
    for ask in (lambda: dataset[1], lambda: dataset.__getitems__([1])):
        with pytest.raises((ValueError, TypeError, RuntimeError)) as error:
            ask()
        assert says in str(error.value)
        assert transform_name(function) in str(error.value)


def test_workers_apply_it_or_it_is_named(folder):
    dataset = dataset_of(folder, transform=brighter)
    alone, parallel = create_dataloader(dataset, 4), create_dataloader(dataset, 4, workers=1)

    assert pictures(parallel) == pictures(alone) != pictures(create_dataloader(dataset_of(folder), 4))
    dataset.transform = lambda image, objects, rng: (image, objects)
    with pytest.raises(ValueError, match="<lambda>"):
        create_dataloader(dataset, 4, workers=1)
    assert "<lambda>" in repr(dataset)


# ------------------------------------------------------------------------------------------- parts of a dataset


def test_a_subset_has_its_own_mosaics(folder):
    whole = dataset_of(folder, hyp=ALL_ON)
    part = whole.subset([6, 1, 2])
    alone = YoloDataset([whole.paths[k] for k in (6, 1, 2)], 64, ALL_ON, True, 3, names=whole.names)

    assert part.paths[:] == alone.paths[:]
    assert all(same(part.sample(k, 4), alone.sample(k, 4)) for k in range(3))
    assert (len(part), part.labels.num_objects) == (3, part.report.objects)
    assert len(part.subset(np.array([True, False, True]))) == 2


def test_subsets_that_cannot_be(folder):
    dataset = dataset_of(folder)
    for indices in ([], np.zeros(8, bool), np.ones(3, bool)):
        with pytest.raises(ValueError, match=r"\b8\b"):
            dataset.subset(indices)
    with pytest.raises(IndexError, match=r"\b8\b"):
        dataset.subset([8])
    with pytest.raises(TypeError, match="TensorDataset"):
        create_dataloader(Subset(TensorDataset(torch.zeros(3)), [0]))
    for part in (Black(dataset, [0]), Dark(dataset, [0])):
        with pytest.raises(TypeError, match=rf"{type(part).__name__} .*transform="):
            create_dataloader(part)


class Black(Subset):
    """A part whose images are changed where they are asked for."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample._replace(image=sample.image * 0)

    def __getitems__(self, indices):
        return [self[index] for index in indices]


class Dark(Subset):
    """The same, by the batch."""

    def __getitems__(self, indices):
        return [sample._replace(image=sample.image // 2) for sample in super().__getitems__(indices)]


@pytest.mark.parametrize("cache", [None, "ram", "disk"])
def test_a_subset_of_rectangles_and_of_cached_images(cache, tmp_path):
    source = Rectangles([(40, 80), (80, 80), (80, 40), (45, 80), (80, 41)])
    if cache == "disk":
        for k, name in enumerate(source.paths):
            source.paths[k] = str(tmp_path / name)
            Path(source.paths[k]).touch()
    options = {"img_size": 64, "batch_size": 2, "rect": True}
    whole = YoloDataset(source, cache=cache, cache_dir=tmp_path / "cache", **options)
    part = whole.subset([4, 0, 3])

    assert [Path(path).name[-1] for path in part.paths] == [Path(whole.paths[k]).name[-1] for k in (0, 3, 4)]
    assert part.batch_shapes.tolist()[0] == [96, 96]
    for index, k in enumerate((0, 3, 4)):
        assert np.array_equal(part._load(index).image, whole._load(k).image)


def test_pytorchs_subset_everywhere(folder):
    from yolo_lite.train.trainer import Trainer

    whole, val = dataset_of(folder), dataset_of(folder, augment=False)
    chosen = Subset(Subset(whole, [1, 2, 3, 5, 6]), [4, 0, 2])  # images 6, 1, 3
    loader = create_dataloader(chosen, 2)
    model = create_model("yolov5n", names=whole.names)
    metrics = evaluate(model, Subset(val, [1, 2]))
    trainer = Trainer(model, chosen, Subset(val, [1, 2]), epochs=1, batch_size=3, device="cpu")

    assert loader.dataset.paths[:] == [whole.paths[k] for k in (6, 1, 3)]
    assert metrics.num_images == 2
    assert trainer.train_set.paths[:] == loader.dataset.paths[:]
    assert len(trainer.val_set) == 2


def test_folds(folder):
    dataset = dataset_of(folder, transform=brighter)
    folds, again = dataset.folds(3, seed=1), dataset.folds(3, seed=1)

    assert sorted(path for _, val in folds for path in val.paths) == sorted(dataset.paths)
    assert sorted(len(val) for _, val in folds) == [2, 3, 3]
    for (train, val), (other_train, other_val) in zip(folds, again, strict=True):
        assert (train.paths[:], val.paths[:]) == (other_train.paths[:], other_val.paths[:])
        assert set(train.paths) | set(val.paths) == set(dataset.paths)
        assert not set(train.paths) & set(val.paths)
        assert (train.augment, val.augment, val.transform, val[0].geometry is None) == (True, False, None, False)
    assert dataset.folds(3, seed=2)[0][1].paths[:] != folds[0][1].paths[:]
    for k in (1, 9):
        with pytest.raises(ValueError, match=r"\b8\b"):
            dataset.folds(k)


def test_an_image_that_a_subset_has_twice_stays_in_one_fold(folder):
    part = dataset_of(folder).subset([0, 0, 0, 1, 1, 1, 2, 2])
    folds = part.folds(3)

    assert all(not set(train.paths) & set(val.paths) for train, val in folds)
    assert sorted(len(val) for _, val in folds) == [2, 3, 3]
    with pytest.raises(ValueError, match="3 images"):
        part.folds(4)


def test_a_filter_of_classes(folder):
    names = ["cat", "dog", "owl"]
    whole, part = (dataset_of(folder, names=names, classes=classes) for classes in (None, ["owl", 0]))

    assert part.names == ("owl", "cat")
    assert part.paths[:] == whole.paths[:]  # images without such objects are background
    for index in range(len(whole)):
        before, after = whole.labels.of(index), part.labels.of(index)
        kept = [k for k, cls in enumerate(before.cls) if cls in (2, 0)]
        assert after.cls.tolist() == [{2: 0, 0: 1}[cls] for cls in before.cls[kept]]
        assert np.array_equal(after.boxes, before.boxes[kept])
        for k, polygon in zip(kept, after.polygons, strict=True):
            assert (polygon is None) == (before.polygons[k] is None)
            assert polygon is None or np.array_equal(polygon, before.polygons[k])
    single = dataset_of(folder, classes=[1], single_cls=True)
    assert (single.names, set(single.labels.cls.tolist())) == (("object",), {0})
    for classes, says in ([["cow"], "cow"], [[3], "3"], [[0, "cat"], "twice"], [[], "no class"], ["cat", "list"]):
        with pytest.raises(ValueError, match=says):
            dataset_of(folder, names=names, classes=classes)


def test_selecting_labels_is_what_a_loop_would_do():
    generator = np.random.default_rng(0)
    images = []
    for count in (2, 0, 3, 1, 0):
        outlines = [generator.random((k, 2), np.float32) if k else None for k in generator.integers(0, 5, count)]
        images.append(
            ImageLabels(generator.integers(0, 4, count), generator.random((count, 4), np.float32), (*outlines,))
        )
    store = LabelStore.build(images)
    for which in ([], [4], [3, 0, 0, 2], [1, 4]):
        found, expected = store.select(which), LabelStore.build([images[k] for k in which])
        for name in vars(expected):
            assert torch.equal(getattr(found, name), getattr(expected, name)), name


def test_hyperparameters_as_a_dict_or_a_file(folder, tmp_path):
    Hyperparameters(mixup=0.3).to_yaml(tmp_path / "hyp.yaml")
    for hyp in ({"mixup": 0.3}, tmp_path / "hyp.yaml", str(tmp_path / "hyp.yaml")):
        assert dataset_of(folder, hyp=hyp).hyp == Hyperparameters(mixup=0.3)
    assert dataset_of(folder, hyp=None).hyp == dataset_of(folder, hyp={}).hyp == Hyperparameters()
    for hyp, says in (({"mixupp": 0.3}, "mixup"), (3, "hyp must be")):
        with pytest.raises(ValueError, match=says):
            dataset_of(folder, hyp=hyp)


def test_a_list_of_paths_is_a_dataset(folder):
    paths = sorted((folder / "images" / "train").iterdir())[2:5]

    assert [os.path.basename(path) for path in YoloDataset(paths, 64, names=["a", "b", "c"]).paths] == [
        path.name for path in paths
    ]
