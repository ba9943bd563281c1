r"""How far a validation score may be off because only so many rows were scored.

Of a score `p` over `n` independent units (rows, or spans) that are right or wrong, the standard error is binomial,
:math:`\sqrt{p (1 - p) / n}`. Near 0 and 1 that promises too much, so two right and two wrong units are added first (Agresti and
Coull 1998). Positive-class and span F1 are :math:`2 TP / (2 TP + FP + FN)`, a ratio of sums over units: with `P` positives, and
as many predicted as there are, the delta method gives

.. math:: \mathrm{Var}(F) \approx \sum_i (a_i - F b_i)^2 / (\textstyle\sum_i b_i)^2 = F (1 - F)(2 - F) / (2 P),

with :math:`a_i = 2 [TP]`, :math:`b_i = 2 [TP] + [FP] + [FN]`. A correlation `r` over `n` rows has about
:math:`(1 - r^2) / \sqrt{n - 1}`.
"""

from __future__ import annotations

import math


def standard_error(metric: str, score: float, rows: int, positives: int) -> float:
    """Standard error of a score, in the metric's units.

    Args:
        metric: a key of METRICS.
        score: as it was measured.
        rows: that were scored.
        positives: positive rows (positive_f1) or gold spans (span_f1) among them; of no account for other metrics.

    Returns:
        A value above 0; NaN where nothing was scored, or the metric is none of these.
    """
    if metric == "accuracy" and rows > 0:
        share = _towards_half(score, rows)
        return math.sqrt(share * (1 - share) / (rows + 4))
    if metric in ("positive_f1", "span_f1") and positives > 0:
        share = _towards_half(score, positives)
        return math.sqrt(share * (1 - share) * (2 - share) / (2 * (positives + 4)))
    if metric == "pearson_spearman" and rows > 1:
        return (1 - score**2) / math.sqrt(rows - 1)
    return math.nan


def _towards_half(score: float, number: int) -> float:
    return (score * number + 2) / (number + 4)
