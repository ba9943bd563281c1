"""A task: texts and labels in three splits, and a metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from transfercast.core.cache import fingerprint
from transfercast.core.errors import InputError, ShapeError
from transfercast.core.kinds import Kind, metric_for
from transfercast.core.records import checked_name

SPLITS = ("train", "validation", "test")

Text = str | tuple[str, str] | tuple[str, ...]  # one text, a pair of texts, or the tokens of a sentence


@dataclass(frozen=True, slots=True, repr=False)
class Examples:
    """n labelled documents.

    Attributes:
        texts: n strings, n pairs of strings, or (sequence tasks) n tuples of tokens.
        labels: (n,) int64 class numbers, (n, C) int64 0 and 1 of several labels, (n,) float64, or (sequence tasks) n tuples
            of BIO tags.
        ids: n strings made from the texts, by which the same document is recognised in another task.
    """

    texts: tuple[Any, ...]
    labels: Any
    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse texts, labels and ids whose numbers differ."""
        if not len(self.texts) == len(self.labels) == len(self.ids):
            raise ShapeError(f"{len(self.texts)} texts, {len(self.labels)} labels, {len(self.ids)} ids.")

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"Examples({len(self)} documents)"

    def take(self, rows: Sequence[int] | np.ndarray) -> Examples:
        """The documents at `rows`, in that order."""
        numbers = [int(row) for row in rows]
        labels = self.labels[numbers] if isinstance(self.labels, np.ndarray) else tuple(self.labels[r] for r in numbers)
        return Examples(tuple(self.texts[r] for r in numbers), labels, tuple(self.ids[r] for r in numbers))

    @staticmethod
    def concatenated(first: Examples, second: Examples) -> Examples:
        """The documents of both, in order."""
        if isinstance(first.labels, np.ndarray):
            labels: Any = np.concatenate([first.labels, second.labels])
        else:
            labels = (*first.labels, *second.labels)
        return Examples((*first.texts, *second.texts), labels, (*first.ids, *second.ids))


