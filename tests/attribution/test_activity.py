"""Activities are taken once a model and document, batch by batch, and found again."""

from __future__ import annotations

import numpy as np
import pytest

from tests.attribution.models import TEXTS, classifier, tokenizer_for
from transfercast.attribution import activity
from transfercast.attribution.conductance import term_conductance
from transfercast.core.cache import ArrayCache

OPTIONS = {"tolerance": 0.02, "max_tokens": 64, "split": False}


@pytest.fixture
def documents():
    return {f"document {number}": (text, 1) for number, text in enumerate(TEXTS)}


def test_a_run_that_was_killed_goes_on_with_the_next_batch(tmp_path, documents, monkeypatch):
    monkeypatch.setattr(activity, "DOCUMENTS_A_BATCH", 2)
    model, tokenizer = classifier("Bert"), tokenizer_for("Bert")
    taken = []

    def dying(model, tokenizer, texts, **options):
        if len(taken) == 2:
            raise KeyboardInterrupt
        taken.extend(texts)
        return term_conductance(model, tokenizer, texts, **options)

    monkeypatch.setattr(activity, "term_conductance", dying)
    arguments = ("weights", documents)
    with pytest.raises(KeyboardInterrupt):
        activity.activities(lambda: (model, tokenizer), *arguments, cache=ArrayCache(tmp_path), **OPTIONS)
    monkeypatch.setattr(activity, "term_conductance", term_conductance)
    loads = []
    found = activity.activities(
        lambda: loads.append(1) or (model, tokenizer), *arguments, cache=ArrayCache(tmp_path), **OPTIONS
    )
    assert loads == [1]
    for (text, _), values in zip(documents.values(), found.values(), strict=True):
        assert values.dtype == np.float32
        (alone,) = term_conductance(model, tokenizer, [text])
        np.testing.assert_allclose(values, alone.activity(), atol=1e-4)


def test_what_was_taken_is_not_taken_again_until_the_weights_change(tmp_path, documents):
    model, tokenizer = classifier("Bert"), tokenizer_for("Bert")
    cache = ArrayCache(tmp_path)
    first = activity.activities(lambda: (model, tokenizer), "weights", documents, cache=cache, **OPTIONS)

    def never():
        raise AssertionError("loaded again")

    again = activity.activities(never, "weights", documents, cache=cache, **OPTIONS)
    assert {name: values.tolist() for name, values in again.items()} == {name: v.tolist() for name, v in first.items()}
    with pytest.raises(AssertionError, match="loaded again"):
        activity.activities(never, "other weights", documents, cache=cache, **OPTIONS)
