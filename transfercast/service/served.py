"""The active predictor: one immutable object, replaced by assignment, so that a request keeps the one it began with."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

from transfercast.core.errors import TransfercastError
from transfercast.predictor import versions
from transfercast.predictor.predictor import Predictor

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 1.0


class Served:
    """The predictor in force in a folder; it follows promotions and roll-backs by other processes.

    Args:
        folder: folder that train-meta wrote; None serves the predictor that comes with the package.

    Attributes:
        predictor: the active predictor.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.predictor = Predictor.load(folder)
        self._seen = self._in_force()
        self._lock = threading.Lock()

    async def watch(self) -> None:
        """Serve what other processes promote, within a second or two, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Load the version in force, if it has changed; if it cannot be loaded, the old one stays active."""
        with self._lock:
            try:
                in_force = self._in_force()
                if in_force == self._seen:
                    return
                self._seen = in_force  # a version that cannot be loaded is tried once, not every second
                self.predictor = Predictor.load(self.folder)
            except TransfercastError as error:
                log.error("still serving %s: %s", self.predictor.id, error)

    def _in_force(self) -> str | None:
        if self.folder is None or (self.folder / "manifest.json").is_file():
            return None
        return next(reversed(versions.promoted_ids(self.folder)), None)
