"""The predictor that comes with the package, made from the atlas by `make predictor`.

It is the learned prior of `predictor.prior_fit`: weights of the evidence that were learned from transfers between other tasks.
The same atlas gives the same files, byte for byte.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from transfercast.core.errors import InputError
from transfercast.core.files import mark, sha256_of
from transfercast.corpus.measured import DATA, OBSERVATIONS, columns, families
from transfercast.history.store import opened
from transfercast.predictor.data import Transfers, transfers_of
from transfercast.predictor.predictor import Predictor
from transfercast.predictor.prior import BUNDLED
from transfercast.predictor.prior_fit import fit_on_families

TRAINING = ("source", "target", "recipe", "encoder", "seed", "source_fingerprint", "target_fingerprint")
"""Fields that say which training an observation is of."""

FEWEST_FAMILIES, FEWEST_TARGETS = 3, 12
"""Below, what the evidence is worth could neither be learned nor judged on families that were held out."""


def atlas_transfers(atlas: Path = DATA) -> Transfers:
    """The transfers of an atlas, seeds averaged; scores are those on test rows where a training has one.

    Epochs and thresholds are chosen on validation, so that what is learned here is what a choice is worth on rows that no
    choice has seen; and test rows are more, so that chance moves their scores less.

    Args:
        atlas: its folder.
    """
    known = columns(atlas)
    frames = opened(atlas / OBSERVATIONS, known).frames()
    return transfers_of(replace(frames, records=_with_test_scores(frames.records)), known)


def _with_test_scores(records: pd.DataFrame) -> pd.DataFrame:
    """Records of which those on validation have score and baseline of the same training on test, where it was tested."""
    tested = records[records.split == "test"].set_index(list(TRAINING))[["score", "baseline"]]
    found = records[list(TRAINING)].join(tested, on=list(TRAINING))
    there = ((records.split == "validation") & found.notna().all(axis=1)).to_numpy(dtype=bool)
    result = records.copy()
    result.loc[there, ["score", "baseline"]] = found.loc[there, ["score", "baseline"]]
    return result


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
    mark(folder, "bundled")  # not this process, so that the same atlas gives the same files
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
