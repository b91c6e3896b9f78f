"""Checks every recording in a folder: one line a file, then how many are equal, differ and were skipped."""

import argparse
import sys
from pathlib import Path
from typing import Literal, NamedTuple

from tests.golden.family.compare import Comparison, NeedsMoreFiles
from tests.golden.family.registry import CHECKS, check_of, module_of


class Finding(NamedTuple):
    """What is known about one file."""

    file: Path
    verdict: Literal["equal", "differ", "skipped"]
    text: str
    worst: Comparison | None = None  # of the arrays that were compared


def examine(file: Path) -> Finding:
    """Runs the check of one file. Whatever goes wrong with it is a finding about this file only."""
    module = module_of(file)
    if module is None:
        return Finding(file, "differ", f"no check for a file of this name; known: {', '.join(f'{p}*' for p in CHECKS)}")
    try:
        check = check_of(module)
        if check is None:
            return Finding(file, "skipped", "not built yet")
        comparisons = list(check(file))
    except NeedsMoreFiles as reason:
        return Finding(file, "skipped", str(reason))
    except Exception as error:
        return Finding(file, "differ", f"cannot be checked: {type(error).__name__}: {error}")
    if not comparisons:
        return Finding(file, "differ", "nothing in it was compared")
    worst = max(comparisons, key=lambda each: each.severity)
    differing = [f"{each.key} {each.worst:.1e} of {each.allowed:.0e}" for each in comparisons if not each.equal]
    if differing:
        return Finding(file, "differ", "; ".join(differing), worst)
    return Finding(file, "equal", f"worst {describe(worst)}", worst)


def describe(comparison: Comparison) -> str:
    return f"{comparison.worst:.1e} of {comparison.allowed:.0e} ({comparison.key})"


def summary(findings: list[Finding]) -> str:
    verdicts = [finding.verdict for finding in findings]
    line = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("equal", "differ", "skipped"))
    compared = [(finding.worst, finding.file.name) for finding in findings if finding.worst is not None]
    if not compared:
        return f"{line}; nothing was compared"
    worst, name = max(compared, key=lambda each: each[0].severity)
    return f"{line}; worst difference {describe(worst)} in {name}"


def main(arguments: list[str] | None = None) -> int:
    """Prints the findings; 1 if anything differs or there is nothing to check, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.family", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="searched for *.npz, subfolders included")
    folder = parser.parse_args(arguments).folder
    files = sorted(folder.rglob("*.npz"))
    if not files:
        print(f"{folder} holds no recording (*.npz)" if folder.is_dir() else f"there is no folder {folder}")
        return 1
    findings = []
    for file in files:
        finding = examine(file)
        print(f"{finding.verdict:8}{file.relative_to(folder)}  {finding.text}", flush=True)
        findings.append(finding)
    print(summary(findings))
    return int(any(finding.verdict == "differ" for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
