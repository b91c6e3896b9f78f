"""Numbers that may differ between machines, written so that a reader sees them and a comparison of outputs does not.

What a network sums up, or training makes, differs in its last digits from one processor to the next, and after many
steps in the first ones too. Such a number is printed with a ``≈`` in front; what compares the outputs of a notebook
(``tests/nbval_sanitize.cfg``) hides what follows that sign and nothing else. An assertion beside it holds the claim.
"""

from torch import Tensor

__all__ = ["approx"]


def approx(value: float | Tensor, spec: str = ".2f") -> str:
    """A number that may differ a little on another machine, as text.

    Args:
        value: a number, or a tensor that holds one.
        spec: how it is written, in Python's format language: ".2f", ".0%", ".1e", "," ... An exact 0 is written
            without decimals or an exponent; on another machine it may be 1e-9, so its sign stays.
    Raises:
        ValueError: a tensor with more than one element, or a spec that is none.

    >>> approx(0.98126), approx(0.0612, ".0%"), approx(25204.4, ",.0f")
    ('≈ 0.98', '≈ 6%', '≈ 25,204')
    >>> approx(0.0, ".0e"), approx(0.0, ".1%")
    ('≈ 0', '≈ 0%')
    """
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(f"approx writes one number, not a tensor of shape {tuple(value.shape)}: choose one of it")
        value = value.item()
    text = format(value, spec)
    if value == 0:
        text = "0%" if spec.endswith("%") else "0"
    return f"≈ {text}"
