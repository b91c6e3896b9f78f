"""Programmable gradient information (PGI): the rows of an auxiliary branch beside a network.

Source: Wang et al. 2024, YOLOv9 (arXiv 2402.13616), section 4.1. What the paper states: a deep network loses
information about its input on the way to the loss, so that its gradients are unreliable; an auxiliary branch with a
reversible architecture keeps the information, and its gradients reach the layers of the main branch as well; auxiliary
information of several levels is brought together; inference drops the branch, so that it costs nothing there.

What is this library's own design, as the paper gives no list of layers: the branch is a second column of the layers of
the backbone, which starts from the image again. At each level what the main backbone has found at that level and at
all coarser ones is added to the column's map (CBLinear, CBFuse: the composition that YOLOv9-E keeps in use after
training). Adding is what can be undone: the map before is the sum minus what was added. The column has a Detect of its
own, directly on its three levels, without a neck; its loss has the weight ``settings.auxiliary`` (0.25, ours as well).
So the gradient of the branch enters the main backbone at each of its levels, past neck and head.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from yolo_lite.model.spec import SpecError

Rows = list[list[Any]]


class Column(NamedTuple):
    """Which rows of a backbone the branch repeats, and which layers of the main branch it reads."""

    rows: tuple[int, ...]  # repeated, each of them reading the one before; the first reads the image
    downs: tuple[int, ...]  # those of them that lead to a new level: after each, CBFuse
    taps: tuple[int, ...]  # layers of the main branch that it reads through CBLinear, one per level, fine to coarse


GELAN = Column(tuple(range(9)), (3, 5, 7), (4, 6, 9))  # YOLOv9-T, -S, -M, -C: layer 9 is SPPELAN
GELAN_E = Column(tuple(range(1, 10)), (4, 6, 8), (22, 25, 29))  # YOLOv9-E, taps in its second column


def with_auxiliary(spec: Mapping[str, Any], column: Column | None = None) -> dict[str, Any]:
    """The spec of a network of YOLOv9's with the rows of the branch under "auxiliary".

    Args:
        spec: whole rows. column: of another network; by default that of YOLOv9's backbones.

    >>> from yolo_lite.model.yolo import create_model
    >>> model, pgi = create_model("yolov9t"), create_model("yolov9t-pgi")
    >>> len(model.layers), len(pgi.layers), len(pgi.without_auxiliary().layers)
    (23, 39, 23)
    """
    if column is None:
        column = GELAN_E if len(spec["backbone"]) > GELAN.taps[-1] + 1 else GELAN
    return {**spec, "auxiliary": auxiliary_rows(spec, column)}


def auxiliary_rows(spec: Mapping[str, Any], column: Column = GELAN) -> Rows:
    """The rows of the branch: CBLinear of the layers that it reads, a second column with the sums, its own Detect.

    Raises:
        SpecError: a backbone that does not have the rows of the column.

    >>> from yolo_lite.family.yolov8.network import named_spec
    >>> for row in auxiliary_rows(named_spec("yolov9t"))[:8]:
    ...     print(row)
    [4, 1, 'CBLinear', [[64]]]
    [6, 1, 'CBLinear', [[64, 96]]]
    [9, 1, 'CBLinear', [[64, 96, 128]]]
    ['image', 1, 'Conv', [16, 3, 2]]
    [-1, 1, 'Conv', [32, 3, 2]]
    [-1, 1, 'ELAN1', [32, 32, 16]]
    [-1, 1, 'AConv', [64]]
    [[23, 24, 25, -1], 1, 'CBFuse', [[0, 0, 0]]]
    """
    backbone, first = spec["backbone"], len(spec["backbone"]) + len(spec["head"])
    if max(*column.rows, *column.taps) >= len(backbone) or len(column.downs) != len(column.taps):
        raise SpecError(f"the column asks for rows {column.rows} and {column.taps} of {len(backbone)} in the backbone")
    widths = [backbone[row][3][0] for row in column.downs]
    rows: Rows = [[tap, 1, "CBLinear", [widths[: level + 1]]] for level, tap in enumerate(column.taps)]
    linears = [first + level for level in range(len(rows))]
    levels: list[int] = []  # the last layer of each
    for row in column.rows:
        if row in column.downs[1:]:
            levels.append(first + len(rows) - 1)
        rows.append(["image" if row == column.rows[0] else -1, *backbone[row][1:]])
        if row in column.downs:
            level = column.downs.index(row)
            rows.append([[*linears[level:], -1], 1, "CBFuse", [[level] * (len(linears) - level)]])
    levels.append(first + len(rows) - 1)
    rows.append([levels, 1, "Detect", ["nc"]])
    return rows
