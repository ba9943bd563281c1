"""The report of a retraining for the page, without paths of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from transfercast.core.errors import ArtifactError
from transfercast.core.files import parse_json, reason
from transfercast.core.text import redacted
from transfercast.core.validation import checked
from transfercast.evaluation.evaluate import RANDOM
from transfercast.evaluation.holdout import ORACLE, PREDICTOR, STATIC
from transfercast.service.messages import ModelReport, Quality

SHOWN = (PREDICTOR, STATIC, RANDOM, ORACLE)
"""Orders whose curves are shown."""


class _Stored(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Order(_Stored):
    order: str
    ndcg: list[float | None]
    time_share: list[float | None]
    curve: list[float]


class _Held(_Stored):
    rmse: float
    coverage: dict[str, list[float | None]]
    orders: list[dict[str, Any]]


class _Report(_Stored):
    observations: int
    targets: int
    choice: dict[str, Any]
    feature_sets: dict[str, _Held]
    champion: dict[str, Any] | None = None
    reason: str


def report_of(folder: Path, version: str) -> ModelReport:
    """The observations that a version was learned from, and its evaluation.

    Raises:
        ArtifactError: if it has no report, or a damaged one.
    """
    place = folder / "versions" / version / "report.json"
    try:
        content = parse_json(place.read_bytes(), f"report of {version}")
    except OSError as error:
        raise ArtifactError(f"version {version} has no report ({reason(error)}).") from error
    report = checked(_Report, f"report of {version}", content, ArtifactError)
    held = dict(report.feature_sets)
    if report.champion is not None:
        champion = {name: value for name, value in report.champion.items() if name != "id"}
        held[f"champion ({report.champion.get('id', 'prior')})"] = checked(
            _Held, f"report of {version}", champion, ArtifactError
        )
    first = next(iter(held.values()), None)
    curves = {} if first is None else {one.order: one.curve for one in map(_order, first.orders) if one.order in SHOWN}
    return ModelReport(
        id=version, observations=report.observations, targets=report.targets,
        features=str(report.choice.get("features", "")), reason=redacted(report.reason),
        rows=[_quality(name, one) for name, one in held.items()], curves=curves,
    )  # fmt: skip


def _order(content: dict[str, Any]) -> _Order:
    return checked(_Order, "an order in a report", content, ArtifactError)


def _quality(name: str, held: _Held) -> Quality:
    own = next((order for order in held.orders if order.get("order") == PREDICTOR), {})
    order = _order(own)
    regret = {key.removeprefix("regret@"): own[key][0] for key in own if key.startswith("regret@")}
    coverage = held.coverage["grouped"][0]
    return Quality(
        name=name, rmse=held.rmse, coverage=_number(coverage), ndcg=_number(order.ndcg[0]), regret=regret,
        time_share=_number(order.time_share[0]),
    )  # fmt: skip


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
