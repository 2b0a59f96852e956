"""`make load`: a truycap of its own is loaded, and the report says what became of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.truycap import ROOT

COMMAND = [sys.executable, "-m", "tests.load"]
SHORT = ("--users", "60", "--streams", "5", "--hold", "0", "--day", "0", "--no-spike")


def load(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_a_short_load_is_counted_exactly(tmp_path: Path) -> None:
    done = load(*SHORT, "--report", str(tmp_path))
    assert done.stderr == ""
    assert "process ids, to kill one by hand: redis" in done.stdout
    said = json.loads((tmp_path / "report.json").read_bytes())
    run, checks = said["run"], {check["what"].partition(":")[0]: check for check in said["checks"]}
    assert run["views"] == run["shown"] > 100
    # A reader may be told to leave while the answer is on its way: such sendings are known.
    assert 0 <= run["after"]["accepted"] - run["before"]["accepted"] - run["acknowledged"] <= run["unheard"]
    assert run["acknowledged"] > run["views"]
    assert run["updates"] > 5
    assert checks["The delivery identity is exact"]["holds"]
    assert run["ramp"] == "it had all of its readers (60)"
    assert "<svg" in (tmp_path / "report.html").read_text("utf-8")
    assert done.returncode == (not all(check["holds"] for check in said["checks"]))


def test_ctrl_c_ends_with_a_report(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, *SHORT, "--report", str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert "process ids" in process.stdout.readline()
    time.sleep(3)
    os.kill(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "NO   The load went to its end: it was stopped before" in said
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--users", "0"], "invalid number, 1 or more, value: '0'"),
        (["--hold", "-1"], "invalid amount, 0 or more, value: '-1'"),
        (["--hold", "0", "--faults", "redis"], "give --hold some minutes"),
        (["--faults-in", "spike", "--faults", "redis", "--no-spike"], "needs --faults and the spike"),
        (["--ingest", "http://ingest:8001", "--faults", "redis"], "--expect-faults"),
        (["--site", "demo"], "--site is for services that run already: give --ingest too"),
        (["--ingest", "http://127.0.0.1:9"], "load: ingest does not answer at http://127.0.0.1:9"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(arguments: list[str], said: str) -> None:
    done = load(*arguments)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
