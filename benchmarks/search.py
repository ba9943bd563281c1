"""What stopping, forecasting again, and many hands bring to a search. The last line is JSON.

    python -m benchmarks.search [--part stops --part order --part kills --part throughput] [--atlas FOLDER] [--kills 200]
    python -m benchmarks.search --part learn --atlas FOLDER

`stops` replays the trainings of an atlas that `transfercast collect` made, `order` TaskWeb's; each target is held out whole.
`learn` writes transfercast/execution/rises.json, which comes with the package, from all curves of the atlas. R@3 of jointly
chosen picks is a figure of `python -m benchmarks.suite`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.data import DATA
from benchmarks.robustness_base import make_inputs, preload
from benchmarks.robustness_kills import BOTH
from benchmarks.search_hands import killed, throughput
from benchmarks.search_order import reorder
from benchmarks.search_stops import stops, trainings
from transfercast.execution.rises import learn

KEYS = (
    "hours_fixed", "hours_learned", "hours_median", "hours_halving", "hours_hyperband", "regret_learned", "reorder_gain",
    "joint_r3_ratio",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=[*PARTS, "learn"], help="by default all but learn")
    parser.add_argument("--atlas", type=Path, help="folder of an atlas, for stops and learn")
    parser.add_argument("--data", type=Path, default=DATA / "transfer")
    parser.add_argument("--kills", type=int, default=200, help="on each database")
    parser.add_argument("--database", action="append", choices=BOTH, help="of kills; by default both")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    told: dict[str, object] = dict.fromkeys(KEYS)
    for part in given.part or PARTS:
        print(f"--- {part}", flush=True)
        told |= learned(given) if part == "learn" else PARTS[part](given)
    print(json.dumps({name: round(value, 4) if isinstance(value, float) else value for name, value in told.items()}))


def stopped(given: argparse.Namespace) -> dict[str, object]:
    """Of `stops`."""
    if given.atlas is None:
        print("left out: name an atlas with --atlas")
        return {}
    return stops(given.atlas)


def learned(given: argparse.Namespace) -> dict[str, object]:
    """Write the rises of an atlas."""
    if given.atlas is None:
        raise SystemExit("name an atlas with --atlas")
    rises = learn([training.curve for training in trainings(given.atlas)])
    rises.save()
    return {"curves": rises.curves}


def on_inputs(part: Callable[[Path, argparse.Namespace], dict[str, object]]) -> Callable[..., dict[str, object]]:
    """A part that needs a tiny encoder, tasks and pool, in a folder that is thrown away."""

    def run(given: argparse.Namespace) -> dict[str, object]:
        preload()
        with tempfile.TemporaryDirectory(prefix="search-") as folder:
            inputs = Path(folder) / "inputs"
            inputs.mkdir()
            make_inputs(inputs)
            return part(inputs, given)

    return run


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, object]]] = {
    "stops": stopped,
    "order": lambda given: dict(reorder(given.data)),
    "kills": on_inputs(killed),
    "throughput": on_inputs(lambda inputs, given: throughput(inputs)),
}


if __name__ == "__main__":
    main()
