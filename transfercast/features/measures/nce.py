r"""NCE: the negative conditional entropy of the target's labels, given the classes that the source predicts.

.. math:: \mathrm{NCE} = -H(Y \mid Z) = \sum_{y, z} \hat P(y, z) \log \frac{\hat P(y, z)}{\hat P(z)}

Tran, Nguyen, Hassner (ICCV 2019), arXiv:1908.08142.
"""

from __future__ import annotations

import numpy as np

from transfercast.core.kinds import LABELLED, ONE_CLASS
from transfercast.features.registry import measure
from transfercast.features.rows import by_label, class_rows


@measure(kinds=LABELLED, sources=ONE_CLASS, better="higher", group="label space", paper="tran2019nce")
def nce(source_probabilities: np.ndarray, target_values: np.ndarray) -> float:
    """Negative entropy of the target's labels given the source's most probable classes, in nats; at most 0, NaN for NaN.

    Args:
        source_probabilities: (n, Z) of the source's classes, on the target's rows (for sequences, its words).
        target_values: (n,) class numbers, or (n, C) labels 0 and 1, over which the mean is taken.

    Raises:
        ShapeError: if the lengths differ, or there are no rows.
    """
    if np.ndim(target_values) == 2:
        return by_label(lambda column: nce(source_probabilities, column), np.asarray(target_values))
    probabilities, member = class_rows(source_probabilities, target_values)
    if np.isnan(probabilities).any():  # argmax would give class 0
        return float("nan")
    chosen = np.eye(probabilities.shape[1])[probabilities.argmax(1)]
    joint = member.T @ chosen / len(member)  # (C, Z)
    alone = joint.sum(0, keepdims=True)
    logs = np.log(np.divide(joint, alone, out=np.ones_like(joint), where=joint > 0))
    return float((joint * logs).sum())
