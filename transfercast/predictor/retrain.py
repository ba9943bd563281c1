"""Offline retraining: a challenger is learned from the whole history, judged on held-out targets, and promoted or not.

Challenger and champion are judged on the same folds: each is learned anew without the fold, the champion with the columns,
learner and settings that it was made with. Nothing in the folder changes before the challenger lies there whole, and the
pointer to the version in force is replaced last, so that whatever fails leaves the champion in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from transfercast.core.cache import fingerprint
from transfercast.core.choices import Goal, Learner
from transfercast.core.errors import InputError
from transfercast.core.files import reason, write_json, write_text
from transfercast.core.table import FeatureTable
from transfercast.core.version import VERSION
from transfercast.history.store import History, opened
from transfercast.predictor import versions
from transfercast.predictor.design import FEATURE_SETS, Observed, columns_of, observed_in, uses_history
from transfercast.predictor.drift import outdated, refuse_drift
from transfercast.predictor.evaluate import Evaluation, judged
from transfercast.predictor.folds import folds_by
from transfercast.predictor.holdout import check_jobs, held_out
from transfercast.predictor.learner import LEARNERS
from transfercast.predictor.learning import Options, learn
from transfercast.predictor.model import PRIOR, Predictor, predictor_of
from transfercast.predictor.ranking import REGRET_AT

MARGIN = 0.5
KEEP = 5
MOST_FOLDS = 10


@dataclass(frozen=True, slots=True)
class RetrainingReport:
    """What came of a retraining.

    Attributes:
        version: id of the challenger.
        folder: where it lies.
        observations, targets: how much it was learned from.
        choice: goal, features, learner and settings, and what each learner cost on held-out targets.
        feature_sets: held-out quality for F1 alone, F1+ANSAT, and the challenger's features; empty with one target.
        challenger, champion: on the same held-out targets; the first champion is the prior.
        champion_id: 'prior' for the first.
        margin: how much worse the challenger might have been, in percent of the best score, as regret is.
        promoted: whether the challenger is now in force; `reason` says why (not).
    """

    version: str
    folder: Path
    observations: int
    targets: int
    choice: dict[str, Any]
    feature_sets: dict[str, Evaluation]
    challenger: Evaluation | None
    champion: Evaluation | None
    champion_id: str
    margin: float
    promoted: bool
    reason: str

    @property
    def coverage(self) -> float:
        """Share of held-out scores inside the challenger's 90 % bounds; NaN with one target."""
        return float("nan") if self.challenger is None else self.challenger.coverage["grouped"].mean

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "version": self.version,
            "folder": str(self.folder),
            "observations": self.observations,
            "targets": self.targets,
            "choice": self.choice,
            "feature_sets": {name: found.as_json() for name, found in self.feature_sets.items()},
            "champion": {"id": self.champion_id, **({} if self.champion is None else self.champion.as_json())},
            "margin": self.margin,
            "promoted": self.promoted,
            "reason": self.reason,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a feature set, and one for the champion."""
        labelled = {**self.feature_sets, f"champion ({self.champion_id})": self.champion}
        return [_row(name, found) for name, found in labelled.items() if found is not None]

    def save_json(self, path: str | Path) -> None:
        """Write the report as JSON."""
        write_json(Path(path), {**self.as_json(), "rows": self.rows()})

    def save_html(self, path: str | Path) -> None:
        """Write the report as one self-contained page."""
        from transfercast.report.html import retraining_page

        write_text(Path(path), retraining_page(self.as_json(), self.rows()))


def train_meta(
    history: History | str | Path,
    out: str | Path,
    minutes: float = 1.0,
    *,
    tables: Sequence[FeatureTable] = (),
    features: str = "all",
    goal: Goal = "standing",
    learners: tuple[Learner, ...] = LEARNERS,
    margin: float = MARGIN,
    keep: int = KEEP,
    jobs: int = 1,
) -> RetrainingReport:
    """Learn a predictor from all observed transfers and promote it unless it is worse than the one in force.

    Args:
        history: a History, a database URL, an SQLite file, or a CSV or Parquet file.
        out: folder of the predictor's versions.
        minutes: time limit for tuning; each held-out fold is tuned by itself, without its rows. 0 tunes nothing.
        tables: of pairs that were measured, trained or not: they tell how alike targets are.
        features: a feature set, or names of groups, measures or columns with commas between.
        goal: what is learned: `standing` within the target, `gain` over its own score, or `score`.
        learners: to choose from on held-out targets.
        margin: by how many percent of the best score the mean regret@1/3/5 of a challenger may be worse than that of the
            champion, or of the prior, and be promoted.
        keep: how many promoted versions stay to be rolled back to.
        jobs: folds at once.

    Raises:
        InputError: if the history is not there, holds no transfer, or has drifted; if another retraining is at work; if an
            argument is out of its range.
        ArtifactError: if the champion is damaged: roll back first.
    """
    _check(minutes, margin, keep, jobs)
    past = opened(history)
    observed = observed_in(past.frames(), past.schema(), tables)
    folder = Path(out)
    columns_of(observed.design.schema, features)  # before anything is written
    refuse_drift(observed, _champion(folder))
    with _alone(folder):
        champion = _champion(folder)
        refuse_drift(observed, champion)  # another retraining may have ended in between
        return _retrained(
            observed, folder, champion, Options(goal, features, learners, seconds=minutes * 60), margin, keep, jobs
        )


def _check(minutes: float, margin: float, keep: int, jobs: int) -> None:
    for name, value, least in (("minutes", minutes, 0.0), ("margin", margin, 0.0), ("keep", keep, 1)):
        if not (math.isfinite(value) and value >= least):
            raise InputError(f"{name} is {value}; give a number of at least {least:g}.")
    check_jobs(jobs)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one retraining a folder at a time; a dead one's lock does not hold.

    The lock's file stays: whoever deleted it would let a third retraining lock a new file beside a second one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".retraining.lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise InputError(f"{folder}: another retraining is at work there. Wait for it, or use another folder.") from error
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({reason(error)}). Name another folder.") from error
    try:
        yield
    finally:
        lock.release()


def _champion(folder: Path) -> Predictor | None:
    return Predictor.load(folder) if versions.promoted_ids(folder) else None


def _retrained(
    observed: Observed, folder: Path, champion: Predictor | None, options: Options, margin: float, keep: int, jobs: int
) -> RetrainingReport:
    targets = np.unique(observed.design.targets)
    sets = dict.fromkeys([*(name for name in FEATURE_SETS if FEATURE_SETS[name] is not None), options.features])
    folds = folds_by(observed.design.targets, MOST_FOLDS).astype(str)
    parts = len(sets) * len(np.unique(folds)) + 1
    inside = replace(options, seconds=options.seconds / parts)
    judgements: dict[str, Evaluation] = {}
    against: Evaluation | None = None
    if len(targets) > 1 and np.bincount(observed.design.groups).max() > 1:
        for name in sets:
            if name == options.features or _has_columns(observed, name):
                judgements[name] = judged(held_out(observed, replace(inside, features=name), "target", jobs, folds, name))
        against = _judged_champion(observed, champion, folds, jobs)
    learned = learn(observed, inside)
    challenger = judgements.get(options.features)
    champion_id = PRIOR if champion is None else champion.id
    promoted, reason = _decide(challenger, against, champion_id, margin)
    old = [] if champion is None else outdated(observed, champion)
    if old and not promoted:
        promoted = True
        reason += f"; in force all the same, for {champion_id} cannot read today's versions of {', '.join(old)}"
    data = _data_fingerprint(observed)
    name = versions.new_id(folder, fingerprint(data=data, choice=learned.about()))
    report = RetrainingReport(
        name, folder / "versions" / name, len(observed), len(targets), learned.about(), judgements, challenger, against,
        champion_id, margin, promoted, reason,
    )  # fmt: skip
    manifest = {
        "versions": {"transfercast": VERSION, "xgboost": version("xgboost"), "numpy": np.__version__},
        "data": data,
        "observed": learned.fitted.scaling.levels.observed,
        "encoders": sorted(set(observed.design.encoder)),
    }
    predictor_of(name, learned).save(report.folder, manifest, report.as_json(), _card(report))
    if promoted:
        Predictor.promote(folder, name)
        versions.prune(folder, keep)
    return report


def _has_columns(observed: Observed, features: str) -> bool:
    groups = FEATURE_SETS[features] or ()
    return any(column.group in groups for column in observed.design.schema)


def _judged_champion(observed: Observed, champion: Predictor | None, folds: np.ndarray, jobs: int) -> Evaluation:
    if champion is None:
        return judged(held_out(observed, Options(learners=()), "target", jobs, folds, "prior"))
    choice = champion.fitted.choice
    its_own = {column.name for column in champion.fitted.schema}
    names = [column.name for column in observed.design.schema if column.name in its_own]
    features = ",".join([*names, *(["history"] if uses_history(choice.features) else [])])
    options = Options(choice.goal, features, (choice.learner,), settings=choice.settings)
    return judged(held_out(observed, options, "target", jobs, folds, f"champion {champion.id}"))


def _decide(challenger: Evaluation | None, champion: Evaluation | None, champion_id: str, margin: float) -> tuple[bool, str]:
    if challenger is None or champion is None:
        cannot = "one target, or one candidate each: no order could be judged held out"
        if champion_id == PRIOR:
            return True, f"{cannot}, and nothing was learned but levels, so it orders as the prior does"
        return False, f"{cannot}, so {champion_id} stays"
    ours, theirs = (float(np.mean([e.predictor.regret[k].mean for k in REGRET_AT])) for e in (challenger, champion))
    compared = (
        f"mean regret {ours:.2f} % of the best score against {theirs:.2f} % of {champion_id}, over {challenger.targets} targets"
    )
    if not ours <= theirs + margin:
        return False, f"{compared}: worse by more than {margin:g}"
    first = "the first predictor, " if champion_id == PRIOR else ""
    return True, f"{first}{compared}: not worse by more than {margin:g}"


def _data_fingerprint(observed: Observed) -> str:
    design = observed.design
    names = (design.sources, design.targets, design.recipes, design.encoder)
    rows = [list(map(str, row)) for row in zip(*names, strict=True)]
    return fingerprint(rows=rows, scores=observed.score, features=design.values)


def _row(name: str, found: Evaluation) -> dict[str, Any]:
    own = found.predictor
    return {
        "features": name,
        "RMSE": found.rmse,
        "NDCG": own.ndcg.mean,
        **{f"regret@{k}": own.regret[k].mean for k in REGRET_AT},
        "coverage": found.coverage["grouped"].mean,
        "time share": own.time_share.mean,
    }


def _card(report: RetrainingReport) -> str:
    chosen = report.choice
    lines = [
        f"# transfercast predictor {report.version}",
        "",
        f"Learned from {report.observations} observed transfers to {report.targets} targets: {chosen['learner']}, to say the "
        f"{chosen['goal']}, from {chosen['features']} features. Each figure is for targets held out whole; regret in points, "
        "coverage of 90 % bounds.",
        "",
    ]
    for number, row in enumerate(report.rows()):
        if number == 0:
            lines += ["| " + " | ".join(row) + " |", "|" + "---|" * len(row)]
        lines.append("| " + " | ".join(value if isinstance(value, str) else f"{value:.3f}" for value in row.values()) + " |")
    return "\n".join([*lines, "", f"Promoted: {'yes' if report.promoted else 'no'}, {report.reason}.", ""])
