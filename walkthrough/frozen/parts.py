"""Scenes in JSON with every part stored once: of a scene only what others do not have takes room.

A part is a list or a dict. One that stands in several places goes into a list of parts, and {"$": 12} stands for it:
the photograph's layers, the rows of a table that stay, the lines of a chart. frozen.js puts the scenes together again.
"""

import base64
import gzip
import json
from typing import Any

LEAST = 24  # characters from which on a part is worth a number
DIGITS = 6  # significant ones of a number: more are not seen


class Parts:
    """Values taken apart, equal parts found.

    >>> parts = Parts()
    >>> scenes = [parts.add({"at": k, "box": [100, 200, 300, 400, 500, 600]}) for k in (1, 2)]
    >>> parts.written(scenes)
    {'parts': [[100, 200, 300, 400, 500, 600]], 'scenes': [{'at': 1, 'box': {'$': 0}}, {'at': 2, 'box': {'$': 0}}]}
    """

    def __init__(self) -> None:
        self._known: dict[Any, int] = {}  # what a part is made of -> its number
        self._parts: list[Any] = []  # of each: a list or a dict of ("leaf", value) or ("part", number)
        self._uses: list[int] = []

    def add(self, value: Any) -> tuple[str, Any]:
        """The value as a leaf, or as the number of a part."""
        if isinstance(value, dict):
            made: Any = {name: self.add(part) for name, part in value.items()}
            key: Any = ("dict", tuple(made.items()))
        elif isinstance(value, list | tuple):
            made = [self.add(part) for part in value]
            key = ("list", tuple(made))
        else:
            if isinstance(value, bool):
                return "flag", value  # in Python True equals 1: not here
            return "leaf", value if isinstance(value, str) or value is None else shortest(value)
        number = self._known.setdefault(key, len(self._parts))
        if number == len(self._parts):
            self._parts.append(made)
            self._uses.append(0)
            for kind, part in made.values() if isinstance(made, dict) else made:
                if kind == "part":
                    self._uses[part] += 1
        return "part", number

    def written(self, scenes: list[tuple[str, Any]]) -> dict[str, Any]:
        """The scenes that add gave, in JSON; a part comes after those that it is made of."""
        for _, number in scenes:
            self._uses[number] += 1
        whole: list[Any] = []  # of each part: itself, or what stands for it
        shared: list[Any] = []
        for number, made in enumerate(self._parts):
            put = {name: self._put(part, whole) for name, part in made.items()} if isinstance(made, dict) else None
            value = put if put is not None else [self._put(part, whole) for part in made]
            if self._uses[number] > 1 and len(compact(value)) >= LEAST:
                shared.append(value)
                value = {"$": len(shared) - 1}
            whole.append(value)
        return {"parts": shared, "scenes": [whole[number] for _, number in scenes]}

    @staticmethod
    def _put(part: tuple[str, Any], whole: list[Any]) -> Any:
        return whole[part[1]] if part[0] == "part" else part[1]


def shortest(value: float) -> float:
    """A number as short as it is drawn the same.

    >>> shortest(0.1 + 0.2), shortest(40.0), shortest(1234567)
    (0.3, 40, 1234567)
    """
    if isinstance(value, int):
        return value
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded == int(rounded) and abs(rounded) < 1e15 else rounded


def compact(value: Any) -> str:
    """JSON without blanks; of not finite numbers serialise.to_json has made something else before."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def squeezed(value: Any) -> str:
    """JSON, compressed (gzip) and in letters (base64); the same letters for the same value, whenever."""
    return base64.b64encode(gzip.compress(compact(value).encode(), 9, mtime=0)).decode()
