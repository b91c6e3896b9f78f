"""A stranger who knows YOLOv5, the CIoU paper or a course finds the right file by their words.

The search is a plain one. Of a question, the words that mean nothing are left out. A word is found, in capital or small
letters, where a word begins, in CamelCase and snake_case too. Of all files of yolo_lite, walkthrough and docs that hold
every word, those come first that hold them closest together (in the fewest lines); among these, those that hold them
most often; then by name. What is looked for must be among the first three: that is less than a minute.
"""

import re
from pathlib import Path

import pytest

from tests.house.imports import PROJECT

FOLDERS, SUFFIXES = ("yolo_lite", "walkthrough", "docs"), (".py", ".md", ".js", ".yaml")
EMPTY_WORDS = "a an and are does do for how in into is it of on the to was what where which why with"
SEARCHES = {
    "tobj": "yolo_lite/loss/loss.py",
    "tbox": "yolo_lite/loss/targets.py",
    "anchors in cells": "yolo_lite/loss/targets.py",
    "why was an anchor rejected": "yolo_lite/loss/targets.py",
    "the gradient of CIoU": "yolo_lite/overlap_gradients.py",
    "enclosing box of GIoU": "yolo_lite/boxes.py",
    "the labels of a mosaic": "yolo_lite/augment/mixing.py",
    "random_perspective": "yolo_lite/augment/warp.py",
    "the EMA weights": "yolo_lite/train/ema.py",
    "where does the learning rate warm up": "yolo_lite/train/schedule.py",
    "accumulate nbs": "yolo_lite/train/schedule.py",
    "decode grid anchors": "yolo_lite/coding.py",
    "best possible recall": "yolo_lite/loss/anchors.py",
    "objectness bias prior": "yolo_lite/model/head.py",
    "scale_boxes": "yolo_lite/augment/letterbox.py",
    "ap_per_class": "yolo_lite/detect/average_precision.py",
    "parse_model": "yolo_lite/model/rows.py",
}


def words_of(question: str) -> list[str]:
    return [word for word in question.lower().split() if word not in EMPTY_WORDS.split()]


def places(word: str, text: str) -> list[int]:
    """The line numbers of every occurrence.

    >>> places("ema", "ModelEma\\nremaining\\nema_decay, EMA")
    [0, 2, 2]
    """
    pattern = re.compile(rf"(?<![A-Za-z])(?i:{re.escape(word)})|(?<=[a-z]){re.escape(word.capitalize())}")
    return [text.count("\n", 0, match.start()) for match in pattern.finditer(text)]


def fewest_lines(found: list[list[int]]) -> int:
    """How many lines the closest occurrences of all words span, 1 for one line.

    >>> fewest_lines([[0, 10], [3, 12], [11]])
    3
    """
    events = sorted((line, word) for word, lines in enumerate(found) for line in lines)
    last: dict[int, int] = {}
    best = events[-1][0] + 1
    for line, word in events:
        last[word] = line
        if len(last) == len(found):
            best = min(best, line - min(last.values()) + 1)
    return best


def search(question: str, project: Path = PROJECT) -> list[str]:
    """The files that hold all words of a question, the best first."""
    hits = []
    for folder in FOLDERS:
        for file in (file for file in (project / folder).rglob("*") if file.suffix in SUFFIXES):
            text = file.read_text(encoding="utf-8")
            found = [places(word, text) for word in words_of(question)]
            if all(found):
                name = file.relative_to(project).as_posix()
                hits.append((fewest_lines(found), -sum(map(len, found)), name))
    return [name for _, _, name in sorted(hits)]


@pytest.mark.parametrize(("question", "file"), SEARCHES.items(), ids=SEARCHES)
def test_the_right_file_is_among_the_first_three(question: str, file: str) -> None:
    assert file in search(question)[:3]


def test_the_search_itself(tmp_path: Path) -> None:
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    (tmp_path / "yolo_lite" / "far.py").write_text("anchor\n\n\nrejected rejected rejected")
    (tmp_path / "yolo_lite" / "near.py").write_text("why an Anchor is\nrejected")
    (tmp_path / "docs" / "often.md").write_text("rejected_anchors, rejected")
    (tmp_path / "docs" / "half.md").write_text("anchor")
    (tmp_path / "docs" / "picture.png").write_text("anchor rejected")
    assert search("why was the anchor rejected", tmp_path) == ["docs/often.md", "yolo_lite/near.py", "yolo_lite/far.py"]
    assert search("panchor", tmp_path) == []
