"""What a history holds already of the candidates of a table: it costs nothing, and is not proposed again."""

from __future__ import annotations

from collections.abc import Iterable

from transfercast.core.errors import InputError
from transfercast.core.records import ALONE, Candidate, Observation, Recipe
from transfercast.core.table import FeatureTable


def scores_of(observations: Iterable[Observation], table: FeatureTable) -> dict[Candidate, float]:
    """Mean validation score over seeds of each candidate of a table, and of its targets alone, where it was observed.

    An observation is that of a candidate if source, target, recipe, encoder and metric are the same, and the fingerprints of
    source and target, where both sides know them.
    """
    known = {_written_out(candidate): candidate for candidate in table.candidates}
    targets = {candidate.target for candidate in known}
    scores: dict[Candidate, list[float]] = {}
    for observation in observations:
        key = _written_out(Candidate(observation.source, observation.target, observation.recipe))
        candidate = known.get(key, key if observation.source == ALONE and observation.target in targets else None)
        if candidate is not None and _is_of(observation, table):
            scores.setdefault(candidate, []).append(observation.score)
    return {candidate: sum(values) / len(values) for candidate, values in scores.items()}


def _is_of(observation: Observation, table: FeatureTable) -> bool:
    about = table.provenance
    facts = about.targets.get(observation.target)
    if observation.split != "validation" or observation.encoder != about.encoder:
        return False
    if facts is not None and (
        observation.metric != facts.metric or not _same(observation.target_fingerprint, facts.fingerprint)
    ):
        return False
    return observation.source == ALONE or _same(observation.source_fingerprint, about.sources.get(observation.source, ""))


def _same(one: str, other: str) -> bool:
    return not one or not other or one == other


def _written_out(candidate: Candidate) -> Candidate:
    """The candidate with its recipe's full key, so that `full` and `full/lr=0.0001/...` are one."""
    try:
        return candidate._replace(recipe=Recipe.parse(candidate.recipe).key)
    except InputError:  # a recipe that only others know stays as they write it
        return candidate
