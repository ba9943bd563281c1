"""Which encoder a fine-tuned model was made from: told, stated, or seen in its weights; and a question where nothing tells."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from tests.sources.test_broken_models import BINARY, configured
from transfercast.core.errors import InputError
from transfercast.core.records import Recipe
from transfercast.sources.bases import UNKNOWN, base_of
from transfercast.sources.finetune import fine_tune
from transfercast.sources.pool import SourcePool, adopt
from transfercast.sources.source import save_trained


@pytest.fixture(scope="module")
def encoders(tmp_path_factory, tiny_encoder):
    """By name: `two` layers, the same with `one` layer, and a `stranger` of two layers with other weights."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    folder = tmp_path_factory.mktemp("encoders")
    shutil.copytree(tiny_encoder, folder / "two")
    shorter = AutoModel.from_pretrained(tiny_encoder)
    shorter.encoder.layer = shorter.encoder.layer[:1]
    shorter.config.num_hidden_layers = 1
    torch.manual_seed(7)
    stranger = AutoModel.from_config(AutoConfig.from_pretrained(tiny_encoder))
    for name, model in (("one", shorter), ("stranger", stranger)):
        model.save_pretrained(folder / name)
        AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder / name)
    return {name: folder / name for name in ("two", "one", "stranger")}


@pytest.fixture
def tuned(encoders, tmp_path):
    """A classifier that was fine-tuned from `two`."""
    recipe = Recipe(epochs=1, max_tokens=16)
    save_trained(fine_tune(BINARY, encoders["two"], recipe, seed=0, device=torch.device("cpu")), tmp_path / "tuned")
    return tmp_path / "tuned"


def known(encoders):
    return [str(folder) for folder in encoders.values()]


def test_weights_tell_which_of_the_known_encoders_it_was(encoders, tuned, caplog):
    assert base_of(tuned, None, known(encoders)) == str(encoders["two"])
    assert f"base encoder {encoders['two']}, whose word embeddings it shares" in caplog.text


def test_where_nothing_tells_the_user_is_asked(encoders, tuned):
    for others in ([], [str(encoders["one"]), str(encoders["stranger"])]):
        with pytest.raises(InputError, match=r"which base encoder was it fine-tuned from\? neither its card nor .*--encoder"):
            base_of(tuned, None, others)


@pytest.mark.parametrize(
    ("file", "content", "stated"),
    [
        ("README.md", "---\ntags:\n- x\nbase_model: someone/small\n---\n# Card\n", "someone/small"),
        ("README.md", "---\nbase_model:\n- 'someone/small'\nlicense: mit\n---\n", "someone/small"),
        ("README.md", '---\nbase_model: ["someone/small"]\n---\n', "someone/small"),
        ("config.json", "someone/small", "someone/small"),
    ],
)
def test_a_card_or_a_configuration_that_names_the_encoder_on_the_hub_is_believed_if_it_fits(
    encoders, tuned, monkeypatch, caplog, file, content, stated
):
    if file == "config.json":
        configured(tuned, _name_or_path=content)
    else:
        (tuned / file).write_text(content)
    hub = {stated: encoders["two"]}
    monkeypatch.setattr("transfercast.sources.bases.downloaded", lambda name: hub[name])
    assert base_of(tuned, None, []) == stated
    assert f"base encoder {stated}, as its {'model card' if file == 'README.md' else file} says" in caplog.text
    hub[stated] = encoders["one"]
    with pytest.raises(InputError, match=r"names 'someone/small' \(that is bert of 1 layers, 16 wide, the model bert of 2"):
        base_of(tuned, None, [])


def test_what_a_file_says_never_becomes_a_path(encoders, tuned):
    configured(tuned, _name_or_path=str(encoders["two"]))
    with pytest.raises(InputError, match="no name of the hub; if it is a folder of yours, say so"):
        base_of(tuned, None, [])


def test_what_the_user_says_is_checked_and_goes_first(encoders, tuned):
    (tuned / "README.md").write_text("---\nbase_model: someone/else\n---\n")
    assert base_of(tuned, str(encoders["two"]), []) == str(encoders["two"])
    with pytest.raises(InputError, match=r"was not fine-tuned from .*one: that is bert of 1 layers"):
        base_of(tuned, str(encoders["one"]), [])
    with pytest.raises(InputError, match="neither 'offline', nor a folder"):
        base_of(tuned, "nobody/nothing", [])


def test_one_encoder_has_one_name_wherever_it_lies(encoders, tuned, tmp_path, monkeypatch):
    shutil.copytree(encoders["two"], tmp_path / "again")
    assert base_of(tuned, str(tmp_path / "again"), known(encoders)) == str(encoders["two"])
    monkeypatch.chdir(tmp_path)
    assert base_of(tuned, "again", []) == str(tmp_path / "again")  # and a folder is known by its whole path


def test_a_source_of_a_pool_keeps_its_encoder_where_it_is_adopted_elsewhere(encoders, tuned, tmp_path):
    adopt(tmp_path / "pool", "first", str(tuned), encoder=str(encoders["two"]))
    second = adopt(tmp_path / "pool", "second", str(tuned))
    assert second.encoder == str(encoders["two"])
    assert SourcePool.load(tmp_path / "pool").encoders == (str(encoders["two"]),)


def test_a_source_that_was_adopted_before_encoders_were_asked_for_learns_its_own(encoders, tuned, tmp_path):
    adopt(tmp_path / "pool", "old", str(tuned), score=0.5, encoder=str(encoders["two"]))
    record = tmp_path / "pool" / "sources" / "old" / "source.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"encoder": UNKNOWN}))
    assert SourcePool.load(tmp_path / "pool").encoders == ()
    with pytest.raises(InputError, match=r"sources of 0 encoders"):
        _ = SourcePool.load(tmp_path / "pool").encoder
    again = adopt(tmp_path / "pool", "old", str(tuned), encoder=str(encoders["two"]))
    assert again.encoder == str(encoders["two"])
    assert again.scores == {"test": 0.5}
