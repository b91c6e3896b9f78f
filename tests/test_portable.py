"""The script behind make test-portable: variables that take effect, failures that are counted and named."""

import platform
import re
from pathlib import Path

import cv2
import pytest

from tests import portable
from tests.portable import Job, Outcome, Setting, environment, probe, read_report, table

CAN_BE_OFF = {"NumPy": ["X86_V3", "X86_V4", "AVX512_ICL"], "OpenCV": ["SSE4.1", "AVX2", "AVX512-SKX"]}
JOB = Job(Setting("none", 1), "tests", "loss", ("tests/loss",))
REPORT = """<testsuites><testsuite>
<testcase classname="a" name="good"/><testcase classname="a" name="skipped"><skipped/></testcase>
<testcase classname="a" name="bad"><failure message="no"/></testcase>
<testcase classname="a" name="broken"><error message="no"/></testcase></testsuite></testsuites>"""


def test_own_drops_what_the_caller_has_set() -> None:
    base = {"PATH": "here", "ATEN_CPU_CAPABILITY": "default", "OPENCV_CPU_DISABLE": "AVX2", "OMP_NUM_THREADS": "7"}
    variables = environment(Setting("own", 2), CAN_BE_OFF, base)
    assert {name: variables.get(name) for name in base} == {
        "PATH": "here", "ATEN_CPU_CAPABILITY": None, "OPENCV_CPU_DISABLE": None, "OMP_NUM_THREADS": "2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("isa", "numpy", "opencv"),
    [("avx2", "X86_V4,AVX512_ICL", "AVX512-SKX"), ("none", "X86_V3,X86_V4,AVX512_ICL", "SSE4.1,AVX2,AVX512-SKX")],
)
def test_only_what_a_build_can_switch_off_is_switched_off(isa: str, numpy: str, opencv: str) -> None:
    variables = environment(Setting(isa, 1), CAN_BE_OFF, {})
    assert (variables["NPY_DISABLE_CPU_FEATURES"], variables["OPENCV_CPU_DISABLE"]) == (numpy, opencv)


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="names instructions of x86")
def test_without_avx_nothing_wide_is_left() -> None:
    _, can_be_off = probe(environment(Setting("own", 1), {}, portable.os.environ))
    chosen, _ = probe(environment(Setting("none", 1), can_be_off, portable.os.environ))
    assert chosen.pop("PyTorch") in ("DEFAULT", "NO AVX")  # the second is PyTorch 2.6's word
    assert "AVX" not in " ".join(chosen.values())
    assert chosen["NumPy"] == chosen["OpenCV"] == ""
    assert chosen["threads"].startswith("1 in PyTorch")
    if (
        "TBB" not in re.search(r"Parallel framework: *(.*)", cv2.getBuildInformation())[1]
    ):  # no variable sets its threads
        assert chosen["threads"].endswith("1 in OpenCV")


def test_a_setting_without_effect_is_left_out_aloud(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def without_avx512(variables: dict[str, str]) -> tuple[dict[str, str], dict[str, list[str]]]:
        return {"PyTorch": "DEFAULT" if variables.get("ATEN_CPU_CAPABILITY") == "default" else "AVX2"}, CAN_BE_OFF

    monkeypatch.setattr(portable, "probe", without_avx512)
    settings = portable.different_settings(portable.ISAS, (1,))
    assert [setting.isa for setting in settings] == ["own", "none"]
    assert "the same as own, 1 thread" in capsys.readouterr().out


def test_failures_are_counted_and_named(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text(REPORT)
    assert read_report(JOB, path, 1, 2.0) == Outcome(JOB, 1, 1, ("loss: a::bad", "loss: a::broken"), 2.0)


@pytest.mark.parametrize("code", [-9, 2, 5])  # killed, stopped while collecting, nothing collected
def test_a_process_that_names_no_failure_is_one(tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable, "PROJECT", tmp_path)
    (failed,) = read_report(JOB, tmp_path / "report.xml", code, 2.0).failed
    assert str(code) in failed
    assert "report.txt" in failed


def test_the_table_has_a_row_for_each_setting_and_names_what_failed() -> None:
    other = JOB._replace(setting=Setting("own", 2), kind="notebooks", name="07")
    lines = table([Outcome(JOB, 81, 2, ("loss: a::bad",), 11.4), Outcome(other, 49, 0, (), 20.0)]).splitlines()
    rows = [line.split("  ") for line in lines]
    assert [[cell.strip() for cell in row if cell] for row in rows[1:3]] == [
        ["none, 1 thread", "not run", "81 passed, 1 FAILED", "2", "11"],
        ["own, 2 threads", "49 passed", "not run", "0", "20"],
    ]
    assert len(lines) == 4
    assert "loss: a::bad" in lines[3]
    assert "none, 1 thread" in lines[3]


@pytest.mark.parametrize(("failed", "code"), [((), 0), (("loss: a::bad",), 1)])
def test_the_exit_status_says_whether_anything_failed(
    failed: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "different_settings", lambda isas, threads: {JOB.setting: {}})
    monkeypatch.setattr(portable, "run", lambda job, variables: Outcome(job, 1, 0, failed, 1.0))
    assert portable.main(["loss", "--only", "tests"]) == code


def test_a_name_that_fits_nothing_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        portable.main(["nothing-like-it"])
    assert "07_backpropagation" in capsys.readouterr().err


def test_every_path_that_is_run_exists() -> None:
    assert [path for paths in portable.TESTS.values() for path in paths if not (portable.PROJECT / path).exists()] == []
