"""Commands killed at random moments and started again until they end, on SQLite and PostgreSQL.

At the end all must be as if nobody had killed them: each observation there once and of the same score, no trial of Optuna
running, the same models and tables, nothing half-written left.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.postgres import programs, server
from benchmarks.robustness_base import (
    LONGEST,
    Child,
    Tally,
    features,
    fit_sources,
    judge,
    last_line,
    leftovers,
    start,
    well,
)  # fmt: skip

MOST_STARTS = 25
"""Of one command; the last is not killed."""

Outcome = Any
"""What a command leaves that must be the same whether it was killed or not."""


@dataclass(frozen=True)
class Job:
    """A command to kill.

    Attributes:
        name: of the command.
        share: of all kills.
        prepare: makes its folder from the inputs.
        arguments: of the command, given the inputs, and the URL of a database.
        outcome: reads what it left in a folder and a database, and counts what is wrong with that alone.
        databases: the kinds it is run on; "" where it needs none.
        workers: processes at once.
    """

    name: str
    share: float
    prepare: Callable[[Path, Path], None]
    arguments: Callable[[Path, str], list[str]]
    outcome: Callable[[Path, str, str, Tally], Outcome]
    databases: tuple[str, ...] = ("",)
    workers: int = 1


def kills(inputs: Path, tally: Tally, number: int, seed: int = 0, jobs: Sequence[Job] | None = None) -> None:
    """Kill `number` processes in all, over all jobs, or those given."""
    with _databases(tally) as new_database:
        kinds = [(job, kind) for job in jobs or JOBS for kind in job.databases if kind in new_database]
        total = sum(job.share for job, _ in kinds)
        for job, kind in kinds:
            _job(job, kind, new_database[kind], inputs, tally, max(1, round(number * job.share / total)), seed)


@contextmanager
def _databases(tally: Tally) -> Iterator[dict[str, Callable[[Path], str]]]:
    kinds: dict[str, Callable[[Path], str]] = {"": lambda folder: "", "sqlite": lambda folder: f"sqlite:///{folder}/history.db"}
    binaries = programs()
    if binaries is None:
        tally.skipped.append("kills on PostgreSQL: apt-get install postgresql, and pip install 'psycopg[binary]'")
        yield kinds
        return
    with server(binaries) as new:
        yield {**kinds, "postgresql": lambda folder: new()}


def _job(job: Job, kind: str, new: Callable[[Path], str], inputs: Path, tally: Tally, number: int, seed: int) -> None:
    what = " on ".join(filter(None, (job.name, kind)))
    rng = random.Random(f"{seed} {what}")
    expected, seconds = _unkilled(job, new, inputs, tally)
    print(f"{what}: {number} kills, {seconds:.1f} s unkilled", flush=True)
    killed = rounds = 0
    while killed < number:
        rounds += 1
        place = f"{what}, round {rounds}"
        with _folder(inputs, job) as folder:
            url = new(folder)
            now, ended = _killed_until_done(job, folder, url, inputs, rng, seconds, number - killed)
            killed += now
            tally.kills += now
            judge(ended, place, tally, (0,))
            if ended.code == 0:
                found = job.outcome(folder, url, place, tally)
                if found != expected:
                    tally.problem("differing", f"{place}: {_difference(found, expected)}")
            left = leftovers(folder)
            if left:
                tally.problem("left", f"{place}: {', '.join(left[:5])}", len(left))
        if now == 0 and rounds > 20 * number:
            tally.problem("hangs", f"{what}: cannot be hit")
            return


def _unkilled(job: Job, new: Callable[[Path], str], inputs: Path, tally: Tally) -> tuple[Outcome, float]:
    with _folder(inputs, job) as folder:
        url = new(folder)
        started = time.perf_counter()
        well(job.arguments(inputs, url), folder, folder.parent / "log", folder.parent / "cache")
        return job.outcome(folder, url, f"{job.name}, not killed", tally), time.perf_counter() - started


@contextmanager
def _folder(inputs: Path, job: Job) -> Iterator[Path]:
    """Always the same path, so that all that depends on paths is the same; made ready once and copied from then on."""
    outer, ready = inputs.parent / "round", inputs.parent / "ready" / job.name
    shutil.rmtree(outer, ignore_errors=True)
    folder = outer / "work"
    folder.mkdir(parents=True)
    if ready.is_dir():
        shutil.copytree(ready, folder, dirs_exist_ok=True)
    else:
        job.prepare(inputs, folder)
        shutil.copytree(folder, ready)
    try:
        yield folder
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def _killed_until_done(
    job: Job, folder: Path, url: str, inputs: Path, rng: random.Random, seconds: float, most: int
) -> tuple[int, Child]:
    """Start, kill, start again; how many were killed, and the last one, which ended by itself."""
    killed = 0
    ended: list[Child] = []
    for attempt in range(MOST_STARTS):
        spared = killed >= most or attempt == MOST_STARTS - 1
        children = [
            start(job.arguments(inputs, url), folder, folder.parent / f"log{number}", folder.parent / "cache")
            for number in range(job.workers)
        ]
        for child in children:
            patience = LONGEST if spared else rng.uniform(0, 1.1 * seconds / job.workers)
            if not child.wait(patience):
                child.kill()
                killed += not spared
        ended = [child for child in children if child.code is not None]
        if len(ended) == len(children):
            break
    worst = max(ended or children, key=lambda child: child.code is None or child.code)
    return killed, worst


def _difference(found: Outcome, expected: Outcome) -> str:
    if isinstance(found, dict) and isinstance(expected, dict):
        names = [name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)]
        first = sorted(map(str, names))[:3]
        return f"{len(names)} of {len(expected)} differ: " + "; ".join(
            f"{name}: {found.get(name)} instead of {expected.get(name)}"[:200] for name in names[:3] if str(name) in first
        )
    return f"{found!r} instead of {expected!r}"[:300]


def _with(*names: str) -> Callable[[Path, Path], None]:
    """Copy these inputs into a job's folder."""

    def prepare(inputs: Path, folder: Path) -> None:
        for name in names:
            place = inputs / name
            shutil.copytree(place, folder / name) if place.is_dir() else shutil.copy(place, folder / name)

    return prepare


