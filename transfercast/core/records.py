"""Candidates, recipes and observations: which trainings there are, and their scores."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from transfercast.core.cache import fingerprint
from transfercast.core.errors import InputError
from transfercast.core.kinds import METRICS
from transfercast.core.text import printable
from transfercast.core.validation import checked

ALONE = "(alone)"  # the "source" of a target trained from the base encoder: no task or source can have this name

MOST_LETTERS = 200
"""Largest number of characters in the name of a column or measure."""

_RECIPE_EXAMPLE = "Write it as in 'full' or 'full/lr=0.0003/epochs=6/tokens=64'."

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


HIGHEST_SEED = 2**32 - 1


def checked_name(name: str, what: str) -> str:
    """`name`, if it can also be a folder's name.

    Raises:
        InputError: otherwise.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{what} name {name!r}: use up to 100 letters, digits, '.', '_', '+' or '-', the first a letter or digit."
        )
    return name


def checked_seed(seed: int) -> int:
    """`seed`, if every random generator takes it.

    Raises:
        InputError: otherwise.
    """
    if not 0 <= seed <= HIGHEST_SEED:
        raise InputError(f"seed {seed}: give a whole number from 0 to {HIGHEST_SEED}.")
    return seed


class Pair(NamedTuple):
    """A source to start from, and a target to train.

    Example:
        >>> import transfercast as tc
        >>> pair = tc.Pair("news", "reviews")
        >>> pair.source, pair.target
        ('news', 'reviews')
    """

    source: str
    target: str


class Candidate(NamedTuple):
    """A pair and the key of the recipe that would train it: the index of every table."""

    source: str
    target: str
    recipe: str

    @property
    def pair(self) -> Pair:
        """Source and target, without the recipe."""
        return Pair(self.source, self.target)


Adaptation = Literal["full", "features", "ulmfit", "lora", "multitask"]

_PARTS = {
    "lr": "learning_rate", "epochs": "epochs", "batch": "batch_size", "tokens": "max_tokens", "lm": "lm_epochs",
    "sampling": "sampling", "weight": "source_weight", "head": "head", "choose": "choose", "threshold": "threshold",
}  # fmt: skip
"""The parts of a recipe's key, in their order, and the field of each."""
_OWN_PARTS = {"lm_epochs": "ulmfit", "sampling": "multitask", "source_weight": "multitask"}
"""Fields that only one adaptation has."""

_RATES = {"full": 1e-4, "ulmfit": 1e-3, "lora": 1e-3, "multitask": 1e-4}
FEWEST_EPOCHS, MOST_EPOCHS, ENOUGH_UPDATES = 4, 12, 190
LM_EPOCHS = 1
FROZEN_PASSES = 1 / 3
"""Cost of encoding rows once with a frozen encoder, in passes of training: a backward pass costs about two forward ones."""


