"""The data sets of the benchmarks: $TRANSFERCAST_DATA, or ../shared/data beside this checkout."""

from __future__ import annotations

import os
from pathlib import Path

from transfercast.tasks.family import read_task
from transfercast.tasks.spec import TaskSpec
from transfercast.tasks.task import Task

DATA = Path(os.environ.get("TRANSFERCAST_DATA", Path(__file__).parents[2] / "shared" / "data"))


POSITIVE = {
    "customer_reviews": "positive", "movie_reviews": "positive", "opinion_polarity": "positive", "subjectivity": "subjective",
    "tweet_hate": "hate", "tweet_irony": "irony", "tweet_offensive": "offensive",
}  # fmt: skip
"""The data sets of two classes, which are read as binary tasks."""


def classification(name: str, rows: dict[str, int]) -> Task:
    """A classification task, with at most so many rows of each split; rows without text or of rare labels are left out."""
    folder = DATA / "classification" / name
    splits = {split: str(folder / f"{split}.csv") for split in ("train", "validation", "test")}
    about = {"positive": POSITIVE[name]} if name in POSITIVE else {}
    return read_task(TaskSpec(name=name, **splits, **about, rows=rows, drop=["rare_labels", "empty_text"]))
