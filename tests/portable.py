"""Whether notebooks and tests give the same on other processors: they run under three instruction sets.

usage: python tests/portable.py [part of a name ...]       no name: everything; an hour on two cores
       python tests/portable.py --isa none --threads 1 --only notebooks 07
       make test-portable                                  everything

With AVX-512 a sum is taken in another order than with AVX2 or SSE, and with two threads in another than with one. So
its last digits differ; what the project prints and tests must not. Run here: every notebook (nbval, strict), and the
tests that compare floats: boxes, the whole detector, augment, loss, model, detect, train; of walkthrough gradients,
layers, blocks and the explorers that compute with a network; the examples in the docstrings of yolo_lite.

PyTorch, oneDNN, MKL, NumPy, OpenBLAS, OpenCV and IPP each choose their instructions for themselves when they are
loaded, and each has a variable that holds it back. First a process says what they really chose under each setting. (MKL
names its instructions on Intel's processors only.)
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

PROJECT = Path(__file__).parent.parent
REPORTS = PROJECT / "build" / "portable"  # what each process printed
NBVAL = ("--nbval", "--nbval-current-env", "--nbval-sanitize-with", "tests/nbval_sanitize.cfg")
EXPLORERS = ("anchor_explorer", "augmentation_lab", "gradient_explorer", "iou_playground", "layer_explorer")
EXPLORERS += ("live_training", "loss_explorer", "nms_explorer", "schedule_explorer")
TESTS = {
    "detector": ("tests/test_boxes.py", "tests/test_shapes_n.py", "tests/test_end_to_end.py", "yolo_lite"),
    **{folder: (f"tests/{folder}",) for folder in ("augment", "loss", "model", "detect", "train")},
    "layers": tuple(f"tests/walkthrough/test_{name}.py" for name in ("blocks", "gradients", "layers")),
    "explorers": tuple(f"tests/walkthrough/test_{name}.py" for name in EXPLORERS),
}

ISAS = ("own", "avx2", "none")
HELD_BACK = {  # NumPy and OpenCV have to be told what is off instead: see environment
    "own": {},
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "OPENCV_IPP": "avx2",
    },
    "none": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENBLAS_CORETYPE": "Nehalem",
        "OPENCV_IPP": "sse42",
    },
}
OFF = {"NumPy": "NPY_DISABLE_CPU_FEATURES", "OpenCV": "OPENCV_CPU_DISABLE"}
BEYOND_AVX2 = ("AVX512", "X86_V4")  # how the names of what is off under avx2 begin
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}  # two threads that spin for each other on busy cores take four times as long
ALOUD = {"ONEDNN_VERBOSE": "1", "MKL_VERBOSE": "1", "OPENBLAS_VERBOSE": "2"}
SAYS = {"oneDNN": ",cpu,isa:", "MKL": " for Intel(R) 64 architecture ", "OpenBLAS": "Core: "}  # then comes the answer

PROBE = """
import json, cv2, numpy, torch
try:
    from numpy._core import _multiarray_umath as umath
except ImportError:  # NumPy 1
    from numpy.core import _multiarray_umath as umath
torch.nn.functional.conv2d(torch.ones(2, 16, 64, 64), torch.ones(16, 16, 3, 3))  # oneDNN speaks when first used
torch.ones(64, 64) @ torch.ones(64, 64)  # and so does MKL
dispatched = [feature for feature in cv2.getCPUFeaturesLine().split() if feature.startswith("*")]
chosen = {
    "PyTorch": torch.backends.cpu.get_cpu_capability(),
    "NumPy": " ".join(name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]),
    "OpenCV": " ".join(feature[1:] for feature in dispatched if not feature.endswith("?")),
    "IPP": cv2.ipp.getIppVersion() if cv2.ipp.useIPP() else "",
    "threads": f"{torch.get_num_threads()} in PyTorch, {cv2.getNumThreads()} in OpenCV",
}
can_be_off = {"NumPy": list(umath.__cpu_dispatch__), "OpenCV": [feature.strip("*?") for feature in dispatched]}
print("PROBE", json.dumps([chosen, can_be_off]))
"""


class Setting(NamedTuple):
    isa: str
    threads: int

    def __str__(self) -> str:
        return f"{self.isa}, {self.threads} thread{'s' * (self.threads > 1)}"


class Job(NamedTuple):
    """One process: a notebook, or a group of tests, under one setting."""

    setting: Setting
    kind: str  # "notebooks" or "tests"
    name: str
    arguments: tuple[str, ...]  # of pytest


class Outcome(NamedTuple):
    job: Job
    passed: int
    skipped: int
    failed: tuple[str, ...]  # what failed, by name
    seconds: float


def environment(setting: Setting, can_be_off: Mapping[str, Sequence[str]], base: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process under a setting. What base itself says about instructions or threads is dropped."""
    ours = {*HELD_BACK["none"], *OFF.values(), *THREADS}
    variables = {name: value for name, value in base.items() if name not in ours}
    variables |= PATIENT | HELD_BACK[setting.isa] | dict.fromkeys(THREADS, str(setting.threads))
    if setting.isa == "own":
        return variables
    for library, variable in OFF.items():
        off = [name for name in can_be_off[library] if setting.isa == "none" or name.startswith(BEYOND_AVX2)]
        variables[variable] = ",".join(off)
    return variables


