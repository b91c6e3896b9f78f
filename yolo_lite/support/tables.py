"""A table of text."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Aligned columns; the first row is the head, the columns in ``left`` are flush left, numbers flush right.

    >>> print(table([("class", "objects"), ("cat", "12"), ("aardvark", "3")]))
    class     objects
    cat            12
    aardvark        3
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
