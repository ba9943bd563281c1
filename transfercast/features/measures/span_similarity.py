r"""Span similarity: agreement of the source's marks with those of the target's labels.

.. math:: \mathrm{SS} = \frac{2\,TP}{2\,TP + FP + FN}, \qquad \mathrm{WSS} = F_1^{\text{source}} \cdot \mathrm{SS}

over the offsets of spans, without types; for binary tasks over positive documents, and for several labels over documents
with any label. The source's F1 is its score on its own test rows. The source is applied to the target's training and
validation rows, because its test rows are for the final score only. The weighted-span-similarity paper uses the test rows,
which would be a leak here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from transfercast.core.kinds import Kind
from transfercast.features.registry import measure
from transfercast.sources.spans import dice, spans_of


@measure(
    kinds=frozenset({Kind.BINARY, Kind.MULTILABEL, Kind.SEQUENCE}),
    same_kind=True,
    better="higher",
    group="label space",
    paper="weighted-span-similarity",
    columns=("ss", "wss"),
)
def span_similarity(source_predictions: Any, target_labels: Any, source_test_f1: float) -> np.ndarray:
    """SS and WSS of a source on the target's rows.

    Args:
        source_predictions: (n,) classes 0 and 1, (n, C) labels 0 and 1, or n tuples of tags (which may end early if texts
            were truncated).
        target_labels: the gold labels of the same rows.
        source_test_f1: the source's F1 on its own test rows, NaN where it is not known or another metric was chosen.

    Returns:
        (2,) values in [0, 1], WSS NaN without the source's F1; SS is 1 if source and labels mark exactly the same.
    """
    if isinstance(target_labels, np.ndarray):
        found, gold = (
            np.asarray(labels == 1).reshape(len(labels), -1).any(axis=1) for labels in (source_predictions, target_labels)
        )
        both, marked = int((found & gold).sum()), int(found.sum() + gold.sum())
        similarity = 2 * both / marked if marked else 0.0
    else:
        similarity = dice(_untyped(target_labels), _untyped(source_predictions))
    return np.array([similarity, source_test_f1 * similarity])


def _untyped(sentences: Sequence[Sequence[str]]) -> list[set[tuple[int, int, str]]]:
    return [{(start, end, "") for start, end, _ in spans_of(tags)} for tags in sentences]
