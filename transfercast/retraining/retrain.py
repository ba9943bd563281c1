"""Offline retraining: a challenger is learned from the whole history, evaluated on held-out targets, and promoted or not.

Challenger and champion are evaluated on the same folds: both are learned anew without the fold, the champion from the columns
that it was made with. The challenger is first written as a complete version, and the pointer to the version in force is
replaced last, so the champion stays in force after any failure.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from transfercast.core.cache import fingerprint
from transfercast.core.errors import InputError
from transfercast.core.files import reason, write_json
from transfercast.core.table import FeatureTable
from transfercast.core.version import VERSION
from transfercast.evaluation.evaluate import Evaluation, evaluate
from transfercast.evaluation.holdout import check_jobs, held_out
from transfercast.history.store import History, opened
from transfercast.predictor import versions
from transfercast.predictor.data import Transfers, transfers_of
from transfercast.predictor.feature_sets import FEATURE_SETS, columns_of, uses_history
from transfercast.predictor.folds import folds_by
from transfercast.predictor.metrics import REGRET_AT
from transfercast.predictor.predictor import PRIOR, Predictor
from transfercast.retraining.compatibility import outdated, refuse_incompatible

MARGIN = 0.5
KEEP = 5
MOST_FOLDS = 5


@dataclass(frozen=True, slots=True)
class RetrainingReport:
    """The result of a retraining.

    Attributes:
        version: id of the challenger.
        folder: folder of its version.
        observations, targets: numbers of transfers and targets that it was learned from.
        choice: features, base models and slopes.
        feature_sets: evaluations of the challenger's features, F1 alone and F1+ANSAT; empty with one target.
        challenger, champion: evaluations on the same held-out targets; the first champion is the prior.
        champion_id: id of the champion, 'prior' for the first.
        margin: by how much the challenger's mean regret might be worse, in percent of the best score.
        promoted: whether the challenger is now in force.
        reason: why it was promoted, or not.
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
        """One row for each feature set, and one for the champion."""
        labelled = {**self.feature_sets, f"champion ({self.champion_id})": self.champion}
        return [_row(name, found) for name, found in labelled.items() if found is not None]

    def save_json(self, path: str | Path) -> None:
        """Write the report as JSON."""
        write_json(Path(path), {**self.as_json(), "rows": self.rows()})


def train_meta(
    history: History | str | Path,
    out: str | Path,
    minutes: float = 1.0,
    *,
    tables: Sequence[FeatureTable] = (),
    features: str = "all",
    margin: float = MARGIN,
    keep: int = KEEP,
    jobs: int = 1,
) -> RetrainingReport:
    """Learn a predictor from all observed transfers and promote it unless it is worse than the one in force.

    Args:
        history: a History, a database URL, an SQLite file, or a CSV or Parquet file.
        out: folder of the predictor's versions.
        minutes: no comparison with a smaller feature set starts after this number of minutes; 0 compares none.
        tables: feature tables of measured pairs, trained or not, which show how similar targets are.
        features: a feature set, or names of groups, measures or columns, separated by commas.
        margin: a challenger is promoted if its mean regret@1/3/5 is at most this much worse than that of the champion, or of
            the prior, in percent of the best score.
        keep: number of promoted versions that are kept for a roll-back.
        jobs: number of folds that are learned at the same time.

    Raises:
        InputError: if the history does not exist, has no transfer, or shares no column with the champion; if another
            retraining is running; if an argument is out of its range.
        ArtifactError: if the champion is damaged; roll back first.

    Example:
        `history` holds transfers to six targets.

        >>> import transfercast as tc
        >>> report = tc.train_meta(history, "meta", minutes=0)
        >>> report.observations, report.targets, report.champion_id, report.promoted
        (24, 6, 'prior', True)
        >>> tc.Predictor.load("meta").id == report.version
        True
    """
    _check(minutes, margin, keep, jobs)
    past = opened(history)
    transfers = transfers_of(past.frames(), past.schema(), tables)
    folder = Path(out)
    columns_of(transfers.candidates.schema, features)  # before anything is written
    refuse_incompatible(transfers, _champion(folder))
    with _alone(folder):
        champion = _champion(folder)
        refuse_incompatible(transfers, champion)  # another retraining may have ended in between
        return _retrained(transfers, folder, champion, features, minutes, margin, keep, jobs)


def _check(minutes: float, margin: float, keep: int, jobs: int) -> None:
    for name, value, least in (("minutes", minutes, 0.0), ("margin", margin, 0.0), ("keep", keep, 1)):
        if not (math.isfinite(value) and value >= least):
            raise InputError(f"{name} is {value}; give a number of at least {least:g}.")
    check_jobs(jobs)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Allow only one retraining in a folder at the same time; the lock of a process that ended is void.

    The lock's file is kept: after its deletion, a third retraining could lock a new file while a second one holds the old.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".retraining.lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise InputError(f"{folder}: another retraining is running there. Wait for it, or use another folder.") from error
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({reason(error)}). Name another folder.") from error
    try:
        yield
    finally:
        lock.release()


def _champion(folder: Path) -> Predictor | None:
    return Predictor.load(folder) if versions.promoted_ids(folder) else None


