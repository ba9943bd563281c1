"""The route of the atlas: the gains of sources on targets in the transfers that come with transfercast."""

from __future__ import annotations

from functools import cache

from fastapi import APIRouter

from transfercast.core.records import ALONE
from transfercast.corpus import measured
from transfercast.service.messages import GainRow

SAME = ["target", "encoder", "metric", "recipe"]
"""Fields in which trainings must agree for their scores to be compared."""


def evidence_routes() -> APIRouter:
    """The atlas."""
    router = APIRouter(prefix="/v1")

    @router.get("/atlas")
    def atlas() -> list[GainRow]:
        """Mean gain of each source on each target over the target alone, on validation, in the atlas."""
        return _gains()

    return router


@cache
def _gains() -> list[GainRow]:
    observed = measured.atlas().query("split == 'validation'")
    alone = observed[observed.source == ALONE].groupby(SAME).score.mean().rename("baseline")
    transfers = observed[observed.source != ALONE].join(alone, on=SAME).dropna(subset=["baseline"])
    gains = transfers.assign(gain=transfers.score - transfers.baseline).groupby(["source", "target"], as_index=False)
    rows = gains.agg(gain=("gain", "mean"), trainings=("gain", "size")).to_dict("records")
    return [GainRow.model_validate(row) for row in rows]
