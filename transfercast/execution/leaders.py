"""Leaders of a search, whose scores are within a standard error of the best, trained again with a second seed.

The leaders of a target are its best training and those less than a standard error below it. Their repetitions are a separate
plan with the next seed, so that they are claimed, resumed and recorded like any others. The best is then the leader
with the highest mean over both seeds, and the model of its repetition is tested and kept.
"""

from __future__ import annotations

from dataclasses import replace

from transfercast.core.cache import fingerprint
from transfercast.core.plan import Plan
from transfercast.core.records import HIGHEST_SEED
from transfercast.execution.result import Best, SearchResult, Training


def plan_of_leaders(plan: Plan, result: SearchResult, most: int) -> Plan | None:
    """The plan of the repetitions; None if no target has two leaders.

    Args:
        plan: the plan that was run.
        result: its result.
        most: largest number of leaders of a target that are repeated, the best first.
    """
    leaders = [training.step for target in result.bests for training in _leaders(result, target)[:most]]
    if not leaders:
        return None
    seed = (plan.provenance.seed + 1) % (HIGHEST_SEED + 1)
    steps = tuple(step.model_copy(update={"position": position, "done": False}) for position, step in enumerate(leaders))
    changed = {
        "id": fingerprint(plan=plan.id, leaders=[step.position for step in leaders], seed=seed),
        "steps": steps,
        "provenance": plan.provenance.model_copy(update={"seed": seed}),
        "stop_after": None,
    }
    return plan.model_copy(update=changed)


def _leaders(result: SearchResult, target: str) -> list[Training]:
    """The best training of a target and those tied with it, best first; empty if there are no ties."""
    tied = result.bests[target].tied
    if not tied:
        return []
    best, own = result.bests[target], [one for one in result.trainings if one.step.target == target]
    named = {(best.pair.source, target, best.recipe), *tied}
    return sorted((one for one in own if one.candidate in named), key=lambda one: -one.observation.score)


def first_scores(plan: Plan, result: SearchResult) -> dict[int, float]:
    """Scores in the first search of the steps of `plan_of_leaders`, by their positions there."""
    score_of = {_key(training): training.observation.score for training in result.trainings}
    return {step.position: score_of[step.source, step.target, step.recipe, step.encoder] for step in plan.steps}


def settled(result: SearchResult, again: SearchResult) -> SearchResult:
    """A search's result in which the best of each target is chosen by the mean over both seeds."""
    score_of = {_key(training): training.observation.score for training in result.trainings}
    means = {_key(one): (one.observation.score + score_of[_key(one)]) / 2 for one in again.trainings}
    bests = result.bests | {target: _settled(best, again, means) for target, best in again.bests.items()}
    failures = tuple(replace(failure, what=f"{failure.what}, second seed") for failure in again.failures)
    return replace(result, bests=bests, repeats=again.trainings, failures=(*result.failures, *failures))


def _settled(best: Best, again: SearchResult, means: dict[tuple[str, str, str, str | None], float]) -> Best:
    own = sorted((one for one in again.trainings if one.step.target == best.pair.target), key=lambda one: -means[_key(one)])
    highest = means[_key(own[0])]
    tied = tuple(one.candidate for one in own[1:] if highest - means[_key(one)] < best.standard_error)
    return replace(best, validation=highest, tied=tied)


def _key(training: Training) -> tuple[str, str, str, str | None]:
    step = training.step
    return step.source, step.target, step.recipe, step.encoder