def _retrained(
    transfers: Transfers,
    folder: Path,
    champion: Predictor | None,
    features: str,
    minutes: float,
    margin: float,
    keep: int,
    jobs: int,
) -> RetrainingReport:
    champion_id = PRIOR if champion is None else champion.id
    evaluations, against = _evaluations(transfers, champion, features, minutes, jobs)
    challenger = evaluations.get(features)
    promoted, reason = _decide(challenger, against, champion_id, margin)
    old = [] if champion is None else outdated(transfers, champion)
    if old and not promoted:
        promoted = True
        reason += f"; promoted because {champion_id} cannot read the current versions of {', '.join(old)}"
    learned = Predictor.of(transfers, features)
    about, data = learned.fitted.about(), _data_fingerprint(transfers)
    name = versions.new_id(folder, fingerprint(data=data, choice=about))
    report = RetrainingReport(
        version=name,
        folder=folder / "versions" / name,
        observations=len(transfers),
        targets=len(np.unique(transfers.candidates.targets)),
        choice=about,
        feature_sets=evaluations,
        challenger=challenger,
        champion=against,
        champion_id=champion_id,
        margin=margin,
        promoted=promoted,
        reason=reason,
    )
    manifest = {
        "versions": {"transfercast": VERSION, "xgboost": version("xgboost"), "numpy": np.__version__},
        "data": data,
        "observed": learned.fitted.calibration.levels.observed,
        "encoders": sorted(set(transfers.candidates.encoder)),
    }
    Predictor(name, learned.fitted).save(report.folder, manifest, report.as_json(), _card(report))
    if promoted:
        Predictor.promote(folder, name)
        versions.prune(folder, keep)
    return report


def _evaluations(
    transfers: Transfers, champion: Predictor | None, features: str, minutes: float, jobs: int
) -> tuple[dict[str, Evaluation], Evaluation | None]:
    """Evaluations of the challenger, and of smaller feature sets while there is time, by name; and of the champion."""
    targets = transfers.candidates.targets
    if len(np.unique(targets)) < 2 or np.bincount(transfers.candidates.query_ids).max() < 2:
        return {}, None
    folds, end = folds_by(targets, MOST_FOLDS).astype(str), time.monotonic() + 60 * minutes
    evaluations = {features: evaluate(held_out(transfers, features, "target", jobs, folds, features))}
    against = _evaluate_champion(transfers, champion, folds, jobs)
    for name in FEATURE_SETS:
        if name not in evaluations and _has_columns(transfers, name) and time.monotonic() < end:
            evaluations[name] = evaluate(held_out(transfers, name, "target", jobs, folds, name))
    return evaluations, against


def _has_columns(transfers: Transfers, features: str) -> bool:
    groups = FEATURE_SETS[features] or ()
    return any(column.group in groups for column in transfers.candidates.schema)


def _evaluate_champion(transfers: Transfers, champion: Predictor | None, folds: np.ndarray, jobs: int) -> Evaluation:
    """The champion, learned anew without each fold from the columns that it was made with."""
    if champion is None:
        return evaluate(held_out(transfers, None, "target", jobs, folds, "prior"))
    its_own = {column.name for column in champion.fitted.schema}
    names = [column.name for column in transfers.candidates.schema if column.name in its_own]
    features = ",".join([*names, *(["history"] if uses_history(champion.fitted.features) else [])])
    return evaluate(held_out(transfers, features, "target", jobs, folds, f"champion {champion.id}"))


def _decide(challenger: Evaluation | None, champion: Evaluation | None, champion_id: str, margin: float) -> tuple[bool, str]:
    if challenger is None or champion is None:
        cannot = "one target, or one candidate for each: no order can be evaluated"
        if champion_id == PRIOR:
            return True, f"{cannot}; only levels were learned, so the order is the prior's"
        return False, f"{cannot}, so {champion_id} stays in force"
    ours, theirs = (float(np.mean([e.predictor.regret[k].mean for k in REGRET_AT])) for e in (challenger, champion))
    compared = (
        f"mean regret {ours:.2f} % of the best score against {theirs:.2f} % of {champion_id}, over {challenger.targets} targets"
    )
    if not ours <= theirs + margin:
        return False, f"{compared}: worse by more than {margin:g}"
    first = "the first predictor, " if champion_id == PRIOR else ""
    return True, f"{first}{compared}: not worse by more than {margin:g}"


def _data_fingerprint(transfers: Transfers) -> str:
    candidates = transfers.candidates
    names = (candidates.sources, candidates.targets, candidates.recipes, candidates.encoder)
    rows = [list(map(str, row)) for row in zip(*names, strict=True)]
    return fingerprint(rows=rows, scores=transfers.score, features=candidates.values)


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
    models = " and ".join(report.choice["models"]) or "the prior"
    lines = [
        f"# transfercast predictor {report.version}",
        "",
        f"Learned from {report.observations} observed transfers to {report.targets} targets, from {report.choice['features']} "
        f"features, by {models}. All figures are for held-out targets; regret is in percent of the best score, "
        "coverage is that of 90 % intervals.",
        "",
    ]
    for number, row in enumerate(report.rows()):
        if number == 0:
            lines += ["| " + " | ".join(row) + " |", "|" + "---|" * len(row)]
        lines.append("| " + " | ".join(value if isinstance(value, str) else f"{value:.3f}" for value in row.values()) + " |")
    return "\n".join([*lines, "", f"Promoted: {'yes' if report.promoted else 'no'}, {report.reason}.", ""])
