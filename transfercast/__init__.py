"""Forecasts of transfer learning: which source to transfer from, what score to expect, and how sure that is.

Public names are loaded on first use, so `import transfercast` is instant and neither torch nor xgboost is loaded before
something needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from transfercast.core.version import VERSION as __version__

_HOME = {
    "Budget": "core.plan",
    "FeatureTable": "core.table",
    "Forecast": "core.forecast",
    "History": "history.store",
    "Observation": "core.records",
    "Pair": "core.records",
    "Plan": "core.plan",
    "Predictor": "predictor.predictor",
    "Recipe": "core.records",
    "SourcePool": "sources.pool",
    "Task": "tasks.task",
    "atlas": "corpus.measured",
    "collect": "collection.collector",
    "extract_features": "features.extract",
    "fit_maps": "features.fit_maps",
    "hub_models": "corpus.hub",
    "plan": "planning.order",
    "pull": "sharing.hub",
    "push": "sharing.hub",
    "rank_encoders": "features.rank",
    "rank_maps": "features.rank",
    "read_family": "tasks.family",
    "recommend": "execution.recommend",
    "search": "execution.search",
    "term_conductance": "attribution.conductance",
    "train_meta": "retraining.retrain",
}

__all__ = [
    "Budget",
    "FeatureTable",
    "Forecast",
    "History",
    "Observation",
    "Pair",
    "Plan",
    "Predictor",
    "Recipe",
    "SourcePool",
    "Task",
    "__version__",
    "atlas",
    "collect",
    "extract_features",
    "fit_maps",
    "hub_models",
    "plan",
    "pull",
    "push",
    "rank_encoders",
    "rank_maps",
    "read_family",
    "recommend",
    "search",
    "term_conductance",
    "train_meta",
]

if TYPE_CHECKING:
    from transfercast.attribution.conductance import term_conductance
    from transfercast.collection.collector import collect
    from transfercast.core.forecast import Forecast
    from transfercast.core.plan import Budget, Plan
    from transfercast.core.records import Observation, Pair, Recipe
    from transfercast.core.table import FeatureTable
    from transfercast.corpus.hub import hub_models
    from transfercast.corpus.measured import atlas
    from transfercast.execution.recommend import recommend
    from transfercast.execution.search import search
    from transfercast.features.extract import extract_features
    from transfercast.features.fit_maps import fit_maps
    from transfercast.features.rank import rank_encoders, rank_maps
    from transfercast.history.store import History
    from transfercast.planning.order import plan
    from transfercast.predictor.predictor import Predictor
    from transfercast.retraining.retrain import train_meta
    from transfercast.sharing.hub import pull, push
    from transfercast.sources.pool import SourcePool
    from transfercast.tasks.family import read_family
    from transfercast.tasks.task import Task


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'transfercast' has no attribute {name!r}")
    return getattr(import_module(f"transfercast.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
