"""Notes on a task that was read: how it was interpreted, and defects that make its scores too good."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from transfercast.core.kinds import LABELLED, Kind
from transfercast.core.validation import shown
from transfercast.tasks.inference import Labelling
from transfercast.tasks.rows import Raw
from transfercast.tasks.task import SPLITS, Examples

_MOST_NAMES = 6


def understood(
    name: str, labelling: Labelling, metric: str, names: tuple[str, ...], raws: dict[str, Raw], splits: dict[str, Examples]
) -> str:
    """One sentence: kind, metric, classes, which one is positive, rows by split, rows left out.

    Args:
        name: of the task.
        labelling: how its labels were interpreted.
        metric: its metric.
        names: of its classes.
        raws: rows before rare labels were left out.
        splits: rows as they are used.
    """
    kind = f"{labelling.kind} ({'as stated' if labelling.stated else 'by its labels'}), judged by {metric}"
    parts = [kind, labelling.why or _classes(labelling.kind, names)]
    parts.append(" + ".join(f"{len(splits[split])} {split}" for split in SPLITS) + " rows")
    where = {raw.where: raw.empty for raw in raws.values()}  # splits cut from one file share its count
    empty = sum(where.values())
    rare = sum(len(raws[split]) - len(splits[split]) for split in SPLITS)
    left_out = [f"{number} {what}" for number, what in ((empty, "without text"), (rare, "of rare labels")) if number]
    if left_out:
        parts.append("left out: " + ", ".join(left_out))
    return f"{name}: {'; '.join(part for part in parts if part)}."


def _classes(kind: Kind, names: tuple[str, ...]) -> str:
    if kind is Kind.SEQUENCE:
        names = tuple(name[2:] for name in names if name.startswith("B-"))
    what = {Kind.SEQUENCE: "types", Kind.MULTILABEL: "labels, of which a row may have several"}.get(kind, "classes")
    listed = ", ".join(map(shown, names[:_MOST_NAMES])) + (", ..." if len(names) > _MOST_NAMES else "")
    return f"{len(names)} {what}: {listed}" if names else ""


def leaks(kind: Kind, splits: dict[str, Examples]) -> list[str]:
    """Texts that are in two splits, and texts with different labels: one line with counts, or none.

    Args:
        kind: of the task; values of a regression may differ for one text.
        splits: rows as they are used.
    """
    rows = sum(map(len, splits.values()))
    if len({text for examples in splits.values() for text in examples.ids}) == rows:
        return []
    found = []
    for later, earlier in (("test", "train"), ("test", "validation"), ("validation", "train")):
        known = set(splits[earlier].ids)
        shared = sum(text in known for text in splits[later].ids)
        if shared:
            found.append(f"{shared} of {len(splits[later])} {later} rows have a text that is in {earlier}, too")
    if kind in LABELLED and (contradictory := _with_several_labels(splits)):
        found.append(f"{contradictory} texts have different labels" if contradictory > 1 else "1 text has different labels")
    return [f"{'; '.join(found)}. Scores may be wrong: remove such rows, or give one file to be split."] if found else []


def _with_several_labels(splits: dict[str, Examples]) -> int:
    labels: dict[str, set[object]] = defaultdict(set)
    for examples in splits.values():
        for text, label in zip(examples.ids, examples.labels, strict=True):
            labels[text].add(tuple(label.tolist()) if isinstance(label, np.ndarray) else label)
    return sum(len(given) > 1 for given in labels.values())
