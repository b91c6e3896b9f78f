"""Adds up pytest's reports: python .ci/count_tests.py LEAST report.xml ...

Prints how many tests ran and which were skipped for what reason; exit code 1 where fewer than LEAST ran or one failed.
"""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree


def main(least: int, reports: list[Path]) -> int:
    """The exit code."""
    passed, failed, skipped = 0, [], Counter[str]()
    for report in reports:
        if not report.is_file():
            failed.append(f"{report.name}: its tests did not come to an end")
            continue
        for case in ElementTree.parse(report).iter("testcase"):
            left_out = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                failed.append(f"{case.get('classname')}::{case.get('name')}")
            elif left_out is not None:
                skipped[left_out.get("message", "no reason given")] += 1
            else:
                passed += 1
    ran = passed + len(failed)
    print(f"{ran:,} tests ran, {len(failed)} failed, {skipped.total()} were skipped:")
    for reason, count in skipped.most_common():
        print(f"  {count} skipped: {reason}")
    for name in failed:
        print(f"  FAILED {name}")
    if ran < least:
        print(f"Too few: at least {least:,} were to run.")
    return int(bool(failed) or ran < least)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
