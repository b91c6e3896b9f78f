"""An explorer's code as a cell of its own: imports, what the code needs, and the code."""

import ast
import builtins
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

WHOLE = {"torch": "import torch", "np": "import numpy as np", "yl": "import yolo_lite as yl"}
OF_WALKTHROUGH = ("effective_field", "record_layers", "show_layers")
OF_PICTURES = ("images_of", "targets_of")
MOST_ROWS = 60  # of targets that are written out


def cell_of(code: str, names: Mapping[str, str], explorer: type) -> str:
    """The code after its imports and the lines of the names that it needs; a name that nothing explains stays.

    Args:
        names: name -> the lines that make it, or a comment alone.
        explorer: the class whose name the code may hold.

    >>> print(cell_of("found = yl.box_iou(a, b)", {"a": "a = torch.zeros(1, 4)", "b": "# b: yours"}, object))
    import torch
    import yolo_lite as yl
    <BLANKLINE>
    a = torch.zeros(1, 4)
    # b: yours
    found = yl.box_iou(a, b)
    """
    lines: dict[str, None] = {}  # an ordered set: one piece may make several names

    def explain(piece: str) -> None:
        for name in free_names(piece):
            if name in names and names[name] not in lines:
                explain(names[name])
                lines[names[name]] = None

    explain(code)
    read = [name for piece in (*lines, code) for name in free_names(piece)]
    body = "\n".join([*lines, code]).split("\n")
    own = [line for line in body if line.startswith(("import ", "from "))]
    imports = dict.fromkeys([*_imports(read, explorer), *own])
    return "\n".join([*imports, *([""] if imports else []), *(line for line in body if line not in own)])


@lru_cache(maxsize=256)  # targets are long, and stay while a slider moves
def free_names(code: str) -> tuple[str, ...]:
    """The names that code reads and does not make, in order.

    >>> free_names("import torch; a = torch.tensor([b for b in c]); d")
    ('c', 'd')
    """
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except SyntaxError:
        return ()
    names = [node for node in nodes if isinstance(node, ast.Name)]
    made = {node.id for node in names if not isinstance(node.ctx, ast.Load)} | set(dir(builtins))
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            made |= {alias.asname or alias.name for alias in node.names}
    read = sorted((node for node in names if node.id not in made), key=lambda node: (node.lineno, node.col_offset))
    return tuple(dict.fromkeys(node.id for node in read))


def _imports(names: Iterable[str], explorer: type) -> list[str]:
    """The lines that import these names, as far as they are known ones."""
    needed = set(names)
    known = (*OF_WALKTHROUGH, *([explorer.__name__] if explorer.__module__.startswith("walkthrough.") else []))
    lines = [line for name, line in WHOLE.items() if name in needed]
    for module, members in (("walkthrough", known), ("walkthrough.explorers.pictures", OF_PICTURES)):
        if found := sorted(needed & set(members)):
            lines.append(f"from {module} import {', '.join(found)}")
    return lines


def model_lines(given: Any, explorer: str, default: str = "") -> str:
    """The line that loads a model again, of a name or path; a comment where it was given as it is.

    >>> model_lines(None, "NmsExplorer", "shapes-n")
    'model = yl.load("shapes-n")'
    """
    if given is None:
        return f'model = yl.load("{default}")'
    if isinstance(given, str | Path):
        return f"model = yl.load({str(given)!r})"
    return f"# model: the {type(given).__name__} that was given to {explorer} as model="


def target_lines(targets: Tensor, otherwise: Callable[[], str]) -> str:
    """The lines that make these targets (n, 6); otherwise() where they are too many to be written out."""
    if len(targets) > MOST_ROWS:
        return otherwise()
    if not len(targets):
        return "targets = torch.zeros(0, 6)  # image, class, xc, yc, w, h"
    rows = [", ".join(f"{value:.7g}" for value in row) for row in targets.tolist()]
    listed = "\n".join(f"    [{row}]," for row in rows)
    return f"targets = torch.tensor([  # image, class, xc, yc, w, h\n{listed}\n])"
