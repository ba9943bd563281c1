"""The predictor that comes with the package, made from the atlas by `make predictor`.

It is the learned prior of `predictor.prior_fit`: weights of the evidence that were learned from transfers between other tasks.
The same atlas gives the same files, byte for byte.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from transfercast.core.errors import InputError
from transfercast.core.files import sha256_of
from transfercast.corpus.measured import DATA, OBSERVATIONS, columns, families
from transfercast.history.store import opened
from transfercast.predictor.data import Transfers, transfers_of
from transfercast.predictor.predictor import Predictor
from transfercast.predictor.prior import BUNDLED
from transfercast.predictor.prior_fit import fit_on_families

FEWEST_FAMILIES, FEWEST_TARGETS = 3, 12
"""Below, what the evidence is worth could neither be learned nor judged on families that were held out."""


def atlas_transfers(atlas: Path = DATA) -> Transfers:
    """The transfers of an atlas on validation rows, seeds averaged.

    Args:
        atlas: its folder.
    """
    known = columns(atlas)
    return transfers_of(opened(atlas / OBSERVATIONS, known).frames(), known)


def make(folder: Path = BUNDLED, atlas: Path = DATA) -> Predictor:
    """Learn from an atlas and write the version folder.

    Args:
        folder: is replaced.
        atlas: its folder.

    Raises:
        InputError: if the atlas holds too little to learn from.
    """
    transfers, family = atlas_transfers(atlas), families(atlas)
    names = transfers.candidates.targets
    sources, targets = len(np.unique(transfers.candidates.sources)), len(np.unique(names))
    if targets < FEWEST_TARGETS or len({family.get(name, name) for name in names}) < FEWEST_FAMILIES:
        raise InputError(
            f"{atlas}: {len(transfers)} transfers to {targets} targets are too few to learn from; at least {FEWEST_TARGETS} "
            f"targets of {FEWEST_FAMILIES} families are needed. Collect more: transfercast collect"
        )
    with threadpool_limits(1):
        fitted = fit_on_families(transfers, family)
    data = sha256_of(atlas / OBSERVATIONS)
    made = Predictor(f"atlas-{data[:8]}", fitted)
    about = {"data": data, "transfers": len(transfers), "sources": sources, "targets": targets}
    made.save(folder, about, about, _card(made, about))
    return made


def _card(made: Predictor, about: dict[str, object]) -> str:
    weights = sorted(made.fitted.calibration.weights.items(), key=lambda item: -abs(item[1]))
    lines = [
        f"# transfercast predictor {made.id}",
        "",
        f"Learned from {about['transfers']} measured transfers from {about['sources']} sources to {about['targets']} targets, "
        "the atlas (docs/atlas.md). It orders the sources of tasks that nobody has seen by their evidence. What a column's "
        "highest rank adds over its lowest, in percent of the headroom (the distance from the score without transfer to the "
        "highest there is):",
        "",
        "| column | adds |",
        "|---|---|",
        *(f"| {name.replace('@', ', version ')} | {100 * weight:+.2f} |" for name, weight in weights),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{make()!r} in {BUNDLED}\n")
    except InputError as error:
        sys.exit(str(error))
