"""History features: what observed transfers say of a pair whose target is new, or new with this encoder.

A source's standing on other targets is averaged, each other target weighted by how alike it is to this one. Alike are
targets for which the measures order the sources alike, that help the same targets when they are sources themselves, or
whose rows of the matrix were alike where both were observed (which is learned from the targets that were). Nothing that
was observed of the target itself under the hidden encoders enters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from transfercast.core.table import Column
from transfercast.predictor.past import Past
from transfercast.predictor.standing import KINDS

SMOOTHING = 1.0
"""Ridge penalty where a target's row is put together from rows of others, in units of a target's likeness to itself."""

NEAR_SCORE = 0.1
"""Difference of two targets' own scores, in points, at which one weighs 0.6 for the other."""

LEARNED_PENALTY = 30.0
LEARNED_SHARPNESS = (7.0, 17.0)
DIRECT_SHARPNESS = (1.0, 3.0)


@dataclass(frozen=True)
class Newcomer:
    """A target as the measures see it.

    Attributes:
        number: its index among the past's tasks, -1 if it is none of them.
        likeness: (v, u) cosine of its profile with each task's, by view.
        direct: (v, u) standing of each task as its source, and of itself as theirs, averaged, by view.
        reverse: (v, u) standing of itself as each task's source, by view.
        alone: (e,) its own score with each encoder; NaN where not known.
    """

    number: int
    likeness: np.ndarray
    direct: np.ndarray
    reverse: np.ndarray
    alone: np.ndarray


class Profiles:
    """The measures' views of a past, which do not change with what is hidden: made once."""

    def __init__(self, past: Past) -> None:
        self.past = past
        rows, columns = past.views, _rowwise(np.swapaxes(past.views, 1, 2))
        with np.errstate(invalid="ignore", divide="ignore"):
            self._mean, self._spread = _moments(rows)
            columns_mean, columns_spread = _moments(columns)
        self._as_source = _filled((columns - columns_mean) / columns_spread)
        self._whole = np.concatenate([_filled((rows - self._mean) / self._spread), self._as_source], axis=2)
        self._unit = _unit(self._whole)
        self._reverse = columns
        self.likeness = self._unit @ np.swapaxes(self._unit, 1, 2)
        self.direct = _filled(_mean_of(rows, columns))

    def known(self, number: int) -> Newcomer:
        """One of the past's own targets."""
        parts = self.likeness[:, number], self.direct[:, number], _filled(self._reverse[:, number])
        return Newcomer(number, *parts, self.past.alone[:, number])

    def newcomer(self, number: int, views: np.ndarray, alone: np.ndarray) -> Newcomer:
        """A target by its (v, u) views and (e,) own scores; `number` is its index among the tasks, or -1."""
        v, u = views.shape
        as_source = self._as_source[:, number] if number >= 0 else np.zeros((v, u))
        reverse = self._reverse[:, number] if number >= 0 else np.full((v, u), np.nan)
        whole = np.concatenate([_filled((views - self._mean[:, 0]) / self._spread[:, 0]), as_source], axis=1)
        likeness = np.einsum("vuw,vw->vu", self._unit, _unit(whole))
        return Newcomer(number, likeness, _filled(_mean_of(views, reverse)), _filled(reverse), alone)


