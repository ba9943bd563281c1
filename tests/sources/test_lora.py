"""`lora`: thin matrices learn beside the encoder's, and end up in them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from tests.attribution.models import ARCHITECTURES, classifier, tokenizer_for
from transfercast.core.errors import MissingExtraError
from transfercast.core.records import Recipe
from transfercast.sources.finetune import fine_tune
from transfercast.sources.inference import read
from transfercast.sources.lora import RANK, Adapters
from transfercast.sources.models import load_model, new_model
from transfercast.sources.source import save_trained
from transfercast.tasks.family import read_family

pytest.importorskip("peft")

CPU = torch.device("cpu")
LORA = Recipe(adaptation="lora", epochs=3, batch_size=8, max_tokens=16)


@pytest.fixture(scope="module")
def task(family_toml):
    return read_family(family_toml).sources[0]


def test_only_matrices_of_linear_layers_change_and_by_no_more_than_the_rank(tiny_encoder, task, tmp_path):
    torch.manual_seed(0)
    model = new_model(tiny_encoder, task)
    before = {name: weights.clone() for name, weights in model.base_model.state_dict().items()}
    trained = fine_tune(task, tiny_encoder, LORA, seed=0, device=CPU)
    after = trained.model.base_model.state_dict()
    assert after.keys() == before.keys()
    moved = {name for name, weights in after.items() if not torch.equal(weights, before[name])}
    assert {name for name in moved if "layer.0" in name} == {
        f"encoder.layer.0.{part}.weight"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
                     "intermediate.dense", "output.dense")
    }  # fmt: skip
    assert not any("embeddings" in name or "bias" in name or "LayerNorm" in name for name in moved)
    change = after["encoder.layer.0.intermediate.dense.weight"] - before["encoder.layer.0.intermediate.dense.weight"]
    assert torch.linalg.matrix_rank(change, tol=1e-6) <= RANK < min(change.shape)
    assert all(parameter.requires_grad for parameter in trained.model.parameters())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_merging_changes_nothing_that_the_model_says(name):
    model = classifier(name)
    adapters = Adapters(model)
    model.eval()
    for parameter_name, parameter in model.named_parameters():
        if "lora_B" in parameter_name:
            torch.nn.init.normal_(parameter, std=0.3)
    ids = torch.tensor([[2, 4, 5, 3], [2, 6, 7, 3]])
    with torch.no_grad():
        before = model(input_ids=ids).logits
        adapters.merge()
        after = model(input_ids=ids).logits
    np.testing.assert_allclose(after.numpy(), before.numpy(), atol=1e-4)
    assert not any("lora" in parameter_name for parameter_name, _ in model.named_parameters())
    assert not np.allclose(before.numpy(), classifier(name).eval()(input_ids=ids).logits.detach().numpy(), atol=1e-3)


def test_such_a_model_is_saved_and_read_as_any_other(tiny_encoder, task, tmp_path):
    trained = fine_tune(task, tiny_encoder, LORA, seed=0, device=CPU)
    save_trained(trained, tmp_path / "model")
    texts = task.splits["test"].texts
    read_back = read(load_model(tmp_path / "model", task.kind), trained.tokenizer, texts, 16, split=False)
    np.testing.assert_array_equal(read_back.outputs, read(trained.model, trained.tokenizer, texts, 16, split=False).outputs)


def test_without_peft_the_extra_is_named(tiny_encoder, task, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"transfercast\[peft\]"):
        fine_tune(task, tiny_encoder, LORA, seed=0, device=CPU)


def test_a_decoder_s_transposed_matrices_are_adapted(task, tmp_path):
    classifier("GPT2", num_labels=2).save_pretrained(tmp_path)
    tokenizer_for("GPT2").save_pretrained(tmp_path)
    trained = fine_tune(task, tmp_path, LORA, seed=0, device=CPU)
    assert trained.curve[-1].loss < trained.curve[0].loss
