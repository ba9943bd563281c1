"""Functions for `on_trial` that write each trial of a search as a run to MLflow or Weights & Biases."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from transfercast.core.errors import MissingExtraError
from transfercast.execution.events import TrialEvent

_MLFLOW_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


def _needed(name: str, shown: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"{shown} is not installed: pip install {name}") from error


def _about(event: TrialEvent) -> dict[str, Any]:
    names = ("source", "target", "recipe", "seed", "position")
    known = {name: getattr(event, name) for name in names}
    return known if math.isnan(event.forecast) else {**known, "forecast": event.forecast}


class MlflowTracker:
    """A run of MLflow for every trial: parameters, the score after each epoch, and how it ended.

    Args:
        experiment: name of the experiment, which is made if it does not exist.
        uri: URI of the tracking server; None takes MLflow's own setting.

    Raises:
        MissingExtraError: if mlflow is not installed.
    """

    def __init__(self, experiment: str = "transfercast", uri: str | None = None) -> None:
        self._client = _needed("mlflow", "MLflow").MlflowClient(tracking_uri=uri)
        known = self._client.get_experiment_by_name(experiment)
        self._experiment = self._client.create_experiment(experiment) if known is None else known.experiment_id
        self._runs: dict[int, str] = {}

    def __call__(self, event: TrialEvent) -> None:
        """Write an event down."""
        if event.what == "started":
            name = f"{event.source} to {event.target}"
            run = self._client.create_run(self._experiment, run_name=name).info.run_id
            self._runs[event.trial] = run
            for key, value in _about(event).items():
                self._client.log_param(run, key, value)
        if (run := self._runs.get(event.trial)) is None:  # the trial began before this search
            return
        if event.what == "epoch":
            self._client.log_metric(run, "score", event.score, step=event.epoch)
        elif event.what in _MLFLOW_STATUS:
            if event.what == "finished":
                self._client.log_metric(run, "final_score", event.score)
            if event.cause:
                self._client.set_tag(run, "cause", event.cause)
            self._client.set_terminated(run, _MLFLOW_STATUS[event.what])
            del self._runs[event.trial]


class WandbTracker:
    """A run of Weights & Biases for every trial: configuration, the score after each epoch, and how it ended.

    Args:
        project: project of the runs.
        options: options of `wandb.init`.

    Raises:
        MissingExtraError: if wandb is not installed.
    """

    def __init__(self, project: str = "transfercast", **options: Any) -> None:
        self._wandb = _needed("wandb", "Weights & Biases")
        self._options = {"project": project, "reinit": "create_new", **options}
        self._runs: dict[int, Any] = {}

    def __call__(self, event: TrialEvent) -> None:
        """Write an event down."""
        if event.what == "started":
            self._runs[event.trial] = self._wandb.init(
                name=f"{event.source} to {event.target}", group=event.target, config=_about(event), **self._options
            )
        if (run := self._runs.get(event.trial)) is None:
            return
        if event.what == "epoch":
            run.log({"score": event.score}, step=event.epoch)
        elif event.what in ("finished", "stopped", "failed"):
            run.summary.update({"ended": event.what, "cause": event.cause})
            if event.what == "finished":
                run.summary["final_score"] = event.score
            run.finish(exit_code=int(event.what == "failed"))
            del self._runs[event.trial]
