"""Models of a search on disk: each is kept until a better one of its target is on record."""

from __future__ import annotations

import shutil
from pathlib import Path

from transfercast.core.files import replaced_folder
from transfercast.core.records import Observation
from transfercast.sources.finetune import Trained
from transfercast.sources.source import save_trained


class Keeper:
    """Keeps the best model of each target in SEARCHES/SEARCH/TARGET/RUN.

    Args:
        searches: folder of all searches on a pool.
        search: name of this one.
    """

    def __init__(self, searches: Path, search: str) -> None:
        self.searches = searches
        self.folder = searches / search

    def folder_of(self, observation: Observation) -> Path:
        """Where the model of an observed run lies, or lay."""
        return self.folder / observation.target / observation.run_key[:16]

    def holds(self, observation: Observation) -> bool:
        """Whether a run's model is here, copied from another search that ran it where need be."""
        if self.folder_of(observation).is_dir():
            return True
        for found in self.searches.glob(f"*/{observation.target}/{observation.run_key[:16]}"):
            self.copy(observation, found)
            return True
        return False

    def keep(self, observation: Observation, trained: Trained) -> None:
        """Save a model, before its observation is recorded."""
        with replaced_folder(self.folder_of(observation)) as new:
            save_trained(trained, new)

    def copy(self, observation: Observation, checkpoint: Path) -> None:
        """Keep a model that lies somewhere already."""
        with replaced_folder(self.folder_of(observation)) as new:
            shutil.copytree(checkpoint, new, dirs_exist_ok=True)

    def prune(self, observed: list[Observation]) -> None:
        """Remove all models of a target but the best of those on record.

        A model whose observation is still to come is left alone, so that other processes may save meanwhile.
        """
        best = max(observed, key=lambda observation: observation.score)
        for observation in observed:
            if observation.run_key != best.run_key:
                shutil.rmtree(self.folder_of(observation), ignore_errors=True)
