"""Pictures with objects for explorers: whatever the reader has, targets as training gets them, drawn boxes."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import yolo_lite as yl
from walkthrough.explorers.pictures import (
    PictureExplorer,
    PictureState,
    annotate,
    images_of,
    listed_names,
    targets_of,
)
from walkthrough.scene import Scene


class Toy(PictureExplorer):
    """Targets of the shown picture."""

    State = PictureState
    compute = staticmethod(lambda state: targets_of((state.shown,)))
    scene = staticmethod(lambda result: Scene((), words=f"{len(result)} objects"))


TARGETS = [[0, 1, 0.5, 0.5, 0.2, 0.4], [1, 0, 0.25, 0.75, 0.1, 0.1]]


@pytest.fixture
def toy():
    return Toy(images=torch.zeros(2, 3, 64, 96), targets=TARGETS, names=["cat", "dog"])


def test_the_tour_batch_goes_in_and_comes_out_as_it_is():
    batch = yl.tour_batch()
    pictures = annotate()
    assert torch.equal((images_of(pictures) * 255).round().to(torch.uint8), batch.images)
    assert torch.equal(targets_of(pictures), batch.targets)
    assert Toy().names[0] == "person"


def test_a_network_in_training_mode_makes_the_very_maps_of_them_that_training_makes() -> None:
    batch, model = yl.tour_batch(128), yl.create_model("yolov5n").train()
    images = images_of(annotate(batch))
    with torch.no_grad():
        ours, theirs = model(images), model(batch.images.float() / 255)
    assert images.is_contiguous()  # BatchNorm is less precise where channels come last
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_batch_brings_its_own_targets_and_names():
    batch = next(iter(yl.create_dataloader("shapes", split="val", batch_size=3, img_size=64)))
    pictures = annotate(batch)
    assert torch.allclose(targets_of(pictures), batch.targets, atol=1e-6)
    assert len({picture.name for picture in pictures}) == 3
    assert targets_of(annotate(batch, targets=TARGETS)).shape == (2, 6)


@pytest.mark.parametrize("seed", range(3))
def test_targets_survive_the_way_through_pixels_bit_for_bit(seed):
    draw = np.random.default_rng(seed)
    wh = draw.uniform(0.01, 0.5, (200, 2))
    rows = np.concatenate((np.zeros((200, 1)), draw.integers(0, 80, (200, 1)), draw.uniform(wh / 2, 1 - wh / 2), wh), 1)
    targets = torch.from_numpy(rows).float()
    assert torch.equal(targets_of(annotate(torch.zeros(1, 3, 416, 608), targets)), targets)


def test_pictures_of_any_form_and_size_are_letterboxed_to_one(tmp_path):
    path = tmp_path / "ü photo.png"
    cv2.imencode(".png", np.full((30, 90, 3), 200, np.uint8))[1].tofile(path)
    forms = [path, str(path), np.zeros((51, 17), np.uint8), torch.rand(3, 20, 40), np.ones((33, 44, 3))]
    pictures = annotate(forms, size=64)
    assert {picture.size for picture in pictures} == {(64, 64)}
    assert pictures[0].name == "0 ü photo.png"
    assert images_of(pictures).shape == (5, 3, 64, 64)
    assert [len(annotate(form, size=64)) for form in forms] == [1] * 5


def test_boxes_follow_the_letterbox():
    (picture,) = annotate(np.zeros((50, 100, 3), np.uint8), [[0, 3, 0.5, 0.5, 1.0, 1.0]], size=64)
    expected = yl.letterbox(np.zeros((50, 100, 3), np.uint8), 64, auto=False)
    assert picture.boxes == ((0, 16, 64, 48, 3),)
    assert expected.pad == (0, 16)


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        ([[0, 0, 0.5, 0.5]], "targets are rows of image, class, xc, yc, w, h"),
        ([[2, 0, 0.5, 0.5, 0.1, 0.1]], "target 0 belongs to image 2, but there are images 0 to 1"),
        ([[0, 0, 320, 0.5, 0.1, 0.1]], "target 0 has"),
        ([[0, 0, 0.5, float("nan"), 0.1, 0.1]], "target 0 holds a value that is not finite"),
        ([[0, -1, 0.5, 0.5, 0.1, 0.1]], "target 0 has the class -1"),
        ([[0, 1.5, 0.5, 0.5, 0.1, 0.1]], "classes are whole numbers"),
    ],
)
def test_targets_that_do_not_fit_are_answered_by_a_sentence(targets, sentence):
    explorer = Toy(images=torch.zeros(2, 3, 64, 64), targets=targets)
    assert sentence in explorer.message
    with pytest.raises(ValueError, match="target"):
        annotate(torch.zeros(2, 3, 64, 64), targets)


@pytest.mark.parametrize("images", [[], torch.zeros(0, 3, 8, 8), torch.zeros(2, 2, 3, 8, 8), "nowhere.png", 5])
def test_images_that_are_none_are_answered_by_a_sentence(images):
    explorer = Toy(images=images)
    assert explorer.message != ""
    assert explorer.result is None
    explorer.add_picture(np.zeros((8, 8, 3), np.uint8), "x.png")
    assert explorer.result is None


def test_no_objects_are_no_trouble():
    for targets in (None, [], torch.zeros(0, 6)):
        explorer = Toy(images=torch.zeros(1, 3, 64, 64), targets=targets)
        assert explorer.message == ""
        assert explorer.result.shape == (0, 6)


def test_another_picture_brings_its_own_objects_and_keeps_what_was_drawn(toy):
    assert len(toy.objects) == 1
    toy.objects = (*toy.objects, (10, 10, 30, 20, 1))
    assert toy.result[1].tolist() == pytest.approx([0, 1, 20 / 96, 15 / 64, 20 / 96, 10 / 64])
    toy.picture = 1
    assert len(toy.objects) == 1
    toy.picture = 0
    assert len(toy.objects) == 2
    toy.clear()
    assert len(toy.objects) == 1
    assert torch.equal(targets_of(toy.pictures), torch.tensor(TARGETS))


def test_reset_keeps_pictures_and_boxes_and_clear_takes_them_away(toy):
    toy.add_picture(np.zeros((64, 96, 3), np.uint8), "mine")
    toy.objects = [(1, 1, 11, 21, 1)]
    toy.new_class = 1
    toy.reset()
    assert (toy.new_class, toy.picture, toy.objects) == (0, 2, ((1, 1, 11, 21, 1),))
    toy.new_class = 1
    toy.clear()
    assert (toy.new_class, toy.picture, len(toy.state.pictures)) == (1, 0, 2)
    assert not toy.page_state()["history"]["clear"]
    toy.undo()
    assert (toy.picture, toy.objects) == (2, ((1, 1, 11, 21, 1),))
    toy.set(new_class=0)
    toy.clear()
    toy.picture = 1
    toy.reset()  # nothing was brought: all is as in the beginning
    assert toy.picture == 0


def test_the_class_of_a_box_is_changed_taken_back_and_done_again(toy):
    (before,) = toy.objects
    toy.objects = [(*before[:4], 0)]
    assert toy.result[0, 1] == 0
    toy.undo()
    assert toy.objects == (before,)
    assert toy.result[0, 1] == 1
    toy.redo()
    assert toy.result[0, 1] == 0


def test_pictures_are_chosen_by_name_or_number(toy):
    toy.picture = "1"
    assert toy.state.picture == 1
    toy.picture = 2
    assert "picture is one of 0, 1" in toy.message


def test_a_box_is_kept_inside_at_least_a_pixel_wide_and_others_stay_untouched():
    beyond = [[0, 0, 0.99, 0.5, 0.1, 0.2]]
    toy = Toy(images=torch.zeros(1, 3, 64, 96), targets=beyond)
    before = toy.objects[0]
    toy.objects = (before, (-5, 10, 20, 99, 0), (7, 7, 7, 7))
    assert toy.objects == (before, (0, 10, 20, 64, 0), (7, 7, 8, 8, 0))
    assert toy.result[0].tolist() == pytest.approx(beyond[0])


def test_an_uploaded_picture_is_fitted_shown_and_drawn_on(toy):
    toy.add_picture(np.full((10, 500, 3), 7, np.uint8), "mine.jpg")
    assert toy.state.picture == 2
    assert (toy.state.shown.size, toy.state.shown.name) == ((64, 96), "2 mine.jpg")
    assert (toy.objects, toy.message) == ((), "")
    toy.objects = [(1, 1, 11, 21, 1)]
    assert len(toy.result) == 1
    assert len(targets_of(toy.pictures)) == 3
    assert images_of(toy.pictures).shape == (3, 3, 64, 96)


def test_class_names_are_made_up_where_there_are_too_few(toy):
    assert toy.names == ("cat", "dog")
    many = Toy(images=torch.zeros(1, 3, 64, 64), targets=[[0, 4, 0.5, 0.5, 0.1, 0.1]], names={0: "cat", 1: "dog"})
    assert many.names == ("cat", "dog", "class 2", "class 3", "class 4")
    many.new_class = "class 3"
    assert many.new_class == 3
    many.new_class = 9
    assert "new_class" in many.message
    assert listed_names({}) == ()
    assert "not the text 'cat'" in Toy(images=torch.zeros(1, 3, 64, 64), names="cat").message


def test_which_picture_is_shown_can_be_read_as_it_can_be_set() -> None:
    explorer = Toy(images=np.zeros((2, 3, 64, 64), np.float32))
    explorer.picture = 1
    assert explorer.picture == 1


# -- what goes wrong, and what looks strange -------------------------------------------------------------------------


def test_objects_that_come_with_another_picture_are_its_own(toy):
    toy.set(picture=1, objects=[(10, 10, 30, 30, 1)])
    assert toy.objects == toy.state.shown.boxes == ((10, 10, 30, 30, 1),)
    toy.picture = 0
    assert toy.objects != ((10, 10, 30, 30, 1),)


@pytest.mark.parametrize("cls", [-1, 0.5, 1e30])
def test_a_class_is_a_whole_number(toy, cls):
    before = toy.objects
    toy.objects = [(10, 10, 30, 30, cls)]
    assert "a class is a whole number" in toy.message
    assert toy.objects == before


@pytest.mark.parametrize("brought", ["nowhere.png", None, np.zeros((5, 6, 5))])
def test_a_picture_that_is_none_is_told_in_place(toy, brought):
    toy.add_picture(brought, "mine")
    assert toy.message
    assert len(toy.state.pictures) == 2


@pytest.mark.parametrize("mode", ["P", "CMYK", "YCbCr", "HSV", "LA", "RGBA", "L", "1"])
def test_pictures_of_pil_are_read_by_their_colours(mode):
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[:4] = (255, 255, 255) if mode in ("LA", "L", "1") else (250, 120, 10)
    drawn = Image.fromarray(colours)
    converted = drawn.quantize() if mode == "P" else drawn.convert(mode)
    assert np.abs(annotate([converted], size=None)[0].pixels.astype(int) - colours).max() <= 6


def test_whole_numbers_of_16_bits_are_read_as_from_a_file(tmp_path):
    values = (np.arange(64, dtype=np.uint16) * 1000).reshape(8, 8)
    cv2.imwrite(str(tmp_path / "deep.png"), values)
    read = annotate(tmp_path / "deep.png", size=None)[0].pixels
    np.testing.assert_array_equal(annotate(values, size=None)[0].pixels, read)
    np.testing.assert_array_equal(annotate([Image.open(tmp_path / "deep.png")], size=None)[0].pixels, read)
