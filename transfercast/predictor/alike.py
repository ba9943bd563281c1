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
    """What the rows that may be seen say of any target.

    Args:
        past: scores of hidden targets already removed.
        profiles: of the same tasks.
        without: index of a task that must not be its own witness; -1 for none.
    """

    def __init__(self, past: Past, profiles: Profiles, without: int = -1) -> None:
        self.past, self.profiles = past, profiles
        there = np.array(past.observed.any(axis=0))
        if without >= 0:
            there[without] = False
        self.rows = np.nonzero(there)[0]
        self._kinds = [_Kind(standing, self.rows, profiles) for standing in past.standings]

    def features(self, target: Newcomer) -> tuple[np.ndarray, np.ndarray]:
        """History features of every task as a source of this target.

        Returns:
            (e, u, p) features of an encoder, and (u, q) features over all encoders; NaN where nothing was observed.
            Their columns are `own_columns` and `shared_columns`.
        """
        own, shared = [], []
        for kind in self._kinds:
            of_encoder = kind.features(target)
            own.append(of_encoder)
            with np.errstate(invalid="ignore"):
                shared.append(_mean_over(of_encoder[..., : -len(_KNOWN)], axis=0))
            shared.append(
                kind.profile[target.number][:, None] if target.number >= 0 else np.full((of_encoder.shape[1], 1), np.nan)
            )
        shared.append(target.reverse.T)
        return np.concatenate(own, axis=2), np.concatenate(shared, axis=1)


