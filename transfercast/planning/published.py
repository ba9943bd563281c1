"""Published models of the hub whose expected score is near the best of a plan's own candidates.

A published model's expected score is the target's no-transfer baseline from the same encoder plus the model's expected gain
(`corpus.hub`). These gains are in units of accuracy, so models are listed only for targets with accuracy or F1 as their metric.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from transfercast.core.plan import Plan
from transfercast.core.records import ALONE
from transfercast.core.table import TargetFacts
from transfercast.corpus.hub import encoders, hub_models

METRICS = frozenset({"accuracy", "positive_f1", "micro_f1", "macro_f1"})
NEAR = 0.01
"""A published model is worth a trial if it is at most this many score units below the plan's best step."""


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A published model that was not measured against the target.

    Attributes:
        target: target of the plan.
        model: name of the model on the hub.
        encoder: its base encoder.
        score: expected score on the target's validation rows.
        lower, upper: bounds of the score for nine of ten targets.
    """

    target: str
    model: str
    encoder: str
    score: float
    lower: float
    upper: float


def published_models(plan: Plan, most: int = 3) -> list[PublishedModel]:
    """Up to `most` models for each target, in descending order of expected scores; only for encoders with published results."""
    about = plan.provenance
    known = set(encoders()) & {about.encoder, *about.encoders.values()}
    found: list[PublishedModel] = []
    for name in dict.fromkeys(step.target for step in plan.steps):
        facts = about.targets.get(name)
        if facts is None or facts.metric not in METRICS:
            continue
        transfers = [step for step in plan.steps if step.target == name and step.source != ALONE]
        best = max((step.score for step in transfers if step.score is not None), default=-math.inf)
        models = [one for encoder in sorted(known) for one in _expected(name, facts, encoder, most)]
        near = [one for one in models if one.score >= best - NEAR]
        found += sorted(near, key=lambda one: -one.score)[:most]
    return found


def _expected(name: str, facts: TargetFacts, encoder: str, most: int) -> list[PublishedModel]:
    alone = facts.with_encoder(encoder).score
    if alone is None:
        return []
    pairs = bool((facts.spec or {}).get("text_pair"))
    return [
        PublishedModel(name, one.name, encoder, *(float(min(alone + gain, 1.0)) for gain in (one.gain, one.low, one.high)))
        for one in hub_models(encoder, pairs=pairs, most=most)
    ]
