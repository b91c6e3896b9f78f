"""Of a whole notebook, the statements that one function needs: its imports, helpers and constants, and nothing else.

So a reader's function can be tried without running an hour of training above it, and although another cell is broken.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from walkthrough.exercises.names import Names, names_of_statement

# IPython's own lines: %time x, !ls, ?x, x?, files = !ls
MAGIC = re.compile(r"^([ \t]*)(?:[%!?].*|[\w.*]+\?\??[ \t]*|[\w, ]+=[ \t]*[%!].*)$", re.MULTILINE)
Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Definition = Named | ast.Assign | ast.AnnAssign | ast.If | ast.Try | ast.With  # what a function may be defined by


class Statement(NamedTuple):
    """One statement at the left margin of a cell."""

    cell: int
    node: ast.stmt
    names: Names

    @property
    def binds(self) -> frozenset[str]:
        """Names that it gives a value, by an import or otherwise."""
        return self.names.assigned | self.names.imported


class Slice(NamedTuple):
    """What a function needs, in order, the function last; behind it only what writes into the function itself."""

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
    cell = cell.encode("utf-8", "replace").decode().replace("\0", "?")  # half a character, and 0: ast raises ValueError
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
    found = [each for name in names for each in statements if _defines(each, name)]
    target = next((each for name in names for each in reversed(found) if name in each.names.assigned), None)
    if target is None:
        for number, error in broken.items():
            if any(f"def {name}" in cells[number] for name in names):
                return Slice((), f"its cell is not Python: line {error.lineno}: {error.msg}")
        return Slice((), f"there is no function {names[0]}")
    return Slice(tuple(_needed(statements, target)))


def _defines(statement: Statement, name: str) -> bool:
    return isinstance(statement.node, Definition) and name in statement.names.assigned


def _needed(statements: Sequence[Statement], target: Statement) -> Iterator[Statement]:
    """Statements that give the names that are needed a value, or write into it.

    What stands in a cell behind the function's counts only for names that have no value before: a reader who calls
    something else by the same name later does not change what the function was.
    """
    place = next(k for k, each in enumerate(statements) if each is target)
    own = target.binds if isinstance(target.node, Named) else frozenset[str]()
    before = {name for each in statements if each.cell <= target.cell for name in each.binds}
    values = {name for each in statements for name in each.names.assigned}  # modules have no values to write into
    wanted, chosen = set(target.names.uses), set[int]()

    def gives(k: int, each: Statement) -> bool:
        found = (each.binds | each.names.changes & values) & wanted
        if each.cell > target.cell:
            found -= before - (each.names.changes & own)  # my_x.k = 2
        elif k < place:
            found -= own  # an older one of the same name
        return bool(found) or "*" in each.binds

    while True:
        rest = ((k, each) for k, each in enumerate(statements) if k != place and k not in chosen)
        new = {k for k, each in rest if gives(k, each)}
        if not new:
            break
        chosen |= new
        wanted |= {name for k in new for name in statements[k].names.uses}
    last = {k for k in chosen if k > place and (statements[k].binds | statements[k].names.changes) & own}
    yield from (statements[k] for k in sorted(chosen - last))
    yield target
    yield from (statements[k] for k in sorted(last))


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
        for node in nodes:
            try:
                found.append(Statement(number, node, names_of_statement(node)))
            except SyntaxError as error:
                error.lineno = node.lineno
                broken[number] = error
    return found, broken
