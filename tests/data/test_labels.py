import multiprocessing
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.fuzz import labels as fuzz
from yolo_lite.data.labels import ImageLabels, LabelStore
from yolo_lite.data.report import DatasetError, Problem, Report
from yolo_lite.data.source import PathStore
from yolo_lite.datasets.files.label_rows import image_to_label_path, parse_label_file

GOOD_ROW = "1 0.5 0.5 0.25 0.125"


def parse(folder: Path, content: str | bytes, num_classes: int | None = 3):
    path = folder / "labels.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return parse_label_file(path, num_classes)


# ------------------------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("0 0.5 0.5 0.2", "4 values"),
        ("0 0.5 0.5 0.2 0.1 0.9", "6 values"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "8 values"),
        ("0 0.5 half 0.2 0.1", "value 3 is 'half'"),
        ("0,0.5,0.5,0.2,0.1", "blanks"),
        ("0 0.5 nan 0.2 0.1", "value 3 is nan"),
        ("0 0.5 0.5 inf 0.1", "value 4 is inf"),
        ("3 0.5 0.5 0.2 0.1", "class 3"),
        ("-1 0.5 0.5 0.2 0.1", "class -1"),
        ("0.5 0.5 0.5 0.2 0.1", "class 0.5"),
        ("0 1.5 0.5 0.2 0.1", "x centre 1.5"),
        ("0 320 240 64 48", "x centre 320"),
        ("0 0.5 -0.2 0.2 0.1", "y centre -0.2"),
        ("0 0.5 0.5 1.01 0.1", "width 1.01"),
        ("0 0.5 0.5 0 0.1", "width 0, height 0.1"),
        ("0 0.5 0.5 0.1 -0.0005", "width 0.1, height 0"),
        ("0 0.1 0.1 0.2 1.2 0.3 0.3", "y2 1.2"),
        ("0 0.1 0.1 0.1 0.2 0.1 0.3", "width 0, height 0.2"),
    ],
)
def test_a_bad_row_is_left_out_and_those_beside_it_stay(tmp_path, row, says):
    labels, problems = parse(tmp_path, f"{GOOD_ROW}\n{row}\n2 0.25 0.25 0.5 0.5\n")

    assert labels.cls.tolist() == [1, 2]
    assert labels.boxes.tolist() == [[0.5, 0.5, 0.25, 0.125], [0.25, 0.25, 0.5, 0.5]]
    assert len(problems) == 1
    assert problems[0].line == 2
    assert str(problems[0]).startswith(f"{tmp_path / 'labels.txt'}:2: ")
    assert says in problems[0].message
    assert "row left out" in problems[0].message
    assert not problems[0].note


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("0 0,5 0,5 0,2 0,1", "0.5"),
        ("0;0.5;0.5;0.2;0.1", "blanks"),
        ("0 1,000.5 0.5 0.2 0.1", "value 2 is '1,000.5'"),
        ("0 0.5 0.5 1e400 0.1", "value 4 is '1e400'"),
        ("0 0.5 0.5 -Infinity 0.1", "value 4 is -Infinity"),
        ("0 0_5 0.5 0.2 0.1", "value 2 is '0_5'"),
        ("0 0x1p-1 0.5 0.2 0.1", "value 2 is '0x1p-1'"),
        ("\uff10 0.5 0.5 0.2 0.1", "value 1 is"),
        ("0 0.5 0.5 0.2 0.1 # cat", "value 6 is '#'"),
        ("cat 0.5 0.5 0.2 0.1", "value 1 is 'cat'"),
        ("0\0 0.5 0.5 0.2 0.1", "zero bytes"),
        ("1e300 0.5 0.5 0.2 0.1", "3 classes"),
        ("0 0.5 0.5 1e-60 0.1", "width 1e-60"),
        ("0 0.5 0.5\x0b0.2", "4 values"),
        ("0 0.5 0.5 0.2\x850.1 1", "6 values"),
        ("\u20280 0.5 0.5 0.2", "4 values"),
        ("0", "1 values"),
        ("{", "value 1 is '{'"),
        ("0 " + "9" * 100_000 + " 0.5 0.5 0.5", "value 2 is '999"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", " \t\n", "\n\n"])
def test_more_bad_rows_and_the_ends_of_lines(tmp_path, row, says, end):
    labels, problems = parse(tmp_path, end.join([GOOD_ROW, row, "2 0.25 0.25 0.5 0.5", ""]))

    assert labels.cls.tolist() == [1, 2]
    assert [problem.line for problem in problems] == [3 if end == "\n\n" else 2]
    assert says in problems[0].message
    assert problems[0].message.isascii()


@pytest.mark.parametrize(
    "row", ["0 .5 .5 .2 .1", "0.0 5e-1 0.50000 +.2 1E-1", "00 0.5 0.5 0.2 0.1", "  0\t0.5   0.5 0.2 0.1  "]
)
def test_numbers_in_all_their_forms(tmp_path, row):
    labels, problems = parse(tmp_path, row)

    assert not problems
    assert labels.cls.tolist() == [0]
    np.testing.assert_array_equal(labels.boxes, np.array([[0.5, 0.5, 0.2, 0.1]], np.float32))


def test_comment_lines_are_noted(tmp_path):
    labels, problems = parse(tmp_path, f"# made by hand\n{GOOD_ROW}\n#0 .5 .5 .5 .5\n")

    assert labels.cls.tolist() == [1]
    assert [(problem.line, problem.kind, problem.note) for problem in problems] == [
        (1, "comment lines", True),
        (3, "comment lines", True),
    ]


@pytest.mark.parametrize("shape", [(4, 2), (17, 3), (1, 2)])
def test_keypoints_are_known_by_kpt_shape_alone(tmp_path, shape):
    count, size = shape
    points = " ".join(["0.45"] * (count * size))
    pose, box = f"0 .5 .5 .4 .3 {points}", "1 .5 .5 .2 .2"
    path = tmp_path / "a.txt"
    path.write_text(f"{pose}\n{box}\n{pose} 0.1\n{pose} 0.1 0.2\n0 .1 .1 .2\n{pose}\n0 nan .5 .4 .3 {points}\n")
    labels, problems = parse_label_file(path, 2, keypoints=shape)

    np.testing.assert_allclose(labels.boxes, [[0.5, 0.5, 0.4, 0.3], [0.5, 0.5, 0.2, 0.2]], rtol=1e-6)
    assert labels.polygons == (None, None)
    assert [(problem.line, problem.note) for problem in problems] == [
        (3, False),
        (4, False),
        (5, False),
        (6, True),
        (7, False),
    ]
    assert f"expected {5 + count * size}" in problems[0].message


def test_a_keypoint_that_is_not_in_the_image_does_not_cost_the_box(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("0 .5 .5 .4 .3 0 0 0 -1 7 nan\n")
    labels, problems = parse_label_file(path, 1, keypoints=(2, 3))

    assert (len(labels.cls), problems) == (1, [])


def test_without_kpt_shape_such_a_row_stays_a_polygon(tmp_path):
    labels, problems = parse(tmp_path, "0 .5 .5 .4 .4 .45 .45 .55 .45 .55 .55 .45 .55")

    assert not problems
    assert labels.polygons[0].shape == (6, 2)


def test_boxes_and_polygons_in_one_file(tmp_path):
    polygon = "0 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.4"
    labels, problems = parse(tmp_path, f"{GOOD_ROW}\n{polygon}\n")

    assert not problems
    assert labels.polygons[0] is None
    np.testing.assert_allclose(labels.polygons[1], [[0.1, 0.2], [0.5, 0.2], [0.5, 0.6], [0.1, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(labels.boxes[1], [0.3, 0.4, 0.4, 0.4], rtol=1e-6)  # the polygon's extent
    assert labels.boxes.dtype == np.float32
    assert labels.cls.dtype == np.int64


def test_duplicates_count_once_and_are_noted(tmp_path):
    labels, problems = parse(tmp_path, f"{GOOD_ROW}\n0 0.5 0.5 0.25 0.125\n\n1 0.50 0.500 2.5e-1 0.125\n")

    assert labels.cls.tolist() == [1, 0]
    assert [(problem.line, problem.note) for problem in problems] == [(4, True)]
    assert "line 1" in problems[0].message


def test_rounding_beyond_the_edge_is_clipped_and_noted(tmp_path):
    labels, problems = parse(tmp_path, "0 1.0000004 0.5 0.2 1.0009\n")

    assert labels.boxes.tolist() == [[1.0, 0.5, np.float32(0.2), 1.0]]
    assert [problem.note for problem in problems] == [True]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_files_saved_by_windows_editors(tmp_path, encoding):
    labels, problems = parse(tmp_path, f"{GOOD_ROW}\r\n{GOOD_ROW.replace('1 ', '2 ', 1)}\r\n".encode(encoding))

    assert labels.cls.tolist() == [1, 2]
    assert not problems


@pytest.mark.parametrize("content", ["", "\n  \n\t\n"])
def test_an_empty_file_is_a_background_image(tmp_path, content):
    labels, problems = parse(tmp_path, content)

    assert labels.boxes.shape == (0, 4)
    assert labels.cls.shape == (0,)
    assert not problems


def test_any_class_is_fine_where_the_number_is_not_known_unless_it_is_absurd(tmp_path):
    labels, problems = parse(tmp_path, "77 0.5 0.5 0.1 0.1\n123456789 0.5 0.5 0.1 0.1\n", num_classes=None)

    assert labels.cls.tolist() == [77]
    assert "beyond 10,000" in problems[0].message


@given(st.binary(max_size=300))
def test_no_content_whatsoever_crashes(tmp_path_factory, content):
    labels, problems = parse(tmp_path_factory.mktemp("any", numbered=True), content)

    assert len(labels.cls) == len(labels.boxes) == len(labels.polygons)
    assert all(problem.line >= 1 for problem in problems)


def test_mutated_rows_are_read_as_they_say_or_reported():
    """A few of those that ``python -m tests.fuzz.labels`` tries."""
    outcomes = fuzz.run(400, seed=7)

    assert [outcome for outcome in outcomes if outcome.fault] == []
    assert {"read", "reported"} <= {outcome.became for outcome in outcomes}


def test_the_fuzz_command_notices_what_is_lost_wrong_or_blamed(tmp_path):
    lines = [GOOD_ROW, "0 .5 .5 .5", "2 .25 .25 .5 .5"]
    labels, problems = parse(tmp_path, "\n".join(lines), fuzz.NUM_CLASSES)

    def fault(lines, labels, problems) -> str:
        return fuzz.compare("", lines, 1, labels, problems).became

    assert fault(lines, labels, problems) == "reported"
    assert fault(lines, labels, []) == "lost"
    assert fault([*lines, "5 .1 .1 .1 .1"], labels, problems) == "wrong"
    assert fault(lines, labels._replace(boxes=labels.boxes + 0.01), problems) == "wrong"
    assert fault(lines, labels, [*problems, Problem("a.txt", 1, "good, but blamed")]) == "wrong"


SHARES = st.floats(1 / 1024, 1, width=32)


@given(st.lists(st.tuples(st.integers(0, 79), SHARES, SHARES, SHARES, SHARES), unique=True, max_size=8))
def test_what_is_written_is_what_is_read(tmp_path_factory, rows):
    text = "\n".join(" ".join(repr(value) for value in row) for row in rows)
    labels, problems = parse(tmp_path_factory.mktemp("rows", numbered=True), text, num_classes=80)

    assert not problems
    np.testing.assert_array_equal(labels.cls, [row[0] for row in rows])
    np.testing.assert_array_equal(labels.boxes, np.array([row[1:] for row in rows], np.float32).reshape(-1, 4))


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("data/images/train/a.jpg", "data/labels/train/a.txt"),
        ("images/a.b.png", "labels/a.b.txt"),
        ("images/my images/images/a.jpg", "images/my images/labels/a.txt"),
        ("data/pictures/a.jpg", "data/pictures/a.txt"),
        ("data/images2/a.jpg", "data/images2/a.txt"),
        ("größe/images/ein bild.jpeg", "größe/labels/ein bild.txt"),
    ],
)
def test_image_to_label_path(image, label):
    assert Path(image_to_label_path(image)) == Path(label)


# ----------------------------------------------------------------------------------------------------------- stores


@st.composite
def image_labels(draw) -> ImageLabels:
    count = draw(st.integers(0, 4))
    points = st.none() | arrays.arrays(np.float32, st.tuples(st.integers(3, 6), st.just(2)), elements=SHARES)
    return ImageLabels(
        draw(arrays.arrays(np.int64, count, elements=st.integers(0, 5))),
        draw(arrays.arrays(np.float32, (count, 4), elements=SHARES)),
        tuple(draw(points) for _ in range(count)),
    )


def assert_same(first: ImageLabels, second: ImageLabels) -> None:
    np.testing.assert_array_equal(first.cls, second.cls)
    np.testing.assert_array_equal(first.boxes, second.boxes)
    assert len(first.polygons) == len(second.polygons)
    for one, other in zip(first.polygons, second.polygons, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one, other)


@given(st.lists(image_labels(), max_size=5), st.randoms(use_true_random=False))
def test_a_store_gives_back_what_was_put_in(images, random):
    store = LabelStore.build(images)
    order = random.sample(range(len(images)), len(images))
    reordered = store.select(order)

    assert len(store) == len(images)
    assert store.objects_per_image.tolist() == [len(image.cls) for image in images]
    for index, image in enumerate(images):
        assert_same(store.of(index), image)
        assert_same(reordered.of(order.index(index)), image)
        assert not store.single_class().of(index).cls.any()


def test_what_a_store_gives_is_a_copy():
    store = LabelStore.build([ImageLabels(np.array([1]), np.ones((1, 4), np.float32), (np.ones((3, 2), np.float32),))])
    labels = store.of(0)
    labels.boxes[:] = labels.polygons[0][:] = 7

    assert store.of(0).boxes.max() == store.of(0).polygons[0].max() == 1


def big_store(num_images: int = 20_000, per_image: int = 5) -> LabelStore:
    rng = np.random.default_rng(0)
    one = ImageLabels(np.arange(per_image), rng.random((per_image, 4), np.float32), (None,) * per_image)
    return LabelStore.build([one] * num_images)


def test_a_store_of_100_000_labels_takes_what_its_arrays_take_and_travels_as_a_reference():
    store = big_store()

    assert store.num_objects == 100_000
    arrays_alone = 100_000 * (8 + 16 + 8) + 20_000 * 8  # class, box, where its polygon starts; where an image starts
    assert store.nbytes == pytest.approx(arrays_alone, rel=0.01)
    assert len(ForkingPickler.dumps(store)) < 10_000  # what a worker is sent: handles of shared memory


def _write_into(store: LabelStore, paths: PathStore, answers) -> None:
    store.boxes[0, 0] = 42
    answers.put((store.num_objects, paths[1], store.cls.is_shared()))


def test_another_process_sees_the_same_memory():
    store, paths = big_store(10), PathStore(["a", "ü b"])
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_write_into, args=(store, paths, answers))
    process.start()
    answer = answers.get(timeout=60)
    process.join()

    assert answer == (50, "ü b", True)
    assert store.of(0).boxes[0, 0] == 42  # written over there, read here


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=6))
def test_paths_come_back_from_their_store(paths):
    store = PathStore(paths)

    assert list(store) == paths
    assert store[1:3] == paths[1:3]
    assert paths == [] or store[-1] == paths[-1]
    with pytest.raises(IndexError):
        store[len(paths)]


