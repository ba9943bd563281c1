"""Feature tables and plans that the page offers: those in one folder, by their names in its listing."""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException

from transfercast.core.errors import TransfercastError
from transfercast.core.plan import Plan
from transfercast.core.table import FeatureTable
from transfercast.service.limits import MOST_BYTES, MOST_FILES


class Files:
    """Files of a folder; a name from a request is compared with the listing and never used as a path.

    Args:
        folder: None offers nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def tables(self) -> list[str]:
        """Names of the Parquet files, at most MOST_FILES."""
        return [path.name for path in self._listed("*.parquet")]

    def table(self, name: str) -> FeatureTable:
        """A table by its name.

        Raises:
            HTTPException: if none is listed by this name.
            ArtifactError: if it is no feature table.
        """
        path = next((path for path in self._listed("*.parquet") if path.name == name), None)
        if path is None:
            raise HTTPException(404, f"no feature table {name!r}; GET /v1/tables lists them.")
        return FeatureTable.load(path)

    def plans(self) -> dict[str, Plan]:
        """Every file that is a plan, by its name, the newest first."""
        found = {}
        for path in sorted(self._listed("*.json"), key=lambda path: -path.stat().st_mtime):
            try:
                found[path.name] = Plan.load(path)
            except TransfercastError:  # other JSON files may be there
                continue
        return found

    def _listed(self, pattern: str) -> list[Path]:
        if self._folder is None:
            return []
        found = (path for path in sorted(self._folder.glob(pattern)) if path.is_file() and path.stat().st_size <= MOST_BYTES)
        return [path for path, _ in zip(found, range(MOST_FILES), strict=False)]