def probe(variables: Mapping[str, str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """What the libraries of a process with these variables choose, and what NumPy and OpenCV could switch off."""
    command = [sys.executable, "-c", PROBE]
    done = subprocess.run(command, env={**variables, **ALOUD}, capture_output=True, text=True, check=True)
    lines = (done.stdout + done.stderr).splitlines()
    (answer,) = (line.removeprefix("PROBE ") for line in lines if line.startswith("PROBE "))
    chosen, can_be_off = json.loads(answer)
    for library, mark in SAYS.items():
        answers = [line.partition(mark)[2].partition(" processors")[0] for line in lines if mark in line]
        chosen[library] = answers[0] if answers else ""
    return chosen, can_be_off


def different_settings(isas: Sequence[str], threads: Sequence[int]) -> dict[Setting, dict[str, str]]:
    """The variables of each setting that changes something on this machine; prints what is chosen in each."""
    _, can_be_off = probe(environment(Setting("own", 1), {}, os.environ))
    settings, seen = {}, {}
    for setting in [Setting(isa, count) for count in threads for isa in isas]:
        variables = environment(setting, can_be_off, os.environ)
        chosen, _ = probe(variables)
        print(f"{setting}: {'; '.join(f'{library} {choice or None}' for library, choice in chosen.items())}")
        if twin := next((other for other, before in seen.items() if before == chosen), None):
            print(f"    NO EFFECT on this machine: left out, the same as {twin}")
            continue
        own = seen.get(Setting("own", setting.threads), {})
        if unmoved := [library for library in chosen if library != "threads" and own.get(library) == chosen[library]]:
            print(f"    no effect to be seen on {', '.join(unmoved)}")
        settings[setting], seen[setting] = variables, chosen
    return settings


def jobs_of(setting: Setting, only: str | None, names: Sequence[str]) -> list[Job]:
    """Every notebook and every group of tests whose name holds one of the given parts; no part: all."""
    notebooks = sorted((PROJECT / "notebooks").glob("[0-9]*.ipynb"))
    jobs = [Job(setting, "notebooks", path.stem, (*NBVAL, str(path.relative_to(PROJECT)))) for path in notebooks]
    jobs += [Job(setting, "tests", name, paths) for name, paths in TESTS.items()]
    wanted = [job for job in jobs if not names or any(part in job.name for part in names)]
    return [job for job in wanted if only in (None, job.kind)]


def run(job: Job, variables: Mapping[str, str]) -> Outcome:
    """Start pytest for a job, wait for it, and print a line."""
    report = REPORTS / f"{job.setting.isa}-{job.setting.threads}-{job.kind}-{job.name}"
    report.with_suffix(".xml").unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    start = time.monotonic()
    with report.with_suffix(".txt").open("w", encoding="utf-8") as output:
        done = subprocess.run(
            [*command, f"--junit-xml={report}.xml", *job.arguments],
            cwd=PROJECT, env=variables, stdout=output, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    outcome = read_report(job, report.with_suffix(".xml"), done.returncode, time.monotonic() - start)
    print(f"{job.setting}: {job.name}: {count(outcome.passed, outcome.failed)} in {outcome.seconds:.0f} s", flush=True)
    return outcome


def read_report(job: Job, path: Path, code: int, seconds: float) -> Outcome:
    """What pytest's report says; a process that failed without naming a test is a failure by itself."""
    cases = list(ElementTree.parse(path).iter("testcase")) if path.is_file() else []
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    failed = [f"{job.name}: {case.get('classname')}::{case.get('name')}" for case in bad]
    if code and not failed:
        failed = [f"{job.name}: pytest ended with code {code}, see {path.with_suffix('.txt').relative_to(PROJECT)}"]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return Outcome(job, len(cases) - len(bad) - skipped, skipped, tuple(failed), seconds)


def count(passed: int, failed: Sequence[str]) -> str:
    return f"{passed} passed, {len(failed)} FAILED" if failed else f"{passed} passed"


def table(outcomes: Sequence[Outcome]) -> str:
    """A row for each setting, then what failed, in words."""
    rows = [("setting", "notebooks", "tests", "skipped", "seconds of work")]
    for setting in dict.fromkeys(outcome.job.setting for outcome in outcomes):
        here = [outcome for outcome in outcomes if outcome.job.setting == setting]
        cells = []
        for kind in ("notebooks", "tests"):
            of_kind = [outcome for outcome in here if outcome.job.kind == kind]
            failed = [name for outcome in of_kind for name in outcome.failed]
            cells.append(count(sum(outcome.passed for outcome in of_kind), failed) if of_kind else "not run")
        skipped, seconds = (sum(getattr(outcome, field) for outcome in here) for field in ("skipped", "seconds"))
        rows.append((str(setting), *cells, str(skipped), f"{seconds:.0f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    failures = [f"FAILED under {outcome.job.setting}: {name}" for outcome in outcomes for name in outcome.failed]
    return "\n".join(lines + failures)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of names of notebooks or groups of tests; none: all")
    parser.add_argument("--isa", action="append", choices=ISAS, help="may be given more than once; default: all three")
    parser.add_argument("--threads", action="append", type=int, choices=(1, 2), help="default: one and two")
    parser.add_argument("--only", choices=("notebooks", "tests"))
    chosen = parser.parse_args(arguments)
    if not jobs_of(Setting("own", 1), chosen.only, chosen.names):
        known = ", ".join(job.name for job in jobs_of(Setting("own", 1), chosen.only, ()))
        parser.error(f"no name fits {' '.join(chosen.names)}: there are {known}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for setting, variables in different_settings(chosen.isa or ISAS, chosen.threads or (1, 2)).items():
        side_by_side = max(1, (os.cpu_count() or 1) // setting.threads)
        with ThreadPoolExecutor(side_by_side) as pool:
            outcomes += pool.map(partial(run, variables=variables), jobs_of(setting, chosen.only, chosen.names))
    print(f"\n{table(outcomes)}\nWhat each process printed: {REPORTS.relative_to(PROJECT)}")
    return int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
