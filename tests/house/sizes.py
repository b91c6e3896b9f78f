"""How many lines of code there are: `make sizes`, or python -m tests.house.sizes.

A line of code holds something besides blanks, comments and docstrings. The book is what computes YOLO; the rest of
yolo_lite is its appendix.
"""

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

from tests.house.imports import PROJECT

BOOK = ("boxes", "coding", "hyperparameters", "augment", "data", "loss", "model", "detect", "train")
AROUND = ("images", "running", "support")  # chapters outside the book that chapters of the book import
LARGEST_BOOK = 7750  # lines of code; 5440 before other programs: sources, detections, COCO, streams, hooks, checks
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def lines_of_code(source: str) -> int:
    """Of a module.

    >>> lines_of_code('"A docstring."\\n\\n# a comment\\nx = 1  # and another\\n')
    1
    """
    documentation: set[int] = set()  # lines
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                documentation |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        lines = set(range(token.start[0], token.end[0] + 1))
        if token.type not in NO_CODE and not (token.type == tokenize.STRING and lines <= documentation):
            code |= lines
    return len(code)


def sizes(package: str, root: Path = PROJECT) -> Counter[str]:
    """Chapter -> lines of code; the package's own __init__ counts as "__init__"."""
    found: Counter[str] = Counter()
    for file in sorted((root / package).rglob("*.py")):
        part = file.relative_to(root / package).parts[0].removesuffix(".py")
        found[part] += lines_of_code(file.read_text(encoding="utf-8"))
    return found


def book_size() -> int:
    """Lines of code of the chapters that compute YOLO."""
    found = sizes("yolo_lite")
    return sum(found[name] for name in BOOK)


def main() -> None:
    """Prints both packages, chapter by chapter."""
    for package in ("yolo_lite", "walkthrough"):
        found = sizes(package)
        print(f"{package:20}{sum(found.values()):7,}")
        for name, lines in found.most_common():
            book = "  book" if package == "yolo_lite" and name in BOOK else ""
            print(f"    {name:16}{lines:7,}{book}")
    print(f"the book            {book_size():7,}  of at most {LARGEST_BOOK:,}")
    around = sum(sizes("yolo_lite")[name] for name in AROUND)
    print(f"with {', '.join(AROUND)}: {book_size() + around:,}")


if __name__ == "__main__":
    main()
