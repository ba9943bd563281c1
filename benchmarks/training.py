"""How fast trainings are, and how good the models: a plain Trainer, a careful plain loop and a logistic regression beside.

python -m benchmarks.training [--part speed --part jobs --part same --part scores
    --part threshold] [--seeds 3] [--rows 300 2000] [--repeats 3]
    [--runs FILE] [--device cpu]
    speed   rows x epochs a second of updates over transformers' Trainer with the same batch size, epochs and rate; on a CPU in
            processor seconds, which a busy machine moves little, so start it with OMP_NUM_THREADS=1
    jobs    trainings an hour of two processes of one thread over one process of two threads
    same    largest relative difference between weights trained with the compact and with the whole embedding table
    scores  mean test score minus that of a careful plain loop (1e-4, 8 epochs, batches of 16, warm-up, best epoch on
            validation, threshold one half), and of `features` minus a logistic regression on mean-pooled frozen embeddings
    threshold   points of F1 that a threshold fitted on validation gives over one half, on five rare labels
    Scores and speeds are kept in FILE as soon as they are known, so a run that was killed goes on.
    Last line: {"speedup_trainer_300": ..., "speedup_trainer_2000": ..., "throughput_two_jobs": ..., "same_result": ...,
    "score_gap": ..., "features_gap": ..., "threshold_gap": ..., "versions": ...}; null for parts that were not asked for.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import pandas as pd
import torch
from platformdirs import user_cache_path
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from benchmarks.data import DATA, classification
from transfercast.core.records import Recipe
from transfercast.sources.batches import padded, shuffled, tokenized
from transfercast.sources.encoders import OFFLINE, checkpoint_folder, load_tokenizer, quiet_transformers
from transfercast.sources.finetune import fine_tune, scored
from transfercast.sources.inference import read
from transfercast.sources.models import load_encoder, new_model, pick_device
from transfercast.sources.scores import score_of
from transfercast.sources.threshold import best_threshold
from transfercast.sources.updates import Judged, Run
from transfercast.tasks.family import read_task
from transfercast.tasks.spec import TaskSpec
from transfercast.tasks.task import Task

PARTS = ("speed", "jobs", "same", "scores", "threshold")
GAPS = ("score_gap", "features_gap", "threshold_gap")
SETS = ("question_type", "customer_reviews", "tweet_irony")
LABELS = ("gratitude", "curiosity", "sadness")
"""GoEmotions labels of 6, 5 and 3 % of the rows, at their natural rates."""
MORE_LABELS = ("annoyance", "fear")
"""Further ones of 6 and 1 %, for the threshold alone."""

VALIDATION, TEST = 300, 1500
CPU = torch.device("cpu")
RUNS = user_cache_path("transfercast") / "benchmarks" / "training.jsonl"


def task_named(name: str, rows: int) -> Task:
    """A classification set, or a GoEmotions label, with so many training rows."""
    caps = {"train": rows, "validation": VALIDATION, "test": TEST}
    if name not in LABELS:
        return classification(name, caps)
    folder = DATA / "multilabel" / "goemotions"
    splits = {split: str(folder / f"{split}.csv") for split in ("train", "validation", "test")}
    return read_task(TaskSpec(name=name, **splits, kind="multilabel", labels=(name,), label=name, rows=caps))


def clock(device: torch.device) -> float:
    """Seconds that a device has worked: of a CPU the process's own, of a GPU those on the wall when all before is done."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def trainer_seconds(task: Task, recipe: Recipe, seed: int, device: torch.device) -> float:
    """Seconds (see `clock`) of training by transformers' Trainer, nothing else counted."""
    from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer, TrainingArguments

    folder = checkpoint_folder(OFFLINE)
    tokenizer = load_tokenizer(folder)
    encodings = tokenized(tokenizer, task.splits["train"].texts, recipe.max_tokens, words=False)
    labels = task.splits["train"].labels
    rows = [{name: encodings[name][i] for name in encodings} | {"labels": int(labels[i])} for i in range(len(labels))]
    with quiet_transformers(), tempfile.TemporaryDirectory() as place:
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(task.label_names))
        arguments = TrainingArguments(
            place, per_device_train_batch_size=recipe.batch_size, num_train_epochs=recipe.epochs or 1, seed=seed,
            learning_rate=recipe.learning_rate or 1e-4, warmup_steps=0.1, save_strategy="no", report_to=[], disable_tqdm=True,
            logging_strategy="no", use_cpu=device.type == "cpu", dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = Trainer(model, arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer))
        started = clock(device)
        trainer.train()
        return clock(device) - started


