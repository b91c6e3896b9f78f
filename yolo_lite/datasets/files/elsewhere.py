"""Paths that were written on another machine: their last folders are looked for here.

``/content/football-1/train/images`` in a data.yaml is not a folder on this machine, but ``train/images`` beside the
data.yaml is. How many folders may be dropped in front is limited by what tells one split from the others.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from yolo_lite.images.folders import contents

SPLIT_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
SPLIT_WORD = re.compile(
    rf"({'|'.join(name for names in SPLIT_NAMES.values() for name in names)})([-_ ]?(set|data|images|imgs|\d+))?"
)


def spellings(base: Path, text: str) -> list[Path]:
    """A path as it is written, and with Windows' backslashes turned."""
    return [base / Path(spelling).expanduser() for spelling in dict.fromkeys((text, text.replace("\\", "/")))]


def path_parts(text: str) -> list[str]:
    """The names that a path of any system consists of, without its drive, ``.`` and ``..``.

    >>> path_parts("D:\\\\data\\\\train"), path_parts("../datasets/./f16/")
    (['data', 'train'], ['datasets', 'f16'])
    """
    parts = re.split(r"[\\/]+", re.sub(r"^[A-Za-z]:(?=[\\/])", "", text.strip()))
    return [part for part in parts if part not in ("", ".", "..", "~")]


def may_drop(text: str, others: Iterable[str]) -> int:
    """How many names in front of a path may be dropped: none that tells a split from the others.

    >>> may_drop("/a/b/train/images", ["/a/b/valid/images"]), may_drop("/a/pets/images", [])
    (2, 2)
    """
    parts = path_parts(text)
    different = [path_parts(other) for other in others if path_parts(other) != parts]
    split_words = [place for place, part in enumerate(parts) if SPLIT_WORD.fullmatch(Path(part).stem.lower())]
    most = min([max(len(parts) - 1, 0), *split_words[-1:]])
    return next(
        (drop for drop in range(most, 0, -1) if not any(ends_with(each, parts[drop:]) for each in different)), 0
    )


def ends_with(parts: Sequence[str], tail: Sequence[str]) -> bool:
    """Whether a path has this end.

    >>> ends_with(["a", "b", "c"], ["b", "c"])
    True
    """
    return list(parts[len(parts) - len(tail) :]) == list(tail)


class Finder:
    """Finds paths below folders, in small or capital letters; each folder is listed once, however much is asked."""

    def __init__(self, bases: Sequence[Path]) -> None:
        self.bases = list(dict.fromkeys(bases))
        self._entries: dict[Path, dict[str, list[str]]] = {}  # folder -> small letters -> names as they are

    def tail(self, parts: Sequence[str], drop: int) -> Path | None:
        """The longest end of a path that is there below one of the folders.

        Args:
            drop: this many names in front may be missing.
        """
        for start in range(min(drop, len(parts) - 1) + 1):
            for base in self.bases:
                path: Path | None = base
                for part in parts[start:]:
                    path = self.child(path, part) if path else None
                if path:
                    return path
        return None

    def child(self, folder: Path, name: str) -> Path | None:
        """What a folder has under this name; the name as it is written comes first."""
        if folder not in self._entries:
            by_letters: dict[str, list[str]] = {}
            self._entries[folder] = by_letters
            try:
                names = sorted(os.listdir(folder))
            except (OSError, ValueError):
                names = []
            for entry in names:
                by_letters.setdefault(same_letters(entry), []).append(entry)
        same = self._entries[folder].get(same_letters(name), [])
        return folder / (name if name in same else same[0]) if same else None


def same_letters(name: str) -> str:
    """Equal for names that differ in capital letters, or in how an accent is stored (a Mac's zip files do)."""
    return unicodedata.normalize("NFC", name).casefold()


def existing(candidates: Iterable[Path], what: str, hint: str = "") -> Path:
    """The first path that exists.

    Raises:
        FileNotFoundError: none does; names all of them, and what is in the nearest folder above the first.
    """
    candidates = list(candidates)
    for path in candidates:
        if is_there(path):
            return path
    raise not_found(candidates, what, hint)


def not_found(candidates: Sequence[Path], what: str, hint: str = "", beside: Path | None = None) -> FileNotFoundError:
    """The error that names all places that were tried, and what is there instead.

    Args:
        beside: the folder whose contents are named; left out: the nearest one above the first place, if not ``/``.
    """
    tried = list(dict.fromkeys(os.path.normpath(path) for path in candidates))
    above = beside or next(parent for parent in Path(tried[0]).absolute().parents if parent.is_dir())
    has = f"; {above} has {contents(above)}" if beside or above != above.parent else ""
    return FileNotFoundError(f"{what}: there is no {' and no '.join(tried)}{has}{hint}")


def is_there(path: Path) -> bool:
    """Path.exists, and False for what no path can be: too long, or with a NUL in it."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
