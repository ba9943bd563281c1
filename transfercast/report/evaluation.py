"""The report of an evaluation: tables, JSON, figures, and one page with all of it. Nothing is evaluated here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfercast.core.files import write_json, write_text
from transfercast.core.text import redacted
from transfercast.core.version import VERSION
from transfercast.evaluation.evaluate import FEWEST_FOR_AN_INTERVAL, RANDOM, SHARES, Evaluation, Order
from transfercast.evaluation.history import HistoryEvaluation
from transfercast.evaluation.holdout import ORACLE, PREDICTOR, STATIC
from transfercast.report.figures import first_figure, hours_figure, inline, rmse_figure, save
from transfercast.report.html import Section, page

FIGURES_SHOW = 8
"""Largest number of orders in a figure, the best first."""

MOST_ROWS = 12
"""Largest number of orders in a table; evaluation.json has all."""

INTERVALS = "Intervals are 95 %, by bootstraps over targets (BCa); over fewer than ten targets there is none."

ALWAYS = (PREDICTOR, STATIC, RANDOM, ORACLE)
KINDS_OF_BOUNDS: dict[str, str] = {"grouped": "pooled over rows (grouped)", "hierarchical": "hierarchical"}


@dataclass(frozen=True)
class Report:
    """The report of an evaluation.

    Attributes:
        name: name of the history; a password in it is not kept.
        found: the evaluation.
    """

    name: str
    found: HistoryEvaluation

    def rows(self, by: str, most: int = MOST_ROWS) -> list[dict[str, Any]]:
        """The table of orders, the best NDCG first: the predictor, static and random order, the oracle, and the best others."""
        found = self.found.by[by]
        best_first = sorted(found.orders, key=lambda order: -order.ndcg.mean)
        others = [order for order in best_first if order.name not in ALWAYS][: max(most - len(ALWAYS), 0)]
        return [order.row() for order in best_first if order.name in ALWAYS or order in others]

    def verdict(self, by: str) -> str:
        """One sentence: whether the predictor's order is worth following here."""
        found = self.found.by[by]
        ours, chance, static = (found.order(name).ndcg.mean for name in (PREDICTOR, RANDOM, STATIC))
        told = f"NDCG {ours:.3f}, random {chance:.3f}, static {static:.3f}, over {found.targets} targets"
        few = "" if found.targets >= FEWEST_FOR_AN_INTERVAL else "; with so few targets, chance decides much of this"
        if ours <= chance:
            return f"Worse than random here ({told}{few}): do not follow this order."
        if ours <= static:
            return f"Better than random, but not than always taking the sources that helped elsewhere ({told}{few})."
        return f"Better than random and than always taking the sources that helped elsewhere ({told}{few})."

    def told(self, by: str) -> list[str]:
        """Sentences beside the table of orders, beginning with the verdict."""
        found = self.found.by[by]
        lines = [self.verdict(by)]
        left_out = len(found.orders) - len(self.rows(by))
        if left_out or found.columns:
            lines.append(
                f"{left_out} other orders and {len(found.columns)} single columns of measures are in evaluation.json, which "
                "--out writes."
            )
        at = ", ".join(f"{k}: {value:.3f}" for k, value in found.rmse_at.items())
        of_best = f"; over the k pairs forecast best, {at}" if at else ""
        lines.append(f"RMSE of the expected scores {found.rmse:.3f}{of_best}.")
        ndcg = found.predictor.ndcg
        interval = f"95 % interval [{ndcg.low:.3f}, {ndcg.high:.3f}]" if ndcg.is_known else "too few for an interval"
        lines.append(f"NDCG of the predictor {ndcg.mean:.3f} over {found.targets} targets, {interval}.")
        share, score = found.predictor.first[:, 0]
        lines.append(
            f"The first training of every target takes {share:.0%} of the hours of trying all, and gives a mean score of "
            f"{score:.3f} ({found.order(RANDOM).first[1, 0]:.3f} at random, {found.order(ORACLE).first[1, 0]:.3f} at best)."
        )
        for kind, interval_ in found.coverage.items():
            lines.append(
                f"90 % bounds, {KINDS_OF_BOUNDS[kind]}: cover {interval_.mean:.0%} of {found.rows} held-out scores of "
                f"{found.targets} targets, {found.width[kind]:.3f} wide."
            )
        if found.brier == found.brier:
            lines.append(f"Brier score of the probability of improvement: {found.brier:.3f} (0.25 is a coin's).")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        by = {name: found.as_json() for name, found in self.found.by.items()}
        return {"history": redacted(self.name), "transfercast": VERSION, "held_out": by, "prior": self.found.prior.as_json(),
                "left_out": list(self.found.left_out)}  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write report.html, evaluation.json, and the figures as SVG and PNG."""
        sections = []
        for by, found in self.found.by.items():
            curves = {f"each {by} held out": found.rmse_at, "prior": self.found.prior.rmse_at}
            shown = _shown(found)
            figures = {
                "rmse": rmse_figure(curves),
                "hours": hours_figure(SHARES, {order.name: order.curve for order in shown}, found.hours),
                "first": first_figure({order.name: order.first for order in shown}, found.hours),
            }
            for name, figure in figures.items():
                for ending in ("svg", "png"):
                    save(figure, folder / f"{by}-{name}.{ending}")
            rows = self.rows(by)
            inlined = [inline(figures[name]) for name in ("hours", "first", "rmse")]
            verdict, *notes = self.told(by)
            sections.append(Section(f"Each {by} held out", verdict, inlined, rows, [*notes, INTERVALS]))
        found = self.found.by["target"]
        lead = (
            f"How good forecasts are for {found.targets} targets, on {found.rows} observed transfers in {redacted(self.name)}."
        )
        write_json(folder / "evaluation.json", self.as_json())
        write_text(folder / "report.html", page("How good the forecasts are", lead, sections))


def _shown(found: Evaluation) -> list[Order]:
    first = [order for order in found.orders if order.name in (PREDICTOR, ORACLE)]
    rest = sorted((order for order in found.orders if order not in first), key=lambda order: -order.curve.mean())
    return [*first, *(order for order in rest if order.name in (RANDOM, STATIC) or order in rest[: FIGURES_SHOW - 4])]
