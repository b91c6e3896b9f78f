"""Does an installed yolo-lite hold all that it reads? Run by the Python that it is installed in, outside of the clone.

usage: python .ci/installed.py      prints where it is installed; an error where anything is missing
"""

from importlib.metadata import entry_points, files
from pathlib import Path

import yolo_lite as yl
from walkthrough.render.live import script
from yolo_lite.support.known_names import coco_names

CLONE = Path(__file__).resolve().parent.parent


def main() -> None:
    """Reads data files of every kind."""
    package = Path(yl.__file__).resolve().parent
    assert not package.is_relative_to(CLONE), f"{package} is the clone: install a wheel, and run this outside of it"
    scene = yl.YoloDataset("shapes", img_size=256, split="test").image(0)
    assert len(yl.predict(yl.load("shapes-n"), scene)[0]) > 0  # the bundled weights
    for name in ("yolov5n", "yolov4-tiny", "yolov7", "yolov8n", "yolov9t", "yolo11n", "yolo-world"):  # rows and .cfg
        yl.create_model(name)
    assert len(coco_names()) == 80
    assert len(script("js")) > 10_000  # of the live page, its files joined
    assert {"yolo-lite", "walkthrough"} <= {point.name for point in entry_points(group="console_scripts")}
    licences = [path for path in files("yolo-lite") or () if path.name == "LICENSE"]
    assert licences
    print(f"{package}: yolo-lite {yl.__version__} has all that it reads")


if __name__ == "__main__":
    main()
