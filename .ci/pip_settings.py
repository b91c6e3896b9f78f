"""Prints this machine's pip settings as PIP_NAME=value lines, without the folders that exist on this machine alone.

For another root: it reaches the same index through the same proxy, but has none of this machine's files.
"""

import ast
import subprocess
import sys

KEPT = ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
WINNERS = ("global", "user", "site", "install", ":env:")  # the later wins


def remote(word: str) -> bool:
    """Not a path and no file:// address."""
    return not word.startswith(("file:", "/", ".", "~"))


def main() -> None:
    """Reads `pip config list`: lines of section.name='value'."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    found = []
    for line in listed.stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if name in KEPT and section in WINNERS:
            words = filter(remote, str(ast.literal_eval(value)).split())
            found.append((WINNERS.index(section), name, " ".join(words)))
    settings = {name: value for _, name, value in sorted(found) if value}
    for name, value in settings.items():
        print(f"PIP_{name.upper().replace('-', '_')}={value}")


if __name__ == "__main__":
    main()
