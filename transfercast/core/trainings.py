"""How a training went, epoch by epoch, whether it came to a score or not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from transfercast.core.errors import TransfercastError

Ended = Literal["finished", "stopped", "failed"]
Cause = Literal["out of memory", "divergence", "time limit", "other"]


class Diverged(TransfercastError):
    """A training whose loss is no number any more."""


class TimeLimit(TransfercastError):
    """A training that took longer than it was allowed."""


_MEMORY = re.compile(r"MemoryError|out of memory|not enough memory|can't allocate memory", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """What one epoch brought.

    Attributes:
        score: on validation, by the task's metric; where validation is large beside the training rows, on a part of it.
        loss: mean over the epoch's updates; of a head that was solved for, on validation; None where it is no number.
        seconds: of the updates; scoring is not counted.
        average_precision: of a binary task on validation: how well its rows are ranked, whatever the threshold; else None.
    """

    score: float
    loss: float | None
    seconds: float
    average_precision: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """One training, also one that was stopped or failed.

    Attributes:
        run_key: of the observation that came of it, or would have.
        source, target, recipe, encoder, seed: as of an Observation.
        ended: `stopped` by a pruner, for its curve; `failed` by an error.
        why: it failed; empty otherwise.
        curve: of the epochs that it came to.
        epoch: whose weights are the result, from 0; None unless it finished.
        seconds: all that it took.
        peak_mb: memory in MiB, see `Trained`; None unless it finished.
        device, finished_at: where, and when it ended (ISO 8601).
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
        """What a failure was owed to, as its reason says."""
        return cause_of(self.why)


def cause_of(why: str) -> Cause:
    """What the reason of a failure says that it was owed to.

    >>> cause_of("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
    'out of memory'
    """
    for kind, cause in ((Diverged, "divergence"), (TimeLimit, "time limit")):
        if why.startswith(f"{kind.__name__}: "):
            return cause  # type: ignore[return-value] # mypy widens the tuple's literals
    return "out of memory" if _MEMORY.search(why) else "other"
