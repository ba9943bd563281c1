"""Plain baselines of the suite: each learns from observed transfers and says how good candidates are, in 5 to 40 lines.

A baseline is a function of (train, rows) that returns (n,) values, higher is better; only their order in a query counts.
None was tuned. Measures enter as z-scores within the query, in the direction in which they are better.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from transfercast.predictor.data import Candidates, Transfers

Baseline = Callable[[Transfers, Candidates], np.ndarray]

MOST_ROWS = 3000
"""Of the Gaussian process, whose time grows with the cube; of larger tables it takes a random part of the sources."""


def z_within(values: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(n, f) z-scores within each query; 0 where missing or all equal."""
    frame = pd.DataFrame(np.asarray(values, dtype=np.float64).reshape(len(queries), -1)).groupby(queries)
    spread = frame.transform("std", ddof=0).to_numpy()
    centred = pd.DataFrame(values.reshape(len(queries), -1)).to_numpy() - frame.transform("mean").to_numpy()
    return np.nan_to_num(np.where(spread > 1e-9, centred / np.where(spread > 1e-9, spread, 1.0), 0.0))


def relative_gain(train: Transfers) -> np.ndarray:
    """(n,) score over that of the target alone, or over the query's mean score where that is not known."""
    mean = pd.Series(train.score).groupby(train.candidates.query_ids).transform("mean").to_numpy()
    start = np.where(np.isfinite(train.candidates.baseline), train.candidates.baseline, mean)
    return np.asarray(train.score / np.maximum(np.abs(start), 0.05) - 1)


def z_score(train: Transfers) -> np.ndarray:
    """(n,) z-score of the outcome within its query."""
    return z_within(train.score, train.candidates.query_ids)[:, 0]


def exponential_rank(train: Transfers) -> np.ndarray:
    """(n,) 2^(-rank/3) within the query."""
    return np.asarray(2.0 ** (-(pd.Series(-train.score).groupby(train.candidates.query_ids).rank() - 1) / 3).to_numpy())


def mean_of_source(outcome: Callable[[Transfers], np.ndarray]) -> Baseline:
    """The source's mean outcome on other targets, with the same encoder where it was tried with that, else with any."""

    def baseline(train: Transfers, rows: Candidates) -> np.ndarray:
        values = outcome(train)
        keys = pd.MultiIndex.from_arrays([train.candidates.sources, train.candidates.encoder])
        same = pd.Series(values).groupby(keys.to_flat_index()).mean()
        any_encoder = pd.Series(values).groupby(train.candidates.sources).mean()
        own = same.reindex(pd.MultiIndex.from_arrays([rows.sources, rows.encoder]).to_flat_index()).to_numpy()
        return np.where(np.isfinite(own), own, any_encoder.reindex(rows.sources).fillna(values.mean()).to_numpy())

    return baseline


def similarity_ridge(train: Transfers, rows: Candidates) -> np.ndarray:
    """Kernel ridge over targets: a source's exponential rank is its mean elsewhere and what similar targets add to it."""
    outcome, result = exponential_rank(train), mean_of_source(exponential_rank)(train, rows)
    for encoder in dict.fromkeys(rows.encoder):
        own, asked = train.candidates.encoder == encoder, np.nonzero(rows.encoder == encoder)[0]
        if not own.any():
            continue
        table = _table(train, outcome, own)
        targets = list(dict.fromkeys([*table.index, *rows.targets[asked]]))
        similarity, known = _similarity(train, rows, targets, table), np.arange(len(table))
        residual = np.nan_to_num((table - table.mean()).to_numpy())
        weights = np.linalg.solve(similarity[np.ix_(known, known)] + np.eye(len(table)), residual)
        added = pd.DataFrame(similarity[:, known] @ weights, index=targets, columns=table.columns)
        tried = asked[np.isin(rows.sources[asked], table.columns)]
        places = added.index.get_indexer(rows.targets[tried]), added.columns.get_indexer(rows.sources[tried])
        result[tried] += added.to_numpy()[places]
    return result


