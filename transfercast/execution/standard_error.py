r"""Standard error of a validation score, which comes from the limited number of scored rows.

Of a score `p` over `n` independent units (rows, or spans) that are right or wrong, the standard error is binomial,
:math:`\sqrt{p (1 - p) / n}`. Near 0 and 1 that is too small, so two right and two wrong units are added first (Agresti and
Coull 1998). Positive-class and span F1 are :math:`2 TP / (2 TP + FP + FN)`, a ratio of sums over units: with `P` positives, and
as many predicted as there are, the delta method gives

.. math:: \mathrm{Var}(F) \approx \sum_i (a_i - F b_i)^2 / (\textstyle\sum_i b_i)^2 = F (1 - F)(2 - F) / (2 P),

with :math:`a_i = 2 [TP]`, :math:`b_i = 2 [TP] + [FP] + [FN]`. Where each row has one class, an error is a false negative of
one class and a false positive of another, and macro F1 of `K` classes of `P_k` rows has about
:math:`F (1 - F) \sum_k P_k^{-1} / K^2`, which is the binomial one where classes are as large. Where a row may have several
labels, their errors are taken as independent: micro F1 is that of all pairs of row and label, and macro F1 has about
:math:`F (1 - F)(2 - F) \sum_k P_k^{-1} / (2 K^2)`. Matthews' coefficient `r` of two classes with shares `p` and `q`, predicted
as often as they are, has (Bishop, Fienberg and Holland 1975, section 11.2.3)

.. math:: (1 - r)\,(1 + r + k r (1 - r / 2)) / n, \qquad k = (p - q)^2 / (p q),

and of `K` classes as large as one another :math:`(1 - r)(r + 1 / (K - 1)) / n`, which is taken for more than two. A correlation
`r` over `n` rows has about :math:`(1 - r^2) / \sqrt{n - 1}`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from transfercast.core.kinds import Kind
from transfercast.sources.spans import spans_of
from transfercast.tasks.task import Examples


@dataclass(frozen=True, slots=True)
class Units:
    """Numbers of scored units.

    Attributes:
        rows: number of rows that were scored.
        classes: rows of each class, the positive one last; for sentences, the number of spans; for values, empty.
        several: whether a row may have several of the classes.
    """

    rows: int
    classes: tuple[int, ...] = ()
    several: bool = False


def units_of(kind: Kind, examples: Examples) -> Units:
    """Numbers of rows, and of rows of each class or of spans."""
    if kind is Kind.REGRESSION:
        return Units(len(examples))
    if kind is Kind.SEQUENCE:
        return Units(len(examples), (sum(len(spans_of(tags)) for tags in examples.labels),))
    if kind is Kind.MULTILABEL:
        return Units(len(examples), tuple(examples.labels.sum(axis=0).tolist()), several=True)
    labels = examples.labels.tolist()
    return Units(len(examples), tuple(labels.count(number) for number in range(max(labels, default=-1) + 1)))


def standard_error(metric: str, score: float, units: Units) -> float:
    """Standard error of a score, in the metric's units.

    Args:
        metric: a key of METRICS.
        score: the measured score.
        units: numbers of scored units.

    Returns:
        A value above 0; NaN if nothing was scored, or the metric has no formula here.
    """
    rows, classes = units.rows, [size for size in units.classes if size]
    if metric in ("accuracy", "micro_f1") and rows > 0 and not units.several:
        share = _towards_half(score, rows)
        return math.sqrt(share * (1 - share) / (rows + 4))
    positives = sum(classes) if metric == "micro_f1" else (*units.classes, 0)[len(units.classes) - 1]
    if metric in ("positive_f1", "span_f1", "micro_f1") and positives > 0:
        share = _towards_half(score, positives)
        return math.sqrt(share * (1 - share) * (2 - share) / (2 * (positives + 4)))
    if metric == "macro_f1" and classes:
        share = _towards_half(score, sum(classes))
        each = (2 - share) / 2 if units.several else 1.0
        return math.sqrt(share * (1 - share) * each * sum(1 / size for size in classes)) / len(classes)
    if metric == "mcc" and len(classes) > 1:
        return _of_matthews(2 * _towards_half((1 + score) / 2, rows) - 1, rows, classes)
    if metric in ("pearson_spearman", "pearson", "spearman") and rows > 1:
        return (1 - score**2) / math.sqrt(rows - 1)
    return math.nan


def _of_matthews(r: float, rows: int, classes: list[int]) -> float:
    if len(classes) > 2:
        return math.sqrt((1 - r) * max(r + 1 / (len(classes) - 1), 0) / rows)
    uneven = (classes[0] - classes[1]) ** 2 / (classes[0] * classes[1])
    return math.sqrt((1 - r) * max(1 + r + uneven * r * (1 - r / 2), 0) / rows)


def _towards_half(score: float, number: int) -> float:
    return (score * number + 2) / (number + 4)