def test_paths_take_little_more_than_their_letters():
    paths = [f"data/images/train/{index:012d}.jpg" for index in range(100_000)]
    store = PathStore(paths)

    assert store.text.nbytes + store.start.nbytes < sum(map(len, paths)) + 8 * 100_001 + 1
    assert len(ForkingPickler.dumps(store)) < 10_000


# ----------------------------------------------------------------------------------------------------------- report


def test_a_report_groups_long_lists_and_puts_notes_last():
    notes = [Problem("b.txt", 1, "twice", "duplicate rows", note=True)]
    rows = [Problem("a.txt", line, "class 9", "rows left out") for line in range(1, 31)]
    report = Report.of([3, 0, 1], notes + rows)
    lines = str(report).splitlines()

    assert lines[0] == "3 images (2 with objects, 1 background), 4 objects"
    assert lines[1] == "rows left out: 30"
    assert lines[2:22] == [f"  a.txt:{line}: class 9" for line in range(1, 21)]
    assert "10 more" in lines[22]
    assert lines[23:] == ["duplicate rows: 1", "  b.txt:1: twice"]
    assert report.counts["rows left out"] == 30
    assert bool(report)
    assert not Report.of([1], notes)


def test_a_dataset_error_survives_the_way_between_processes():
    error = DatasetError("data.yaml: no class names", Report.of([1], [Problem("a.txt", 1, "class 9")]))
    copy = ForkingPickler.loads(ForkingPickler.dumps(error))

    assert str(copy) == str(error)
    assert copy.report == error.report
