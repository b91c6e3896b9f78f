"""The source of a recorded function as it is shown: without its docstring, and with its variables to point at."""

import ast
import io
import textwrap
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from walkthrough.scene import NameInCode

LEAST_FOLDED = 2  # lines of a docstring below its first one


def dedented(lines: Sequence[str]) -> tuple[str, ...]:
    """Lines of a method as if they stood at the margin."""
    return tuple(textwrap.dedent("\n".join(lines)).split("\n"))


@lru_cache(maxsize=64)
def docstrings(lines: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    r"""First and last line, from 0, of what a docstring says below its first line.

    >>> docstrings(("def f():", '    \"\"\"One.', "", "    Two.", '    \"\"\"', "    return 1"))
    ((2, 4),)
    """
    try:
        tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError):  # a lambda within a call has no source of its own
        return ()
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or not node.body:
            continue
        text = node.body[0].value if isinstance(node.body[0], ast.Expr) else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str) and text.end_lineno is not None:
            found.append((text.lineno, text.end_lineno - 1))
    return tuple(sorted(pair for pair in found if pair[1] - pair[0] + 1 >= LEAST_FOLDED))


def names_in(lines: tuple[str, ...], refs: Mapping[str, str]) -> tuple[NameInCode, ...]:
    """Where variables stand in source: "x", and "self.x" as one.

    Args:
        refs: what each variable stands for.

    >>> names_in(("y = x.a + self.b",), {"x": "row 0", "self.b": "row 1"})
    (NameInCode(line=0, start=4, end=5, ref='row 0'), NameInCode(line=0, start=10, end=16, ref='row 1'))
    """
    found = []
    for path in _paths(lines):
        known = [k for k in range(len(path), 0, -1) if ".".join(name for name, _, _ in path[:k]) in refs]
        if known:
            part = path[: known[0]]
            (row, start), (_, end) = part[0][1], part[-1][2]
            if row == part[-1][2][0]:
                found.append(NameInCode(row - 1, start, end, refs[".".join(name for name, _, _ in part)]))
    return tuple(found)


Path = list[tuple[str, tuple[int, int], tuple[int, int]]]  # name, begin and end (row from 1, column)


def _paths(lines: tuple[str, ...]) -> Iterator[Path]:
    """Names with what is read of them, in order: [x], [self, b]."""
    path: Path = []
    is_going_on = False
    for kind, word, begin, end in _tokens(lines):
        if kind == tokenize.OP and word == ".":
            is_going_on = True
            continue
        if kind == tokenize.NAME and is_going_on and path:
            path.append((word, begin, end))
        else:
            if path:
                yield path
            path = [(word, begin, end)] if kind == tokenize.NAME and not is_going_on else []
        is_going_on = False
    if path:
        yield path


@lru_cache(maxsize=64)
def _tokens(lines: tuple[str, ...]) -> tuple[tuple[int, str, tuple[int, int], tuple[int, int]], ...]:
    """As far as the text is Python."""
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline):
            found.append((token.type, token.string, token.start, token.end))
    except (tokenize.TokenError, SyntaxError):
        pass
    return tuple(found)
