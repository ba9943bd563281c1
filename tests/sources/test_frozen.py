"""`features`: a head solved for on what the frozen encoder gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from transfercast.core.kinds import Kind
from transfercast.core.records import Recipe
from transfercast.sources import frozen
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.finetune import fine_tune
from transfercast.sources.inference import read
from transfercast.sources.models import load_encoder
from transfercast.tasks.family import read_family
from transfercast.tasks.task import Examples, Task

CPU = torch.device("cpu")
FEATURES = Recipe(adaptation="features", max_tokens=16, threshold="half")
TEXTS = ("good film", "bad plot", "we need water", "storm road", "very good help", "not at the road")


def task_of(kind, texts, labels, names=()):
    part = Examples(tuple(texts), labels, tuple(map(str, range(len(texts)))))
    return Task("made", kind, dict.fromkeys(("train", "validation", "test"), part), tuple(names))


def embedded(encoder, texts):
    """(n, d) standardised mean-pooled embeddings."""
    found = read(load_encoder(encoder), load_tokenizer(encoder), tuple(texts), 16, split=False).embeddings.astype(float)
    return (found - found.mean(0)) / (found.std(0) + 1e-6)


def outputs(trained, texts, *, words=False):
    return read(trained.model, trained.tokenizer, tuple(texts), 16, split=words).outputs


@pytest.mark.parametrize("names", [("no", "yes"), ("a", "b", "c")])
def test_the_head_is_the_logistic_regression_on_mean_pooled_embeddings(tiny_encoder, monkeypatch, names):
    monkeypatch.setattr(frozen, "STRENGTHS", (0.5,))
    labels = np.arange(24) % len(names)
    kind = Kind.BINARY if len(names) == 2 else Kind.MULTICLASS
    trained = fine_tune(task_of(kind, TEXTS * 4, labels, names), tiny_encoder, FEATURES, seed=0, device=CPU)
    inputs = embedded(tiny_encoder, TEXTS * 4)
    expected = LogisticRegression(C=0.5, max_iter=2000).fit(inputs, labels).predict_proba(inputs)
    np.testing.assert_allclose(outputs(trained, TEXTS * 4), expected, atol=1e-3)


def test_values_are_a_ridge_regression(tiny_encoder, monkeypatch):
    monkeypatch.setattr(frozen, "STRENGTHS", (2.0,))
    labels = np.linspace(0, 1, 6)
    trained = fine_tune(task_of(Kind.REGRESSION, TEXTS, labels), tiny_encoder, FEATURES, seed=0, device=CPU)
    inputs = embedded(tiny_encoder, TEXTS)
    np.testing.assert_allclose(outputs(trained, TEXTS)[:, 0], Ridge(alpha=0.5).fit(inputs, labels).predict(inputs), atol=1e-4)


def test_the_strength_is_chosen_on_validation(tiny_encoder, monkeypatch):
    # validation says the opposite of training: the less is believed the better
    train, other = (Examples(TEXTS, labels, TEXTS) for labels in (np.array([0, 1] * 3), np.array([1, 0] * 3)))
    task = Task("made", Kind.BINARY, {"train": train, "validation": other, "test": other}, ("no", "yes"))
    chosen = outputs(fine_tune(task, tiny_encoder, FEATURES, seed=0, device=CPU), TEXTS)
    monkeypatch.setattr(frozen, "STRENGTHS", frozen.STRENGTHS[:1])
    strongest = outputs(fine_tune(task, tiny_encoder, FEATURES, seed=0, device=CPU), TEXTS)
    np.testing.assert_array_equal(chosen, strongest)


def test_a_class_without_training_rows_is_never_predicted(tiny_encoder):
    labels = np.array([0, 2] * 3)
    trained = fine_tune(task_of(Kind.MULTICLASS, TEXTS, labels, ("a", "b", "c")), tiny_encoder, FEATURES, seed=0, device=CPU)
    assert outputs(trained, TEXTS)[:, 1].max() < 1e-6


def test_words_are_tagged_by_a_solved_head(tiny_encoder):
    sentences = [("we", "need", "water"), ("storm", "road"), ("very", "good", "help")] * 4
    tags = (("O", "O", "B-X"), ("B-X", "I-X"), ("O", "O", "O")) * 4
    spans = task_of(Kind.SEQUENCE, sentences, tags, ("O", "B-X", "I-X"))
    trained = fine_tune(spans, tiny_encoder, FEATURES, seed=0, device=CPU)
    assert trained.score(spans, "test", 16) > 0.9


def test_the_encoder_stays_as_it_was_and_no_seed_matters(tiny_encoder, family_toml):
    task = read_family(family_toml).sources[0]
    first, second = (fine_tune(task, tiny_encoder, FEATURES, seed=seed, device=CPU) for seed in (0, 1))
    for name, weights in load_encoder(tiny_encoder).state_dict().items():
        if not name.startswith("pooler."):
            assert torch.equal(weights, first.model.base_model.state_dict()[name]), name
    texts = task.splits["test"].texts
    np.testing.assert_array_equal(outputs(first, texts), outputs(second, texts))