def _planned(inputs: Path, folder: Path) -> None:
    """A pool of its own, and a plan on it."""
    _with("pool")(inputs, folder)
    log, cache = folder.parent / "log", folder.parent / "cache"
    well(features(inputs), folder, log, cache)
    well(["plan", "features.parquet", "--trials", "4"], folder, log)
    (folder / "features.parquet").unlink()


def _models(root: Path) -> dict[str, str]:
    """Hash of the weights of every model below a folder."""
    from transfercast.core.files import sha256_of

    return {str(path.parent.relative_to(root)): sha256_of(path) for path in sorted(root.rglob("model.safetensors"))}


def _pool(folder: Path, url: str, what: str, tally: Tally) -> Outcome:
    from transfercast.sources.pool import SourcePool

    pool = SourcePool.load(folder / "pool")
    scores = {f"score of {name}": tuple(source.scores.items()) for name, source in pool.items()}
    return {**_models(folder / "pool"), **scores}


def _table(folder: Path, url: str, what: str, tally: Tally) -> Outcome:
    from transfercast.core.table import FeatureTable

    frame = FeatureTable.load(folder / "features.parquet").frame
    values = {str(index): tuple(map(repr, row)) for index, row in zip(frame.index, frame.to_numpy().tolist(), strict=True)}
    return {**values, **_models(folder / "pool")}


