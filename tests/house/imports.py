"""The imports of a package as a graph, those inside functions and for types counted too.

`python -m tests.house.imports yolo_lite` prints the chapters and what each imports.
"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

PROJECT = Path(__file__).parents[2]
Graph = dict[str, set[str]]  # module -> modules of the same package that it imports


def modules(package: str) -> dict[str, Path]:
    """Name -> file of each module of a package of this project."""
    found = {}
    for file in sorted((PROJECT / package).rglob("*.py")):
        parts = file.relative_to(PROJECT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(package: str) -> Graph:
    """What each module imports of its own package, wherever in its file."""
    known = modules(package)
    graph: Graph = {name: set() for name in known}
    for name, file in known.items():
        here = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names if alias.name in known}
            elif isinstance(node, ast.ImportFrom):
                base = here[: len(here) - node.level + 1] if node.level else []
                source = ".".join([*base, *([node.module] if node.module else [])])
                for alias in node.names:
                    target = f"{source}.{alias.name}"
                    graph[name] |= {target if target in known else source} & known.keys()
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others: Tarjan's strongly connected components."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in graph[name]:
            if target not in index:
                visit(target)
            if target in stack:
                low[name] = min(low[name], low[target])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1 or name in graph[name]:
                found.append(sorted(group))

    for name in graph:
        if name not in index:
            visit(name)
    return found


def chapter(module: str) -> str:
    """The folder or module directly below the package that a module is in: "loss" of yolo_lite.loss.targets."""
    return module.split(".")[1] if "." in module else ""


def chapters(package: str) -> Graph:
    """Chapter -> the other chapters that it imports; "" is the package's own __init__."""
    found: Graph = defaultdict(set)
    for name, targets in imports(package).items():
        found[chapter(name)] |= {chapter(target) for target in targets} - {chapter(name)}
    return found


if __name__ == "__main__":
    for name, targets in chapters(sys.argv[1]).items():
        print(f"{name or sys.argv[1]:20} {' '.join(sorted(targets))}")
