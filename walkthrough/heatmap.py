"""A matrix as a panel of a Scene."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HeatMap:
    """Cells shaded from 0 (dark blue) to 1 (yellow), a word in each where it fits, names at rows and columns.

    shades and words have a tuple for each row; a scale beside the cells says what the shades mean.
    """

    shades: tuple[tuple[float, ...], ...]
    words: tuple[tuple[str, ...], ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    title: str = ""
    caption: str = ""
    row_label: str = ""
    column_label: str = ""
    scale_label: str = ""

    def __post_init__(self) -> None:
        for name in ("shades", "words"):
            given = getattr(self, name)
            if len(given) != len(self.rows) or any(len(row) != len(self.columns) for row in given):
                raise ValueError(f"{name} must have {len(self.rows)} rows of {len(self.columns)}, as there are names")

    def describe(self) -> str:
        """The matrix in words: what it compares, not the values."""
        across = f"{self.column_label or 'columns'} {_listed(self.columns)}"
        return f"heat map {len(self.rows)} x {len(self.columns)}: {self.row_label or 'rows'} against {across}"


def _listed(names: tuple[str, ...], most: int = 12) -> str:
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")