def our_seconds(task: Task, recipe: Recipe, seed: int, device: torch.device) -> float:
    """Seconds (see `clock`) of the same updates by this package."""
    folder = checkpoint_folder(OFFLINE)
    tokenizer = load_tokenizer(folder)
    torch.manual_seed(seed)
    model = new_model(folder, task).to(device)
    started = clock(device)
    Run(task, model, tokenizer, recipe, np.random.default_rng(seed), "auto", True).trained(lambda: Judged(0.0), None)
    return clock(device) - started


class Runs:
    """What was measured so far, a line a run in a file: a benchmark that was killed goes on."""

    def __init__(self, place: Path) -> None:
        self.place, self.known = place, {}
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_file():
            self.known = {tuple(run["run"]): run["found"] for run in map(json.loads, place.read_text().splitlines())}

    def found(self, run: tuple[Any, ...], measure: Callable[[], Any]) -> Any:
        """What a run gave, measured now if it was not before."""
        if run not in self.known:
            self.known[run] = measure()
            with self.place.open("a") as file:
                file.write(json.dumps({"run": run, "found": self.known[run]}) + "\n")
        return self.known[run]


def key_on(device: torch.device, *run: Any) -> tuple[Any, ...]:
    """A run's key: on a CPU as it is, elsewhere with the device."""
    return run if device.type == "cpu" else (*run, device.type)


def speedups(rows: int, repeats: int, runs: Runs, device: torch.device) -> float:
    """Median of the Trainer's seconds over ours, in turns, for tweet_irony and a GoEmotions label."""

    def both(name: str, seed: int) -> tuple[float, float]:
        task, recipe = task_named(name, rows), Recipe(epochs=1, learning_rate=1e-4)
        return our_seconds(task, recipe, seed, device), trainer_seconds(task, recipe, seed, device)

    if device.type != "cpu":
        both(LABELS[0], 0)  # the first run of a process on a GPU loads its kernels
    ratios = []
    for seed, name in product(range(repeats), (LABELS[0], "tweet_irony")):
        our, their = runs.found(key_on(device, "speed", name, rows, seed), lambda name=name, seed=seed: both(name, seed))
        print(f"{name}, {rows} rows, an epoch: Trainer {their:.2f} s, ours {our:.2f} s", flush=True)
        ratios.append(their / our)
    return median(ratios)


ONE_JOB = """
import sys, time, torch
torch.set_num_threads(int(sys.argv[1]))
from benchmarks.training import CPU, OFFLINE, Recipe, checkpoint_folder, fine_tune, task_named
task = task_named("tweet_irony", 300)
fine_tune(task, checkpoint_folder(OFFLINE), Recipe(epochs=1), seed=9, device=CPU)
print("ready", flush=True); sys.stdin.readline(); started = time.perf_counter()
for seed in range(int(sys.argv[2])):
    fine_tune(task, checkpoint_folder(OFFLINE), Recipe(epochs=2), seed=seed, device=CPU)
print(time.perf_counter() - started, flush=True)
"""


def trainings_an_hour(processes: int, threads: int, each: int) -> float:
    """Trainings an hour of several processes that start together, each warmed up."""
    command = [sys.executable, "-c", ONE_JOB, str(threads), str(each)]
    jobs = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    for job in jobs:
        while "ready" not in (job.stdout.readline() if job.stdout else "ready"):
            continue
    started = time.perf_counter()
    for job in jobs:
        assert job.stdin
        job.stdin.write("go\n")
        job.stdin.flush()
    for job in jobs:
        job.communicate()
    return processes * each * 3600 / (time.perf_counter() - started)


