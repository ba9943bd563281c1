"""TaskEmb: similarity of the Fisher information of two fine-tuned models, each on the rows of its own task.

The diagonal of the empirical Fisher information is the mean over rows of the squared gradient of the log likelihood of
the row's label, with respect to the encoder's parameters. The cosine of two diagonals is computed for every parameter block
(a weight matrix, a bias) and averaged over blocks. Achille and others (ICCV 2019), arXiv:1902.03545; Vu and others (EMNLP
2020), arXiv:2005.00770.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transfercast.core.kinds import ALL_KINDS
from transfercast.features.registry import measure
from transfercast.features.rows import cosine


@measure(kinds=ALL_KINDS, better="higher", group="data", paper="vu2020exploring")
def task_emb(source_fisher: Sequence[np.ndarray], target_fisher: Sequence[np.ndarray]) -> float:
    """Mean over parameter blocks of the cosine of two Fisher diagonals, in [0, 1]; NaN if the encoders differ.

    Args:
        source_fisher: for each block of the source's encoder, its (p,) diagonal on the source's rows.
        target_fisher: the same of the target trained alone, on the target's rows.
    """
    if [block.shape for block in source_fisher] != [block.shape for block in target_fisher]:
        return float("nan")
    pairs = zip(source_fisher, target_fisher, strict=True)  # from half precision, in which numpy is slow and inaccurate
    return float(np.mean([cosine(a.astype(np.float32), b.astype(np.float32)) for a, b in pairs]))
