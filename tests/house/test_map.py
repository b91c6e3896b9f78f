"""docs/map.md leads from YOLOv5's and YOLOv8's names to places that exist."""

import importlib
import inspect
import re
import warnings
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from tests.house.imports import PROJECT
from yolo_lite.hyperparameters import Hyperparameters

MAP = PROJECT / "docs" / "map.md"
OURS = {  # hyperparameters that YOLOv5 has under other names, or not at all
    *("blur", "median_blur", "to_gray", "clahe", "brightness_contrast", "gamma", "jpeg", "random_resized_crop"),
}
LOOKED_FOR = """
    build_targets targets indices tbox anch tcls anchor_t ComputeLoss pbox pxy pwh tobj gr balance ssi cp cn bbox_iou
    box_iou xywh2xyxy autopad Conv C3 SPPF Focus Bottleneck parse_model yolov5n.yaml Detect _make_grid anchor_grid fuse
    attempt_load check_anchors metric anchor_fitness kmean_anchors data.yaml LoadImagesAndLabels collate_fn
    img2label_paths letterbox load_mosaic random_perspective box_candidates augment_hsv mixup copy_paste
    non_max_suppression scale_boxes process_batch ap_per_class ConfusionMatrix fitness smart_optimizer lf one_cycle nw
    xi accumulate nbs ModelEMA EarlyStopping --multi-scale --rect --image-weights --single-cls results.csv best.pt
    last.pt train.py val.py detect.py export.py
    TaskAlignedAssigner DFL DFLoss BboxLoss v8DetectionLoss make_anchors dist2bbox bbox2dist reg_max C2f C3k2 C2PSA
"""


FIELD = "a field"  # of a dataclass or NamedTuple: an annotation, perhaps without a value


class Row(NamedTuple):
    """A row of the map."""

    line: int
    names: list[str]
    target: str
    link: str
    what: str


def rows() -> list[Row]:
    found = []
    for number, line in enumerate(MAP.read_text(encoding="utf-8").splitlines(), 1):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if cells and cells[0] not in ("YOLOv5", "YOLOv8"):
            assert len(cells) == 3, f"docs/map.md:{number} has {len(cells)} cells"
            here = re.fullmatch(r"\[`([\w.]+)`\]\((\S+)\)", cells[1])
            assert here, f"docs/map.md:{number}: {cells[1]} is not [`name`](file)"
            names = [name for code in re.findall(r"`([^`]+)`", cells[0]) for name in re.split(r",? ", code)]
            found.append(Row(number, names, here[1], here[2], cells[2]))
    return found


def resolve(target: str) -> tuple[ModuleType, Any]:
    """The module that a dotted name lies in, and what it names. Fields of dataclasses and NamedTuples count."""
    parts = target.split(".")
    for length in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if not f"{target}.".startswith(f"{error.name}."):  # something that the module imports is missing
                raise
            continue
        found: Any = module
        for part in parts[length:]:
            is_field = inspect.isclass(found) and part in inspect.get_annotations(found)
            found = FIELD if is_field else getattr(found, part)
        return module, found
    raise ModuleNotFoundError(target)


ROWS = rows()


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.line}-{row.target}" for row in ROWS])
def test_the_target_exists_and_the_link_leads_to_its_file(row: Row) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # a name that has moved is not where the map should lead
        module, found = resolve(row.target)
    assert (MAP.parent / row.link).resolve() == Path(module.__file__ or "").resolve()
    home = getattr(found, "__module__", module.__name__)
    if inspect.isclass(found) or inspect.isfunction(found):
        assert home == module.__name__, f"{row.target} is imported there; it is written in {home}"
    assert row.what


IDENTIFIER = re.compile(r"[A-Za-z_]\w\w+")


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if any(map(IDENTIFIER.fullmatch, row.names)) and "Hyperparameters" not in row.target],
    ids=lambda row: f"{row.line}-{row.target}",
)
def test_the_file_names_yolov5s_term(row: Row) -> None:
    text = (MAP.parent / row.link).resolve().read_text(encoding="utf-8")
    assert [name for name in row.names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)], row.names


def test_a_wrong_target_is_found() -> None:
    for target in ("yolo_lite.loss.no_such_module.f", "yolo_lite.loss.targets.no_such", "yolo_lite.boxes.box_iou.x"):
        with pytest.raises((AttributeError, ModuleNotFoundError)):
            resolve(target)


def test_every_name_that_is_looked_for_has_a_row() -> None:
    known = {name for row in ROWS for name in row.names}
    assert [name for name in LOOKED_FOR.split() if name not in known] == []


def test_every_hyperparameter_of_yolov5_has_a_row() -> None:
    known = {name for row in ROWS for name in row.names}
    assert [field.name for field in fields(Hyperparameters) if field.name not in known | OURS] == []


@pytest.mark.parametrize(
    ("name", "link"), [("docs/index.md", "](map.md)"), ("docs/index.md", "\nmap\n"), ("README.md", "](docs/map.md)"),
                       ("CONTRIBUTING.md", "](docs/map.md)")],
)  # fmt: skip
def test_the_map_is_linked_where_a_reader_arrives(name: str, link: str) -> None:
    assert link in (PROJECT / name).read_text(encoding="utf-8")