def same_result() -> float:
    """Largest difference of a tensor's weights, relative to its largest weight, compact against whole, float32."""
    task, folder = task_named("tweet_irony", 300), checkpoint_folder(OFFLINE)
    compact, whole = (
        fine_tune(task, folder, Recipe(epochs=2), seed=0, device=CPU, compact=small, precision="float32").model.state_dict()
        for small in (True, False)
    )
    return max(float((compact[name] - w).abs().max() / w.abs().max().clamp_min(1e-6)) for name, w in whole.items())


def careful_loop(task: Task, seed: int, device: torch.device) -> tuple[float, float]:
    """Test score and average precision of a plain careful loop, in float32 and without any of this package's training."""
    from transformers import AutoModelForSequenceClassification, get_linear_schedule_with_warmup

    folder, epochs = checkpoint_folder(OFFLINE), 8
    tokenizer = load_tokenizer(folder)
    examples = task.splits["train"]
    encodings = tokenized(tokenizer, examples.texts, 128, words=False)
    lengths, rng = np.array([len(ids) for ids in encodings["input_ids"]]), np.random.default_rng(seed)
    torch.manual_seed(seed)
    with quiet_transformers():
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(task.label_names)).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    updates = epochs * -(-len(lengths) // 16)
    schedule = get_linear_schedule_with_warmup(optimiser, updates // 10, updates)
    best, weights = -1.0, model.state_dict()
    for _ in range(epochs):
        model.train()
        for rows in shuffled(lengths, 16, rng):
            batch = padded(encodings, rows, tokenizer.pad_token_id, device)
            model(**batch, labels=torch.tensor(examples.labels[rows], device=device)).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
        score = scored(model, tokenizer, task, task.splits["validation"], 128)
        if score >= best:
            best, weights = score, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(weights)
    return _test(model.eval(), tokenizer, task)


def ours(task: Task, seed: int, recipe: Recipe, device: torch.device) -> tuple[float, float]:
    """Test score and average precision of our training."""
    trained = fine_tune(task, checkpoint_folder(OFFLINE), recipe, seed=seed, device=device)
    return _test(trained.model, trained.tokenizer, task)


def logistic(task: Task) -> tuple[float, float]:
    """Test score of a logistic regression at scikit-learn's defaults on mean-pooled frozen embeddings."""
    folder = checkpoint_folder(OFFLINE)
    encoder, tokenizer = load_encoder(folder), load_tokenizer(folder)
    embedded = {
        split: read(encoder, tokenizer, task.splits[split].texts, 128, split=False).embeddings for split in ("train", "test")
    }
    regression = LogisticRegression(max_iter=2000).fit(embedded["train"], task.splits["train"].labels)
    test = task.splits["test"].labels
    score = score_of(task.metric, regression.predict(embedded["test"]), test)
    return score, _precision(task, regression.predict_proba(embedded["test"]))


def _test(model: Any, tokenizer: Any, task: Task) -> tuple[float, float]:
    outputs = read(model, tokenizer, task.splits["test"].texts, 128, split=False).outputs
    return score_of(task.metric, outputs.argmax(1), task.splits["test"].labels), _precision(task, outputs)


def _precision(task: Task, outputs: np.ndarray) -> float:
    """Average precision of a binary task; NaN of others."""
    return float(average_precision_score(task.splits["test"].labels, outputs[:, 1])) if outputs.shape[1] == 2 else float("nan")


WAYS: dict[str, Callable[[Task, int, torch.device], tuple[float, float]]] = {
    "careful": careful_loop,
    "full": lambda task, seed, device: ours(task, seed, Recipe(), device),
    "features": lambda task, seed, device: ours(task, seed, Recipe(adaptation="features"), device),
    "logistic": lambda task, seed, device: logistic(task),
}
WITHOUT_SEED = ("features", "logistic")


def gaps(sizes: list[int], seeds: int, runs: Runs, device: torch.device) -> dict[str, float]:
    """Means over sets, sizes and seeds of the differences, in points (hundredths of the metric)."""
    names = (*SETS, *LABELS)

    def scores(name: str, rows: int, seed: int, way: str) -> tuple[float, float]:
        key = key_on(device, "scores", name, rows, 0 if way in WITHOUT_SEED else seed, way)
        found: tuple[float, float] = runs.found(key, lambda: WAYS[way](task_named(name, rows), seed, device))
        return found

    for seed, rows, name in product(range(seeds), sizes, names):
        for way in WAYS:
            scores(name, rows, seed, way)
    means: dict[tuple[str, int, str], float] = {}
    for rows, name in product(sizes, names):
        told = []
        for way in WAYS:
            pairs = [scores(name, rows, seed, way) for seed in range(seeds)]
            means[name, rows, way] = mean(score for score, _ in pairs)
            told.append(f"{way} {means[name, rows, way]:.3f} (AP {mean(precision for _, precision in pairs):.3f})")
        print(f"{name:18} {rows:5} {'  '.join(told)}")

    def gap(of: str, over: str) -> float:
        return round(100 * mean(means[name, rows, of] - means[name, rows, over] for rows in sizes for name in names), 2)

    return {"score_gap": gap("full", "careful"), "features_gap": gap("features", "logistic")}


def threshold_gap(draws: int = 12) -> float:
    """Points of test F1 that thresholds of validation give over one half: five rare labels, a frozen encoder."""
    labels = [*LABELS, *MORE_LABELS]
    encoder, tokenizer = load_encoder(checkpoint_folder(OFFLINE)), load_tokenizer(checkpoint_folder(OFFLINE))
    inputs, wanted = {}, {}
    for split, rows in (("train", 1400), ("validation", 1000), ("test", 1500)):
        sample = pd.read_csv(DATA / "multilabel" / "goemotions" / f"{split}.csv").sample(rows, random_state=0)
        inputs[split] = read(encoder, tokenizer, tuple(sample.text), 64, split=False).embeddings
        wanted[split] = sample[labels].to_numpy()
    gaps = []
    for rows, (number, label) in product((300, 1000), enumerate(labels)):
        scores = []
        for rng in map(np.random.default_rng, range(draws)):
            part = rng.choice(1400, rows, replace=False)
            held = rng.choice(1000, VALIDATION, replace=False)
            if wanted["train"][part, number].sum() < 2:
                continue
            head = LogisticRegression(max_iter=2000).fit(inputs["train"][part], wanted["train"][part, number])
            on_held, on_test = (head.predict_proba(x)[:, 1] for x in (inputs["validation"][held], inputs["test"]))
            fitted = best_threshold("positive_f1", on_held, wanted["validation"][held, number])
            test = wanted["test"][:, number]
            scores.append([score_of("positive_f1", on_test > cut, test) for cut in (0.5, fitted)])
        half, on_validation = np.mean(scores, axis=0)
        print(f"{label:10} {rows:5} rows: F1 at one half {half:.3f}, at validation's threshold {on_validation:.3f}", flush=True)
        gaps.append(on_validation - half)
    return round(100 * mean(gaps), 2)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[300, 2000])
    parser.add_argument("--repeats", type=int, default=3, help="of what is timed")
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--device", type=pick_device, default=CPU, help="of speed and scores")
    asked = parser.parse_args()
    parts, runs, device = asked.part or PARTS, Runs(asked.runs), asked.device
    result: dict[str, Any] = dict.fromkeys(
        ("speedup_trainer_300", "speedup_trainer_2000", "throughput_two_jobs", "same_result", *GAPS)
    )
    if "speed" in parts:
        result |= {f"speedup_trainer_{rows}": round(speedups(rows, asked.repeats, runs, device), 2) for rows in asked.rows}
    if "jobs" in parts:
        result["throughput_two_jobs"] = round(trainings_an_hour(2, 1, 3) / trainings_an_hour(1, 2, 3), 2)
    if "same" in parts:
        result["same_result"] = same_result()
    if "scores" in parts:
        result |= gaps(asked.rows, asked.seeds, runs, device)
    if "threshold" in parts:
        result["threshold_gap"] = threshold_gap()
    versions = {name: version(name) for name in ("torch", "transformers", "scikit-learn")}
    print(json.dumps({**result, "seeds": asked.seeds, "rows": asked.rows, "device": str(device), "versions": versions}))


if __name__ == "__main__":
    main()
