"""The record of a training, epoch by epoch, also of one that ended without a score."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from transfercast.core.errors import TransfercastError

Ended = Literal["finished", "stopped", "failed"]
Cause = Literal["out of memory", "divergence", "time limit", "other"]


class Diverged(TransfercastError):
    """A training whose loss is no longer a finite number."""


class TimeLimit(TransfercastError):
    """A training that took longer than it was allowed."""


_MEMORY = re.compile(r"MemoryError|out of memory|not enough memory|can't allocate memory", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """Result of one epoch.

    Attributes:
        score: by the task's metric on validation, or on a part of it if it is large compared with the training rows.
        loss: mean over the epoch's updates; for a head that was solved for, on validation; None if it is not finite.
        seconds: time of the updates, without scoring.
        average_precision: of a binary task on validation: how well its rows are ranked, without a threshold; else None.
    """

    score: float
    loss: float | None
    seconds: float
    average_precision: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """One training, also one that was stopped or failed.

    Attributes:
        run_key: that of its observation, also if the training did not lead to one.
        source, target, recipe, encoder, seed: as in an Observation.
        ended: `finished`; `stopped` by a pruner, because of its curve; or `failed` by an error.
        why: reason of the failure; empty otherwise.
        curve: results of its epochs.
        epoch: number, from 0, of the epoch whose weights were kept; None unless it finished.
        seconds: time of the whole training.
        peak_mb: peak memory in MiB, see `Trained`; None unless it finished.
        device, finished_at: device, and time of its end (ISO 8601).
    """

    run_key: str
    source: str
    target: str
    recipe: str
    encoder: str
    seed: int
    ended: Ended
    why: str = ""
    curve: tuple[EpochRecord, ...] = ()
    epoch: int | None = None
    seconds: float = 0.0
    peak_mb: float | None = None
    device: str = ""
    finished_at: str = ""

    @property
    def cause(self) -> Cause:
        """The cause of a failure, read from its reason."""
        return cause_of(self.why)


def cause_of(why: str) -> Cause:
    """The cause of a failure, read from its reason.

    >>> cause_of("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
    'out of memory'
    """
    if why.startswith(f"{Diverged.__name__}: "):
        return "divergence"
    if why.startswith(f"{TimeLimit.__name__}: "):
        return "time limit"
    return "out of memory" if _MEMORY.search(why) else "other"