def _table(train: Transfers, outcome: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
    """(t, s) mean outcome of the rows."""
    names = {"target": train.candidates.targets[rows], "source": train.candidates.sources[rows], "outcome": outcome[rows]}
    return pd.DataFrame(names).pivot_table(index="target", columns="source", values="outcome")


def _similarity(train: Transfers, rows: Candidates, targets: list[str], table: pd.DataFrame) -> np.ndarray:
    """(t, t) positive semi-definite: cosine of profiles, and half of what the targets do for one another as sources.

    A profile holds the measures' z-scores over the sources, and the target's outcomes as a source.
    """
    parts = [table.T.reindex(targets).to_numpy()]
    measured = np.concatenate([_measures(train.candidates), _measures(rows)])
    pairs = {name: np.concatenate([getattr(train.candidates, name), getattr(rows, name)]) for name in ("targets", "sources")}
    for values in measured.T:
        frame = pd.DataFrame({**pairs, "values": values}).pivot_table(index="targets", columns="sources", values="values")
        parts.append(frame.reindex(index=targets, columns=table.columns).to_numpy())
    profile = np.nan_to_num(np.concatenate(parts, axis=1))
    profile /= np.maximum(np.linalg.norm(profile, axis=1, keepdims=True), 1e-9)
    helped = table.reindex(index=targets, columns=targets).to_numpy()
    both = np.nan_to_num(helped) + np.nan_to_num(helped.T)
    both /= np.maximum(np.isfinite(helped).astype(float) + np.isfinite(helped.T), 1)
    values, vectors = np.linalg.eigh(profile @ profile.T + 0.5 * both / (both[both != 0].std() if both.any() else 1.0))
    return np.asarray((vectors * np.maximum(values, 0)) @ vectors.T)


def _measures(rows: Candidates) -> np.ndarray:
    """(n, f) z-scores within the query of the measures that say which direction is better."""
    told = [column for column in rows.schema if column.better != "unknown"]
    signs = np.array([1.0 if column.better == "higher" else -1.0 for column in told])
    return z_within(rows.matrix([column.name for column in told]) * signs, rows.query_ids) if told else np.empty((len(rows), 0))


def _features(train: Transfers, rows: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """(m, f) and (n, f): measures as z-scores and as they are; the source's mean outcome on other targets; the outcome of the
    target as a source of the source's task. Outcomes are z-scores and exponential ranks.
    """
    known, asked = ([z_within(part.values, part.query_ids), part.values] for part in (train.candidates, rows))
    for outcome in (z_score(train), exponential_rank(train)):
        frame = pd.DataFrame({"source": train.candidates.sources, "target": train.candidates.targets, "outcome": outcome})
        of_source, of_pair = frame.groupby("source").outcome, frame.groupby(["source", "target"]).outcome
        others = (of_source.transform("count") - of_pair.transform("count")).replace(0, np.nan)
        known.append((of_source.transform("sum") - of_pair.transform("sum")).div(others).to_numpy()[:, None])
        asked.append(of_source.mean().reindex(rows.sources).to_numpy()[:, None])
        for part, parts in ((train.candidates, known), (rows, asked)):
            turned = pd.MultiIndex.from_arrays([part.targets, part.sources])
            parts.append(of_pair.mean().reindex(turned).to_numpy()[:, None])
    return np.concatenate(known, axis=1), np.concatenate(asked, axis=1)


def xgboost_untuned(train: Transfers, rows: Candidates) -> np.ndarray:
    """XGBoost's defaults, on exponential ranks."""
    import xgboost

    known, asked = _features(train, rows)
    model = xgboost.XGBRegressor(n_jobs=1, random_state=0)
    return np.asarray(model.fit(known, exponential_rank(train)).predict(asked), dtype=np.float64)


def lightgbm_lambdarank(train: Transfers, rows: Candidates) -> np.ndarray:
    """LightGBM's lambdarank; relevance is the rank from below, at most 31."""
    import lightgbm

    known, asked = _features(train, rows)
    order = np.argsort(train.candidates.query_ids, kind="stable")
    ranks = pd.Series(train.score).groupby(train.candidates.query_ids).rank(method="min").to_numpy()
    most = pd.Series(ranks).groupby(train.candidates.query_ids).transform("max").to_numpy()
    relevance = np.maximum(ranks - np.maximum(most - 31, 0) - 1, 0).astype(int)
    sizes = np.bincount(train.candidates.query_ids)
    settings = {"objective": "lambdarank", "verbosity": -1, "num_threads": 1, "seed": 0, "deterministic": True,
                "label_gain": [2**grade - 1 for grade in range(32)]}  # fmt: skip
    data = lightgbm.Dataset(known[order], relevance[order], group=sizes[sizes > 0])
    return np.asarray(lightgbm.train(settings, data, num_boost_round=100).predict(asked))


def catboost_regressor(train: Transfers, rows: Candidates) -> np.ndarray:
    """CatBoost's defaults with 300 rounds, on z-scores; source and encoder are categories."""
    import catboost

    parts = []
    for part, features in zip((train.candidates, rows), _features(train, rows), strict=True):
        frame = pd.DataFrame(features)
        parts.append(frame.assign(source=part.sources.astype(str), encoder=part.encoder.astype(str)))
    model = catboost.CatBoostRegressor(
        iterations=300, verbose=False, thread_count=1, random_seed=0, allow_writing_files=False,
        cat_features=["source", "encoder"],
    )  # fmt: skip
    return np.asarray(model.fit(parts[0], z_score(train)).predict(parts[1]))


def gaussian_process(train: Transfers, rows: Candidates) -> np.ndarray:
    """A Gaussian process over pairs: source, source x similarity of targets, encoder x source, linear and RBF in the measures.

    Scale of the noise by the marginal likelihood; all kernels have the same scale.
    """
    if len(train) > MOST_ROWS:
        asked = np.unique(rows.sources)
        parts = int(np.ceil(len(train) / MOST_ROWS))
        part_of = dict(zip(asked, np.random.default_rng(0).permutation(len(asked)) % parts, strict=True))
        result = np.zeros(len(rows))
        for part in range(parts):
            own = np.array([part_of.get(name, -1) == part for name in train.candidates.sources])
            where = np.array([part_of[name] == part for name in rows.sources])
            result[where] = gaussian_process(train.take(own), rows.take(where)) if own.any() else 0.0
        return result
    targets = list(dict.fromkeys([*train.candidates.targets, *rows.targets]))
    similarity = _similarity(train, rows, targets, _table(train, z_score(train), np.ones(len(train), dtype=bool)))
    place = {name: number for number, name in enumerate(targets)}
    measured = _measures(train.candidates), _measures(rows)
    scale = max(measured[0].shape[1], 1) ** 0.5

    def kernel(a: Candidates, b: Candidates, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        same = (a.sources[:, None] == b.sources).astype(float)
        alike = similarity[np.ix_([place[name] for name in a.targets], [place[name] for name in b.targets])]
        x, y = x / scale, y / scale
        apart = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * x @ y.T
        encoder = 0.5 + 0.5 * (a.encoder[:, None] == b.encoder)
        near = np.exp(-np.maximum(apart, 0)) if x.shape[1] else 0.0
        return np.asarray(encoder * (same + same * alike + x @ y.T + 0.5 * near))

    outcome = z_score(train)
    values, vectors = np.linalg.eigh(kernel(train.candidates, train.candidates, measured[0], measured[0]))
    turned = vectors.T @ outcome

    def evidence(noise: float) -> float:
        spread = np.maximum(values, 0) + noise
        return float(-0.5 * len(outcome) * np.log((turned**2 / spread).mean()) - 0.5 * np.log(spread).sum())

    noise = max((0.1, 0.3, 1.0, 3.0, 10.0), key=evidence)
    weights = vectors @ (turned / (np.maximum(values, 0) + noise))
    return np.asarray(kernel(rows, train.candidates, measured[1], measured[0]) @ weights)


BASELINES: dict[str, Baseline] = {
    "mean gain elsewhere": mean_of_source(relative_gain),
    "mean z-score elsewhere": mean_of_source(z_score),
    "mean exponential rank elsewhere": mean_of_source(exponential_rank),
    "similarity-weighted ridge": similarity_ridge,
    "XGBoost, untuned": xgboost_untuned,
    "LightGBM lambdarank": lightgbm_lambdarank,
    "CatBoost": catboost_regressor,
    "Gaussian process over pairs": gaussian_process,
}
