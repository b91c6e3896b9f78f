"""AugmentationLab shows the samples that YoloDataset makes, of any images, with what became of every box."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import yolo_lite as yl
from walkthrough import AugmentationLab
from walkthrough.explorers.augmentation.album import Album
from walkthrough.explorers.linking import link
from walkthrough.scene import Boxes, Line, Panel, Table
from yolo_lite.augment.warp import map_points
from yolo_lite.datasets.shapes import Shapes

EVERYTHING = {
    "degrees": 20, "shear": 8, "perspective": 0.0005, "mixup": 1.0, "copy_paste": 0.7, "flipud": 0.5,
    "random_resized_crop": 1.0, "blur": 1.0, "median_blur": 1.0, "to_gray": 0.5, "clahe": 1.0,
    "brightness_contrast": 1.0, "gamma": 1.0, "jpeg": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def photos() -> Album:
    return AugmentationLab(size=96).state.album


@pytest.fixture(scope="module")
def own() -> tuple[list[np.ndarray], list[list[float]]]:
    """Three pictures of odd sizes, of which the last has no objects."""
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 255, (*size, 3), np.uint8) for size in ((97, 143), (260, 61), (33, 35))]
    targets = [[0, 2, 0.5, 0.5, 0.4, 0.6], [0, 0, 0.2, 0.2, 0.01, 0.01], [1, 1, 0.5, 0.7, 0.9, 0.2]]
    return images, targets


def same_sample(lab: AugmentationLab, sample: yl.Sample, place: int = 0) -> None:
    """The finished stage is the sample, pixel by pixel and box by box."""
    last = lab.result.samples[place].stages[-1]
    assert np.array_equal(last.image, sample.image.permute(1, 2, 0).numpy())
    assert last.objects.cls.tolist() == sample.labels[:, 1].int().tolist()
    height, width = last.image.shape[:2]
    boxes = yl.xywh_to_xyxy(sample.labels[:, 2:]) * torch.tensor([width, height, width, height])
    np.testing.assert_allclose(last.objects.boxes, boxes, atol=2e-3)  # labels keep a thousandth of a pixel clear


@pytest.mark.parametrize(
    "settings",
    [{}, {"mosaic": 0.0, "degrees": 40}, EVERYTHING, {**EVERYTHING, "mosaic": 0.0}, {"hsv_h": 0.5, "fliplr": 1.0}],
)
def test_setting_from_python_gives_the_sample_of_the_dataset(settings):
    lab = AugmentationLab(size=96)
    lab.set(**settings, seed=11, index=2, epoch=4)
    dataset = yl.YoloDataset("photos", 96, yl.Hyperparameters(**settings), augment=True, seed=11)
    same_sample(lab, dataset.apply(dataset.draw(2, 4)))
    assert lab.result.samples[0].draw == dataset.draw(2, 4)
    for mine, theirs in zip(lab.result.samples[0].stages, dataset.stages(dataset.draw(2, 4)), strict=True):
        assert mine.name == theirs.name
        assert np.array_equal(mine.image, theirs.image)


def test_a_grid_is_the_samples_of_consecutive_seeds():
    lab = AugmentationLab(size=64, view="grid of samples", seed=5, degrees=10)
    assert [made.seed for made in lab.result.samples] == list(range(5, 13))
    for place in (0, 3, 7):
        dataset = yl.YoloDataset("photos", 64, yl.Hyperparameters(degrees=10), augment=True, seed=5 + place)
        same_sample(lab, dataset.sample(0), place)
    assert sum(isinstance(panel, Panel) for row in lab.as_scene().all_rows for panel in row) == 8


def test_a_dataset_brings_its_hyperparameters_size_and_seed():
    hyp = yl.Hyperparameters(degrees=15, mixup=0.5, box=0.1)
    dataset = yl.YoloDataset(Shapes("val", 64, 9), 64, hyp, augment=True, seed=7)
    lab = AugmentationLab(dataset=dataset, index=4, epoch=1)
    same_sample(lab, dataset.apply(dataset.draw(4, 1)))
    assert (lab.degrees, lab.size, lab.seed, lab.state.names) == (15, 64, 7, dataset.names)
    assert "box=0.1" in lab.as_code()


def test_pictures_of_the_reader_equal_the_same_pictures_in_a_folder(own, tmp_path: Path):
    images, targets = own
    for place, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"{place}.png"), image[..., ::-1])
        rows = [" ".join(f"{value:.6f}" for value in row[2:]) for row in targets if row[0] == place]
        classes = [int(row[1]) for row in targets if row[0] == place]
        lines = [f"{cls} {row}\n" for cls, row in zip(classes, rows, strict=True)]
        (tmp_path / f"{place}.txt").write_text("".join(lines))
    lab = AugmentationLab(images=images, targets=targets, names=["a", "b", "c"], size=128, seed=3, degrees=5)
    hyp = yl.Hyperparameters(degrees=5)
    dataset = yl.YoloDataset(tmp_path, 128, hyp, augment=True, seed=3, names=["a", "b", "c"])
    for index in range(3):
        lab.index = index
        same_sample(lab, dataset.sample(index))


def test_dropped_boxes_come_with_the_reason_of_the_warp_and_stay_in_sight():
    lab = AugmentationLab()
    made = lab.result.samples[0]
    (warp,) = [stage for stage in made.stages if stage.name == "warp"]
    reasons = [reason for reason in warp.result.box_filter.reasons if reason]
    assert [drop.reason for drop in made.drops] == reasons
    assert len(reasons) == 2
    assert made.stages[-1].objects.num_objects == len(warp.result.box_filter.kept) - len(reasons)
    panels = {panel.title: panel for row in lab.as_scene().all_rows for panel in row}
    (dashed,) = [x for x in panels["mosaic"].layers if isinstance(x, Boxes) and x.dash == "dashed"]
    assert len(dashed.xyxy) == 2
    (left,) = [x for x in panels["warp"].layers if isinstance(x, Boxes) and x.dash == "dashed"]
    assert left.labels == ("spoon: 1.8 px wide",)
    table = panels["2 boxes dropped, 4 kept"]
    assert isinstance(table, Table)
    assert table.rows[0] == ("warp", "person", "outside the image")


def test_drops_of_the_second_mosaic_and_of_a_crop_are_told_too():
    lab = AugmentationLab(size=96, mixup=1, random_resized_crop=1, scale=0.9)
    steps = set()
    for seed in range(30):
        lab.seed = seed
        for drop in lab.result.samples[0].drops:
            steps.add(drop.step)
            assert drop.reason
    assert steps == {"warp", "second mosaic", "crop"}


def test_a_flipped_sample_shows_dropped_boxes_on_the_side_they_are():
    plain = AugmentationLab(view="sample", fliplr=0)
    turned = AugmentationLab(view="sample", fliplr=1)

    def dashed(lab: AugmentationLab) -> Boxes:
        return next(x for x in lab.as_scene().all_rows[0][1].layers if isinstance(x, Boxes) and x.dash == "dashed")

    ((x1, y1, x2, y2),) = dashed(plain).xyxy
    assert dashed(turned).xyxy == (pytest.approx((384 - x2, y1, 384 - x1, y2), abs=2e-3),)


def test_the_matrix_is_the_product_of_its_factors_and_maps_the_window():
    lab = AugmentationLab(size=96, degrees=30, shear=10, perspective=0.001)
    made = lab.result.samples[0]
    (warp,) = [stage for stage in made.stages if stage.name == "warp"]
    np.testing.assert_allclose(made.matrices.combined, warp.result.matrix)
    panels = [panel for row in lab.as_scene().all_rows for panel in row]
    before = panels[[panel.title for panel in panels].index("warp") - 1]
    (window,) = [layer for layer in before.layers if isinstance(layer, Line)]
    corners = map_points(np.array(window.points), warp.result.matrix)
    np.testing.assert_allclose(corners, [(0, 0), (96, 0), (96, 96), (0, 96)], atol=0.01)
    table = panels[-1]
    assert table.columns[0] == "M"
    row = [float(word) for word in table.rows[1][0].split()]
    np.testing.assert_allclose(row, warp.result.matrix[1], rtol=6e-3)


def test_one_setting_leaves_the_other_draws_alone():
    lab = AugmentationLab(size=96)
    before = lab.result.samples[0].draw
    lab.degrees = 25
    after = lab.result.samples[0].draw
    assert after.mosaic.warp.angle != before.mosaic.warp.angle
    assert after.mosaic.warp._replace(angle=0.0) == before.mosaic.warp
    assert (after.mosaic.mosaic, after.hsv, after.flip) == (before.mosaic.mosaic, before.hsv, before.flip)


def test_moved_and_drawn_boxes_follow_and_untouched_ones_keep_their_outlines(photos):
    lab = AugmentationLab(size=96, mosaic=0, scale=0, translate=0, fliplr=0)
    first, *others = lab.objects
    lab.objects = ((10, 20, 110, 220, 5), *[[round(v, 3) for v in box] for box in others])
    labels = lab.state.album.labels.of(0)
    assert labels.cls.tolist()[0] == 5
    assert [polygon is None for polygon in labels.polygons] == [True, False, False]
    untouched = photos.labels.of(0)
    assert np.array_equal(labels.boxes[1:], untouched.boxes[1:])
    (box, *_) = lab.result.samples[0].stages[-1].objects.boxes
    share = 96 / 600  # the photograph is 600 x 400, its letterbox 96 x 96
    np.testing.assert_allclose(box, [10 * share, 20 * share + 16, 110 * share, 220 * share + 16], atol=0.02)
    lab.index = 1
    lab.index = 0
    assert lab.objects[0] == pytest.approx((10, 20, 110, 220, 5), abs=1e-3)
    lab.objects = ((-50, -50, 30, 40, 1), (700, 10, 800, 20, 1))
    assert lab.objects == (pytest.approx((0, 0, 30, 40, 1), abs=1e-3),)  # clipped; off the image, nothing is left
    lab.set(degrees=20)
    lab.reset()
    assert (lab.degrees, lab.objects[0][:4]) == (0, pytest.approx((0, 0, 30, 40), abs=1e-3))
    lab.clear()
    assert lab.state.album.labels.of(0).cls.tolist() == untouched.cls.tolist()
    assert first == lab.objects[0]


def test_an_uploaded_picture_is_one_more_image_and_takes_boxes():
    lab = AugmentationLab(size=64, mosaic=0, scale=0, translate=0, fliplr=0, hsv_h=0, hsv_s=0, hsv_v=0)
    picture = np.random.default_rng(0).integers(0, 255, (40, 64, 3), np.uint8)
    lab.add_picture(picture, "mine.jpg")
    assert (lab.index, lab.result.original.name, lab.objects) == (6, "mine", ())
    assert "draw a box" in lab.as_scene().all_rows[0][0].caption
    assert np.array_equal(lab.result.image[12:52], picture)  # as large as the network's input: letterboxed only
    lab.objects = ((8, 4, 30, 24, 0),)
    np.testing.assert_allclose(lab.result.samples[0].stages[-1].objects.boxes, [[8, 16, 30, 36]], atol=0.01)
    lab.mosaic = 1
    assert not lab.message
    assert "YoloDataset(source, " in lab.as_code()  # no longer the photographs alone
    lab.add_picture(np.zeros((3000, 1000, 3), np.uint8), "huge")
    assert lab.result.original.size == (1600, 534)


def test_images_without_objects_have_a_picture_and_words(own):
    lab = AugmentationLab(images=own[0], size=64, mixup=1, random_resized_crop=1)
    for view in ("stages", "sample", "grid"):
        lab.view = view
        assert lab.as_scene().png()
        assert not lab.message
    assert lab.words().endswith("0 boxes kept, 0 dropped")


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"images": np.zeros((32, 32, 3), np.uint8), "dataset": "photos"}, "images= or dataset=, not both"),
        ({"dataset": 7}, "dataset is a YoloDataset or its source"),
        ({"dataset": "no/such/folder"}, "no/such/folder"),
        ({"dataset": yl.YoloDataset(Shapes("val", 64, 2), 64, rect=True)}, "rect=False"),
        ({"images": np.zeros((32, 32, 3), np.uint8), "targets": [[1, 0, 0.5, 0.5, 0.1, 0.1]]}, "belongs to image 1"),
        ({"hyp": 3}, "hyp is a Hyperparameters"),
        ({"size": 100}, "multiple of the stride 32"),
    ],
)
def test_what_cannot_be_used_gets_a_sentence_in_its_place(inputs, sentence):
    lab = AugmentationLab(**inputs)
    assert lab.result is None
    assert sentence in lab.message
    assert sentence in repr(lab.as_scene())


def test_settings_off_range_stay_and_say_so():
    lab = AugmentationLab(size=64)
    lab.set(scale=1.5, degrees=5)
    assert (lab.scale, lab.degrees) == (0.5, 5)
    assert "scale lies between 0 and 0.95" in lab.message
    lab.index = 6
    assert "between 0 and 5" in lab.message


def test_code_holds_what_differs_and_how_to_get_the_sample():
    lab = AugmentationLab(size=64, degrees=10, mosaic=0.5, index=3, epoch=2, seed=4)
    assert lab.as_code() == (
        "hyp = yl.Hyperparameters(degrees=10, mosaic=0.5)\n"
        "dataset = yl.YoloDataset('photos', img_size=64, hyp=hyp, augment=True, seed=4)\n"
        "sample = dataset.sample(3, epoch=2)"
    )


def test_linked_labs_share_settings_but_not_images(own):
    first, second = AugmentationLab(size=64), AugmentationLab(images=own[0], targets=own[1], size=64)
    unlink = link(first, second)
    first.set(shear=12, view="grid")
    assert (second.shear, second.view) == (12, "stages")
    assert len(second.state.album) == 3
    unlink()


def inverted(image, objects, rng):
    return 255 - image, objects.select(rng.random(objects.num_objects) < 2)


class Halved(yl.YoloDataset):
    """A dataset whose last stage is its own."""

    def stages(self, draw):
        for stage in super().stages(draw):
            yield stage
        yield stage._replace(name="halved", image=stage.image // 2)


def test_an_own_datasets_steps_are_stages_of_the_lab():
    own = yl.YoloDataset("photos", 160, augment=True, seed=5, transform=inverted)
    lab = AugmentationLab(dataset=own)
    made = lab.result.samples[0]

    assert made.stages[-1].name == "transform"
    assert np.array_equal(lab.result.image.transpose(2, 0, 1), own.sample(0, 0).image.numpy())
    assert "transform" in [panel.title for row in lab.as_scene().all_rows for panel in row if hasattr(panel, "layers")]
    assert "transform=inverted" in lab.as_code()
    lab.set(view="grid", degrees=20)
    assert {sample.stages[-1].name for sample in lab.result.samples} == {"transform"}
    halved = AugmentationLab(dataset=Halved("photos", 160))
    assert [stage.name for stage in halved.result.samples[0].stages][-1] == "halved"