class Witnesses:
    """What the rows that may be seen say of any target; for k kinds of standing at once.

    Args:
        past: scores of hidden targets already removed.
        profiles: of the same tasks.
        without: index of a task that must not be its own witness; -1 for none.
    """

    def __init__(self, past: Past, profiles: Profiles, without: int = -1) -> None:
        there = np.array(past.observed.any(axis=0))
        if without >= 0:
            there[without] = False
        self.rows = np.nonzero(there)[0]
        self.profiles = profiles
        self.standings = past.standings
        self.seen = self.standings[:, :, self.rows]  # (k, e, j, u)
        self.mean = _mean_over(self.seen, axis=2)  # (k, e, u)
        self.rest = _filled(self.seen - self.mean[:, :, None])
        as_sources = _unit(np.swapaxes(self.rest, 2, 3))
        self.profile = (as_sources @ np.swapaxes(as_sources, 2, 3)).sum(axis=1) / max(len(past.encoders), 1)  # (k, u, u)

    def features(self, target: Newcomer) -> tuple[np.ndarray, np.ndarray]:
        """History features of every task as a source of this target.

        Returns:
            (e, u, p) features of an encoder, and (u, q) features over all encoders; NaN where nothing was observed.
            Their columns are `own_columns` and `shared_columns`.
        """
        k, e, u = self.mean.shape
        told, known = self._told(target), self._known(target)  # (k, p, e, u)
        own = np.moveaxis(np.concatenate([told, known], axis=1), (2, 3), (0, 1)).reshape(e, u, -1)
        profile = self.profile[:, target.number] if target.number >= 0 else np.full((k, u), np.nan)
        shared = np.concatenate([_mean_over(told, axis=2), profile[:, None]], axis=1)  # (k, q, u)
        return own, np.concatenate([np.moveaxis(shared, 2, 0).reshape(u, -1), target.reverse.T], axis=1)

    @cached_property
    def kernels(self) -> np.ndarray:
        """(k, v + 3, u, u) likeness of tasks: by each view, by what they did as sources, by all views, by all."""
        return self._kernels(self.profiles.likeness, self.profile)

    @cached_property
    def solved(self) -> np.ndarray:
        """(k, v + 3, j, e * u) rests of the rows, each kernel's ridge already undone."""
        among = self.kernels[:, :, self.rows[:, None], self.rows]
        return np.linalg.solve(among + SMOOTHING * np.eye(len(self.rows)), self._flat[:, None])

    @cached_property
    def encoders_alike(self) -> np.ndarray:
        """(k, e, e) cosine of the encoders' rests where both were observed, at least 0; 0 with itself."""
        k, e = self.seen.shape[:2]
        known = np.isfinite(self.seen).reshape(k, e, -1).astype(np.float64)
        flat = self.rest.reshape(k, e, -1)
        lengths = np.sqrt((flat**2) @ np.swapaxes(known, 1, 2))  # of each, where the other was observed, too
        scale = lengths * np.swapaxes(lengths, 1, 2)
        alike = flat @ np.swapaxes(flat, 1, 2) / np.where(scale > 1e-9, scale, np.inf)
        return np.asarray(np.maximum(alike, 0.0) * (1 - np.eye(e)))

    @cached_property
    def learned(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(k, 1, s) mean and scale, and (k, s, 1) weights, by which signs of likeness tell how alike two rows are."""
        rows = _unit(self._flat)
        apart = ~np.eye(len(self.rows), dtype=bool)
        alike = (rows @ np.swapaxes(rows, 1, 2))[:, apart]  # (k, pairs)
        signs = np.stack([self._signs(self.profiles.known(row)) for row in self.rows.tolist()], axis=1)[:, apart]
        mean, scale = signs.mean(axis=1, keepdims=True), signs.std(axis=1, keepdims=True) + 1e-9
        scaled = (signs - mean) / scale
        across = np.swapaxes(scaled, 1, 2)
        gram = across @ scaled + LEARNED_PENALTY * np.eye(scaled.shape[2])
        return mean, scale, np.linalg.solve(gram, across @ (alike - alike.mean(axis=1, keepdims=True))[..., None])

    @cached_property
    def _flat(self) -> np.ndarray:
        """(k, j, e * u) rests, a row each target."""
        k, e, j, u = self.rest.shape
        return np.swapaxes(self.rest, 1, 2).reshape(k, j, e * u)

    @cached_property
    def _known_and_filled(self) -> tuple[np.ndarray, np.ndarray]:
        return np.isfinite(self.seen).astype(np.float64), _filled(self.seen)

    def _kernels(self, views: np.ndarray, profile: np.ndarray) -> np.ndarray:
        """(k, v + 3, ..., u) from (v, ..., u) likeness by view and (k, ..., u) by what tasks did as sources."""
        views = np.broadcast_to(views, (len(profile), *views.shape))
        every = np.concatenate([views, profile[:, None]], axis=1)
        together = views.mean(axis=1, keepdims=True) if views.shape[1] else profile[:, None]
        return np.concatenate([every, together, every.mean(axis=1, keepdims=True)], axis=1)

    def _signs(self, target: Newcomer) -> np.ndarray:
        """(k, j, s) signs that a target is like each of the rows, none of them an outcome of the target."""
        rows, (k, e, _) = self.rows, self.mean.shape
        shared = np.concatenate([target.direct[:, rows], target.likeness[:, rows]]).T
        helped, profile = np.zeros((k, len(rows), e)), np.zeros((k, len(rows)))
        if target.number >= 0:
            helped = np.swapaxes(_filled(self.standings[:, :, rows, target.number]), 1, 2)
            profile = self.profile[:, target.number, rows]
        shared = np.broadcast_to(shared, (k, *shared.shape))
        return np.concatenate([shared, profile[..., None], helped, helped.mean(axis=2, keepdims=True)], axis=2)

    def _told(self, target: Newcomer) -> np.ndarray:
        """(k, p, e, u) in the order of `_names`."""
        k, e, u = self.mean.shape
        rows, mean = self.rows, self.mean[:, None]
        profile = self.profile[:, target.number] if target.number >= 0 else np.zeros((k, u))
        kernels = self._kernels(target.likeness, profile)[:, :, None, rows]
        put_together = mean + (kernels @ self.solved).reshape(k, kernels.shape[1], e, u)
        helped = self.standings[:, :, :, target.number] if target.number >= 0 else np.full((k, e, u), np.nan)
        signs, likely = self._signs(target), np.zeros((k, len(rows)))
        if len(rows) > 2:
            centre, scale, weights = self.learned
            likely = ((signs - centre) / scale @ weights)[..., 0]
            likely -= likely.mean(axis=1, keepdims=True)
        apart = (self.profiles.past.alone[:, rows] - target.alone[:, None]) / NEAR_SCORE
        near = np.repeat(target.direct[:, rows], len(DIRECT_SHARPNESS), axis=0)
        near *= np.tile(DIRECT_SHARPNESS, len(target.direct))[:, None]
        exponents = np.empty((k, e, len(LEARNED_SHARPNESS) + 2 + len(near), len(rows)))
        exponents[:, :, : len(LEARNED_SHARPNESS)] = (np.array(LEARNED_SHARPNESS)[:, None] * likely[:, None])[:, None]
        exponents[:, :, len(LEARNED_SHARPNESS)] = helped[:, :, rows]
        exponents[:, :, len(LEARNED_SHARPNESS) + 1] = -(apart**2) / 2
        exponents[:, :, len(LEARNED_SHARPNESS) + 2 :] = near
        exponents = _filled(exponents)
        weights = np.exp(exponents - exponents.max(axis=-1, keepdims=True, initial=0.0))  # the same means, without overflow
        averages = np.swapaxes(self._weighted(weights), 1, 2)
        return np.concatenate([mean, put_together, helped[:, None], averages], axis=1)

    def _weighted(self, weights: np.ndarray) -> np.ndarray:
        """(k, e, m, u) means over the rows with (k, e, m, j) weights."""
        known, seen = self._known_and_filled
        total = weights @ known
        return np.where(total > 0, weights @ seen / np.where(total > 0, total, 1.0), np.nan)

    def _known(self, target: Newcomer) -> np.ndarray:
        """(k, 4, e, u) the target's own standings with other encoders.

        As they are, and beyond what the sources do on average; then beyond it weighted by how alike the encoders are, by
        itself and on top of the sources' mean with the encoder.
        """
        k, e, u = self.mean.shape
        if target.number < 0 or not np.isfinite(self.standings[:, :, target.number]).any():
            return np.full((k, len(_KNOWN), e, u), np.nan)
        own = self.standings[:, :, target.number]
        beyond = own - self.mean
        others = [np.arange(e) != number for number in range(e)]
        plain = np.stack([[_mean_over(part[:, other], axis=1) for other in others] for part in (own, beyond)])  # (2, e, k, u)
        weights = self.encoders_alike * np.isfinite(beyond).any(axis=2)[:, None]
        as_it_is, above = np.swapaxes(plain, 1, 2)
        weighted = np.where(np.isfinite(above), weights @ _filled(beyond), np.nan)
        return np.stack([as_it_is, above, weighted, self.mean + weighted], axis=1)


_KNOWN = (
    "same target, other encoders",
    "same target, other encoders, beyond the mean",
    "same target, like encoders, beyond the mean",
    "same target, like encoders, on top of the mean",
)


def own_columns(groups: tuple[str, ...]) -> list[str]:
    """Names of the (e, u, p) features."""
    return [f"{kind}: {name}" for kind in KINDS for name in (*_names(groups), *_KNOWN)]


def shared_columns(groups: tuple[str, ...]) -> list[str]:
    """Names of the (u, q) features."""
    over = [f"{kind}: {name}, all encoders" for kind in KINDS for name in (*_names(groups), "profile as a source")]
    return over + [f"as its source, by {group}" for group in groups]


def history_schema(groups: tuple[str, ...]) -> tuple[Column, ...]:
    """The history's columns."""
    names = own_columns(groups) + shared_columns(groups)
    return tuple(Column(name=name, measure="history", version=1, better="higher", group="history") for name in names)


def _names(groups: tuple[str, ...]) -> list[str]:
    return [
        "mean on other targets",
        *(f"rows alike by {group}" for group in groups),
        "rows alike as sources",
        "rows alike by all measures",
        "rows alike by all",
        "target as its source",
        *(f"learned likeness, sharpness {sharpness:g}" for sharpness in LEARNED_SHARPNESS),
        "on targets that the target helps",
        "on targets of about its own score",
        *(f"on near targets by {group}, sharpness {sharpness:g}" for group in groups for sharpness in DIRECT_SHARPNESS),
    ]


def _filled(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, 0.0)


def _mean_over(values: np.ndarray, axis: int) -> np.ndarray:
    known = np.isfinite(values)
    counts = known.sum(axis=axis)
    return np.where(counts > 0, _filled(values).sum(axis=axis) / np.maximum(counts, 1), np.nan)


def _mean_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return _mean_over(np.stack([first, second]), axis=0)


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = _mean_over(values, axis=1)[:, None]
    spread = np.sqrt(_mean_over((values - mean) ** 2, axis=1))[:, None]
    return _filled(mean), np.where(spread > 1e-9, spread, 1.0)


def _rowwise(values: np.ndarray) -> np.ndarray:
    mean = _mean_over(values, axis=2)[..., None]
    spread = np.sqrt(_mean_over((values - mean) ** 2, axis=2))[..., None]
    return np.asarray((values - mean) / np.where(spread > 1e-9, spread, 1.0))


def _unit(values: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.where(length > 1e-9, length, 1.0))
