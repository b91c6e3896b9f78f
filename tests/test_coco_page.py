"""docs/coco.md and docs/glossary.md: commands that exist, a table the schedule computes, links that lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest

import yolo_lite as yl
from yolo_lite.cli import _parser
from yolo_lite.train.schedule import Schedule

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "coco.md").read_text(encoding="utf-8")
TRAIN_IMAGES = 118_287
COMMANDS = re.findall(r"^yolo-lite (.+?)(?:  +#.*)?$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_the_shell_takes(command: str) -> None:
    words = shlex.split(command)
    assert _parser().parse_args(words).command == words[0]


def test_the_decay_is_what_the_schedule_computes() -> None:
    rows = re.findall(r"^\| (yolov5\w) \| (\d+) \| (\d+) \| (\d+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    assert [row[0] for row in rows] == [f"yolov5{size}" for size in "nsmlx"]
    for _, batch, accumulate, images, decay in rows:
        schedule = Schedule(yl.Hyperparameters(), 300, -(-TRAIN_IMAGES // int(batch)), int(batch))
        assert (schedule.accumulate, schedule.accumulate * int(batch)) == (int(accumulate), int(images))
        assert schedule.scaled_weight_decay == pytest.approx(float(decay))


@pytest.mark.parametrize("name", ["coco.md", "glossary.md"])
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", (DOCS / name).read_text(encoding="utf-8"))
    assert len(links) >= 2
    assert [link for link in links if not (DOCS / link).exists()] == []
