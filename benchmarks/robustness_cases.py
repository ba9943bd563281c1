"""The table of malformed inputs in tests/robustness, run as it stands, its failures counted by kind."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.robustness_base import Tally

ROOT = Path(__file__).parents[1]


def cases(tally: Tally) -> None:
    """Run every case."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--tb=line", f"--junitxml={report}", "tests/robustness"]
        subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        found = ElementTree.parse(report).getroot().iter("testcase")  # written by pytest a moment ago
        for case in found:
            if case.find("skipped") is not None:
                continue
            tally.cases += 1
            for problem in (*case.findall("failure"), *case.findall("error")):
                told = problem.get("message", "")
                tally.problem(_kind(told), f"{case.get('name')}: {told[:200]}")


def _kind(told: str) -> str:
    if "Hang" in told or "of processor time" in told:
        return "hangs"
    return "tracebacks" if "unforeseen" in told or "Traceback" in told else "silent"
