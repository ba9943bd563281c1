"""Routes for observations, retraining in the background, and versions of the predictor."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict

from transfercast.core.errors import ArtifactError, InputError, TransfercastError
from transfercast.core.files import parse_json, reason
from transfercast.core.text import redacted
from transfercast.core.validation import checked
from transfercast.predictor import artifact, versions
from transfercast.predictor.predictor import Predictor
from transfercast.service.bodies import described, json_body
from transfercast.service.jobs import Job, Jobs
from transfercast.service.messages import Appended, JobRow, ModelReport, ModelRow, Observations, Retrain
from transfercast.service.recording import Recorder
from transfercast.service.refusals import parsed
from transfercast.service.reports import report_of
from transfercast.service.served import Served


def observation_routes(recorder: Recorder | None) -> APIRouter:
    """Observations; without a history these are refused."""
    router = APIRouter(prefix="/v1")

    @router.post("/observations", openapi_extra=described(Observations))
    async def observations(request: Request) -> Appended:
        """Append observations; a run that is recorded already is not changed, so sending twice changes nothing."""
        if recorder is None:
            raise InputError("this service keeps no history; start it with --history.")
        return await recorder.record(await json_body(request))

    return router


def version_routes(served: Served) -> APIRouter:
    """Versions of the predictor; without --predictor there are none."""
    router = APIRouter(prefix="/v1")

    @router.get("/models")
    def models() -> list[ModelRow]:
        """All versions of the predictor, the newest first."""
        folder = _folder(served)
        promoted = versions.promoted_ids(folder)
        return [_row(folder, version, promoted) for version in reversed(versions.all_ids(folder))]

    @router.get("/models/{name}")
    def model(name: str) -> ModelReport:
        """The observations that a version was learned from and its evaluation: the report of its retraining."""
        folder = _folder(served)
        if name not in versions.all_ids(folder):
            raise HTTPException(404, f"no version {name!r}; GET /v1/models lists them.")
        return report_of(folder, name)

    @router.post("/models/{name}/promote")
    def promote(name: str) -> ModelRow:
        """Put a version in force, after it was loaded."""
        folder = _folder(served)
        if name not in versions.all_ids(folder):
            raise HTTPException(404, f"no version {name!r}; GET /v1/models lists them.")
        Predictor.promote(folder, name)
        served.refresh()
        return _row(folder, name, versions.promoted_ids(folder))

    @router.post("/models/roll-back")
    def roll_back() -> ModelRow:
        """Put the latest earlier version that can be loaded in force again."""
        folder = _folder(served)
        name = Predictor.roll_back(folder)
        served.refresh()
        return _row(folder, name, versions.promoted_ids(folder))

    return router


def retraining_routes(jobs: Jobs | None) -> APIRouter:
    """Retraining; it needs a history and a folder."""
    router = APIRouter(prefix="/v1")

    @router.post("/retrain", status_code=202, openapi_extra=described(Retrain, required=False))
    async def retrain(request: Request) -> JobRow:
        """Start a retraining in the background; GET /v1/retrain/ID gives its state."""
        how = parsed(Retrain, await json_body(request, empty=b"{}"))
        if jobs is None:
            raise InputError("nothing to retrain: start the service with --history and --predictor.")
        return JobRow(**asdict(jobs.start(how.minutes, how.margin)))

    @router.get("/retrain")
    def retrainings() -> list[JobRow]:
        """Retrainings that this service started, the latest first. They end with the service, and a restarted one has none."""
        return [] if jobs is None else [JobRow(**asdict(job)) for job in jobs.all()]

    @router.get("/retrain/{name}")
    def retraining(name: str) -> JobRow:
        """The state of a retraining."""
        return JobRow(**asdict(_job(jobs, name)))

    @router.delete("/retrain/{name}")
    def cancel(name: str) -> JobRow:
        """Cancel a retraining; one that has ended is not changed."""
        job = _job(jobs, name)
        if jobs is not None:
            jobs.cancel(job)
        return JobRow(**asdict(job))

    return router


def _job(jobs: Jobs | None, name: str) -> Job:
    job = None if jobs is None else jobs.find(name)
    if job is None:
        raise HTTPException(404, f"no retraining {name!r}; GET /v1/retrain lists them.")
    return job


def _folder(served: Served) -> Path:
    if served.folder is None:
        raise InputError("this service has no folder of versions; start it with --predictor to have one.")
    return served.folder


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="ignore")

    observed: dict[str, int] = {}


class _Report(BaseModel):
    model_config = ConfigDict(extra="ignore")

    reason: str


def _row(folder: Path, version: str, promoted: list[str]) -> ModelRow:
    place = folder / "versions" / version
    observations, verdict = None, ""
    try:
        manifest = checked(_Manifest, str(place), artifact.read_manifest(place), ArtifactError)
        content = parse_json((place / "report.json").read_bytes(), f"{place}/report.json")
        verdict = checked(_Report, f"{place}/report.json", content, ArtifactError).reason
        observations = sum(manifest.observed.values())
    except (TransfercastError, OSError) as error:
        verdict = f"cannot be read: {reason(error)}"
    return ModelRow(
        id=version,
        in_force=promoted[-1:] == [version],
        promoted=version in promoted,
        observations=observations,
        reason=redacted(verdict),
    )
