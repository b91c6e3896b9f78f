"""Exercises about images and labels: the letterbox, flipped boxes, COCO's boxes as YOLO's."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from walkthrough.exercises.exercise import Case, Difference, Exercise, Mistake
from walkthrough.exercises.inputs import SIZE, case, random_boxes, seeded, tour
from walkthrough.exercises.pictures import two_boxes
from walkthrough.scene import Scene
from yolo_lite.augment.geometry import FlipDraw, apply_flip
from yolo_lite.augment.letterbox import letterbox
from yolo_lite.augment.objects import Objects
from yolo_lite.boxes import xyxy_to_xywh
from yolo_lite.datasets.convert.annotation import box_of
from yolo_lite.datasets.convert.converted import clipped_box
from yolo_lite.datasets.convert.frame import Frame
from yolo_lite.datasets.photos import Photos
from yolo_lite.images.headers import Size

XYXY = ("left", "top", "right", "bottom")
XYWH = ("x", "y", "w", "h")

# ---- letterbox ------------------------------------------------------------------------------------------------------


def library_letterbox(height: int, width: int, size: int) -> tuple[float, float, float]:
    """What ``letterbox`` does with an image of that size."""
    boxed = letterbox(np.zeros((height, width, 3), np.uint8), size, auto=False)
    return (boxed.ratio, *boxed.pad)


def letterbox_cases() -> Iterator[Case]:
    """The photographs of the tour, then sizes at random."""
    photos = Photos()
    for index in range(4):
        pixels = photos.read(index)
        sizes = {"height": pixels.shape[0], "width": pixels.shape[1], "size": 640}
        yield Case(f"photograph {index} of the tour", sizes, letterbox(pixels, 640, auto=False).image)
    chance = np.random.default_rng(0)
    for number in range(6):
        height, width = chance.integers(40, 900, 2).tolist()
        yield case(f"random size {number}", height=height, width=width, size=int(chance.integers(2, 20)) * 32)


def boxed(height: int, width: int, size: int, ratio: float, per_side: float = 2.0) -> tuple[float, float, float]:
    """Ratio and padding, for mistakes that share this part."""
    return ratio, (size - round(width * ratio)) / per_side, (size - round(height * ratio)) / per_side


def explain_letterbox(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """The size of the image and of what becomes of it."""
    height, width, size = of.arguments.values()
    ratio = library[0]
    return (
        f"{width} x {height} pixels into {size} x {size}: the library's ratio is {ratio:.5g}, the resized picture is "
        f"{round(width * ratio)} x {round(height * ratio)}, and {library[1]:g} columns on each side and {library[2]:g} "
        "rows above and below are left."
    )


def letterbox_scene(of: Case, function: Any, yours: Any, library: Any, first: Difference | None) -> Scene | None:
    """Where the picture lies in the network's input."""
    height, width, _ = of.arguments.values()

    def content(values: Any) -> list[float]:
        ratio, pad_w, pad_h = (float(value) for value in values)
        return [pad_w, pad_h, pad_w + width * ratio, pad_h + height * ratio]

    return two_boxes(content(yours), content(library), of.pixels, "where the photograph lies: yours and the library's")


LETTERBOX = Exercise(
    "letterbox_geometry",
    "01_data",
    "yolo_lite.augment.letterbox.letterbox",
    library_letterbox,
    letterbox_cases,
    (
        Mistake(
            "the larger of the two ratios: then one side does not fit. Take the smaller one.",
            lambda height, width, size: boxed(height, width, size, max(size / height, size / width)),
        ),
        Mistake(
            "the whole padding: half of it goes to each side.",
            lambda height, width, size: boxed(height, width, size, min(size / height, size / width), 1.0),
        ),
        Mistake(
            "whole pixels of padding: the library keeps the half, which matters for labels.",
            lambda height, width, size: tuple(
                value if k == 0 else value // 1 for k, value in enumerate(library_letterbox(height, width, size))
            ),
        ),
        Mistake(
            "the paddings exchanged: width comes first, as x comes before y.",
            lambda height, width, size: tuple(library_letterbox(height, width, size)[k] for k in (0, 2, 1)),
        ),
        Mistake(
            "the padding of the size before rounding: the resized picture has whole pixels, round(side * ratio).",
            lambda height, width, size: (
                min(size / height, size / width),
                (size - width * min(size / height, size / width)) / 2,
                (size - height * min(size / height, size / width)) / 2,
            ),
        ),
        Mistake(
            "the new sides are cut (int) instead of rounded.",
            lambda height, width, size: (
                min(size / height, size / width),
                (size - int(width * min(size / height, size / width))) / 2,
                (size - int(height * min(size / height, size / width))) / 2,
            ),
        ),
    ),
    rtol=1e-9,
    because="one division in double precision",
    outputs=("ratio", "pad_w", "pad_h"),
    explain=explain_letterbox,
    scene=letterbox_scene,
)

