"""The transfers that an atlas measures: drawn with a seed, and written to a file before anything is trained.

Pairs are drawn in rounds. In each round every target, in random order, gets a few new sources, the least used ones first, so
the atlas is balanced over sources and targets whenever it is stopped. A batch is one target's share of a round: its evidence
is measured together, and its transfers are trained together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from transfercast.core.cache import fingerprint
from transfercast.core.errors import InputError
from transfercast.core.files import read_json, write_json
from transfercast.core.records import ALONE, HIGHEST_SEED, Recipe
from transfercast.core.validation import checked
from transfercast.tasks.family import content_of

FORMAT = 1

Count = Annotated[int, Field(ge=0, le=1_000_000)]


class Settings(BaseModel):
    """The [collect] table of a tasks.toml.

    Attributes:
        pairs: largest number of pairs of source and target to train.
        batch: number of sources that a target gets in a round.
        repeated: number of these pairs that are trained with further seeds.
        seeds: number of seeds of a repeated pair, the first included.
        recipe: recipe of sources, targets alone and transfers.
        recipes: further recipes, with which `recipe_pairs` of the pairs are also trained.
        recipe_pairs: number of pairs that are trained with the further recipes.
        rows: other numbers of training rows of targets; such a target is named NAME.ROWS.
        rows_pairs: number of pairs that are also trained with each of these numbers of rows.
        documents: number of positive documents of a set that are attributed.
        seed: seed of the drawing, and first seed of the trainings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: Annotated[int, Field(ge=1, le=1_000_000)]
    batch: Annotated[int, Field(ge=1, le=1000)] = 5
    repeated: Count = 0
    seeds: Annotated[int, Field(ge=1, le=100)] = 3
    recipe: str = "full"
    recipes: tuple[str, ...] = ()
    recipe_pairs: Count = 0
    rows: tuple[Annotated[int, Field(ge=1)], ...] = ()
    rows_pairs: Count = 0
    documents: Annotated[int, Field(ge=1)] = 16
    seed: Annotated[int, Field(ge=0, le=HIGHEST_SEED - 100)] = 0

    @field_validator("recipe", "recipes")
    @classmethod
    def _recipes_are_known(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        try:
            keys = [Recipe.parse(key).key for key in ((value,) if isinstance(value, str) else value)]
        except InputError as error:
            raise ValueError(str(error)) from error
        return keys[0] if isinstance(value, str) else tuple(keys)


def settings_of(spec: Path) -> Settings:
    """The settings in a tasks.toml.

    Raises:
        InputError: if it has no [collect] table, or one that cannot be used.
    """
    table = content_of(spec).get("collect")
    if not isinstance(table, dict):
        raise InputError(f"{spec}: no [collect] table. Add one with at least the number of pairs to train, as in pairs = 200.")
    return checked(Settings, f"{spec}, [collect]", table)


@dataclass(frozen=True, slots=True)
class Run:
    """One training of a target from a source, or from the encoder (ALONE)."""

    source: str
    recipe: str
    seed: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Trainings of one target that are run together; `rows` is the number of training rows, None for all of the task."""

    target: str
    rows: int | None
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """Name of the target with this number of rows."""
        return self.target if self.rows is None else f"{self.target}.{self.rows}"


@dataclass(frozen=True, slots=True)
class Design:
    """The batches of an atlas, in the order of their measurement."""

    batches: tuple[Batch, ...]

    @property
    def id(self) -> str:
        """Fingerprint of all batches."""
        return fingerprint(design=[asdict(batch) for batch in self.batches])

    @property
    def runs(self) -> int:
        """Number of all trainings."""
        return sum(len(batch.runs) for batch in self.batches)

    def keep(self, path: Path) -> None:
        """Write the design to a file; if the file exists, check that it has the same design.

        Raises:
            InputError: if the file has another design.
        """
        if path.is_file():
            if read_json(path, "a design", FORMAT).get("id") != self.id:
                raise InputError(
                    f"{path}: its design differs from that of the current settings and tasks. Collect into another folder, or "
                    "restore the settings."
                )
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"format": FORMAT, "id": self.id, "batches": [asdict(batch) for batch in self.batches]})


def draw(sources: Sequence[str], targets: Sequence[str], own: Iterable[tuple[str, str]], settings: Settings) -> Design:
    """Draw an atlas.

    Args:
        sources, targets: names of tasks.
        own: pairs of a source and a target that are the same task, which are no transfers.
        settings: numbers of pairs, sources, seeds and so on.

    Raises:
        InputError: if there is no pair of different tasks.
    """
    rng = np.random.default_rng(settings.seed)
    rounds = _rounds(sources, targets, set(own), settings, rng)
    pairs = [(target, source) for target, chosen in rounds for source in chosen]
    if not pairs:
        raise InputError("no pair of a source and another task's target. Name more tasks.")
    drawn = [pairs[number] for number in rng.permutation(len(pairs))]
    repeated = set(drawn[: settings.repeated])
    in_recipes = set(drawn[len(drawn) - settings.recipe_pairs :]) if settings.recipe_pairs else set()
    batches = [Batch(target, None, _runs(target, chosen, repeated, in_recipes, settings)) for target, chosen in rounds]
    return Design((*_with_alone_once(batches, settings), *_other_rows(rounds, settings)))


def _rounds(
    sources: Sequence[str], targets: Sequence[str], own: set[tuple[str, str]], settings: Settings, rng: np.random.Generator
) -> list[tuple[str, list[str]]]:
    """The targets of each round, with the sources that they get in it."""
    used = dict.fromkeys(sources, 0)
    left = {target: [source for source in sources if (source, target) not in own] for target in targets}
    rounds: list[tuple[str, list[str]]] = []
    missing = settings.pairs
    while missing > 0 and any(left.values()):
        for target in rng.permutation(list(targets)):
            luck = dict(zip(sources, rng.random(len(sources)), strict=True))
            chosen = sorted(left[target], key=lambda source: (used[source], luck[source]))[: min(settings.batch, missing)]
            if chosen:
                rounds.append((str(target), chosen))
            for source in chosen:
                left[target].remove(source)
                used[source] += 1
            missing -= len(chosen)
    return rounds


def _runs(
    target: str,
    chosen: Sequence[str],
    repeated: set[tuple[str, str]],
    in_recipes: set[tuple[str, str]],
    settings: Settings,
) -> tuple[Run, ...]:
    """Trainings of a batch, after those of the target alone with the same recipes and seeds."""
    further = range(settings.seed + 1, settings.seed + settings.seeds)
    runs = [Run(source, settings.recipe, settings.seed) for source in chosen]
    runs += [Run(source, settings.recipe, seed) for source in chosen if (target, source) in repeated for seed in further]
    runs += [Run(source, key, settings.seed) for source in chosen if (target, source) in in_recipes for key in settings.recipes]
    alone = dict.fromkeys(Run(ALONE, Recipe.parse(run.recipe).alone.key, run.seed) for run in runs)
    return (*alone, *runs)


def _with_alone_once(batches: list[Batch], settings: Settings) -> list[Batch]:
    """The batches, with each training of a target alone only in the first batch that needs it."""
    known: set[tuple[str, Run]] = set()
    once = []
    for batch in batches:
        runs = tuple(run for run in batch.runs if (batch.target, run) not in known)
        known |= {(batch.target, run) for run in runs if run.source == ALONE}
        once.append(Batch(batch.target, batch.rows, runs))
    return once


def _other_rows(rounds: list[tuple[str, list[str]]], settings: Settings) -> Iterable[Batch]:
    """The first pairs again, with other numbers of training rows."""
    alone = Run(ALONE, settings.recipe, settings.seed)
    return chain.from_iterable(_with_rows(rounds, rows, alone, settings) for rows in settings.rows)


def _with_rows(rounds: list[tuple[str, list[str]]], rows: int, alone: Run, settings: Settings) -> Iterable[Batch]:
    missing = settings.rows_pairs
    for target, chosen in rounds:
        if missing > 0:
            runs = [Run(source, settings.recipe, settings.seed) for source in chosen[:missing]]
            yield Batch(target, rows, (alone, *runs))
            missing -= len(runs)
