"""A source and a target trained together against one after the other, on two GoEmotions labels.

python -m benchmarks.multitask [--target disappointment --source sadness] [--rows 300] [--source-rows 450] [--runs FILE]
    Trained alone, from the source, and together with it by both samplings: three epochs each, a third of the rows positive.
    Runs are kept in FILE as soon as they are known, so a benchmark that was killed goes on.
    Last line: {"alone": [F1, average precision, seconds], "sequential": ..., "inverse": ..., "proportional": ...,
    "versions": ...}, on test rows; sequential without the seconds of the source.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path

from sklearn.metrics import average_precision_score

from benchmarks.data import DATA
from benchmarks.training import CPU, RUNS, Runs
from transfercast.core.records import Recipe
from transfercast.sources.encoders import OFFLINE, checkpoint_folder
from transfercast.sources.finetune import Trained, fine_tune
from transfercast.sources.inference import read
from transfercast.sources.source import save_trained
from transfercast.tasks.family import read_task
from transfercast.tasks.spec import TaskSpec
from transfercast.tasks.task import Task

RECIPE = Recipe(epochs=3)
WAYS = {
    "alone": RECIPE,
    "sequential": RECIPE,
    "inverse": RECIPE.adapted("multitask"),
    "proportional": RECIPE.adapted("multitask").model_copy(update={"sampling": "proportional"}),
}


def task_named(label: str, rows: int) -> Task:
    """A GoEmotions label with so many training rows, a third of them positive, as those of validation and test."""
    folder = DATA / "multilabel" / "goemotions"
    splits = {split: str(folder / f"{split}.csv") for split in ("train", "validation", "test")}
    caps = {"train": rows, "validation": 150, "test": 600}
    spec = TaskSpec(name=label, **splits, kind="multilabel", labels=(label,), label=label, rows=caps, positive_share=1 / 3)
    return read_task(spec)


def measured(trained: Trained, task: Task) -> tuple[float, float, float]:
    """F1 and average precision on test rows, and seconds of the training."""
    test = task.splits["test"]
    outputs = read(trained.model, trained.tokenizer, test.texts, 128, split=False).outputs[:, 1]
    precision = float(average_precision_score(test.labels, outputs))
    return trained.score(task, "test", 128), precision, trained.seconds


def run(way: str, target: Task, source: Task) -> tuple[float, float, float]:
    """One way of training the target."""
    base = checkpoint_folder(OFFLINE)
    together = source if WAYS[way].adaptation == "multitask" else None
    with tempfile.TemporaryDirectory() as folder:
        start = base
        if way == "sequential":
            start = Path(folder)
            save_trained(fine_tune(source, base, RECIPE, seed=0, device=CPU), start)
        return measured(fine_tune(target, start, WAYS[way], seed=0, device=CPU, companion=together), target)


def main() -> None:
    """Train in each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="disappointment")
    parser.add_argument("--source", default="sadness")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--source-rows", type=int, default=450)
    parser.add_argument("--runs", type=Path, default=RUNS)
    asked = parser.parse_args()
    target, source = task_named(asked.target, asked.rows), task_named(asked.source, asked.source_rows)
    runs, result = Runs(asked.runs), {}
    for way in WAYS:
        key = ("multitask", asked.target, asked.source, asked.rows, asked.source_rows, way)
        score, precision, seconds = runs.found(key, partial(run, way, target, source))
        result[way] = [round(score, 3), round(precision, 3), round(seconds, 1)]
        print(f"{way:13} F1 {score:.3f}  average precision {precision:.3f}  {seconds:.0f} s", flush=True)
    print(json.dumps({**result, "versions": {name: version(name) for name in ("torch", "transformers")}}))


if __name__ == "__main__":
    main()
