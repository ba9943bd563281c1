"""docs/evidence.md and its plots, from the figures of `benchmarks.evidence`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

PAGE = """# Evidence: what the atlas says

Made by `python -m benchmarks.evidence --write` from the committed atlas ([how it was measured](atlas.md)): {pairs} pairs of
source and target, {pairs_repeated} of them trained with further seeds. {targets} targets have at least five sources that
were tried, and are judged; a target with another number of training rows counts as one of its own. Scores are those on test
rows.

**How much is noise.** The standard deviation between seeds of one training is {seed_deviation}, that between the sources of a
target {source_deviation}; the second contains the first. Within a target, the scores of the same pairs with two seeds have a
correlation of {reliability}: most of what tells the sources of a target apart here is chance, which no
evidence can forecast. Learned weights minus equal votes: {over_votes} points of NDCG; minus the best measure
in hindsight: {over_best}; minus a random order: {over_random}. In brackets is the 95 % interval over targets; where it
contains 0, no difference was shown.

## 1. What a newcomer meets: tasks of a kind that nobody has seen

Each family (emotions, questions, tweets, reviews, assistants, entities) is held out whole, sources and targets. Means over
targets, 95 % bootstrap intervals over targets. R@k is how far the best of the k first falls short of the best, in percent
of it. A measure "alone" is the best one of all *in hindsight*, on these very targets, which nobody can know beforehand. An
order by the true means, judged on one seed of that noise, would have an NDCG of {ndcg_ceiling}.

{ranking}

Fidelity, the correlation of forecast and true differences within a target: {fidelity}. Intervals for nine of ten held for
{coverage90:.1%} (those of a family by the errors of the other families), {half_width} of the headroom to either side.

![forecast against score](evidence-forecast.svg)

## 2. Does more evidence forecast the score better?

Root mean square error of the forecast score over the k candidates ranked best, families held out (the first question of the
ANSAT paper).

{errors}

## 3. Performance against training hours

Hours until within 1 % of the best: {hours_share_1pct:.1%} of trying all, mean over targets (the ANSAT paper's second
question).

![best score against hours](evidence-hours.svg)

## 4. Which measures deserve trust

Mean Spearman correlation of a measure with the scores within a target, by family and by training rows of the target (how
many targets).

{trusted}

## 5. When transfer hurts

Gain is the score minus that of the target trained alone from the encoder.

{hurts}

## 6. Recipes

Pairs that were trained with every recipe, one seed each: the encoder frozen (`features`), fine-tuned whole, from the source's
head or from a fresh one (`full`, `full/head=fresh`), and gradually (`ulmfit`). Near are sources of the target's family.
Brackets hold 95 % intervals over pairs.

{recipes}
"""


def page_of(result: dict[str, object], tables: dict[str, pd.DataFrame]) -> str:
    """The page, from the figures of the last line and the tables of its sections."""
    told = {name: table_of(table) if len(table) else "Nothing was measured of this yet." for name, table in tables.items()}
    return PAGE.format(**told, **result)


def table_of(frame: pd.DataFrame) -> str:
    """A Markdown table; numbers with three places, '-' where there is none."""

    def cell(value: object) -> str:
        return value if isinstance(value, str) else "-" if value != value else f"{value:.3f}".rstrip("0").rstrip(".")

    lines = ["| |" + "|".join(f" {name} " for name in frame.columns) + "|", "|---|" + "---|" * len(frame.columns)]
    lines += [
        f"| {name} | " + " | ".join(cell(value) for value in row) + " |"
        for name, row in zip(frame.index, frame.to_numpy(), strict=True)
    ]
    return "\n".join(lines)


def plots(hours: dict[str, np.ndarray], said: np.ndarray, score: np.ndarray, folder: Path) -> None:
    """`evidence-hours.svg` and `evidence-forecast.svg`.

    Args:
        hours: best score found by share of the hours, by name of the order.
        said, score: (n,) forecasts and what came.
        folder: to write to.
    """
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in hours.items():
        axes.plot(np.linspace(0, 100, len(curve)), 100 * curve, label=name)
    axes.set(xlabel="hours spent, % of trying all", ylabel="best score found, % of the best", ylim=(None, 100.2))
    axes.legend(frameon=False)
    figure.savefig(folder / "evidence-hours.svg", metadata={"Date": None})
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.8")
    axes.scatter(said, score, s=8, alpha=0.5)
    axes.set(xlabel="forecast, family held out", ylabel="score on test rows", xlim=(0, 1), ylim=(0, 1))
    figure.savefig(folder / "evidence-forecast.svg", metadata={"Date": None})
