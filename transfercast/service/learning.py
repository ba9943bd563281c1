"""Routes by which the service learns: observations in, retraining in the background, versions in and out of force."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from fastapi import APIRouter, HTTPException

from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.files import read_json
from transfercast.history.store import History
from transfercast.predictor import artifact
from transfercast.service.jobs import Jobs
from transfercast.service.messages import Appended, JobRow, ModelRow, Observations, Retrain
from transfercast.service.served import Served


def learning_routes(served: Served, history: str | None) -> APIRouter:
    """The routes; those that need a history or a folder say how to get one where there is none.

    Args:
        served: the predictor.
        history: URL or file of the history.
    """
    router = APIRouter(prefix="/v1")
    past = None if history is None else History(history)
    jobs = None if past is None or served.folder is None else Jobs(past.url, served.folder, served.reload)

    @router.post("/observations")
    def observations(sent: Observations) -> Appended:
        """Append observations; a run that is there already stays as it is, so sending twice changes nothing."""
        if past is None:
            raise InputError("this service keeps no history; start it with --history.")
        past.describe(sent.columns)
        return Appended(new=past.append(sent.records()), total=len(past))

    @router.get("/models")
    def models() -> list[ModelRow]:
        """All versions of the predictor, the newest first."""
        folder = _folder(served)
        promoted = artifact.promoted_ids(folder)
        names = sorted((path.name for path in (folder / "versions").glob("[0-9]*")), reverse=True)
        return [_model(folder, name, promoted) for name in names]

    @router.post("/models/{name}/promote")
    def promote(name: str) -> ModelRow:
        """Put a version in force, if it can be loaded."""
        folder = _folder(served)
        if name not in {path.name for path in (folder / "versions").glob("[0-9]*")}:
            raise HTTPException(404, f"no version {name!r}; GET /v1/models lists them.")
        artifact.read(folder / "versions" / name)
        artifact.promote(folder, name)
        served.reload()
        return _model(folder, name, artifact.promoted_ids(folder))

    @router.post("/models/roll-back")
    def roll_back() -> ModelRow:
        """Put the version before in force again."""
        folder = _folder(served)
        name = artifact.roll_back(folder)
        served.reload()
        return _model(folder, name, artifact.promoted_ids(folder))

    @router.post("/retrain", status_code=202)
    def retrain(how: Retrain) -> JobRow:
        """Begin retraining in the background; ask GET /v1/retrain/ID how it goes."""
        if jobs is None:
            raise InputError("nothing to retrain: start the service with --history and --predictor.")
        return JobRow(**asdict(jobs.start(how.minutes, how.margin)))

    @router.get("/retrain")
    def retrainings() -> list[JobRow]:
        """Retrainings that this service began, the last first."""
        return [] if jobs is None else [JobRow(**asdict(job)) for job in jobs.all()]

    @router.get("/retrain/{name}")
    def retraining(name: str) -> JobRow:
        """How a retraining goes."""
        job = None if jobs is None else jobs.find(name)
        if job is None:
            raise HTTPException(404, f"no retraining {name!r}; GET /v1/retrain lists them.")
        return JobRow(**asdict(job))

    return router


def _folder(served: Served) -> Path:
    if served.folder is None:
        raise InputError("this service serves the prior; start it with --predictor to have versions.")
    return served.folder


def _model(folder: Path, name: str, promoted: list[str]) -> ModelRow:
    try:
        report = read_json(folder / "versions" / name / "manifest.json", "a predictor", artifact.FORMAT)
        observations = sum(report.get("observed", {}).values())
        reason = (folder / "versions" / name / "CARD.md").read_text(encoding="utf-8").rstrip().splitlines()[-1]
    except (TransfercastError, OSError, UnicodeDecodeError, IndexError, AttributeError) as error:
        observations, reason = None, f"cannot be read: {error}"
    return ModelRow(
        id=name, in_force=promoted[-1:] == [name], promoted=name in promoted, observations=observations, reason=reason
    )
