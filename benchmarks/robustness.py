"""The robustness campaign in its long form: kills, full and read-only disks, writers at once, and a service under abuse.

    python -m benchmarks.robustness [--part kills --part service ...] [--kills 300] [--seconds 120] [--requests 3000]

Everything happens on loopback, in a temporary folder, on a tiny random encoder. What needs root (a small tmpfs) or
PostgreSQL's programs is left out, and said, where they are missing. The last line is JSON; with all parts it also goes to
benchmarks/results/robustness-cpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.robustness_base import Tally, make_inputs, preload
from benchmarks.robustness_cases import cases
from benchmarks.robustness_disks import disks
from benchmarks.robustness_kills import kills
from benchmarks.robustness_service import service
from benchmarks.robustness_writers import writers

Part = Callable[[Path, Tally, argparse.Namespace], None]

PARTS: dict[str, Part] = {
    "cases": lambda inputs, tally, given: cases(tally),
    "kills": lambda inputs, tally, given: kills(inputs, tally, given.kills, given.seed),
    "disks": lambda inputs, tally, given: disks(inputs, tally),
    "writers": lambda inputs, tally, given: writers(inputs, tally),
    "service": lambda inputs, tally, given: service(inputs, tally, given.seconds, given.requests, given.seed),
}
RESULTS = Path(__file__).parent / "results" / "robustness-cpu.json"


def main() -> None:
    """Run the parts that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=list(PARTS), help="by default all; may be given several times")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=120.0, help="for which 50 clients ask the service")
    parser.add_argument("--requests", type=int, default=3000, help="that are made up from the service's own description")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    preload()
    tally = Tally()
    seconds = {}
    with tempfile.TemporaryDirectory(prefix="robustness-") as folder:
        inputs = Path(folder) / "inputs"
        inputs.mkdir()
        make_inputs(inputs)
        for name in given.part or PARTS:
            print(f"--- {name}", flush=True)
            started = time.perf_counter()
            PARTS[name](inputs, tally, given)
            seconds[name] = round(time.perf_counter() - started, 1)
    told = {
        **asdict(tally),
        "seconds": seconds,
        "seed": given.seed,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    if not given.part:
        RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(told))


if __name__ == "__main__":
    main()