class _Kind:
    """One kind of standing, and what is worked out of it for all targets."""

    def __init__(self, standing: np.ndarray, rows: np.ndarray, profiles: Profiles) -> None:
        self.standing, self.rows, self.profiles = standing, rows, profiles
        self.seen = standing[:, rows]  # (e, j, u)
        self.mean = _mean_over(self.seen, axis=1)  # (e, u)
        self.rest = _filled(self.seen - self.mean[:, None])
        as_sources = _unit(np.swapaxes(self.rest, 1, 2))
        self.profile = np.mean(as_sources @ np.swapaxes(as_sources, 1, 2), axis=0) if len(standing) else np.zeros((0, 0))

    @cached_property
    def kernels(self) -> np.ndarray:
        """(v + 3, u, u) likeness of tasks: by each view, by what they did as sources, by all views, by all."""
        views = self.profiles.likeness
        every = np.concatenate([views, self.profile[None]])
        return np.stack([*views, self.profile, views.mean(axis=0) if len(views) else self.profile, every.mean(axis=0)])

    @cached_property
    def _flat(self) -> np.ndarray:
        """(j, e * u) rests, a row each target."""
        e, j, u = self.rest.shape
        return np.swapaxes(self.rest, 0, 1).reshape(j, e * u)

    @cached_property
    def solved(self) -> np.ndarray:
        """(v + 3, j, e * u) rests of the rows, each kernel's ridge already undone."""
        among = self.kernels[:, self.rows[:, None], self.rows]
        return np.linalg.solve(among + SMOOTHING * np.eye(len(self.rows)), self._flat)

    @cached_property
    def encoders_alike(self) -> np.ndarray:
        """(e, e) cosine of the encoders' rests where both were observed, at least 0; 0 with itself."""
        known = np.isfinite(self.seen).reshape(len(self.seen), -1).astype(np.float64)
        flat = self.rest.reshape(len(self.seen), -1)
        lengths = np.sqrt((flat**2) @ known.T)  # of each, where the other was observed, too
        scale = lengths * lengths.T
        alike = np.maximum(np.where(scale > 1e-9, (flat @ flat.T) / np.where(scale > 1e-9, scale, 1.0), 0.0), 0.0)
        np.fill_diagonal(alike, 0.0)
        return alike

    @cached_property
    def learned(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, scale and weights by which signs of likeness tell how alike two rows are."""
        rows = _unit(self._flat)
        alike = rows @ rows.T
        apart = ~np.eye(len(self.rows), dtype=bool)
        signs = np.stack([self._signs(self.profiles.known(row)) for row in self.rows])[apart]
        mean, scale = signs.mean(axis=0), signs.std(axis=0) + 1e-9
        scaled = (signs - mean) / scale
        gram = scaled.T @ scaled + LEARNED_PENALTY * np.eye(scaled.shape[1])
        return mean, scale, np.linalg.solve(gram, scaled.T @ (alike[apart] - alike[apart].mean()))

    def _signs(self, target: Newcomer) -> np.ndarray:
        """(j, s) signs that a target is like each of the rows, none of them an outcome of the target."""
        rows, e = self.rows, len(self.standing)
        helped = _filled(self.standing[:, rows, target.number]) if target.number >= 0 else np.zeros((e, len(rows)))
        profile = self.profile[target.number, rows] if target.number >= 0 else np.zeros(len(rows))
        return np.stack([*target.direct[:, rows], *target.likeness[:, rows], profile, *helped, helped.mean(axis=0)], axis=1)

    def features(self, target: Newcomer) -> np.ndarray:
        """(e, u, p) in the order of `own_columns`."""
        e, u = self.mean.shape
        kernels = self._kernels_of(target)[:, None, self.rows]
        put_together = self.mean + (kernels @ self.solved).reshape(-1, e, u)
        signs = self._signs(target)
        mean, scale, weights = self.learned if len(self.rows) > 2 else (0.0, 1.0, np.zeros(signs.shape[1]))
        likely = (signs - mean) / scale @ weights
        likely -= likely.mean() if len(likely) else 0.0
        helped = self.standing[:, :, target.number] if target.number >= 0 else np.full((e, u), np.nan)
        apart = (self.profiles.past.alone[:, self.rows] - target.alone[:, None]) / NEAR_SCORE
        near = target.direct[:, None, self.rows] * np.array(DIRECT_SHARPNESS)[:, None]
        exponents = np.concatenate([
            np.repeat((np.array(LEARNED_SHARPNESS)[:, None] * likely)[:, None], e, axis=1),
            helped[None, :, self.rows],
            -(apart[None] ** 2) / 2,
            np.repeat(near.reshape(len(near) * len(DIRECT_SHARPNESS), 1, len(self.rows)), e, axis=1),
        ])  # fmt: skip
        averages = self._weighted(np.exp(_filled(exponents)))
        return np.moveaxis(np.concatenate([self.mean[None], put_together, helped[None], averages, self._known(target)]), 0, 2)

    def _kernels_of(self, target: Newcomer) -> np.ndarray:
        profile = self.profile[target.number] if target.number >= 0 else np.zeros(self.mean.shape[1])
        views = target.likeness
        every = np.concatenate([views, profile[None]])
        return np.stack([*views, profile, views.mean(axis=0) if len(views) else profile, every.mean(axis=0)])

    @cached_property
    def _known_and_filled(self) -> tuple[np.ndarray, np.ndarray]:
        return np.isfinite(self.seen).astype(np.float64), _filled(self.seen)

    def _weighted(self, weights: np.ndarray) -> np.ndarray:
        """(k, e, u) means over the rows with (k, e, j) weights."""
        known, seen = self._known_and_filled
        total = (weights[:, :, None] @ known)[:, :, 0]
        return np.where(total > 0, (weights[:, :, None] @ seen)[:, :, 0] / np.where(total > 0, total, 1.0), np.nan)

    def _known(self, target: Newcomer) -> np.ndarray:
        """(4, e, u) the target's own standings with other encoders.

        As they are, and beyond what the sources do on average; then beyond it weighted by how alike the encoders are, by
        itself and on top of the sources' mean with the encoder.
        """
        e, u = self.mean.shape
        if target.number < 0:
            return np.full((len(_KNOWN), e, u), np.nan)
        own = self.standing[:, target.number]
        beyond = own - self.mean
        others = [np.arange(e) != number for number in range(e)]
        plain = [[_mean_over(part[other], axis=0) for other in others] for part in (own, beyond)]
        weights = np.where(np.isfinite(beyond).any(axis=1), self.encoders_alike, 0.0)  # (e, e)
        weighted = np.where(np.isfinite(plain[1]), weights @ _filled(beyond), np.nan)
        return np.stack([*plain, weighted, self.mean + weighted])


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
