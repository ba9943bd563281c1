r"""LEEP: how well the source's class probabilities predict the target's labels, without training anything.

.. math:: \mathrm{LEEP} = \frac1n \sum_i \log \sum_z \hat P(y_i \mid z)\, \theta(x_i)_z, \qquad
          \hat P(y, z) = \frac1n \sum_{i: y_i = y} \theta(x_i)_z

Nguyen, Hassner, Seeger, Archambeau (ICML 2020), arXiv:2002.12462.
"""

from __future__ import annotations

import numpy as np

from transfercast.core.kinds import LABELLED, ONE_CLASS
from transfercast.features.registry import measure
from transfercast.features.rows import by_label, class_rows


@measure(kinds=LABELLED, sources=ONE_CLASS, better="higher", group="label space", paper="nguyen2020leep")
def leep(source_probabilities: np.ndarray, target_values: np.ndarray) -> float:
    """Mean log likelihood of the target's labels given the source's probabilities; at most 0.

    Args:
        source_probabilities: (n, Z) of the source's classes, on the target's rows (for sequences, its words).
        target_values: (n,) class numbers, or (n, C) labels 0 and 1, over which the mean is taken.

    Raises:
        ShapeError: if the lengths differ, or there are no rows.
    """
    if np.ndim(target_values) == 2:
        return by_label(lambda column: leep(source_probabilities, column), np.asarray(target_values))
    probabilities, member = class_rows(source_probabilities, target_values)
    joint = member.T @ probabilities  # (C, Z), times n
    given = joint / np.maximum(joint.sum(0), np.finfo(float).tiny)
    return float(np.log(np.maximum(((member @ given) * probabilities).sum(1), np.finfo(float).tiny)).mean())
