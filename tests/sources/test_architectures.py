"""What is asked of a checkpoint holds for every architecture: whole ones are read, others refused, long texts cut."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.attribution.models import ARCHITECTURES, classifier, tokenizer_for
from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.sources.batches import UNLIMITED, most_tokens
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.inference import read
from transfercast.sources.models import load_encoder, load_model, new_model
from transfercast.tasks.task import Examples, Task

POSITIONS = 32
PART = Examples(("good film", "bad plot"), np.array([0, 1]), ("a", "b"))
TASK = Task("made", Kind.BINARY, dict.fromkeys(("train", "validation", "test"), PART), ("negative", "positive"))
OFFSET = {"Roberta": 2, "XLMRoberta": 2, "MPNet": 2}
"""Positions that are never used, for these count from behind the padding's."""

WITHOUT_TABLE = {"ModernBert", "Llama"}


@pytest.fixture(params=ARCHITECTURES)
def saved(request, tmp_path):
    model = classifier(request.param, max_position_embeddings=POSITIONS)
    model.save_pretrained(tmp_path / "tuned")
    tokenizer_for(request.param).save_pretrained(tmp_path / "tuned")
    return request.param, tmp_path / "tuned"


def test_a_whole_checkpoint_is_read_with_its_head_without_it_and_with_a_fresh_one(saved, tmp_path):
    _, folder = saved
    tokenizer = load_tokenizer(folder)
    assert load_model(folder, Kind.MULTICLASS).config.num_labels == 3
    assert new_model(folder, TASK).config.num_labels == 2
    encoder = load_encoder(folder)
    encoder.save_pretrained(tmp_path / "bare")
    for texts in (("we need water",), ("we need water " * 100,)):
        found = read(load_encoder(tmp_path / "bare"), tokenizer, texts, 16, split=False)
        np.testing.assert_allclose(found.embeddings, read(encoder, tokenizer, texts, 16, split=False).embeddings, atol=1e-6)
    assert new_model(tmp_path / "bare", TASK).config.num_labels == 2


def test_a_long_text_is_read_as_far_as_there_are_positions_and_no_further(saved):
    name, folder = saved
    model, tokenizer = load_encoder(folder), load_tokenizer(folder)
    assert most_tokens(model) == (UNLIMITED if name in WITHOUT_TABLE else POSITIONS - OFFSET.get(name, 0))
    read(model, tokenizer, ("we need water " * 40,), 100_000, split=False)
    if name not in WITHOUT_TABLE:  # one token more is one too many: the limit is exact
        ids = tokenizer("water " * 200, return_tensors="pt", truncation=True, max_length=most_tokens(model) + 1)
        with pytest.raises((IndexError, RuntimeError)):
            model(**ids)


def test_layers_that_are_not_in_the_weights_or_not_in_the_configuration_are_told(saved):
    name, folder = saved
    if name == "Albert":
        pytest.skip("all its layers are one")
    config = json.loads((folder / "config.json").read_text())
    (key,) = {"num_hidden_layers", "n_layers", "n_layer"} & set(config)
    for layers, told in ((3, "its weights lack"), (1, r"more than config\.json says")):
        types = {"layer_types": config["layer_types"][:1] * layers} if "layer_types" in config else {}
        (folder / "config.json").write_text(json.dumps(config | {key: layers} | types))
        with pytest.raises(InputError, match=told):
            load_encoder(folder)
