"""LoRA adapters join a pool as the models that they make of their base encoder."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from transfercast.core.errors import InputError, MissingExtraError
from transfercast.core.kinds import Kind
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.inference import read
from transfercast.sources.models import load_model
from transfercast.sources.pool import SourcePool, adopt

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

TEXTS = ("we need water", "the film was very good", "storm")


@pytest.fixture(scope="module")
def adapted(tmp_path_factory, tiny_encoder):
    """A classifier of three classes with random LoRA weights, as peft saves it, and the model itself."""
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_encoder, num_labels=3)
    config = peft.LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=8, target_modules=["query", "value"])
    model = peft.get_peft_model(model, config).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zero at first, so that an adapter changes nothing
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    return folder, model


@pytest.fixture
def copied(adapted, tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    for path in adapted[0].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def configured(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_adapter_says_what_peft_s_own_model_says(adapted, tmp_path, tiny_encoder):
    folder, model = adapted
    source = adopt(tmp_path / "pool", "lora", str(folder), encoder=str(tiny_encoder), score=0.5)
    assert source.kind is Kind.MULTICLASS
    assert source.encoder == str(tiny_encoder)
    assert source.checkpoint == tmp_path / "pool" / "sources" / "lora"
    tokenizer = load_tokenizer(tiny_encoder)
    with torch.no_grad():
        expected = [model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0].numpy() for text in TEXTS]
    found = read(load_model(source.checkpoint, source.kind), load_tokenizer(source.checkpoint), TEXTS, 16, split=False)
    np.testing.assert_allclose(found.outputs, expected, atol=1e-5)
    with model.disable_adapter(), torch.no_grad():  # or this test could not fail
        base = model(**tokenizer(TEXTS[0], return_tensors="pt")).logits.softmax(-1)[0].numpy()
    assert np.abs(base - expected[0]).max() > 0.01
    assert SourcePool.load(tmp_path / "pool")["lora"] == source


def test_an_adapter_is_merged_once(adapted, copied, tmp_path, tiny_encoder, monkeypatch):
    first = adopt(tmp_path / "pool", "lora", str(copied), encoder=str(tiny_encoder))
    monkeypatch.setattr("transfercast.sources.adoption.merge", lambda *_: pytest.fail("it was merged again"))
    for encoder in (None, str(tiny_encoder)):
        assert adopt(tmp_path / "pool", "lora", str(copied), encoder=encoder) == first
    weights = copied / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(InputError, match="another source 'lora' is there already"):
        adopt(tmp_path / "pool", "lora", str(copied))


def test_what_is_stated_is_looked_for_on_the_hub_only(copied, tmp_path, tiny_encoder, monkeypatch):
    configured(copied, base_model_name_or_path=str(tiny_encoder))
    with pytest.raises(InputError, match=r"which base encoder was the adapter made for\? .*no name of the hub.*--encoder"):
        adopt(tmp_path / "pool", "lora", str(copied))
    configured(copied, base_model_name_or_path="someone/tiny")
    monkeypatch.setattr("transfercast.sources.bases.downloaded", lambda name: tiny_encoder)
    monkeypatch.setattr("transfercast.sources.adoption.checkpoint_folder", lambda name: tiny_encoder)
    assert adopt(tmp_path / "pool", "lora", str(copied)).encoder == "someone/tiny"


def pickled(folder):
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def garbage(folder):
    (folder / "adapter_model.safetensors").write_bytes(b"\x93nonsense")


def other_method(folder):
    configured(folder, peft_type="IA3")


def other_task(folder):
    configured(folder, task_type="CAUSAL_LM")


def other_modules(folder):
    configured(folder, target_modules=["key"])


def no_json(folder):
    (folder / "adapter_config.json").write_text("[]")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (pickled, r"no adapter_model\.safetensors. Pickled weights"),
        (garbage, "the adapter cannot be read"),
        (other_method, "IA3 for SEQ_CLS; only LORA adapters"),
        (other_task, "LORA for CAUSAL_LM; only LORA adapters"),
        (other_modules, "is not where the encoder .* has it"),
        (no_json, "not a configuration of peft"),
    ],
)
def test_what_cannot_be_merged_is_told_and_nothing_is_left(copied, tmp_path, tiny_encoder, damage, said):
    damage(copied)
    with pytest.raises(InputError, match=said):
        adopt(tmp_path / "pool", "lora", str(copied), encoder=str(tiny_encoder))
    assert not (tmp_path / "pool" / "sources" / "lora").exists()


def test_a_configuration_does_not_import_what_it_names(copied, tmp_path, tiny_encoder, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    configured(copied, megatron_core="evil", megatron_config={"x": 1}, auto_mapping={"parent_library": "evil"})
    assert adopt(tmp_path / "pool", "lora", str(copied), encoder=str(tiny_encoder)).kind is Kind.MULTICLASS
    assert "evil" not in sys.modules


def test_without_peft_it_is_told_how_to_get_it(copied, tmp_path, tiny_encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'transfercast\[peft\]'"):
        adopt(tmp_path / "pool", "lora", str(copied), encoder=str(tiny_encoder))