@dataclass(frozen=True, slots=True, repr=False)
class Task:
    """A labelled text task.

    Attributes:
        name: unique in a family; also a folder's name.
        kind: binary, multiclass, multilabel, regression or sequence.
        splits: train, validation and test.
        label_names: (C,) class names; for sequence tasks the BIO tags, `O` first; empty for regression.
        spec: how to read the task again (JSON), so that a search can be started from a plan alone.
        about: one sentence on how the file was interpreted: kind, classes, which is positive, rows left out.
        notes: defects that may make scores wrong, such as the same text in train and test.
        metric: a key of METRICS; by default that of its kind.
        fingerprint: fingerprint of all contents.

    Example:
        >>> import pandas as pd
        >>> import transfercast as tc
        >>> things = ("film", "book", "song", "play", "meal", "trip")
        >>> words = {"good": 1, "great": 1, "bad": 0, "poor": 0}
        >>> rows = [(f"{word} {thing}", label) for word, label in words.items() for thing in things]
        >>> reviews = pd.DataFrame(rows, columns=["text", "label"])
        >>> task = tc.Task.from_dataset(reviews, name="reviews")
        >>> task.kind.value, task.metric
        ('binary', 'positive_f1')
        >>> {split: len(examples) for split, examples in task.splits.items()}
        {'train': 19, 'validation': 3, 'test': 2}
    """

    name: str
    kind: Kind
    splits: dict[str, Examples]
    label_names: tuple[str, ...]
    spec: dict[str, Any] | None = None
    about: str = field(default="", compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    metric: str = ""
    fingerprint: str = field(default="", compare=False)

    def __repr__(self) -> str:
        rows = " + ".join(str(len(examples)) for examples in self.splits.values())
        return f"Task({self.name!r}, {self.kind}, {rows} rows, {self.metric})"

    def __post_init__(self) -> None:
        """Check name and metric, and fingerprint the contents."""
        checked_name(self.name, "task")
        object.__setattr__(self, "metric", metric_for(self.kind, self.metric, f"task {self.name!r}"))
        contents = {name: _content(examples) for name, examples in self.splits.items()}
        made = fingerprint(kind=str(self.kind), label_names=list(self.label_names), splits=contents)
        object.__setattr__(self, "fingerprint", made)

    @property
    def seen(self) -> Examples:
        """Training and validation rows: the only ones that a measure may read."""
        return Examples.concatenated(self.splits["train"], self.splits["validation"])

    def positives(self, examples: Examples) -> np.ndarray:
        """(p,) row numbers of the positive documents.

        Binary: label 1. Multi-label: at least one label. Sequence: at least one span. Multi-class and regression: every
        document, because no class is special there.
        """
        if self.kind is Kind.BINARY:
            return np.flatnonzero(examples.labels == 1)
        if self.kind is Kind.MULTILABEL:
            return np.flatnonzero(examples.labels.any(axis=1))
        if self.kind is Kind.SEQUENCE:
            return np.flatnonzero([any(tag != "O" for tag in tags) for tags in examples.labels])
        return np.arange(len(examples))

    @classmethod
    def from_csv(cls, path: str | Path, *, text: str = "text", label: str | None = None, **options: Any) -> Task:
        """Read one file, which is split 80/10/10 by the hash of each text, or one file for each split.

        Args:
            path: the file; it holds the training rows if `validation` or `test` are in `options`.
            text, label: columns, by default `text` and `label`.
            options: any other field of TaskSpec: name, kind, metric, positive, labels, validation, test, rows, seed ...

        Raises:
            InputError: naming file, line, value and remedy.

        Example:
            >>> import pandas as pd
            >>> import transfercast as tc
            >>> things = ("film", "book", "song", "play", "meal", "trip")
            >>> words = {"good": 1, "great": 1, "bad": 0, "poor": 0}
            >>> rows = [(f"{word} {thing}", label) for word, label in words.items() for thing in things]
            >>> pd.DataFrame(rows, columns=["text", "helpful"]).to_csv("reviews.csv", index=False)
            >>> tc.Task.from_csv("reviews.csv", label="helpful")
            Task('reviews', binary, 19 + 3 + 2 rows, positive_f1)
        """
        from transfercast.core.validation import checked
        from transfercast.tasks.family import name_from, read_task
        from transfercast.tasks.spec import TaskSpec

        if str(options.setdefault("train", path)) != str(path):
            raise InputError(f"{path}: is the file of the training rows; leave train = {str(options['train'])!r} out.")
        options.setdefault("name", name_from(Path(path).stem))
        return read_task(checked(TaskSpec, str(path), {"text": text, **({} if label is None else {"label": label}), **options}))

    @classmethod
    def from_dataset(
        cls, data: Any, *, text: str = "text", label: str | None = None, keep: str | Path | None = None, **options: Any
    ) -> Task:
        """Make a task from data in memory: one table is split as by `from_csv`; several tables are the splits.

        Class numbers of `datasets` (also in lists, as of tags) are read as their names; of two named classes number 1 is
        positive. Booleans, whole numbers with or without a fraction of zero, texts and categories are read as in a file. How
        the data were interpreted is logged in one line, and kept in `about`.

        Args:
            data: a `datasets` Dataset or DatasetDict, a pandas DataFrame, or a dictionary of such tables. From a
                dictionary, train, validation (or valid, val, dev) and test are taken unless `options` say otherwise.
            text, label: columns, by default `text` and `label`; nested ones with a point, as in `tokens.tag`.
            keep: folder in which texts and labels are kept as Parquet, so that a search can read them again; by default one
                in the user's data folder.
            options: any other field of TaskSpec: name, kind, metric, positive, text_pair, rows, seed ...; `train`,
                `validation`, `test` name splits of a dictionary.

        Raises:
            InputError: naming split, row, value and remedy.

        Example:
            >>> import pandas as pd
            >>> import transfercast as tc
            >>> train = pd.DataFrame({"review": ["a good film", "a bad film", "a fair film"], "stars": [4.5, 1.0, 3.0]})
            >>> validation = pd.DataFrame({"review": ["a good book", "a bad book"], "stars": [4.0, 1.5]})
            >>> test = pd.DataFrame({"review": ["a good song", "a bad song"], "stars": [5.0, 2.0]})
            >>> tables = {"train": train, "validation": validation, "test": test}
            >>> tc.Task.from_dataset(tables, text="review", label="stars", name="stars")
            Task('stars', regression, 3 + 2 + 2 rows, pearson_spearman)
        """
        from transfercast.tasks.memory import task_of_data

        return task_of_data(data, keep, {"text": text, **({} if label is None else {"label": label}), **options})


def _content(examples: Examples) -> list[Any]:
    labels = examples.labels.tolist() if isinstance(examples.labels, np.ndarray) else list(examples.labels)
    return [list(examples.texts), labels]
