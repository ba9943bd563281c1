"""The description of a task: the keys of tasks.toml and of Task.from_csv."""

from __future__ import annotations

import difflib
import os
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from transfercast.core.kinds import MetricName
from transfercast.core.records import HIGHEST_SEED

FileFormat = Literal["csv", "tsv", "jsonl", "parquet", "conll"]
Format = Literal[FileFormat, "hub"]
StatedKind = Literal["binary", "multiclass", "regression", "sequence"]


def _written(place: Any) -> Any:
    return os.fspath(place) if isinstance(place, os.PathLike) else place


Place = Annotated[str, BeforeValidator(_written)]
Label = Annotated[str, Field(coerce_numbers_to_str=True)]  # positive = 1 and label = -1 mean the same as "1" and "-1"


class Rows(BaseModel):
    """Largest number of rows that each split keeps (a seeded sample); None keeps all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: Annotated[int, Field(ge=1)] | None = None
    validation: Annotated[int, Field(ge=1)] | None = None
    test: Annotated[int, Field(ge=1)] | None = None


class TaskSpec(BaseModel):
    """The files of a task's rows, and how to read them.

    Attributes:
        name: name of the task; for one label of a `multilabel` file, the label's name unless given.
        kind: None infers it: two labels are binary, numbers with fractions a regression, lists of tags sequences, other lists
            several labels a row, all else classes; ambiguous labels are refused. `multilabel` reads the 0/1 columns
            `labels`: one of them (`label`) as a binary task over shared documents, or with `joint` all in one task; without
            `labels`, the column `label` holds a list of labels in each row, and they are one task.
        metric: metric of the task, such as macro_f1 or mcc; None takes the default of its kind (core.kinds.METRIC_OF).
        format: format of the files; None takes that of the file's ending.
        train, validation, test: files (or, for `hub`, split names); if validation or test is missing, about a
            tenth of the training rows is set aside for it, by the hash of the text: the same text, in this task or
            another, is in the same split.
        hub, hub_config: a Hugging Face data set (or folder) and its configuration, for format `hub`.
        text, text_pair, label: column names; for CoNLL, `label` is the number of the tag's column, -1 the last.
        positive: for `binary`, the label that is positive; rows with another label, or with a list of labels that lacks it,
            are negative. None takes the label that means yes (1, true, yes, positive), class 1 of two named classes, the
            greater of two numbers, or the rarer of two names.
        labels: for `multilabel`, the family's label columns.
        joint: whether all `labels` are one task, which has one head with a probability for each label.
        rows: caps; the first rows of one seeded order, so a smaller cap is a subset of a larger one.
        positive_share: share of positive rows (with any of `labels`) among the capped rows, for labels so rare that a cap
            could lose them; scores then hold for that mix.
        drop: rows to leave out instead of stopping with an error: `rare_labels` (a label that only one split has; in
            sequences its tags become O), `empty_text` (for a pair, if either text is empty).
        seed: seed of splitting and sampling.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    kind: Literal[StatedKind, "multilabel"] | None = None
    metric: MetricName | None = None
    format: Format | None = None
    train: Place = "train"
    validation: Place | None = None
    test: Place | None = None
    hub: str | None = None
    hub_config: str | None = None
    text: str = "text"
    text_pair: str | None = None
    label: Label = "label"
    positive: Label | None = None
    labels: tuple[str, ...] = ()
    joint: bool = False
    rows: Rows = Rows()
    positive_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    drop: tuple[Literal["rare_labels", "empty_text"], ...] = ()
    seed: Annotated[int, Field(ge=0, le=HIGHEST_SEED)] = 0

    @model_validator(mode="after")
    def _fits_together(self) -> TaskSpec:
        if self.joint and len(self.labels) < 2:
            raise ValueError("joint is for kind 'multilabel' with labels = [...], two 0/1 columns at least")
        if self.joint and self.label in self.labels and self.label != "label":  # which may be no more than the default
            raise ValueError(f"label = {self.label!r} is one of the labels, joint = true takes all; leave one out")
        if self.kind != "multilabel" and self.labels:
            raise ValueError("labels = [...] is for kind 'multilabel' only; for one column say label = '...'")
        if self.labels and not self.joint and "label" in self.model_fields_set and self.label not in self.labels:
            near = difflib.get_close_matches(self.label, self.labels, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"label {self.label!r} is not one of labels = {list(self.labels)}{hint}")
        if self.positive is not None and self.kind not in (None, "binary"):
            raise ValueError("positive = '...' is for kind 'binary' only")
        if self.format == "hub" and not self.hub:
            raise ValueError("format 'hub' needs hub = 'owner/name'")
        return self