class Recipe(BaseModel):
    """How a model is fine-tuned.

    Attributes:
        adaptation: `full` trains all weights with linear decay; `features` solves for a head on the outputs of the
            frozen encoder, without rate and epochs; `ulmfit` fine-tunes the encoder as a language model on the training texts,
            then uses discriminative rates, a slanted triangular schedule and gradual unfreezing (Howard and Ruder 2018);
            `lora` trains low-rank adapters beside the encoder's matrices, and adds them to these (Hu et al. 2022);
            `multitask` trains the base encoder on source and target together, with a head each (Caruana 1997).
        learning_rate: learning rate of the encoder (for `ulmfit`, of the head); None takes the adaptation's default.
        epochs: passes over the training rows; None takes a number that depends on the number of rows.
        batch_size: rows of an update.
        max_tokens: number of tokens at which texts are truncated.
        lm_epochs: for `ulmfit`, passes over the texts as a language model; None takes LM_EPOCHS, 0 leaves that stage out.
        sampling: for `multitask`, how many of the source's rows an epoch reads: `inverse` as many as the target has (each row
            is drawn with a probability inverse to its task's size, so both tasks weigh the same), `proportional` all.
        source_weight: for `multitask`, factor of the source's loss.
        head: `keep` starts from the head of a checkpoint that has the same labels, `fresh` from a new one.
        choose: which epoch's weights are the result: those that are `best` on validation, or the `last`.
        threshold: the probability from which a binary task's row is positive: the best on `validation`, or one `half`.

    Example:
        >>> import transfercast as tc
        >>> recipe = tc.Recipe(learning_rate=3e-4, epochs=6)
        >>> recipe.key
        'full/lr=0.0003/epochs=6'
        >>> tc.Recipe.parse("features/tokens=64").max_tokens
        64
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    adaptation: Adaptation = "full"
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    max_tokens: Annotated[int, Field(ge=8, le=8192)] = 128
    lm_epochs: Annotated[int, Field(ge=0, le=1000)] | None = None
    sampling: Literal["inverse", "proportional"] = "inverse"
    source_weight: Annotated[float, Field(gt=0, le=100)] = 1.0
    head: Literal["fresh", "keep"] = "keep"
    choose: Literal["best", "last"] = "best"
    threshold: Literal["validation", "half"] = "validation"

    @model_validator(mode="after")
    def _has_only_its_own_parts(self) -> Recipe:
        if self.adaptation == "features" and (self.learning_rate is not None or self.epochs is not None):
            raise ValueError("features takes neither lr= nor epochs=: its head is solved for on the frozen encoder's outputs")
        for word, name in _PARTS.items():
            owner = _OWN_PARTS.get(name, self.adaptation)
            if owner != self.adaptation and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{word}= is a part of {owner} alone")
        return self

    @property
    def key(self) -> str:
        """The recipe as one word, which `parse` reads back; parts that equal the default are left out.

        >>> Recipe().key, Recipe(learning_rate=3e-4, epochs=6).key
        ('full', 'full/lr=0.0003/epochs=6')
        >>> Recipe.parse("features/tokens=64").key
        'features/tokens=64'
        """
        default = type(self).model_fields
        parts = [
            f"{word}={getattr(self, name)}" for word, name in _PARTS.items() if getattr(self, name) != default[name].default
        ]
        return "/".join([self.adaptation, *parts])

    @classmethod
    def parse(cls, key: str) -> Recipe:
        """The recipe of a key; parts that the key leaves out take the default.

        Raises:
            InputError: if the key has an unknown part or a value out of range.

        Example:
            >>> import transfercast as tc
            >>> recipe = tc.Recipe.parse("lora/epochs=6")
            >>> recipe.adaptation, recipe.epochs, recipe.rate
            ('lora', 6, 0.001)
        """
        adaptation, *parts = key.split("/")
        given = {}
        for part in parts:
            name, equals, value = part.partition("=")
            if name not in _PARTS or not equals:
                raise InputError(
                    f"recipe {key!r}: {part!r} is not one of {', '.join(f'{n}=' for n in _PARTS)}. {_RECIPE_EXAMPLE}"
                )
            if _PARTS[name] in given:
                raise InputError(f"recipe {key!r}: {name}= stands twice. {_RECIPE_EXAMPLE}")
            given[_PARTS[name]] = value
        return checked(cls, f"recipe {key!r}", {"adaptation": adaptation, **given}, remedy=_RECIPE_EXAMPLE)

    @property
    def rate(self) -> float | None:
        """The learning rate, as given or the adaptation's default; None for `features`, which has none."""
        return self.learning_rate or _RATES.get(self.adaptation)

    def adapted(self, adaptation: Adaptation) -> Recipe:
        """The same recipe with another adaptation, without the parts that the other adaptation does not have.

        >>> Recipe.parse("multitask/epochs=5/weight=0.5").adapted("full").key
        'full/epochs=5'
        """
        lost = {name for name, owner in _OWN_PARTS.items() if owner != adaptation}
        if adaptation == "features":
            lost |= {"learning_rate", "epochs"}
        return Recipe(**{**self.model_dump(exclude=lost), "adaptation": adaptation})

    @property
    def alone(self) -> Recipe:
        """The recipe for a target without a source: `full` in place of `multitask`, which needs two tasks."""
        return self.adapted("full") if self.adaptation == "multitask" else self

    def epochs_of(self, train_rows: int) -> int:
        """Epochs, as given or for so many rows: fewer rows get more epochs, because the number of updates is what matters.

        >>> [Recipe().epochs_of(rows) for rows in (100, 300, 2000)]
        [12, 10, 4]
        """
        if self.epochs is not None:
            return self.epochs
        updates = -(-train_rows // self.batch_size)
        return min(MOST_EPOCHS, max(FEWEST_EPOCHS, -(-ENOUGH_UPDATES // max(updates, 1))))

    def passes(self, train_rows: int) -> float:
        """Cost of a training, in passes of training over so many rows; a pass as a language model counts as any other.

        The source of `multitask` counts as many rows as the target, also where sampling is `proportional`.
        """
        if self.adaptation == "features":
            return FROZEN_PASSES
        if self.adaptation == "multitask":
            return 2 * self.epochs_of(train_rows)
        return self.epochs_of(train_rows) + (self.settled(train_rows).lm_epochs or 0)

    def settled(self, train_rows: int) -> Recipe:
        """The recipe with rate and epochs filled in for so many training rows.

        >>> Recipe().settled(300).key
        'full/lr=0.0001/epochs=10'
        """
        if self.adaptation == "features":
            return self
        language = {"lm_epochs": LM_EPOCHS if self.lm_epochs is None else self.lm_epochs} if self.adaptation == "ulmfit" else {}
        return self.model_copy(update={"learning_rate": self.rate, "epochs": self.epochs_of(train_rows), **language})


@dataclass(frozen=True, slots=True)
class Observation:
    """One measured training: a target trained from a source (or ALONE), and its score.

    Attributes:
        source, target: names; `source` is ALONE for the target trained from the base encoder.
        recipe: the recipe's key.
        encoder: name of the base encoder.
        seed: of initialisation and row order.
        metric: a key of METRICS; `score` is in its range.
        split: the split that was scored, `validation` or `test`.
        hours: wall-clock hours of the training.
        features: values of measures (by column) before the training, so that a history is enough to learn from.
        run_key: identity of the run, without its time: the same run recorded twice is one observation.
        versions: versions of the measures that made `features`, where they are known.

    Example:
        >>> import transfercast as tc
        >>> observation = tc.Observation(
        ...     source="news", target="reviews", recipe="full", encoder="offline", seed=0,
        ...     metric="accuracy", split="validation", score=0.81, hours=0.05, features={"logme": 0.4},
        ... )
        >>> observation.score, observation.device
        (0.81, 'cpu')
    """

    source: str
    target: str
    recipe: str
    encoder: str
    seed: int
    metric: str
    split: str
    score: float
    hours: float
    device: str = "cpu"
    finished_at: str = ""
    source_fingerprint: str = ""
    target_fingerprint: str = ""
    features: dict[str, float] = field(default_factory=dict)
    run_key: str = ""
    versions: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse values that cannot be measurements, and compute the run key if none was given."""
        if self.metric not in METRICS:
            raise InputError(f"metric {self.metric!r} is unknown; known are {', '.join(METRICS)}.")
        metric = METRICS[self.metric]
        if not metric.lowest <= self.score <= metric.highest:
            raise InputError(f"score {self.score} is outside [{metric.lowest}, {metric.highest}] of {self.metric}.")
        if not (self.hours >= 0 and math.isfinite(self.hours)):
            raise InputError(f"hours {self.hours} is not a duration.")
        if self.split not in ("validation", "test"):
            raise InputError(f"split {self.split!r} is not 'validation' or 'test'.")
        if not self.run_key:
            object.__setattr__(self, "run_key", self.identity())

    def identity(self) -> str:
        """Fingerprint of the run."""
        return run_key_of(
            source=self.source,
            target=self.target,
            recipe=self.recipe,
            encoder=self.encoder,
            seed=self.seed,
            metric=self.metric,
            split=self.split,
            source_fingerprint=self.source_fingerprint,
            target_fingerprint=self.target_fingerprint,
        )


def run_key_of(
    *,
    source: str,
    target: str,
    recipe: str,
    encoder: str,
    seed: int,
    metric: str,
    split: str,
    source_fingerprint: str,
    target_fingerprint: str,
) -> str:
    """Identity of a run, also of a future one; the fields are those of an Observation."""
    return fingerprint(run=locals())


RESERVED = frozenset({*(part.name for part in fields(Observation)), "baseline"})
"""Names that no feature can have: the fields of a record, and the column that the history computes from targets alone."""


def checked_feature(name: str) -> str:
    """`name`, if a feature can have it.

    Raises:
        ValueError: if it is empty, too long, reserved, or holds characters that cannot be shown.
    """
    if not 0 < len(name) <= MOST_LETTERS or printable(name) != name or set(name) & set("\t\n"):
        raise ValueError(f"a column's name has 1 to {MOST_LETTERS} letters, and no control characters")
    if name in RESERVED:
        raise ValueError(f"{name!r} is a field of the observation itself; give the feature another name")
    return name
