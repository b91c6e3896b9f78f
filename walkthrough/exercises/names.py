"""The names of one statement of a cell: those it gives a value, those it reads from elsewhere, those it changes."""

import ast
import symtable
from collections.abc import Iterator
from typing import NamedTuple

COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
BODIES = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda  # they run later, or for themselves


class Names(NamedTuple):
    """Names of a module that one statement has to do with."""

    assigned: frozenset[str]  # it gives them a value
    imported: frozenset[str]  # the same by an import; "*": of everything in a module
    uses: frozenset[str]  # it reads them, or a function in it does: parameters and local names are none
    changes: frozenset[str]  # it writes into their values: T[0] = 1, T.append(1), T += 1


def names_of_statement(node: ast.stmt) -> Names:
    """The names of a statement at the left margin.

    Raises:
        SyntaxError: it can be parsed and is not Python nevertheless, as a return outside a function.

    >>> names = names_of_statement(ast.parse("def half(x, k=TWO):\\n    y = x / k\\n    return floor(y)").body[0])
    >>> sorted(names.assigned), sorted(names.uses)
    (['half'], ['TWO', 'floor'])
    """
    table = symtable.symtable(ast.unparse(node), "cell", "exec")
    iterated = _iterated(node)
    symbols = [each for each in table.get_symbols() if each.get_name() not in iterated]
    assigned = {each.get_name() for each in symbols if each.is_assigned()}
    if isinstance(node, ast.AnnAssign) and node.value is None:
        assigned = set()  # x: int is a note
    imported = {each.get_name() for each in symbols if each.is_imported()}
    if any(isinstance(part, ast.ImportFrom) and part.names[0].name == "*" for part in ast.walk(node)):
        imported.add("*")
    uses = {each.get_name() for each in symbols if each.is_referenced()} - set(_own(node)) | set(_from_inside(table))
    return Names(frozenset(assigned), frozenset(imported), frozenset(uses), frozenset(_changed(node)))


def _iterated(node: ast.stmt) -> set[str]:
    """Names that comprehensions alone have: from Python 3.12 on they are in the table of what is around them, too."""
    inside: set[str] = set()
    outside: set[str] = set()
    waiting: list[ast.AST] = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, COMPREHENSIONS):
            loops = (each for each in ast.walk(part) if isinstance(each, ast.comprehension))
            inside |= {name for each in loops for name in _stored(each.target)}
            waiting += (each.iter for each in part.generators[:1])  # it is computed outside
            continue
        if isinstance(part, ast.Name):
            outside.add(part.id)
        waiting += ast.iter_child_nodes(part)
    return inside - outside


def _from_inside(table: symtable.SymbolTable) -> Iterator[str]:
    """Names of the module that functions, classes and comprehensions in a statement read, however deep."""
    for inner in table.get_children():
        for each in inner.get_symbols():
            if each.is_global() and (each.is_referenced() or each.is_declared_global()):
                yield each.get_name()
        yield from _from_inside(inner)


def _own(node: ast.stmt) -> Iterator[str]:
    """Names that a loop or a with gives a value before anything in it reads them."""
    for part in _outside_bodies(node):
        if isinstance(part, ast.For):
            yield from _stored(part.target)
        elif isinstance(part, ast.withitem) and part.optional_vars is not None:
            yield from _stored(part.optional_vars)
        elif isinstance(part, ast.ExceptHandler) and part.name:
            yield part.name


def _stored(target: ast.expr) -> Iterator[str]:
    return (part.id for part in ast.walk(target) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))


def _changed(node: ast.stmt) -> Iterator[str]:
    for part in _outside_bodies(node):
        if isinstance(part, ast.AugAssign):
            yield from _root(part.target)
        elif isinstance(part, ast.Subscript | ast.Attribute) and not isinstance(part.ctx, ast.Load):
            yield from _root(part)
        elif isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
            yield from _root(part.value.func) if isinstance(part.value.func, ast.Attribute) else ()


def _root(value: ast.expr) -> Iterator[str]:
    """The name at the beginning of T.rows[0].append."""
    while isinstance(value, ast.Subscript | ast.Attribute):
        value = value.value
    if isinstance(value, ast.Name):
        yield value.id


def _outside_bodies(node: ast.AST) -> Iterator[ast.AST]:
    """A statement and all parts of it that run with it."""
    yield node
    if not isinstance(node, BODIES):
        for part in ast.iter_child_nodes(node):
            yield from _outside_bodies(part)
