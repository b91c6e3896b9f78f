"""Parts of a page of docs/ that a benchmark writes: what stands between two comments that name it."""

import re


def with_part(text: str, name: str, content: str) -> str:
    """A document with what stands between the comments of that name replaced.

    >>> with_part("<!-- begin a -->\\nold\\n<!-- end a -->", "a", "new")
    '<!-- begin a -->\\n\\nnew\\n\\n<!-- end a -->'

    Raises:
        ValueError: the document has no such part.
    """
    pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the document has no part {name!r}")
    return pattern.sub(lambda found: f"{found[1]}\n{content.strip()}\n\n{found[2]}", text)
