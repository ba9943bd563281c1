"""Models of a search on disk: the best of each target is kept, and the target alone until both have test scores."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from transfercast.core.files import MARKER, remove_leftovers, replaced_folder
from transfercast.core.records import Observation, checked_name
from transfercast.sources.finetune import Trained
from transfercast.sources.source import save_trained


class CheckpointStore:
    """Keeps models of each target in SEARCHES/SEARCH/TARGET/RUN.

    Args:
        searches: folder of all searches on a pool; partial folders of killed searches are removed from it.
        search: name of this search.

    Raises:
        InputError: if `search` cannot be a folder's name.
    """

    def __init__(self, searches: Path, search: str) -> None:
        self.searches = searches
        self.folder = searches / checked_name(search, "search")
        for target in searches.glob("*/*"):
            remove_leftovers(target)

    def folder_of(self, observation: Observation) -> Path:
        """Folder of the model of an observed run; the model may have been removed.

        Raises:
            InputError: if the target's name or the run key cannot be a folder's name.
        """
        return self.folder / checked_name(observation.target, "target") / checked_name(observation.run_key[:16], "run")

    def holds(self, observation: Observation) -> bool:
        """Whether the store has a run's model; if another search has it, it is copied."""
        folder = self.folder_of(observation)
        if folder.is_dir():
            return True
        for elsewhere in self.searches.glob(f"*/{folder.parent.name}/{folder.name}"):
            self.copy(observation, elsewhere)
            return True
        return False

    def keep(self, observation: Observation, trained: Trained) -> None:
        """Save a model, before its observation is recorded."""
        with replaced_folder(self.folder_of(observation)) as new:
            save_trained(trained, new)

    def copy(self, observation: Observation, checkpoint: Path) -> None:
        """Copy a saved model into the store; the copy is owned by this process, whichever process made the model."""
        with replaced_folder(self.folder_of(observation)) as new:
            shutil.copytree(checkpoint, new, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MARKER))

    def prune(self, observed: Iterable[Observation], keep: Iterable[Observation]) -> None:
        """Remove the models of observed runs, except some.

        A model without an observation yet is kept, so that other processes can save models meanwhile.
        """
        kept = {observation.run_key for observation in keep}
        for observation in observed:
            if observation.run_key not in kept:
                shutil.rmtree(self.folder_of(observation), ignore_errors=True)
