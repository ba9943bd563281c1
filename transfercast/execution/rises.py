r"""How much the best score of a training still rises: learned from recorded curves, by the share of finished epochs.

Let `b` be the best score so far and `y` the final score of the training. The rise, as a share of the distance to 1,

.. math:: r = (y - b) / (1 - b),

has at each share of the epochs a mean, a standard deviation between targets, and one between the trainings of a target. The
finished trainings of a target adjust its mean: with `n` of them, whose rises average :math:`\bar r`, by
:math:`w (\bar r - m)`, :math:`w = s_b^2 / (s_b^2 + s_w^2 / n)`. Rise and forecast are two normal estimates of `y`, combined
with their precisions as weights. Domhan, Springenberg and Hutter (2015) stop by the probability of an extrapolated curve;
there only the curve is extrapolated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import ndtr

from transfercast.core.errors import ArtifactError
from transfercast.core.files import read_json, write_json
from transfercast.core.validation import checked

FORMAT = 1
SHIPPED = Path(__file__).with_name("rises.json")

SHARES = tuple(number / 10 for number in range(11))
FEWEST_CURVES, FEWEST_TARGETS = 20, 3
"""Smallest numbers of curves and of targets that are learned from."""

LEAST_ROOM = 0.02
LEAST_SPREAD = 0.005
"""Smallest standard deviation of a final score, in score units: that of scores with different seeds."""


class Curve(NamedTuple):
    """A finished training: its target, its score after each epoch, and its final score."""

    target: str
    scores: tuple[float, ...]
    end: float

    def rise(self, share: float) -> float:
        """The rise from the best score after a share of the epochs (at least one) to the end, over the distance to 1."""
        best = max(self.scores[: max(1, round(share * len(self.scores)))])
        return (self.end - best) / _room(best)


class Forecast(NamedTuple):
    """The forecast of a training's score, and the standard deviation of the forecast's error."""

    score: float
    spread: float


Eleven = Annotated[tuple[float, ...], Field(min_length=11, max_length=11)]


class Rises(BaseModel):
    """Mean rise, and its standard deviations between targets and between the trainings of one target, at each of SHARES.

    Attributes:
        mean, between, within: (11,) as shares of the distance to 1.
        curves: number of curves that they were learned from; 0 for the cautious prior.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: Eleven
    between: Eleven
    within: Eleven
    curves: int = 0

    def at(self, share: float) -> tuple[float, float, float]:
        """The three numbers at a share of the epochs in [0, 1], interpolated."""
        mean, between, within = (np.interp(share, SHARES, values) for values in (self.mean, self.between, self.within))
        return float(mean), float(between), float(within)

    def chance(
        self,
        so_far: Sequence[float],
        epochs: int,
        in_hand: float,
        forecast: Forecast | None = None,
        earlier: Sequence[Curve] = (),
    ) -> float:
        """Probability that a training ends above the best score so far.

        Args:
            so_far: its score after each epoch, at least one.
            epochs: number of epochs of the full training.
            in_hand: best score of its target so far.
            forecast: forecast of its score.
            earlier: finished trainings of the same target.
        """
        share, best = min(len(so_far) / epochs, 1.0), max(so_far)
        mean, between, within = self.at(share)
        if earlier:
            weight = between**2 / max(between**2 + within**2 / len(earlier), 1e-12)
            mean += weight * (float(np.mean([curve.rise(share) for curve in earlier])) - mean)
            between *= (1 - weight) ** 0.5
        end, spread = best + mean * _room(best), max(np.hypot(between, within) * _room(best), LEAST_SPREAD)
        if forecast is not None:
            own, other = spread**-2, max(forecast.spread, LEAST_SPREAD) ** -2
            end, spread = (own * end + other * forecast.score) / (own + other), (own + other) ** -0.5
        return float(ndtr((end - in_hand) / spread))

    def save(self, path: Path = SHIPPED) -> None:
        """Write as JSON."""
        write_json(path, {"format": FORMAT, **self.model_dump()})


CAREFUL = Rises(
    mean=tuple(0.5 * (1 - share) for share in SHARES),
    between=tuple(0.3 * (1 - share) for share in SHARES),
    within=tuple(0.3 * (1 - share) for share in SHARES),
)
"""Values without any curve: a training is expected to rise much, with a wide spread."""


def learn(curves: Sequence[Curve]) -> Rises:
    """Rises of recorded curves; the cautious prior if there are too few curves or targets.

    Moments of a one-way random-effects model: the variance within targets is pooled; that between targets is the variance of
    the means beyond it.
    """
    of_target: dict[str, list[Curve]] = defaultdict(list)
    for curve in curves:
        if len(curve.scores) > 1:
            of_target[curve.target].append(curve)
    number = sum(map(len, of_target.values()))
    if number < FEWEST_CURVES or len(of_target) < FEWEST_TARGETS:
        return CAREFUL
    moments = [_moments([[one.rise(share) for one in own] for own in of_target.values()]) for share in SHARES]
    mean, between, within = (tuple(round(values[part], 5) for values in moments) for part in range(3))
    return Rises(mean=mean, between=between, within=within, curves=number)


def _moments(groups: list[list[float]]) -> tuple[float, float, float]:
    """Mean of the groups' means, and the standard deviations between and within groups."""
    means = np.array([np.mean(group) for group in groups])
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(float(np.sum((np.array(group) - np.mean(group)) ** 2)) for group in groups)
    within = squares / max(freedom, 1)
    noise = within * float(np.mean([1 / len(group) for group in groups]))
    return float(means.mean()), max(float(means.var(ddof=1)) - noise, 0.0) ** 0.5, within**0.5


@cache
def shipped() -> Rises:
    """The rises that come with transfercast, written by `python -m benchmarks.search --part learn --atlas FOLDER`.

    Raises:
        ArtifactError: if the file is damaged.
    """
    content: dict[str, Any] = read_json(SHIPPED, "the rises that come with transfercast", FORMAT)
    del content["format"]
    return checked(Rises, f"{SHIPPED}: damaged", content, raises=ArtifactError, remedy="Install transfercast anew.")


def _room(best: float) -> float:
    return max(1 - best, LEAST_ROOM)
