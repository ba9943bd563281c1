"""Candidates of a table that a history already has: they cost nothing, and are not proposed again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from transfercast.core.errors import InputError
from transfercast.core.records import ALONE, Candidate, Observation, Recipe
from transfercast.core.table import FeatureTable


@dataclass(frozen=True, slots=True)
class Done:
    """Validation scores of observed candidates and targets alone, as means over seeds.

    Attributes:
        transfers: scores by candidate.
        alone: recipe that was observed first, and its score, of targets alone, by target and encoder.
    """

    transfers: dict[Candidate, float] = field(default_factory=dict)
    alone: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)


def done_of(observations: Iterable[Observation], table: FeatureTable) -> Done:
    """Observed scores of the candidates of a table, and of its targets alone.

    An observation belongs to a candidate if source, target, recipe, encoder and metric are the same, and if the fingerprints
    of source and target do not differ; an unknown fingerprint does not count as different.
    """
    known = {written_out(candidate): candidate for candidate in table.candidates}
    pairs = set(zip((candidate.target for candidate in known), table.encoders, strict=True))
    transfers: dict[Candidate, list[float]] = {}
    alone: dict[tuple[str, str], dict[str, list[float]]] = {}
    for observation in observations:
        key = written_out(Candidate(observation.source, observation.target, observation.recipe))
        own = (observation.target, observation.encoder)
        if observation.source == ALONE and own in pairs and _is_of(observation, table):
            alone.setdefault(own, {}).setdefault(key.recipe, []).append(observation.score)
        elif key in known and _is_of(observation, table):
            transfers.setdefault(known[key], []).append(observation.score)
    first = {own: next(iter(recipes.items())) for own, recipes in alone.items()}
    return Done(
        {candidate: _mean(scores) for candidate, scores in transfers.items()},
        {own: (recipe, _mean(scores)) for own, (recipe, scores) in first.items()},
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _is_of(observation: Observation, table: FeatureTable) -> bool:
    about = table.provenance
    facts = about.targets.get(observation.target)
    if observation.split != "validation":
        return False
    if facts is not None and (
        observation.metric != facts.metric or not _same(observation.target_fingerprint, facts.fingerprint)
    ):
        return False
    if observation.source == ALONE:
        return True
    return observation.encoder == about.encoder_of(observation.source) and _same(
        observation.source_fingerprint, about.sources.get(observation.source, "")
    )


def _same(one: str, other: str) -> bool:
    return not one or not other or one == other


def written_out(candidate: Candidate) -> Candidate:
    """The candidate with its recipe's full key, so that `full` and its full form `full/lr=0.0001/...` are equal."""
    try:
        return candidate._replace(recipe=Recipe.parse(candidate.recipe).key)
    except InputError:  # an unknown recipe stays unchanged
        return candidate
