"""The whole work on the demo family: sources, features, plan, search, retraining, and the gain for the budget.

The messages, the numbers of rows and the recipes below were chosen with a view to the scores of transfers, so that sources
differ in usefulness and everything runs in two minutes. The demo is an example; it is no evidence of how good forecasts are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transfercast.attribution.ansat import SharedTerm
from transfercast.core.cache import ArrayCache
from transfercast.core.plan import Budget, Plan
from transfercast.core.records import Recipe
from transfercast.core.table import FeatureTable
from transfercast.demo.messages import write_family
from transfercast.demo.verdict import Bought, bought
from transfercast.execution.result import SearchResult
from transfercast.execution.search import search
from transfercast.features.evidence import Gatherer
from transfercast.features.extract import TOLERANCE, extract_features
from transfercast.features.shared import terms_shared
from transfercast.history.store import History
from transfercast.planning.order import plan
from transfercast.predictor.predictor import Predictor
from transfercast.retraining.retrain import RetrainingReport, train_meta
from transfercast.sources.models import pick_device
from transfercast.sources.pool import SourcePool
from transfercast.tasks.family import Family, read_family

ROWS = {"train": 200, "validation": 80, "test": 160}
SOURCE_ROWS = {"train": 160, "validation": 60, "test": 60}
TARGET_ROWS = 32
TARGETS = ("rescue_request", "volunteering")
SOURCE_RECIPE = Recipe(learning_rate=4e-4, epochs=3)
TARGET_RECIPE = Recipe(learning_rate=2e-4, epochs=5, batch_size=8)
"""The default for so few rows is 12 epochs, which would double the time of the demo; these are fewer, at higher rates."""
DOCUMENTS = 3
JOBS = 2
"""Number of trainings at the same time; each uses half of the cores."""
TERM_THRESHOLD = 0.05
SEED = 0


@dataclass(frozen=True, slots=True)
class Demo:
    """Results of the stages of the demo."""

    family: Family
    pool: SourcePool
    table: FeatureTable
    plan: Plan
    result: SearchResult
    everything: SearchResult
    report: RetrainingReport
    gatherer: Gatherer

    def bought(self) -> list[Bought]:
        """For each target: validation scores after the plan's trainings, as many in LogME's order, and all trainings."""
        candidates = zip(self.table.candidates, self.table.frame.logme, strict=True)
        logme = {candidate.pair: float(value) for candidate, value in candidates}
        return bought(self.result, self.everything, logme)

    def terms(self, source: str, target: str) -> list[SharedTerm]:
        """The terms that drive both models' decisions, on the source's and the target's positive documents."""
        task = next(task for task in self.family.targets if task.name == target)
        alone = self.pool.target_model(task, TARGET_RECIPE, SEED)
        return terms_shared(self.gatherer, self.pool[source], alone, task, TERM_THRESHOLD)[0]


def run(folder: Path, trials: int) -> Demo:
    """Run the demo in a folder; an unfinished demo there is continued.

    Args:
        folder: folder for messages, pool, plan, history and predictor.
        trials: budget of transfers over both targets.
    """
    tasks = write_family(folder / "messages", ROWS, SOURCE_ROWS, TARGET_ROWS, TARGETS, SEED)
    family = read_family(tasks)
    pool = SourcePool.fit(folder / "pool", family.sources, recipe=SOURCE_RECIPE, seed=SEED, jobs=JOBS)
    cache = ArrayCache(folder / "cache")
    table = extract_features(pool, family.targets, recipe=TARGET_RECIPE, seed=SEED, documents=DOCUMENTS, jobs=JOBS, cache=cache)
    table.save(folder / "features.parquet")
    predictor = Predictor.load()
    forecast = predictor.predict(table)
    made = plan(forecast, table, Budget(trials=trials))
    made.save(folder / "plan.json")
    history = History(folder / "history.db")
    result = search(made, history.url, jobs=JOBS)
    everything = search(plan(forecast, table, Budget(trials=len(table.frame))), history.url, jobs=JOBS)
    report = train_meta(history, folder / "meta", minutes=0)
    gatherer = Gatherer(cache, pick_device(), DOCUMENTS, TOLERANCE)
    return Demo(family, pool, table, made, result, everything, report, gatherer)
