"""Which code belongs to what a reader names (functions, methods, classes, modules), and its source."""

import dis
import functools
import inspect
import linecache
from collections.abc import Callable, Iterable, Iterator
from types import AsyncGeneratorType, CodeType, CoroutineType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any, NamedTuple

from torch import nn

from walkthrough.layers.foreign import original_of, why_not_python
from walkthrough.trace.observer import words_of
from walkthrough.trace.steps import Source


class Code(NamedTuple):
    """A piece of code that is recorded; root is the function it is written in (itself, but for comprehensions)."""

    code: CodeType
    root: CodeType
    module: str


Codes = dict[int, Code]  # by id of the code: comparing code objects by value would cost more than recording


def code_to_trace(fn: Any) -> Code:
    """The code that calling fn runs. Raises ValueError with a sentence where there are no Python lines to record."""
    name = getattr(fn, "__qualname__", None) or type(fn).__name__
    if (made := _made_of_python(fn)) is not None:
        raise ValueError(f"{name} {why_not_python(made)}. Trace {original_of(made)}.")
    function = _function_of(fn)
    if function is None:
        if not callable(fn):
            under_way = isinstance(fn, GeneratorType | CoroutineType | AsyncGeneratorType)
            advice = ": it is already under way. Trace the function that makes it" if under_way else ""
            what = f"{type(fn).__name__} {words_of(fn)}"
            raise ValueError(f"trace takes a function, method, class or module, not {what}{advice}")
        raise ValueError(
            f"{name} is compiled ({type(fn).__name__}): it has no lines of Python that could be recorded. "
            "Trace the function that calls it."
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ValueError(
            f"{name} is async: an event loop decides when its lines run, among those of others. "
            "Trace the functions that it awaits."
        )
    return Code(function.__code__, function.__code__, _module_of(function))


def _made_of_python(fn: Any) -> Any:
    """What runs without Python of all that a callable leads to; None where nothing does."""
    while fn is not None:
        if why_not_python(fn):
            return fn
        bound = getattr(fn, "__self__", None) if isinstance(fn, MethodType) else None
        if bound is not None and isinstance(bound, nn.Module) and fn.__name__ in ("forward", "__call__"):
            return bound if why_not_python(bound) else None
        fn = fn.func if isinstance(fn, functools.partial) else inspect.getattr_static(fn, "__wrapped__", None)
    return None


def codes_of(root: Code, into: Any) -> Codes:
    """Everything to record: the traced function, what into names, and the functions written inside them."""
    pieces = [root, *(piece for obj in _listed(into) for piece in _pieces_of(obj))]
    return {id(code): Code(code, piece.root, piece.module) for piece in pieces for code in _with_inner(piece.code)}


def _function_of(fn: Any) -> FunctionType | None:
    """The Python function behind a callable, None of what is compiled."""
    while True:
        fn = inspect.unwrap(fn) if not isinstance(fn, type | nn.Module) else fn
        match fn:
            case FunctionType():
                return fn
            case functools.partial() | functools.partialmethod():
                fn = fn.func
            case staticmethod() | classmethod() | MethodType():
                fn = fn.__func__
            case nn.Module():
                fn = fn.forward
            case type():
                made: Any = fn
                fn = made.__init__ if inspect.isfunction(made.__init__) else made.__new__
            case _:
                inside = inspect.getattr_static(type(fn), "__call__", None)
                if not inspect.isfunction(inside):
                    return None
                fn = inside


def _listed(into: Any) -> Iterable[Any]:
    return into if isinstance(into, list | tuple | set | frozenset) else (into,)


def _pieces_of(obj: Any) -> Iterator[Code]:
    if isinstance(obj, ModuleType):
        members = [m for m in vars(obj).values() if getattr(m, "__module__", None) == obj.__name__]
        yield from _python_pieces(members)
    elif isinstance(obj, type):
        members = [function for member in vars(obj).values() for function in _functions_in(member)]
        yield from _python_pieces(m for m in members if not isinstance(m, type))
    else:
        yield code_to_trace(obj)


def _functions_in(member: Any) -> tuple[Any, ...]:
    """Of a property: what reads, sets and deletes it."""
    if isinstance(member, property):
        return member.fget, member.fset, member.fdel
    return (member.func,) if isinstance(member, functools.cached_property) else (member,)


def _python_pieces(members: Iterable[Any]) -> Iterator[Code]:
    """Of functions and of the methods of classes; what is compiled among them has nothing to record."""
    for member in members:
        if isinstance(member, type):
            yield from _pieces_of(member)
        elif callable(member) or isinstance(member, staticmethod | classmethod):
            function = _function_of(member)
            if function is not None and not function.__code__.co_filename.startswith("<string"):  # made by dataclass
                yield Code(function.__code__, function.__code__, _module_of(function))


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the comprehensions, lambdas and functions written in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


def _module_of(function: Callable) -> str:
    module = getattr(function, "__module__", None) or ""
    return "" if module == "__main__" else module


def source_of(piece: Code) -> Source:
    """The source of the function that a piece of code is written in, from files, notebook cells and doctests."""
    name = ".".join(part for part in (piece.module, qualified(piece.root)) if part)
    first, last = piece.root.co_firstlineno, _last_line(piece.root)
    linecache.checkcache(piece.root.co_filename)
    lines = linecache.getlines(piece.root.co_filename)[first - 1 : last]  # none where it was made by exec
    return Source(name, first, tuple(line.rstrip("\n") for line in lines))


def _last_line(code: CodeType) -> int:
    """The last line of a function, without asking a parser."""
    ends = (end for inner in _with_inner(code) for _, end, _, _ in inner.co_positions() if end)
    return max(ends, default=code.co_firstlineno)


def qualified(code: CodeType) -> str:
    """A name for a call: "make_assignment", "ComputeLoss.level", "build_targets: listcomp"."""
    owner, _, inner = code.co_qualname.replace("<locals>.", "").rpartition(".")
    if inner.startswith("<"):
        return f"{owner}: {inner.strip('<>')}" if owner else inner.strip("<>")
    return code.co_qualname.replace(".<locals>", "")


def names_by_line(code: CodeType) -> dict[int, set[str]]:
    """The variables that each line names."""
    named: dict[int, set[str]] = {}
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        line = instruction.positions.lineno or line if instruction.positions else line
        values = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
        if "FAST" in instruction.opname or "DEREF" in instruction.opname:
            named.setdefault(line, set()).update(value for value in values if isinstance(value, str))
    return named


def assigns_nonlocals(code: CodeType) -> bool:
    """Whether a function, or one written in it, assigns to a variable of an enclosing one."""
    return any(
        instruction.opname == "STORE_DEREF" and instruction.argval in inner.co_freevars
        for inner in _with_inner(code)
        if inner.co_freevars
        for instruction in dis.get_instructions(inner)
    )


def first_argument(code: CodeType) -> str:
    """ "self" of a method written in the usual way, otherwise ""."""
    return "self" if code.co_argcount and code.co_varnames[0] == "self" else ""
