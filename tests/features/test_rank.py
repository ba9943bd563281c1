"""Ranking encoders and checkpoints by one measure of their embeddings."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tests.conftest import sentences, write_csv
from tests.sources.test_broken_models import DAMAGES
from transfercast.core.cache import ArrayCache
from transfercast.core.errors import InputError
from transfercast.core.records import Recipe
from transfercast.features.measures.h_score import h_score
from transfercast.features.measures.logme import logme
from transfercast.features.rank import rank_encoders
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.inference import read
from transfercast.sources.models import load_encoder
from transfercast.sources.pool import SourcePool
from transfercast.tasks.family import read_family
from transfercast.tasks.task import Task


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviews")
    return Task.from_csv(write_csv(folder / "reviews.csv", sentences(80, "storm", seed=5)), text="text", label="label")


@pytest.fixture(scope="module")
def sources(tmp_path_factory, family_toml, tiny_encoder):
    recipe = Recipe(learning_rate=1e-2, epochs=4, batch_size=8, max_tokens=16)
    tasks = read_family(family_toml).sources
    return SourcePool.fit(tmp_path_factory.mktemp("pool"), tasks, encoder=str(tiny_encoder), recipe=recipe)


def test_checkpoints_come_in_the_order_of_the_measure_and_what_fails_is_told(sources, reviews, tmp_path, caplog):
    names = [str(source.checkpoint) for source in sources.values()]
    found = rank_encoders(reviews, [*names, str(tmp_path / "nowhere")], cache=ArrayCache(tmp_path / "cache"))
    expected = {}
    for name, source in zip(names, sources.values(), strict=True):
        model, tokenizer = load_encoder(source.checkpoint), load_tokenizer(source.checkpoint)
        embeddings = read(model, tokenizer, reviews.seen.texts, 128, split=False).embeddings
        expected[name] = logme(embeddings, reviews.seen.labels)
    assert list(found.scores) == sorted(expected, key=expected.get, reverse=True)
    assert found.scores == pytest.approx(expected, abs=1e-6)
    assert list(found.failed) == [str(tmp_path / "nowhere")]
    assert "is left out" in caplog.text
    assert found.rows == len(reviews.seen)
    frame = found.to_frame()
    assert list(frame.columns) == ["rank", "source", "logme"]
    assert frame["rank"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_layers_and_poolings_are_those_of_the_hidden_states(tiny_encoder, reviews, tmp_path, pooling):
    """Against transformers itself, text by text."""
    import torch

    model, tokenizer = load_encoder(tiny_encoder), load_tokenizer(tiny_encoder)
    states = []
    for text in reviews.seen.texts:
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
        states.append(np.stack([(layer[0].mean(0) if pooling == "mean" else layer[0, 0]).numpy() for layer in hidden[1:]]))
    layers, labels = np.stack(states, 1), reviews.seen.labels
    expected = {
        "last": h_score(layers[-1], labels),
        "mean": h_score(layers.mean(0), labels),
        "best": max(h_score(layer, labels) for layer in layers),
    }
    for name, value in expected.items():
        found = rank_encoders(
            reviews, [str(tiny_encoder)], measure="h_score", pooling=pooling, layers=name, cache=ArrayCache(tmp_path)
        )
        assert found.scores[str(tiny_encoder)] == pytest.approx(value, rel=1e-3)


def test_the_pooler_is_the_encoder_s_own(tiny_encoder, reviews, tmp_path):
    import torch

    model, tokenizer = load_encoder(tiny_encoder), load_tokenizer(tiny_encoder)
    with torch.no_grad():
        made = [model(**tokenizer(text, return_tensors="pt")).pooler_output[0].numpy() for text in reviews.seen.texts]
    found = rank_encoders(reviews, [str(tiny_encoder)], pooling="pooler", cache=ArrayCache(tmp_path))
    assert found.scores[str(tiny_encoder)] == pytest.approx(logme(np.stack(made), reviews.seen.labels), abs=1e-4)


def test_a_pooler_that_was_never_trained_is_not_used(tiny_encoder, tmp_path, reviews):
    from transformers import BertModel

    folder = tmp_path / "bare"
    BertModel.from_pretrained(tiny_encoder, add_pooling_layer=False).save_pretrained(folder)
    load_tokenizer(tiny_encoder).save_pretrained(folder)
    assert read(load_encoder(folder), load_tokenizer(folder), ("good film",), 16, split=False).outputs.shape == (1, 0)
    with pytest.raises(InputError, match="no trained pooler"):
        rank_encoders(reviews, [str(folder)], pooling="pooler", cache=ArrayCache(tmp_path / "cache"))


def test_words_of_sentences_are_ranked_by(tiny_encoder, tmp_path):
    sentence = "we\tO\nneed\tO\nwater\tB-X\n\nstorm\tB-X\nroad\tI-X\n\nvery\tO\nbad\tO\n\n"
    (tmp_path / "tags.conll").write_text(sentence * 12)
    task = Task.from_csv(tmp_path / "tags.conll", text="text", label="-1")
    found = rank_encoders(task, [str(tiny_encoder)], measure="nearest_neighbours", cache=ArrayCache(tmp_path))
    assert found.scores[str(tiny_encoder)] > 0.9  # the same words again and again


def test_only_measures_of_embeddings_can_rank(reviews, tiny_encoder):
    known = "frozen_transfer, h_score, logme, nearest_neighbours"
    with pytest.raises(InputError, match=f"'leep' is no measure of embeddings and labels alone; there are {known}"):
        rank_encoders(reviews, [str(tiny_encoder)], measure="leep")
    with pytest.raises(InputError, match="pooling 'max'"):
        rank_encoders(reviews, [str(tiny_encoder)], pooling="max")


def test_models_that_cannot_be_read_are_left_out_whatever_they_raise(tiny_encoder, reviews, tmp_path, caplog):
    for name, damage in DAMAGES.items():
        folder = tmp_path / name.replace(" ", "-")
        shutil.copytree(tiny_encoder, folder)
        damage(folder)
    names = [str(path) for path in tmp_path.iterdir()]
    found = rank_encoders(reviews, [*names, str(tiny_encoder)], cache=ArrayCache(tmp_path / "cache"))
    assert list(found.scores) == [str(tiny_encoder)]
    assert set(found.failed) == set(names)
    assert all("\n" not in reason for reason in found.failed.values())
    assert caplog.text.count("is left out") == len(DAMAGES)
    with pytest.raises(InputError, match="nothing could be ranked; the first reason"):
        rank_encoders(reviews, names, cache=ArrayCache(tmp_path / "cache"))


def test_a_model_that_says_the_same_of_every_text_is_left_out(tiny_encoder, reviews, tmp_path):
    for name, scale in (("zero", 0.0), ("nan", float("nan"))):
        shutil.copytree(tiny_encoder, tmp_path / name)
        weights = load_file(tmp_path / name / "model.safetensors")
        save_file(
            {key: scale * value for key, value in weights.items()}, tmp_path / name / "model.safetensors", {"format": "pt"}
        )
    names = [str(tmp_path / name) for name in ("zero", "nan")]
    for measure in ("logme", "h_score", "nearest_neighbours"):
        found = rank_encoders(reviews, [*names, str(tiny_encoder)], measure=measure, cache=ArrayCache(tmp_path / "cache"))
        assert list(found.scores) == [str(tiny_encoder)]
        assert "the same embedding" in found.failed[names[0]]
        assert "NaN or infinite" in found.failed[names[1]]


def test_texts_longer_than_the_encoder_reads_are_ranked_by_their_beginning(tiny_encoder, tmp_path):
    rows = [(f"{text} " * 60, label) for text, label in sentences(40, "storm", seed=5)]
    task = Task.from_csv(write_csv(tmp_path / "long.csv", rows), text="text", label="label")
    cut, at_limit = (
        rank_encoders(task, [str(tiny_encoder)], max_tokens=tokens, cache=ArrayCache(tmp_path / "c"))
        for tokens in (100_000, 64)
    )
    assert cut.scores == at_limit.scores
