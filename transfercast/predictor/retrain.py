"""Offline retraining: a challenger is fitted on the whole history, judged on held-out targets, and promoted or not."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from transfercast.core.cache import fingerprint
from transfercast.core.errors import InputError
from transfercast.core.files import write_text
from transfercast.core.progress import progress
from transfercast.core.version import VERSION
from transfercast.history.store import History
from transfercast.predictor import artifact
from transfercast.predictor.design import FEATURE_SETS, Design, design_of_history
from transfercast.predictor.evaluate import REGRET_AT, Metrics, evaluate
from transfercast.predictor.model import PRIOR, Predictor
from transfercast.predictor.regressor import NOTHING_OBSERVED, Fitted, Settings, fit
from transfercast.predictor.tune import tuned

MARGIN = 0.5
"""A challenger may be worse than the champion by so many points of regret@1 and still be promoted: it knows more."""


@dataclass(frozen=True, slots=True)
class RetrainingReport:
    """What came of a retraining.

    Attributes:
        version: id of the challenger.
        folder: where it lies.
        observations, targets: how much it was fitted on.
        feature_sets: held-out quality for F1 alone, F1+ANSAT and all features; `challenger` is that of all.
        challenger, champion: on the same held-out targets; the first champion is the prior.
        promoted: whether the challenger is now in force; `reason` says why (not).
    """

    version: str
    folder: Path
    observations: int
    targets: int
    feature_sets: dict[str, Metrics]
    challenger: Metrics
    champion: Metrics
    champion_id: str
    promoted: bool
    reason: str

    @property
    def coverage(self) -> float:
        """Share of held-out scores inside the challenger's 90 % bounds."""
        return self.challenger.coverage

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "version": self.version,
            "folder": str(self.folder),
            "observations": self.observations,
            "targets": self.targets,
            "feature_sets": {name: metrics.as_json() for name, metrics in self.feature_sets.items()},
            "champion": {"id": self.champion_id, **self.champion.as_json()},
            "promoted": self.promoted,
            "reason": self.reason,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a feature set, and one for the champion."""
        labelled = {**self.feature_sets, f"champion ({self.champion_id})": self.champion}
        return [{"features": name, **metrics.as_json()} for name, metrics in labelled.items()]

    def save_html(self, path: str | Path) -> None:
        """Write the report as one self-contained page."""
        from transfercast.report.html import retraining_page

        write_text(Path(path), retraining_page(self.as_json(), self.rows()))


def train_meta(history: History | str | Path, out: str | Path, minutes: float = 1.0) -> RetrainingReport:
    """Fit a predictor on all observed transfers and promote it unless it is worse than the one in force.

    Args:
        history: a History, a database URL, an SQLite file, or a CSV file.
        out: folder of the predictor's versions.
        minutes: time limit for choosing settings; each held-out target has its own choice, made without it.

    Raises:
        InputError: if the history holds no transfer, or is not there.
    """
    past = opened(history)
    design, scores = design_of_history(past.frame(), past.schema())
    folder = Path(out)
    names = list(dict.fromkeys(design.targets))
    parts = len(FEATURE_SETS) * len(names) + 1
    seconds = minutes * 60 / parts

    def fitting(part: Design, values: np.ndarray) -> Fitted:
        return fit(part, values, tuned(part, values, seconds))

    judged = {name: evaluate(design.only(name), scores, fitting) for name in progress(FEATURE_SETS, "feature sets")}
    settings = tuned(design, scores, seconds)
    fitted = fit(design, scores, settings)
    challenger, residuals = judged["all"]
    champion_id, champion = _champion(folder, design, scores)
    version_id = _version_id(folder, design, scores, settings)
    promoted, reason = _decide(challenger, champion, champion_id)
    report = RetrainingReport(
        version_id, folder / "versions" / version_id, len(scores), len(names), {n: m for n, (m, _) in judged.items()},
        challenger, champion, champion_id, promoted, reason,
    )  # fmt: skip
    manifest = {
        "versions": {"transfercast": VERSION, "xgboost": version("xgboost")},
        "data": _data_fingerprint(design, scores),
        "settings": settings,
    }
    Predictor(version_id, fitted, residuals).save(report.folder, manifest, report.as_json(), _card(report))
    if promoted:
        artifact.promote(folder, version_id)
    return report


def opened(history: History | str | Path) -> History:
    """A history from whatever names one; a CSV file is read into memory.

    Raises:
        InputError: if a file that is named is not there.
    """
    if isinstance(history, History):
        return history
    place = str(history)
    if place.endswith(".csv"):
        found = History("sqlite://")
        found.import_csv(place)
        return found
    file = place.removeprefix("sqlite:///") if place.startswith("sqlite:///") else place
    if "://" not in file and not Path(file).is_file():
        raise InputError(f"{file}: no such history. A search writes one, or name a CSV file of observations.")
    return History(place)


def _champion(folder: Path, design: Design, scores: np.ndarray) -> tuple[str, Metrics]:
    if not artifact.promoted_ids(folder):
        return PRIOR, evaluate(design, scores, lambda part, values: NOTHING_OBSERVED)[0]
    manifest, parts = artifact.read(artifact.current(folder))
    there = {column["name"] for column in parts["schema.json"]["columns"]}
    schema = tuple(column for column in design.schema if column.name in there)
    kept = Design(design.frame[[column.name for column in schema]], schema, design.baseline, design.metric)
    settings: Settings = manifest["settings"]
    return manifest["id"], evaluate(kept, scores, lambda part, values: fit(part, values, settings))[0]


def _decide(challenger: Metrics, champion: Metrics, champion_id: str) -> tuple[bool, str]:
    if challenger.targets == 0:
        return True, "one target observed: nothing could be held out to judge by, so the newer one is in force"
    ours, theirs = challenger.regret[1], champion.regret[1]
    told = f"regret@1 {ours:.2f} against {theirs:.2f} of {champion_id}"
    if champion_id == PRIOR:
        return True, f"the first predictor ({told})"
    if not ours <= theirs + MARGIN:
        return False, f"{told}: worse by more than {MARGIN}"
    return True, f"{told}: not worse by more than {MARGIN}"


def _data_fingerprint(design: Design, scores: np.ndarray) -> str:
    rows = [list(map(str, index)) for index in design.frame.index]
    return fingerprint(rows=rows, scores=scores, features=design.frame.to_numpy(dtype=np.float64))


def _version_id(folder: Path, design: Design, scores: np.ndarray, settings: Settings) -> str:
    number = len(list((folder / "versions").glob("[0-9]*"))) + 1
    return f"{number:04d}-{fingerprint(data=_data_fingerprint(design, scores), settings=settings)[:8]}"


def _card(report: RetrainingReport) -> str:
    head = ["features", "RMSE", "NDCG", *(f"regret@{k}" for k in REGRET_AT), "coverage"]
    lines = [
        f"# transfercast predictor {report.version}",
        "",
        f"Fitted on {report.observations} observed transfers to {report.targets} targets. Each figure is for targets held "
        "out whole; regret in points, coverage of 90 % bounds.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
    ]
    for row in report.rows():
        values = [row["rmse"], row["ndcg"], *(row[f"regret@{k}"] for k in REGRET_AT), row["coverage"]]
        lines.append("| " + " | ".join([row["features"], *(f"{value:.3f}" for value in values)]) + " |")
    return "\n".join([*lines, "", f"Promoted: {'yes' if report.promoted else 'no'}, {report.reason}.", ""])
