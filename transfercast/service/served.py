"""The predictor that is served: one immutable object, replaced by assignment, so that requests keep the one they began with."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from transfercast.core.errors import TransfercastError
from transfercast.predictor import artifact
from transfercast.predictor.model import Predictor

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 1.0


class Served:
    """The predictor in force in a folder, followed as others promote and roll back.

    Args:
        folder: that train-meta wrote; None serves the prior.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._loaded = Predictor.load(folder)
        self._seen = self._in_force()
        self._looked = time.monotonic()
        self._lock = threading.Lock()

    @property
    def predictor(self) -> Predictor:
        """The one in force now; what another process promoted is served within a second or two."""
        if self.folder is not None and time.monotonic() - self._looked > LOOK_EVERY_SECONDS:
            self._looked = time.monotonic()
            if self._in_force() != self._seen:
                threading.Thread(target=self.reload, name="reload the predictor", daemon=True).start()
        return self._loaded

    def reload(self) -> None:
        """Load what is in force; if it cannot be loaded, the old one goes on being served and the log says why."""
        with self._lock:
            seen = self._in_force()
            try:
                self._loaded = Predictor.load(self.folder)
            except TransfercastError as error:
                log.error("still serving %s: %s", self._loaded.id, error)
            self._seen = seen

    def _in_force(self) -> str | None:
        if self.folder is None or (self.folder / "manifest.json").is_file():
            return None
        return next(reversed(artifact.promoted_ids(self.folder)), None)
