"""The report of an evaluation: tables, JSON, figures, and one page with all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transfercast.core.errors import InputError
from transfercast.core.files import write_json, write_text
from transfercast.core.table import FeatureTable
from transfercast.core.version import VERSION
from transfercast.history.store import History
from transfercast.predictor.design import observed_in
from transfercast.predictor.evaluate import SHARES, Evaluation, judged
from transfercast.predictor.holdout import ORACLE, PREDICTOR, held_out
from transfercast.predictor.learning import Options
from transfercast.report.figures import hours_figure, inline, rmse_figure, save
from transfercast.report.html import evaluation_page

FIGURES_SHOW = 8
"""Orders in a figure, the best first; the tables have all."""


@dataclass(frozen=True)
class Report:
    """Evaluations by what was held out.

    Attributes:
        name: of the history.
        evaluations: by `target`, and by `encoder` where there are several.
        prior: the same targets, without any history.
        left_out: what could not be evaluated, and why.
    """

    name: str
    evaluations: dict[str, Evaluation]
    prior: Evaluation
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, history: History, name: str, options: Options, tables: Sequence[FeatureTable] = (), jobs: int = 1) -> Report:
        """Evaluate a history.

        Args:
            history, name: of observations.
            options: how to learn; `seconds` are for all folds together.
            tables: of pairs that were measured, trained or not.
            jobs: folds at once.

        Raises:
            InputError: if nothing can be held out of it.
        """
        observed = observed_in(history.frame(), history.schema(), tables)
        folds = len(set(observed.design.targets)) + len(set(observed.design.encoder))
        options = replace(options, seconds=options.seconds / folds)
        found = {"target": judged(held_out(observed, options, "target", jobs, what="targets held out"))}
        left_out = []
        try:
            found["encoder"] = judged(held_out(observed, options, "encoder", jobs, what="encoders held out"))
        except InputError as error:
            left_out.append(f"Not held out by encoder: {error}")
        prior = judged(held_out(observed, Options(learners=()), "target", what="prior"))
        return cls(name, found, prior, tuple(left_out))

    def told(self, by: str) -> list[str]:
        """What the table of orders does not say."""
        found = self.evaluations[by]
        low, high = found.predictor.ndcg.low, found.predictor.ndcg.high
        at = ", ".join(f"{k}: {value:.4f}" for k, value in found.rmse_at.items())
        lines = [
            f"RMSE {found.rmse:.4f}; over the k pairs forecast best, {at}.",
            f"NDCG of the predictor {found.predictor.ndcg.mean:.3f}, 95 % of bootstraps in [{low:.3f}, {high:.3f}].",
        ]
        for kind, interval in found.coverage.items():
            lines.append(f"90 % bounds, {kind}: cover {interval.mean:.1%} of held-out scores, {found.width[kind]:.3f} wide.")
        if found.beats == found.beats:
            lines.append(f"Brier score of the probability to beat the target alone: {found.beats:.3f} (0.25 is a coin's).")
        chosen = ", ".join(f"{name} in {count}" for name, count in found.chosen.items())
        return [*lines, f"Learners chosen inside the folds: {chosen}."]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        by = {name: found.as_json() for name, found in self.evaluations.items()}
        return {"history": self.name, "transfercast": VERSION, "held_out": by, "prior": self.prior.as_json(),
                "left_out": list(self.left_out)}  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write report.html, evaluation.json, and the figures as SVG and PNG."""
        sections = []
        for by, found in self.evaluations.items():
            curves = {f"each {by} held out": found.rmse_at, "prior": self.prior.rmse_at}
            figures = {"rmse": rmse_figure(curves), "hours": hours_figure(SHARES, _shown(found), found.hours)}
            for name, figure in figures.items():
                for ending in ("svg", "png"):
                    save(figure, folder / f"{by}-{name}.{ending}")
            rows = [order.row() for order in found.orders]
            inlined = [inline(figure) for figure in figures.values()]
            sections.append({"title": f"Each {by} held out", "texts": self.told(by), "rows": rows, "figures": inlined})
        found = self.evaluations["target"]
        lead = f"{found.rows} observed transfers to {found.targets} targets in {self.name}. transfercast {VERSION}."
        write_json(folder / "evaluation.json", self.as_json())
        write_text(folder / "report.html", evaluation_page(lead, sections))


def _shown(found: Evaluation) -> dict[str, Any]:
    first = [order for order in found.orders if order.name in (PREDICTOR, ORACLE)]
    rest = sorted((order for order in found.orders if order not in first), key=lambda order: -order.curve.mean())
    kept = [order for order in rest if order.name == "random order" or order in rest[: FIGURES_SHOW - 3]]
    return {order.name: order.curve for order in (*first, *kept)}
