"""The main job on the demo family, stage by stage: seconds, and what a budget of four trainings bought.

python -m benchmarks.demo        last line: {"seconds": ..., "bought": [...], "versions": {...}}
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from transfercast.demo.run import SEED, run
from transfercast.demo.verdict import verdict

TRIALS = 4


def main() -> None:
    """Run the demo in a new folder and time it."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        demo = run(Path(folder), TRIALS)
        seconds = time.perf_counter() - started
    bought = demo.bought()
    print(verdict(bought, demo.result.test_gain))
    versions = {name: version(name) for name in ("torch", "transformers", "xgboost", "optuna", "numpy")}
    figures = {"seconds": round(seconds, 1), "bought": [asdict(row) for row in bought], "seed": SEED, "cores": os.cpu_count()}
    print(json.dumps({**figures, "versions": versions}))


if __name__ == "__main__":
    main()
