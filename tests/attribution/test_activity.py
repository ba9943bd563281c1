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
    for (text, _), activity_ in zip(documents.values(), found.values(), strict=True):
        assert activity_.values.dtype == np.float32
        assert activity_.within_tolerance
        (alone,) = term_conductance(model, tokenizer, [text])
        np.testing.assert_allclose(activity_.values[0], alone.activity(), atol=1e-4)
        np.testing.assert_allclose(activity_.values[1], alone.activity("l2"), atol=1e-3)


def test_what_was_taken_is_not_taken_again_until_the_weights_change(tmp_path, documents):
    model, tokenizer = classifier("Bert"), tokenizer_for("Bert")
    cache = ArrayCache(tmp_path)
    first = activity.activities(lambda: (model, tokenizer), "weights", documents, cache=cache, **OPTIONS)

    def never():
        raise AssertionError("loaded again")

    again = activity.activities(never, "weights", documents, cache=cache, **OPTIONS)
    assert {name: one.values.tolist() for name, one in again.items()} == {
        name: one.values.tolist() for name, one in first.items()
    }
    with pytest.raises(AssertionError, match="loaded again"):
        activity.activities(never, "other weights", documents, cache=cache, **OPTIONS)


def test_what_an_earlier_version_of_the_code_kept_is_taken_anew(tmp_path, documents, monkeypatch):
    model, tokenizer = classifier("Bert"), tokenizer_for("Bert")
    cache, loads = ArrayCache(tmp_path), []
    for version in (activity.VERSION - 1, activity.VERSION):
        monkeypatch.setattr(activity, "VERSION", version)
        activity.activities(lambda: loads.append(1) or (model, tokenizer), "weights", documents, cache=cache, **OPTIONS)
    assert len(loads) == 2


def test_both_normalisations_come_from_one_attribution(tmp_path, documents, monkeypatch):
    model, tokenizer = classifier("Bert"), tokenizer_for("Bert")
    calls = []
    monkeypatch.setattr(
        activity, "term_conductance", lambda *given, **options: calls.append(1) or term_conductance(*given, **options)
    )
    activity.activities(lambda: (model, tokenizer), "weights", documents, cache=ArrayCache(tmp_path), **OPTIONS)
    assert calls == [1]


def test_documents_that_miss_the_tolerance_are_flagged_also_when_they_are_found_again(tmp_path, documents):
    model, tokenizer = classifier("Bert"), tokenizer_for("Bert")
    for _ in range(2):
        found = activity.activities(
            lambda: (model, tokenizer), "weights", documents, cache=ArrayCache(tmp_path), **OPTIONS | {"tolerance": 1e-9}
        )
        assert not any(one.within_tolerance for one in found.values())