# ---- flip -----------------------------------------------------------------------------------------------------------


def library_flip(boxes: np.ndarray, width: int) -> np.ndarray:
    """What ``apply_flip`` makes of the boxes of an image."""
    objects = Objects.build(np.zeros(len(boxes)), boxes)
    return apply_flip(np.zeros((8, width, 3), np.uint8), objects, FlipDraw(left_right=True)).objects.boxes


def flip_cases() -> Iterator[Case]:
    """The objects of the tour, then boxes at random, then none."""
    for image in range(4):
        boxes = tour().objects(image).numpy()
        yield Case(f"the tour batch, image {image}", {"boxes": boxes, "width": SIZE}, tour().pixels(image)[:, ::-1])
    for number, width in enumerate((640, 333)):
        yield case(f"random boxes, {width} pixels", boxes=random_boxes(20, seeded(number), width).numpy(), width=width)
    yield case("no boxes", boxes=np.zeros((0, 4), np.float32), width=640)


def explain_flip(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """The box that differs, before and after."""
    if first is None:
        return ""
    k = first.index[0]
    before, mine, theirs = (_row(boxes[k]) for boxes in (of.arguments["boxes"], yours, library))
    return (
        f"Box {k} was {before} in a picture {of.arguments['width']} pixels wide: yours {mine}, the library's {theirs}."
    )


def _row(box: np.ndarray) -> str:
    return f"({', '.join(f'{value:.4g}' for value in box)})"


def flip_scene(of: Case, function: Any, yours: Any, library: Any, first: Difference | None) -> Scene | None:
    """The box on the flipped picture."""
    if first is None:
        return None
    mine, theirs = yours[first.index[0]].tolist(), library[first.index[0]].tolist()
    return two_boxes(mine, theirs, of.pixels, "the flipped picture with one box, yours and the library's")


def columns(boxes: np.ndarray, left: Any, right: Any) -> np.ndarray:
    """Other left and right sides."""
    return np.stack((left, boxes[:, 1], right, boxes[:, 3]), 1)


FLIP = Exercise(
    "flip_boxes",
    "02_augmentation",
    "yolo_lite.augment.geometry.apply_flip",
    library_flip,
    flip_cases,
    (
        Mistake(
            "left and right are not exchanged: the old right side becomes the new left one.",
            lambda boxes, width: columns(boxes, width - boxes[:, 0], width - boxes[:, 2]),
        ),
        Mistake(
            "width - 1 - x: that is for the index of a pixel. Sides are between pixels, and 0 becomes width.",
            lambda boxes, width: columns(boxes, width - 1 - boxes[:, 2], width - 1 - boxes[:, 0]),
        ),
        Mistake(
            "the picture's width is missing: -x lies outside of the picture.",
            lambda boxes, width: columns(boxes, -boxes[:, 2], -boxes[:, 0]),
        ),
        Mistake(
            "top and bottom are flipped: left and right are asked for.",
            lambda boxes, width: np.stack((boxes[:, 0], width - boxes[:, 3], boxes[:, 2], width - boxes[:, 1]), 1),
        ),
    ),
    rtol=1e-6,
    atol=1e-3,
    because="a thousandth of a pixel: one subtraction in float32",
    axes=("box", XYXY),
    explain=explain_flip,
    scene=flip_scene,
)

# ---- COCO's boxes ---------------------------------------------------------------------------------------------------


def library_coco(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What ``convert_coco`` does with each box: corners, the part inside the image, fractions."""
    frame = Frame(Size(height=size[1], width=size[0]))
    rows = [clipped_box(np.asarray(box_of({"bbox": box.tolist()})), frame.size) for box in boxes]
    return np.array([xyxy_to_xywh(frame.fractions(row.reshape(2, 2)).ravel()) for row in rows]).reshape(-1, 4)


def coco_cases() -> Iterator[Case]:
    """The objects of the tour, of which some reach over the border; boxes at random in a picture that is not square."""
    for image in range(2):
        xyxy = tour().objects(image).double().numpy()
        xyxy[:1] += [-20, -10, 0, 0]
        boxes = np.concatenate((xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]), 1)
        yield Case(f"the tour batch, image {image}", {"boxes": boxes, "size": (SIZE, SIZE)}, tour().pixels(image))
    xyxy = random_boxes(20, seeded(3), 320).double().numpy()
    inside = np.concatenate((xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]), 1)
    yield case("random boxes in 400 x 320 pixels", boxes=inside, size=(400, 320))
    over = np.array([[-10.0, 5, 60, 40], [380, 300, 50, 50], [-5, -5, 420, 340]])
    yield case("boxes that reach over the border of 400 x 320 pixels", boxes=over, size=(400, 320))
    yield case("no boxes", boxes=np.zeros((0, 4)), size=(400, 320))


def clipped_rows(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(n, 4) xyxy inside the image, for mistakes that clip."""
    return np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1).clip(0, np.array([*size, *size]))


def explain_coco(of: Case, yours: Any, library: Any, first: Difference | None) -> str:
    """The box that differs, before and after."""
    if first is None:
        return ""
    k, (width, height) = first.index[0], of.arguments["size"]
    before, mine, theirs = (_row(boxes[k]) for boxes in (of.arguments["boxes"], yours, library))
    return f"Box {k} is {before} in {width} x {height} pixels: yours {mine}, the library's {theirs}."


def coco_scene(of: Case, function: Any, yours: Any, library: Any, first: Difference | None) -> Scene | None:
    """The box on the picture."""
    if first is None:
        return None
    width, height = of.arguments["size"]

    def corners(row: np.ndarray) -> list[float]:
        x, y, w, h = row.tolist()
        return [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]

    return two_boxes(corners(yours[first.index[0]]), corners(library[first.index[0]]), of.pixels)


COCO = Exercise(
    "coco_to_yolo",
    "10_real_weights_and_your_data",
    "yolo_lite.datasets.convert",
    library_coco,
    coco_cases,
    (
        Mistake(
            "COCO's x and y are the left top corner: half of the width and height is missing to the centre.",
            lambda boxes, size: (
                np.concatenate((clipped_rows(boxes, size)[:, :2], xyxy_to_xywh(clipped_rows(boxes, size))[:, 2:]), 1)
                / np.array([*size, *size])
            ),
        ),
        Mistake(
            "a box that reaches over the border is not cut off there.",
            lambda boxes, size: (
                np.concatenate((boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]), 1) / np.array([*size, *size])
            ),
        ),
        Mistake(
            "the finished numbers are clipped to 0 and 1: cut the corners off before, or the centre is wrong.",
            lambda boxes, size: (
                np.concatenate((boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]), 1) / np.array([*size, *size])
            ).clip(0, 1),
        ),
        Mistake(
            "width and height exchanged: `size` is (width, height).",
            lambda boxes, size: xyxy_to_xywh(clipped_rows(boxes, size)) / np.array([*size[::-1], *size[::-1]]),
        ),
        Mistake(
            "still pixels: a label file has fractions of the width and of the height.",
            lambda boxes, size: xyxy_to_xywh(clipped_rows(boxes, size)),
        ),
    ),
    rtol=1e-9,
    atol=1e-12,
    because="double precision",
    axes=("box", XYWH),
    explain=explain_coco,
    scene=coco_scene,
)

ALL = (LETTERBOX, FLIP, COCO)
