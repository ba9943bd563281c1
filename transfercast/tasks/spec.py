"""How a task is described: the keys of tasks.toml and of Task.from_csv."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Format = Literal["csv", "tsv", "jsonl", "parquet", "conll", "hub"]


class Rows(BaseModel):
    """At most how many rows each split keeps (a seeded sample); None keeps all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: Annotated[int, Field(ge=1)] | None = None
    validation: Annotated[int, Field(ge=1)] | None = None
    test: Annotated[int, Field(ge=1)] | None = None


class TaskSpec(BaseModel):
    """Where a task's rows lie and what they mean.

    Attributes:
        name: of the task; for `multilabel` of one label, the label's name unless given.
        kind: `multilabel` reads one 0/1 column of `labels` as a binary task over shared documents; None infers.
        format: None goes by the file's ending.
        train, validation, test: files (or, for `hub`, split names); where validation or test is missing, a tenth of
            the training rows is set aside for it.
        hub, hub_config: a Hugging Face data set (or folder) and its configuration, for format `hub`.
        text, text_pair, label: column names; for CoNLL, `label` is the number of the tag's column, -1 the last.
        positive: for `binary`, the label that is positive; all others are negative.
        labels: for `multilabel`, the family's label columns.
        rows: caps; the first rows of one seeded order, so a smaller cap is a subset of a larger one.
        positive_share: the share of capped rows that carry a positive (any of `labels`), where rare labels would
            otherwise vanish; scores then hold for that mix.
        drop: what to leave out instead of stopping: rows of `rare_labels` (a label that only one split has; in
            sequences its tags become O), rows of `empty_text`.
        seed: of splitting and sampling.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    kind: Literal["binary", "multiclass", "regression", "sequence", "multilabel"] | None = None
    format: Format | None = None
    train: str = "train"
    validation: str | None = None
    test: str | None = None
    hub: str | None = None
    hub_config: str | None = None
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    positive: str | None = None
    labels: tuple[str, ...] = ()
    rows: Rows = Rows()
    positive_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    drop: tuple[Literal["rare_labels", "empty_text"], ...] = ()
    seed: int = 0

    @model_validator(mode="after")
    def _fits_together(self) -> TaskSpec:
        if self.kind == "multilabel" and not self.labels:
            raise ValueError("kind 'multilabel' needs labels = [...], the 0/1 columns")
        if self.positive is not None and self.kind not in (None, "binary"):
            raise ValueError("positive = '...' is for kind 'binary' only")
        if self.format == "hub" and not self.hub:
            raise ValueError("format 'hub' needs hub = 'owner/name'")
        return self
