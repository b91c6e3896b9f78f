"""Darknet's .cfg files: their text -> sections of options, each with its line. Nothing in them is ever evaluated.

A file is a list of sections, ``[name]``, and under each lines ``option=value``. Lines that begin with # or ; are
comments, and so is what follows a # in a line. Blanks have no meaning anywhere. Of an option that is there twice the
first counts, as in Darknet.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from yolo_lite.family.darknet.options import ALIASES, KNOWN, NEUTRAL
from yolo_lite.model.spec import SpecError

MAX_CHARACTERS = 2_000_000  # of a text; the largest published file has 20,000
MAX_SECTIONS = 2000  # the largest published file has 300
MAX_WHOLE = 2**31 - 1  # Darknet keeps whole numbers in 32 bits


class Option(NamedTuple):
    """One line of a section."""

    name: str
    value: str
    line: int


class LeftOut(NamedTuple):
    """An option that changes nothing in the network or its loss here."""

    section: str
    option: Option
    reason: str

    def __str__(self) -> str:
        return f"line {self.option.line}, [{self.section}] {self.option.name}={self.option.value}: {self.reason}"


@dataclass(frozen=True)
class Section:
    """One section: its kind (the long name), the line of its name, and its options.

    The methods that read an option raise a SpecError which names file, line and value.
    """

    kind: str
    line: int
    options: Mapping[str, Option]
    where: str  # the file

    def __contains__(self, name: str) -> bool:
        return name in self.options

    @property
    def place(self) -> str:
        return f"{self.where}, line {self.line}: [{self.kind}]"

    def error(self, message: str, name: str | None = None) -> SpecError:
        """An error with its place: the option's line where it is in the file, else the section's."""
        if name is None:
            return SpecError(f"{self.place} {message}")
        if name not in self.options:
            return SpecError(f"{self.place} without {name}: {message}")
        option = self.options[name]
        shown = _cut(f"{name}={option.value}", 200)
        return SpecError(f"{self.where}, line {option.line}: [{self.kind}] {shown}: {message}")

    def text(self, name: str, default: str = "") -> str:
        return self.options[name].value if name in self.options else default

    def number(self, name: str, default: float) -> float:
        return self._number(name, self.options[name].value) if name in self.options else default

    def numbers(self, name: str, default: Iterable[float] = ()) -> tuple[float, ...]:
        """Separated by commas; one at the end is allowed."""
        if name not in self.options:
            return tuple(default)
        return tuple(self._number(name, part) for part in self.text(name).rstrip(",").split(","))

    def whole(self, name: str, default: int, least: int = 0, most: int = MAX_WHOLE) -> int:
        return self._whole(name, self.number(name, default), least, most)

    def wholes(self, name: str, least: int = -MAX_WHOLE) -> tuple[int, ...]:
        return tuple(self._whole(name, number, least, MAX_WHOLE) for number in self.numbers(name))

    def flag(self, name: str, default: bool = False) -> bool:
        return self.number(name, default) != 0

    def with_option(self, name: str, value: object) -> "Section":
        line = self.options[name].line if name in self.options else self.line
        return replace(self, options={**self.options, name: Option(name, str(value), line)})

    def _number(self, name: str, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or "_" in text:  # float() takes 1_000
            raise self.error(f"{_short(text)} is not a number", name)
        return number

    def _whole(self, name: str, number: float, least: int, most: int) -> int:
        if number != int(number) or not least <= number <= most:
            raise self.error(f"must be a whole number from {least} to {most}, not {number:g}", name)
        return int(number)


class Cfg(NamedTuple):
    """A .cfg file: what [net] says, the layers, and the options without effect."""

    net: Section
    layers: tuple[Section, ...]
    left_out: tuple[LeftOut, ...]


def split_lines(text: str) -> list[str]:
    """The lines of a text, whatever system wrote it.

    >>> split_lines("[net]\\r\\nwidth=64\\n")
    ['[net]', 'width=64', '']
    """
    return re.split("\r\n|\r|\n", text.removeprefix("\ufeff"))


def parse_cfg(text: str, where: str = "cfg") -> Cfg:
    """The text of a Darknet .cfg -> its sections.

    Args:
        where: what to call the file in messages.
    Raises:
        SpecError: a line that is neither section nor option, an unknown section or option, no [net] at the beginning,
            a text of absurd size; with the line and the value.

    >>> cfg = parse_cfg("[net]\\nwidth=32\\nheight = 32  # pixels\\n\\n[conv]\\nfilters= 8\\nsize=3\\n", "my.cfg")
    >>> cfg.layers[0].kind, cfg.layers[0].line, cfg.layers[0].whole("filters", 1)
    ('convolutional', 5, 8)
    """
    if len(text) > MAX_CHARACTERS:
        raise SpecError(f"{where}: {len(text):,} characters, but a .cfg has at most {MAX_CHARACTERS:,}")
    sections: list[Section] = []
    left_out: list[LeftOut] = []
    options: dict[str, Option] = {}
    for line, content in enumerate(split_lines(text), start=1):
        content = "".join(content.split("#")[0].split())
        if not content or content.startswith(";"):
            continue
        if content.startswith("["):
            options = {}
            sections.append(Section(_kind(content, line, where), line, options, where))
            if len(sections) > MAX_SECTIONS:
                raise SpecError(f"{where}, line {line}: more than {MAX_SECTIONS:,} sections")
        elif not sections:
            raise SpecError(f"{where}, line {line}: {_short(content)} stands before the first [section]")
        else:
            _add(content, line, sections[-1], options, left_out)
    if not sections or sections[0].kind != "net":
        found = f"line {sections[0].line}: [{sections[0].kind}]" if sections else "no section in it"
        raise SpecError(f"{where}: the first section must be [net] (or [network]); {found}")
    for section in sections[1:]:
        if section.kind == "net":
            raise SpecError(f"{section.place} is there twice; the first is at line {sections[0].line}")
    return Cfg(sections[0], tuple(sections[1:]), tuple(left_out))


def _kind(content: str, line: int, where: str) -> str:
    name = content.removeprefix("[").removesuffix("]")
    if not content.endswith("]") or name not in ALIASES:
        raise SpecError(f"{where}, line {line}: unknown section {_short(content)}; {_nearest(name, ALIASES)}")
    return ALIASES[name]


def _add(content: str, line: int, section: Section, options: dict[str, Option], left_out: list[LeftOut]) -> None:
    """One line of a section: kept, left out with the reason, or refused."""
    name, equals, value = content.partition("=")
    option = Option(name, value, line)
    place = f"{section.where}, line {line}: [{section.kind}]"
    if not equals or not name or not value:
        raise SpecError(f"{place} {_short(content)} is not of the form option=value")
    known = KNOWN[section.kind]
    if name not in known:
        raise SpecError(f"{place} unknown option {_short(content)}; {_nearest(name, known)}")
    if known[name] in NEUTRAL:
        neutral = NEUTRAL[known[name]]
        if not _is_same(value, neutral):
            raise SpecError(f"{place} {_short(content)}: not supported; only {name}={neutral}, without effect, is")
        left_out.append(LeftOut(section.kind, option, "without effect at this value"))
    elif known[name]:
        left_out.append(LeftOut(section.kind, option, known[name]))
    elif name in options:
        reason = f"line {options[name].line} already says {name}={options[name].value}"
        left_out.append(LeftOut(section.kind, option, reason))
    else:
        options[name] = option


def _is_same(text: str, other: str) -> bool:
    try:
        return float(text) == float(other)
    except ValueError:
        return text == other


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name[:100], list(known), n=3, cutoff=0.5)
    return f"nearest known: {', '.join(near)}" if near else f"known are {', '.join(sorted(known))}"


def _short(text: str) -> str:
    return repr(_cut(text, 60))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
