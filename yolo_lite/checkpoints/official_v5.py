"""The network in an official YOLOv5 file, as YOLOv5 and YOLOv3 are built: a spec and tensors.

Shape letters: L levels, A anchors of a level.
"""

from typing import Any

from yolo_lite.checkpoints.archive import Archive
from yolo_lite.checkpoints.contents import CheckpointContents
from yolo_lite.checkpoints.described import class_names, described_rows, noted_metadata
from yolo_lite.checkpoints.unpickle import CheckpointError, PickledObject
from yolo_lite.checkpoints.walking import Seen, child, children, is_recorded, numbers_of, tensors_below, whole_strides

SPEC_KEYS = ("nc", "ch", "depth_multiple", "width_multiple", "activation", "anchors", "backbone", "head")


def is_v5(value: Any) -> bool:
    """Whether it is the network of a YOLOv5 detector."""
    return is_recorded(value, "models.yolo", "Model", "DetectionModel")


def read_v5(archive: Archive, root: Any, model: PickledObject) -> CheckpointContents:
    """The contents of a file whose network is ``model``; ``root`` is all that the file holds.

    Raises:
        CheckpointError: a network that this library cannot build.
    """
    network = child(model, "model")
    rows = list(children(network).values())
    head = rows[-1] if rows else None
    if not is_recorded(head, "models.yolo", "Detect"):
        found = f"{head.module}.{head.name}" if isinstance(head, PickledObject) else "missing"
        raise CheckpointError(
            f"its last layer must be models.yolo.Detect, and is {found}: this library reads detectors"
        )

    spec = described_rows(model, SPEC_KEYS)
    seen = Seen()
    records = dict(tensors_below(network, seen))
    activation = seen.activation()
    if activation is not None:
        spec["activation"] = activation

    strides = numbers_of(archive, head.state.get("stride"), "stride")  # (L,)
    last = str(len(rows) - 1)
    anchors = numbers_of(archive, records.pop(f"{last}.anchors", None), "anchors")  # (L, A, 2) in cells
    records.pop(f"{last}.anchor_grid", None)  # the same in pixels, in older files
    if anchors.dim() != 3 or strides.dim() != 1 or len(anchors) != len(strides):
        raise CheckpointError("its anchors and strides disagree")
    return CheckpointContents(
        spec=spec,
        names=class_names(model.state.get("names"), spec.get("nc", 80)),
        anchors=anchors * strides[:, None, None],
        strides=whole_strides(strides),
        tensors={f"layers.{name}": archive.tensor(record) for name, record in records.items()},
        fused=seen.fused,
        metadata=noted_metadata(root, model),
    )
