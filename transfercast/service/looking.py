"""Routes that show the history: observations, trainings, gains of sources, and searches of plans."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request

from transfercast.core.errors import InputError
from transfercast.core.plan import Plan, Step
from transfercast.core.text import redacted
from transfercast.history.store import History
from transfercast.service.bodies import described_file, file_body
from transfercast.service.files import Files
from transfercast.service.limits import MOST_LISTED
from transfercast.service.messages import Appended, GainRow, HistoryRow, HistoryRows, SearchRow, SearchStep, TrainingRow
from transfercast.service.recording import Recorder

CSV = "text/csv"


def history_routes(recorder: Recorder | None) -> APIRouter:
    """Observations and trainings; without a history these are refused."""
    router = APIRouter(prefix="/v1")

    @router.get("/history")
    def history(
        words: Annotated[str, Query(max_length=100)] = "",
        offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
    ) -> HistoryRows:
        """Observations, the latest first; `words` is a part of the name of the source or target."""
        found = _past(recorder).listed(words.replace("\x00", ""), offset, limit)
        return HistoryRows(
            total=found.total, rows=[HistoryRow(**row, gain=_gain(row["score"], row["baseline"])) for row in found.rows]
        )

    @router.get("/trainings")
    def trainings(limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100) -> list[TrainingRow]:
        """The latest trainings, epoch by epoch, also those that failed."""
        return [
            TrainingRow(
                source=one.source, target=one.target, recipe=one.recipe, encoder=one.encoder, ended=one.ended,
                why=redacted(one.why), curve=[epoch.score for epoch in one.curve], epoch=one.epoch, seconds=one.seconds,
                finished_at=one.finished_at,
            )
            for one in _past(recorder).latest_trainings(limit)
        ]  # fmt: skip

    @router.get("/gains")
    def gains() -> list[GainRow]:
        """Gain of each source on each target over the target alone, on validation."""
        return [GainRow(**row) for row in _past(recorder).gains()]

    @router.post("/observations/file", openapi_extra=described_file(CSV))
    async def observations(request: Request) -> Appended:
        """Append the rows of a CSV file; if one is wrong, none is kept, and `detail` names line, column and value."""
        past = _past(recorder)
        content = await file_body(request, CSV)
        return await asyncio.to_thread(_import, past, content)

    return router


def search_routes(recorder: Recorder | None, files: Files) -> APIRouter:
    """Searches of the plans in the folder."""
    router = APIRouter(prefix="/v1")

    @router.get("/searches")
    def searches() -> list[SearchRow]:
        """The plans of the folder, the newest first, and the result of each of their steps."""
        past = _past(recorder)
        states = past.step_states()
        scores = {
            (row["source"], row["target"], row["recipe"], row["encoder"]): row["score"]
            for row in past.matching(split="validation")
        }
        failures = {  # of several the last
            (one.source, one.target, one.recipe, one.encoder): one.why for one in past.trainings(ended="failed")
        }
        return [
            SearchRow(
                name=name, id=plan.id, budget=str(plan.budget), basis=plan.basis,
                steps=[_step(plan, step, states.get(plan.id, {}), scores, failures) for step in plan.steps],
            )
            for name, plan in files.plans().items()
        ]  # fmt: skip

    return router


_Run = tuple[str, str, str, str]
"""Source, target, recipe and encoder."""


def _step(plan: Plan, step: Step, states: dict[int, str], scores: dict[_Run, float], failures: dict[_Run, str]) -> SearchStep:
    encoder = plan.encoder_of(step)
    run = (step.source, step.target, step.recipe, encoder)
    state = "done" if step.done else states.get(step.position, "planned")
    return SearchStep(
        position=step.position, source=step.source, target=step.target, recipe=step.recipe, encoder=encoder, state=state,
        forecast=step.score, lower=step.lower, upper=step.upper, score=scores.get(run) if state == "done" else None,
        why=redacted(failures.get(run, "")) if state == "failed" else "",
    )  # fmt: skip


def _past(recorder: Recorder | None) -> History:
    if recorder is None:
        raise InputError("this service keeps no history; start it with --history.")
    return recorder.past


def _gain(score: float, baseline: float | None) -> float | None:
    return None if baseline is None else score - baseline


def _import(past: History, content: bytes) -> Appended:
    with tempfile.TemporaryDirectory(prefix="transfercast-") as folder:
        place = Path(folder) / "upload.csv"
        place.write_bytes(content)
        try:
            return Appended(new=past.import_file(place), total=len(past))
        except InputError as error:
            raise InputError(str(error).replace(str(place), "the file")) from error
