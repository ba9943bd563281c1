"""The main job on the demo family, stage by stage: seconds, and what a budget of four trainings bought.

python -m benchmarks.demo        last line: {"seconds": ..., "bought": [...], "versions": {...}}
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from transfercast.demo.run import SEED, run

TRIALS = 4


def main() -> None:
    """Run the demo in a new folder and time it."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        demo = run(Path(folder), TRIALS)
        seconds = time.perf_counter() - started
    bought = demo.bought()
    for row in bought:
        found, most, alone = row["found"] or row["alone"], row["everything"], row["alone"]
        print(f"{row['target']}: alone {alone:.3f}, {TRIALS} trials over all {found:.3f}, everything {most:.3f}")
    versions = {name: version(name) for name in ("torch", "transformers", "xgboost", "optuna", "numpy")}
    told = {"seconds": round(seconds, 1), "bought": bought, "seed": SEED, "cores": os.cpu_count(), "versions": versions}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
