"""One call for one new data set: measure a pool's sources for it, and order the trainings."""

from __future__ import annotations

from pathlib import Path

from transfercast.core.cache import ArrayCache
from transfercast.core.plan import Budget, Plan
from transfercast.core.records import Recipe
from transfercast.features.extract import DOCUMENTS, extract_features
from transfercast.history.store import History
from transfercast.planning.order import plan
from transfercast.predictor.predictor import Predictor
from transfercast.sources.pool import DEFAULT_RECIPE, SourcePool
from transfercast.tasks.task import Task

TRIALS = 5


def recommend(
    data: Task | str | Path,
    pool: SourcePool | str | Path,
    *,
    text: str = "text",
    label: str = "label",
    positive: str | None = None,
    trials: int = TRIALS,
    predictor: Predictor | None = None,
    history: History | str | Path | None = None,
    recipe: Recipe = DEFAULT_RECIPE,
    seed: int = 0,
    documents: int = DOCUMENTS,
    jobs: int | None = None,
    device: str | None = None,
    cache: ArrayCache | None = None,
) -> Plan:
    """Measure every source of a pool against a data set, and order the trainings; `tc.search` runs the plan that it returns.

    The target is trained alone from each base encoder of the pool, once; measures that are cached are not computed again.

    Args:
        data: a task (`Task.from_csv` and `Task.from_dataset` have all options), or the file of one.
        pool: a pool of sources, fitted or adopted.
        text, label: columns of a file.
        positive: for a file with a binary task, the label that is positive; by default it is inferred.
        trials: number of transfers to plan; the target alone does not count.
        predictor: by default the one that comes with the package.
        history: trainings in it are done, cost nothing, and are not proposed again.
        recipe, seed: of the trainings.
        documents, jobs, device, cache: as for `extract_features`.

    Raises:
        InputError: if the file cannot be read as a task, the pool has no source, or none could be measured.

    Example:
        The folder `pool` holds two sources, and `reviews.csv` the rows of a task.

        >>> import transfercast as tc
        >>> plan = tc.recommend("reviews.csv", "pool", trials=2, documents=4)
        >>> plan.targets, len(plan.steps), plan.steps[0].source
        (['reviews'], 3, '(alone)')
        >>> sorted(step.source for step in plan.steps[1:])
        ['help', 'storm']
    """
    task = (
        data
        if isinstance(data, Task)
        else Task.from_csv(data, text=text, label=label, positive=positive, drop=("rare_labels", "empty_text"))
    )
    held = pool if isinstance(pool, SourcePool) else SourcePool.load(pool)
    table = extract_features(held, [task], recipe=recipe, seed=seed, documents=documents, jobs=jobs, device=device, cache=cache)
    in_force = predictor or Predictor.load()
    made = plan(in_force.predict(table, explain=False), table, Budget(trials=trials), history=history)
    return in_force.explained(made, table)
