"""Checks every recording in a folder: one line a file, then how many are equal, differ and were skipped."""

import argparse
import sys
from pathlib import Path
from typing import Literal, NamedTuple

from tests.golden.family.compare import Comparison, NeedsMoreFiles, read_recording
from tests.golden.family.layout import Missing
from tests.golden.family.registry import CHECKS, check_of, layout_of_module, module_of


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
    comparisons: list[Comparison] = []
    problems: list[str] = []
    try:
        check, layout = check_of(module), layout_of_module(module)
        if check is None or layout is None:
            return Finding(file, "skipped", "not built yet")
        recorded = read_recording(file)
        expected = layout(recorded, file.name)
        missing = expected.missing(recorded)
        problems += [f"missing: {key}" for key in missing]
        problems += [f"not compared: {key}" for key in expected.unknown(recorded)]
        if not missing:
            for comparison in check(file):
                comparisons.append(comparison)  # one by one: what was compared before an error is known
            unseen = expected.outputs - {comparison.key for comparison in comparisons}
            problems += [f"not compared: {key}" for key in sorted(unseen)]
    except NeedsMoreFiles as reason:
        if not problems:
            return Finding(file, "skipped", str(reason))
    except Missing as error:
        problems.append(str(error))
    except Exception as error:
        problems.append(f"cannot be checked: {type(error).__name__}: {error}")
    return judged(file, comparisons, problems)


def judged(file: Path, comparisons: list[Comparison], problems: list[str]) -> Finding:
    """Equal, if something was compared, all of it is equal and there is no problem."""
    worst = max(comparisons, key=lambda each: each.severity, default=None)
    differing = [f"{each.key} {each.worst:.1e} of {each.allowed:.0e}" for each in comparisons if not each.equal]
    if problems or differing:
        return Finding(file, "differ", "; ".join(problems + differing), worst)
    if worst is None:
        return Finding(file, "differ", "nothing in it was compared")
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
    """Prints the findings; 1 if anything differs or nothing was compared, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.family", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="searched for *.npz, subfolders included; or one file")
    folder = parser.parse_args(arguments).folder
    if folder.is_file():
        folder, files = folder.parent, [folder]
    else:
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() == ".npz")
    if not files:
        print(f"{folder} holds no recording (*.npz)" if folder.is_dir() else f"there is no folder {folder}")
        return 1
    findings = []
    for file in files:
        finding = examine(file)
        print(f"{finding.verdict:8}{file.relative_to(folder)}  {finding.text}", flush=True)
        findings.append(finding)
    print(summary(findings))
    verdicts = {finding.verdict for finding in findings}
    return int("differ" in verdicts or "equal" not in verdicts)


if __name__ == "__main__":
    sys.exit(main())
