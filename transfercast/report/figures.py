"""Figures as SVG or PNG: error of the best forecasts, performance against hours, and contributions to forecasts."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transfercast.core.errors import InputError
from transfercast.core.files import written_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = (".svg", ".png", ".pdf")
STYLES = ("-", "--", "-.", ":")
WIDTH, HEIGHT = 7.0, 4.4


def rmse_figure(curves: Mapping[str, Mapping[int, float]]) -> Figure:
    """RMSE over the k pairs with the highest forecasts, against k.

    Args:
        curves: RMSE by k, by name.
    """
    figure, axes = _canvas("pairs ranked best (k)", "RMSE@k, in the metric's units")
    for number, (name, values) in enumerate(curves.items()):
        axes.plot(list(values), list(values.values()), STYLES[number % 4], marker="o", label=name)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure


def hours_figure(shares: np.ndarray, curves: Mapping[str, np.ndarray], hours: float) -> Figure:
    """Mean best score so far against the time used, for each order.

    Args:
        shares: (m,) shares of the hours of all trainings.
        curves: (m,) scores by name.
        hours: hours of all trainings; 0 if they were not recorded.
    """
    unit = f"training hours, of {hours:.3g}" if hours > 0 else "share of all trainings"
    figure, axes = _canvas(unit, "best score so far, mean over targets")
    for number, (name, values) in enumerate(curves.items()):
        axes.plot(shares * (hours or 1.0), values, STYLES[number // 10 % 4], label=name, linewidth=2.2 if number == 0 else 1.3)
    axes.legend(frameon=False, fontsize="small", loc="lower right")
    return figure


def first_figure(curves: Mapping[str, np.ndarray], hours: float) -> Figure:
    """Mean best score of the first k trainings of every target, against their hours.

    Args:
        curves: (2, K) share of all hours, and score, for k = 1 to K, by name.
        hours: hours of all trainings; 0 if they were not recorded.
    """
    unit = f"hours of the first k trainings of every target, of {hours:.3g}" if hours > 0 else "share of all trainings"
    figure, axes = _canvas(unit, "best of the first k, mean over targets")
    for number, (name, (shares, values)) in enumerate(curves.items()):
        axes.plot(shares * (hours or 1.0), values, STYLES[number // 10 % 4], label=name, linewidth=2.2 if number == 0 else 1.3)
    axes.legend(frameon=False, fontsize="small", loc="lower right")
    return figure


def reasons_figure(names: Sequence[str], groups: Sequence[str], why: np.ndarray) -> Figure:
    """Stacked contributions by group of evidence, one bar for each candidate.

    Args:
        names: n candidates.
        groups: g groups.
        why: (n, g) contributions in the metric's units.
    """
    figure, axes = _canvas("contribution, in score units", "", height=1.2 + 0.32 * len(names))
    places = np.arange(len(names))[::-1]
    right, left = np.zeros(len(names)), np.zeros(len(names))
    for group, values in zip(groups, why.T, strict=True):
        starts = np.where(values >= 0, right, left)
        axes.barh(places, values, left=starts, height=0.7, label=group)
        right, left = right + np.maximum(values, 0), left + np.minimum(values, 0)
    axes.set_yticks(places, names)
    axes.axvline(0, color="#444", linewidth=0.8)
    axes.legend(frameon=False, fontsize="small", bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return figure


def best_figure(best: np.ndarray, stop: int | None) -> Figure:
    """The expected best score of a plan, against trainings.

    Args:
        best: (k,) after each training; NaN if it is not known yet.
        stop: the number of the training after which to stop; None for none.
    """
    figure, axes = _canvas("trainings", "expected best score, mean over targets", height=3.4)
    axes.plot(np.arange(1, len(best) + 1), best, marker="o", markersize=3.5)
    if stop is not None:
        axes.axvline(stop, color="#e08a2b", linestyle="--", label="advised stop")
        axes.legend(frameon=False, loc="lower right")
    return figure


def forecasts_figure(forecasts: Mapping[str, np.ndarray]) -> Figure:
    """Outcomes against forecasts; on the line they are equal.

    Args:
        forecasts: (2, n) forecast and outcome of a target's n trainings, by target.
    """
    figure, axes = _canvas("score that was forecast", "score on validation")
    for target, (expected, outcome) in forecasts.items():
        axes.plot(expected, outcome, "o", label=target, alpha=0.8)
    ends = [float(end) for values in forecasts.values() for end in (values.min(), values.max())]
    axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color="#444", linewidth=0.8)
    axes.legend(frameon=False, fontsize="small")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the file's ending.

    Raises:
        InputError: for another ending than .svg, .png, .pdf; if it cannot be written there.
    """
    check_ending(path)
    with written_beside(path) as beside:
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(beside, format=path.suffix[1:], bbox_inches="tight", metadata=metadata)


def check_ending(path: Path) -> None:
    """Refuse a file name whose ending is not a format of figures.

    Raises:
        InputError: for another ending than .svg, .png, .pdf.
    """
    if path.suffix not in ENDINGS:
        raise InputError(f"{path}: figures are written as {', '.join(ENDINGS)}.")


def inline(figure: Figure) -> str:
    """A figure as SVG text for a page."""
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _canvas(across: str, up: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    # not pyplot: no window, no state between calls, safe in threads
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_subplot()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