def _searched(folder: Path, url: str, what: str, tally: Tally) -> Outcome:
    from transfercast.core.plan import Plan
    from transfercast.core.records import ALONE
    from transfercast.history.store import History

    plan, history = Plan.load(folder / "plan.json"), History(url)
    observations = history.observations()
    history.engine.dispose()
    counts = Counter((o.source, o.target, o.recipe, o.split) for o in observations)
    wanted = {(step.source, step.target, step.recipe, "validation") for step in plan.steps}
    tested = {o.target for o in observations if o.split == "test"}
    lost = [*map(str, wanted - set(counts)), *(set(plan.targets) - tested)]
    if lost:
        tally.problem("lost", f"{what}: {lost[:3]}", len(lost))
    again = len(observations) - len(counts) + _trials(url, what, tally)
    if again:
        tally.problem("repeated", what, again)
    scores = {f"{o.source} > {o.target} on {o.split}": round(o.score, 6) for o in observations}
    models = {str(Path(name).parent): 1 for name in _models(folder / "pool" / "searches")}
    return {**scores, **models, "alone": sum(o.source == ALONE for o in observations)}


def _trials(url: str, what: str, tally: Tally) -> int:
    """Count trials that still run; returns how many completed trials repeat another's step."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(url)
    studies = storage.get_all_studies()
    trials = [(study.study_name, trial) for study in studies for trial in storage.get_all_trials(study._study_id)]
    running = [trial.number for _, trial in trials if trial.state == optuna.trial.TrialState.RUNNING]
    if running:
        tally.problem("orphans", f"{what}: trials {running}", len(running))
    complete = Counter(
        (study, trial.user_attrs.get("position")) for study, trial in trials if trial.state == optuna.trial.TrialState.COMPLETE
    )
    storage.remove_session()
    storage.engine.dispose()
    return sum(complete.values()) - len(complete)


def _imported(folder: Path, url: str, what: str, tally: Tally) -> Outcome:
    from transfercast.history.store import History

    history = History(url)
    counts = Counter((o.source, o.target) for o in history.observations())
    history.engine.dispose()
    lines = (folder / "transfers.csv").read_text(encoding="utf-8").splitlines()[1:]
    lost = len(lines) - len(counts)
    if lost:
        tally.problem("lost", f"{what}: {lost} of {len(lines)} rows", abs(lost))
    again = sum(counts.values()) - len(counts)
    if again:
        tally.problem("repeated", f"{what}: {again} rows", again)
    return len(counts)


def _learned(folder: Path, url: str, what: str, tally: Tally) -> Outcome:
    """What the version in force has learned; versions that were made and not promoted may be there."""
    from transfercast.core.errors import TransfercastError
    from transfercast.predictor.predictor import Predictor

    try:
        predictor = Predictor.load(folder / "meta")
    except TransfercastError as error:
        tally.problem("lost", f"{what}: {last_line(str(error))}")
        return None
    residuals = {f"residuals of {name}": tuple(values.round(6)) for name, values in predictor.fitted.residuals.items()}
    return {"learned from": predictor.id.split("-")[-1], **residuals}


def _observed(inputs: Path, folder: Path) -> None:
    from tests.builders import past

    past().export_file(folder / "observed.csv")


BOTH = ("sqlite", "postgresql")

JOBS = (
    Job("search", 60, _planned, lambda inputs, url: ["search", "plan.json", "--storage", url], _searched, BOTH),
    Job("search by two", 30, _planned, lambda inputs, url: ["search", "plan.json", "--storage", url], _searched, BOTH,
        workers=2),
    Job("fit-sources", 40, lambda inputs, folder: None, lambda inputs, url: fit_sources(inputs), _pool),
    Job("features", 40, _with("pool"), lambda inputs, url: features(inputs), _table),
    Job(
        "import", 20, _with("transfers.csv"),
        lambda inputs, url: ["history", "import", "transfers.csv", "--history", url], _imported, BOTH,
    ),
    Job(
        "train-meta", 40, _observed,
        lambda inputs, url: ["train-meta", "--history", "observed.csv", "--out", "meta", "--minutes", "0"], _learned,
    ),
)  # fmt: skip
