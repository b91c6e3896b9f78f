"""What a frozen explorer, which is passed on, says of the machine it was made on: nothing."""

import re
from pathlib import Path

LETTERS = r"[^\s/\\'\"()<>,;:]+"
PATH = re.compile(rf"(?<![\w.~:/])~?(?:/{LETTERS}){{2,}}|(?<!\w)[A-Za-z]:(?:\\{LETTERS}){{2,}}")


def without_folders(text: str) -> str:
    """Words in which paths of files have lost their folders.

    >>> without_folders("C:\\\\Users\\\\ada\\\\runs\\\\best.pt: no such file"), without_folders("norm / area, a/b/c")
    ('best.pt: no such file', 'norm / area, a/b/c')
    """
    if "/" not in text and "\\" not in text:
        return text
    return PATH.sub(_last, text.replace(str(Path.home()) + "/", "~/"))


def _last(found: re.Match[str]) -> str:
    path = found[0]
    is_path = path[0] != "/" or Path("/", path.split("/")[1]).is_dir()  # else something of the text's own
    return re.split(r"[/\\]", path)[-1] if is_path else path
