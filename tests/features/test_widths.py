"""Encoders of several widths are compared by as many principal components of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from tests.conftest import sentences, write_csv
from transfercast.core.cache import ArrayCache
from transfercast.features.measures.h_score import h_score
from transfercast.features.measures.logme import logme
from transfercast.features.measures.nearest_neighbours import nearest_neighbours
from transfercast.features.rank import rank_encoders
from transfercast.features.registry import measures
from transfercast.features.widths import common_width, principal_components
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.inference import read
from transfercast.sources.models import load_encoder
from transfercast.tasks.task import Task


@pytest.mark.parametrize(("rows", "width"), [(40, 10), (10, 40), (12, 12)])
def test_the_components_are_those_of_scikit_learn_up_to_signs(rows, width):
    embeddings = np.random.default_rng(0).normal(size=(rows, width)) @ np.diag(np.arange(1.0, width + 1)) + 5.0
    found, expected = principal_components(embeddings, 5), PCA(5, svd_solver="full").fit_transform(embeddings)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-8)


def test_the_common_width_is_that_of_the_narrowest_or_what_the_rows_allow():
    assert common_width([768, 384], 1000) == 384
    assert common_width([768, 384], 100) == 99
    assert common_width([384, 384], 100) is None
    assert common_width([], 0) is None


def of_noise(measure, width, components=None, rows=120):
    """Mean of a measure over five draws of embeddings that say nothing of the labels."""
    values = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        labels, embeddings = rng.integers(0, 2, rows), rng.normal(size=(rows, width))
        reduced = embeddings if components is None else principal_components(embeddings, components)
        values.append(measure(reduced, labels))
    return np.mean(values)


@pytest.mark.parametrize("measure", [logme, nearest_neighbours, h_score])
def test_measures_that_grow_with_the_width_of_noise_say_so_and_no_longer_do_once_reduced(measure):
    growth = of_noise(measure, 1500) - of_noise(measure, 8)
    assert measures()[measure.__name__].grows_with_width is bool(growth > 0.05)
    assert of_noise(measure, 1500, components=8) - of_noise(measure, 8) < 0.05


def test_wide_noise_no_longer_outranks_a_narrow_encoder_that_tells_the_classes_apart():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 120)
    narrow = rng.normal(size=(120, 8)) + 0.15 * labels[:, None]
    wide = rng.normal(size=(120, 1500))
    assert h_score(wide, labels) > h_score(narrow, labels)
    count = common_width([8, 1500], 120)
    assert h_score(principal_components(wide, count), labels) < h_score(principal_components(narrow, count), labels)


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviews")
    return Task.from_csv(write_csv(folder / "reviews.csv", sentences(80, "storm", seed=5)), text="text", label="label")


@pytest.fixture(scope="module")
def wide_encoder(tmp_path_factory, tiny_encoder):
    """Random weights, 48 wide, where the tiny encoder is 16."""
    import torch
    from transformers import AutoConfig, AutoModel

    folder = tmp_path_factory.mktemp("wide")
    torch.manual_seed(3)
    config = AutoConfig.from_pretrained(tiny_encoder, hidden_size=48)
    AutoModel.from_config(config).save_pretrained(folder)
    load_tokenizer(tiny_encoder).save_pretrained(folder)
    return folder


def test_rank_compares_widths_by_components_where_the_measure_needs_it(tiny_encoder, wide_encoder, reviews, tmp_path):
    names = [str(tiny_encoder), str(wide_encoder)]
    found = rank_encoders(reviews, names, measure="h_score", cache=ArrayCache(tmp_path))
    assert found.components == 16
    for name in names:
        model, tokenizer = load_encoder(Path(name)), load_tokenizer(tiny_encoder)
        embeddings = read(model, tokenizer, reviews.seen.texts, 128, split=False).embeddings
        reduced = PCA(16, svd_solver="full").fit_transform(embeddings.astype(np.float64))
        assert found.scores[name] == pytest.approx(h_score(reduced, reviews.seen.labels), rel=1e-5)
    assert rank_encoders(reviews, names[1:], measure="h_score", cache=ArrayCache(tmp_path)).components is None
    assert rank_encoders(reviews, names, measure="logme", cache=ArrayCache(tmp_path)).components is None
