"""Models that cannot be used as they are: each is one error that says why, and none is trained or read without a word."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.kinds import Kind
from transfercast.core.records import Recipe
from transfercast.sources.batches import UNLIMITED, _say_cut, most_tokens
from transfercast.sources.encoders import checkpoint_folder, load_config, load_tokenizer
from transfercast.sources.finetune import fine_tune
from transfercast.sources.inference import read
from transfercast.sources.models import load_encoder, load_model, new_model
from transfercast.tasks.task import Examples, Task

CPU = torch.device("cpu")


def task_of(kind, texts, labels, names=("negative", "positive")):
    part = Examples(tuple(texts), labels, tuple(map(str, range(len(texts)))))
    return Task("made", kind, dict.fromkeys(("train", "validation", "test"), part), names)


BINARY = task_of(Kind.BINARY, ["good film", "bad plot", "we need help", "storm"], np.array([0, 1, 0, 1]))


@pytest.fixture
def copied(tiny_encoder, tmp_path):
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    return tmp_path / "encoder"


def configured(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def first_half(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])


DAMAGES = {
    "weights truncated": lambda folder: first_half(folder, "model.safetensors"),
    "weights garbage": lambda folder: (folder / "model.safetensors").write_bytes(b"\x93nonsense" * 50),
    "weights empty": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "weights gone": lambda folder: (folder / "model.safetensors").unlink(),
    "one layer more than its weights": lambda folder: configured(folder, num_hidden_layers=3),
    "one layer less than its weights": lambda folder: configured(folder, num_hidden_layers=1),
    "hidden size differs": lambda folder: configured(folder, hidden_size=20),
    "config no JSON": lambda folder: (folder / "config.json").write_text("{"),
    "config binary": lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\x00"),
    "config nested without end": lambda folder: (folder / "config.json").write_text("[" * 100_000),
    "config an empty object": lambda folder: (folder / "config.json").write_text("{}"),
    "config a list": lambda folder: (folder / "config.json").write_text("[]"),
    "model type unknown": lambda folder: configured(folder, model_type="nonesuch"),
    "model type a number": lambda folder: configured(folder, model_type=7),
    "code of its own": lambda folder: configured(
        folder, model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    ),
    "tokenizer garbage": lambda folder: (folder / "tokenizer.json").write_text('{"version": "1.0"}'),
    "tokenizer truncated": lambda folder: first_half(folder, "tokenizer.json"),
    "tokenizer gone": lambda folder: [path.unlink() for path in (*folder.glob("tokenizer*"), folder / "vocab.txt")],
}


def trained_from(folder):
    return fine_tune(BINARY, checkpoint_folder(str(folder)), Recipe(epochs=1, max_tokens=16), seed=0, device=CPU)


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_encoder_that_is_not_whole_is_refused_in_one_line(copied, damage):
    DAMAGES[damage](copied)
    with pytest.raises(TransfercastError) as told:
        trained_from(copied)
    message = str(told.value)
    assert message.startswith(str(copied))
    assert "\n" not in message
    assert len(message) < 400 + len(str(copied)) * 2


def test_what_weights_lack_or_have_too_much_is_named(copied):
    configured(copied, num_hidden_layers=3)
    for load in (load_encoder, lambda folder: new_model(folder, BINARY)):
        with pytest.raises(InputError, match=r"its weights lack encoder\.layer\.2\.attention"):
            load(copied)
    configured(copied, num_hidden_layers=1)
    with pytest.raises(InputError, match=r"the weights hold encoder\.layer\.1\..* more than config\.json says"):
        load_encoder(copied)
    configured(copied, num_hidden_layers=2, hidden_size=20)
    with pytest.raises(InputError, match=r"is \(16,\) in the weights, and \(20,\) by config\.json"):
        load_encoder(copied)


def test_a_fine_tuned_model_with_more_layers_than_its_configuration_is_refused(copied, tmp_path):
    new_model(copied, BINARY).save_pretrained(tmp_path / "tuned")
    configured(tmp_path / "tuned", num_hidden_layers=1)
    for load in (load_encoder, lambda folder: load_model(folder, Kind.BINARY)):
        with pytest.raises(InputError, match=r"more than config\.json says"):
            load(tmp_path / "tuned")


def test_a_fresh_head_and_a_pooler_that_was_never_trained_are_no_fault(copied):
    weights = load_file(copied / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if not name.startswith("pooler.")}, copied / "model.safetensors",
        metadata={"format": "pt"},
    )  # fmt: skip
    assert new_model(copied, BINARY).classifier.weight.shape == (2, 16)
    assert load_encoder(copied).pooler is None


def test_a_folder_without_a_tokenizer_is_told_how_to_get_one(copied):
    DAMAGES["tokenizer gone"](copied)
    with pytest.raises(InputError, match=r"no tokenizer .*tokenizer\.save_pretrained"):
        load_tokenizer(copied)


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(copied):
    tokenizer = load_tokenizer(copied)
    tokenizer.add_tokens(["flood", "fire"])
    tokenizer.save_pretrained(copied)
    size = load_config(copied).vocab_size
    with pytest.raises(InputError, match=f"the tokenizer has {size + 2} tokens, the encoder embeddings for {size}"):
        load_tokenizer(copied)


def test_a_tokenizer_that_could_not_pad_is_refused(copied):
    for name in ("tokenizer_config.json", "tokenizer.json"):
        content = json.loads((copied / name).read_text())
        content.pop("pad_token", None)
        content["padding"] = None
        (copied / name).write_text(json.dumps(content))
    content = json.loads((copied / "tokenizer_config.json").read_text())
    (copied / "tokenizer_config.json").write_text(
        json.dumps({**content, "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": None})
    )
    with pytest.raises(InputError, match="neither a padding nor an end token"):
        load_tokenizer(copied)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "../nowhere/at/all", "", "http://[", "nobody/nothing"])
def test_a_name_that_is_no_place_at_all_is_one_error(name):
    with pytest.raises(InputError, match=r"neither 'offline', nor a folder, nor a model|no config\.json"):
        checkpoint_folder(name)


def test_of_a_trainer_s_folder_the_latest_checkpoint_is_taken(tiny_encoder, tmp_path, caplog):
    for number in (90, 1000, 200):
        shutil.copytree(tiny_encoder, tmp_path / "run" / f"checkpoint-{number}")
    (tmp_path / "run" / "checkpoint-best").mkdir()
    assert checkpoint_folder(str(tmp_path / "run")) == tmp_path / "run" / "checkpoint-1000"
    assert "holds 3 checkpoints; the latest is taken, checkpoint-1000" in caplog.text
    shutil.copytree(tiny_encoder, tmp_path / "run", dirs_exist_ok=True)  # a model saved at the end is the folder's own
    assert checkpoint_folder(str(tmp_path / "run")) == tmp_path / "run"


LONG = "we need water " * 100


def test_texts_longer_than_the_encoder_reads_are_cut_and_that_is_said_once(tiny_encoder, caplog):
    _say_cut.cache_clear()
    task = task_of(Kind.BINARY, [LONG, "storm"] * 4, np.tile([0, 1], 4))
    trained = fine_tune(task, tiny_encoder, Recipe(epochs=1), seed=0, device=CPU)
    assert 0 <= trained.score(task, "test", 100_000) <= 1
    trained.score(task, "test", 128)
    model, tokenizer = load_encoder(tiny_encoder), load_tokenizer(tiny_encoder)
    cut, at_limit = (read(model, tokenizer, (LONG,), tokens, split=False).embeddings for tokens in (100_000, 64))
    np.testing.assert_array_equal(cut, at_limit)
    told = [record.getMessage() for record in caplog.records if "texts are cut" in record.getMessage()]
    assert told == [
        "texts are cut at 64 tokens, for the encoder has no positions beyond (128 were allowed).",
        "texts are cut at 64 tokens, for the encoder has no positions beyond (100000 were allowed).",
    ]


def test_nothing_is_said_of_texts_that_are_short_enough(tiny_encoder, caplog):
    _say_cut.cache_clear()
    fine_tune(BINARY, tiny_encoder, Recipe(epochs=1), seed=0, device=CPU)
    assert caplog.text == ""


def test_a_sentence_of_a_hundred_thousand_tokens_is_read_as_far_as_the_encoder_goes(tiny_encoder):
    sentences = [("water",) * 100_000, ("storm", "road")]
    tags = (("O",) * 99_999 + ("B-X",), ("B-X", "I-X"))
    task = task_of(Kind.SEQUENCE, sentences, tags, ("O", "B-X", "I-X"))
    trained = fine_tune(task, tiny_encoder, Recipe(epochs=1), seed=0, device=CPU)
    assert read(trained.model, trained.tokenizer, task.splits["test"].texts, 128, split=True).words.tolist() == [62, 2]
    assert 0 <= trained.score(task, "test", 128) <= 1


def test_how_much_an_encoder_reads_is_what_it_was_made_for():
    from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, RobertaConfig, RobertaModel, T5Config, T5EncoderModel

    small = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    bert = BertModel(BertConfig(**small, max_position_embeddings=512))
    roberta = RobertaModel(RobertaConfig(**small, max_position_embeddings=514, pad_token_id=1))
    gpt = GPT2Model(GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=1, n_positions=100, bos_token_id=0, eos_token_id=0))
    t5 = T5EncoderModel(T5Config(vocab_size=20, d_model=8, d_kv=8, d_ff=8, num_layers=1, num_heads=1))
    assert [most_tokens(model) for model in (bert, roberta, gpt, t5)] == [512, 512, 100, UNLIMITED]
    roberta.eval()
    assert roberta(torch.full((1, 512), 5)).last_hidden_state.shape == (1, 512, 8)  # and no more:
    with pytest.raises((IndexError, RuntimeError)):
        roberta(torch.full((1, 513), 5))


@pytest.mark.parametrize("seed", [-1, 2**32, 2**70])
def test_a_seed_that_no_generator_takes_is_refused(tiny_encoder, seed):
    with pytest.raises(InputError, match=f"seed {seed}: give a whole number from 0 to"):
        fine_tune(BINARY, tiny_encoder, Recipe(epochs=1), seed=seed, device=CPU)


def test_a_model_whose_weights_are_nan_reads_without_a_traceback(copied):
    weights = load_file(copied / "model.safetensors")
    save_file(
        {name: torch.full_like(value, torch.nan) for name, value in weights.items()}, copied / "model.safetensors",
        metadata={"format": "pt"},
    )  # fmt: skip
    values = task_of(Kind.REGRESSION, ["good film", "bad plot", "we need", "storm"], np.array([0.1, 0.2, 0.3, 0.4]), ())
    trained = fine_tune(values, copied, Recipe(epochs=1), seed=0, device=CPU)
    assert trained.score(values, "test", 16) == 0.0
