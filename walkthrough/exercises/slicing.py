"""Of a whole notebook, the statements that one function needs: its imports, helpers and constants, and nothing else.

So a reader's function can be tried without running an hour of training above it, and although another cell is broken.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAGIC = re.compile(r"^(\s*)[%!?].*$", re.MULTILINE)  # IPython's own lines
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign


class Statement(NamedTuple):
    """One statement at the left margin of a cell."""

    cell: int
    node: ast.stmt
    binds: frozenset[str]  # names that it gives a value
    uses: frozenset[str]  # names that it reads


class Slice(NamedTuple):
    """What a function needs, in order, the function last."""

    statements: tuple[Statement, ...]
    problem: str = ""  # why there is none


def readable(cell: str) -> str:
    """A cell as plain Python: lines of IPython's own become pass, so that line numbers stay.

    >>> readable("if colab:\\n    %pip install x")
    'if colab:\\n    pass'
    """
    return MAGIC.sub(r"\1pass", cell)


def parsed(cell: str) -> list[ast.stmt]:
    """The statements of a cell, with IPython's own lines left out where it is not Python with them.

    >>> [ast.unparse(each) for each in parsed("%time x = 1\\ny = (5\\n     - 2)")]
    ['pass', 'y = 5 - 2']
    """
    try:
        return ast.parse(cell).body  # a line may begin with % and be Python: the rest of a division
    except SyntaxError:
        return ast.parse(readable(cell)).body


def slice_for(cells: Sequence[str], names: Sequence[str]) -> Slice:
    """The statements for the last function that has one of the names, the first of them if there are several.

    >>> cells = ["import math, os", "k = 2", "def my_half(x):\\n    return math.floor(x / k)", "open('x')", "a b"]
    >>> [ast.unparse(each.node).splitlines()[0] for each in slice_for(cells, ["my_half"]).statements]
    ['import math, os', 'k = 2', 'def my_half(x):']
    """
    statements, broken = _statements(cells)
    found = [each for name in names for each in statements if isinstance(each.node, Definition) and name in each.binds]
    target = next((each for name in names for each in reversed(found) if name in each.binds), None)
    if target is None:
        for number, error in broken.items():
            if any(f"def {name}" in cells[number] for name in names):
                return Slice((), f"its cell is not Python: line {error.lineno}: {error.msg}")
        return Slice((), f"there is no function {names[0]}")
    return Slice(tuple(_needed(statements, target)))


def _needed(statements: Sequence[Statement], target: Statement) -> Iterator[Statement]:
    others = [each for each in statements if each is not target]
    wanted, chosen = set(target.uses), set[int]()
    while True:
        new = {k for k, each in enumerate(others) if k not in chosen and (each.binds & wanted or "*" in each.binds)}
        if not new:
            break
        chosen |= new
        wanted |= {name for k in new for name in others[k].uses}
    yield from (others[k] for k in sorted(chosen))
    yield target


def _statements(cells: Sequence[str]) -> tuple[list[Statement], dict[int, SyntaxError]]:
    """All statements of all cells that are Python, and of the others what is wrong with them."""
    found: list[Statement] = []
    broken: dict[int, SyntaxError] = {}
    for number, cell in enumerate(cells):
        try:
            nodes = parsed(cell)
        except SyntaxError as error:
            broken[number] = error
            continue
        found += [Statement(number, node, frozenset(_bound(node)), frozenset(_used(node))) for node in nodes]
    return found, broken


def _bound(node: ast.stmt) -> Iterator[str]:
    """Names that a statement gives a value at module level."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        yield from (
            part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
        )
    elif isinstance(node, ast.If | ast.Try | ast.With):
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.stmt):
                yield from _bound(part)


def _used(node: ast.stmt) -> Iterator[str]:
    return (part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load))
