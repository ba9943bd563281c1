"""Training the embeddings of only those tokens that occur gives the weights of training all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conftest import WORDS
from transfercast.core.kinds import Kind
from transfercast.core.records import Recipe
from transfercast.sources.compact import CompactEmbedding, compacted
from transfercast.sources.finetune import fine_tune
from transfercast.sources.models import load_encoder
from transfercast.tasks.family import read_family
from transfercast.tasks.task import Examples, Task

CPU = torch.device("cpu")


@pytest.mark.parametrize("choose", ["best", "last"])
@pytest.mark.parametrize(("recipe", "seed"), [("full", 3), ("ulmfit/lm=0", 1)])
def test_compact_embeddings_give_the_weights_of_the_whole_table(tiny_encoder, family_toml, recipe, seed, choose):
    task = read_family(family_toml).sources[0]
    recipe = Recipe.parse(f"{recipe}/lr=0.01/epochs=6/batch=8/tokens=16/choose={choose}")
    small, whole = (
        fine_tune(task, tiny_encoder, recipe, seed=seed, device=CPU, compact=compact, precision="float32")
        for compact in (True, False)
    )
    assert (small.epoch < 5) == (choose == "best")  # the decay of the rows that do not occur goes back, too
    weights = small.model.state_dict()
    assert weights.keys() == whole.model.state_dict().keys()
    for name, expected in whole.model.state_dict().items():
        torch.testing.assert_close(weights[name], expected, rtol=1e-5, atol=1e-6, msg=name)
    assert [epoch.score for epoch in small.curve] == [epoch.score for epoch in whole.curve]


def test_tokens_that_never_occur_only_decay(tiny_encoder):
    texts = Examples(("good film", "bad plot") * 8, np.array([1, 0] * 8), tuple(map(str, range(16))))
    task = Task("t", Kind.BINARY, dict.fromkeys(("train", "validation", "test"), texts), ("negative", "positive"))
    recipe = Recipe(learning_rate=0.01, epochs=1, batch_size=8, max_tokens=16)
    trained = fine_tune(task, tiny_encoder, recipe, seed=0, device=CPU).model.get_input_embeddings().weight
    before = load_encoder(tiny_encoder).get_input_embeddings().weight
    storm = 5 + WORDS.index("storm")
    # two updates, at the whole rate (warm-up is one update) and at (2 - 1) / (2 - 1) of it, each with a decay of 0.01
    torch.testing.assert_close(trained[storm], before[storm] * (1 - 0.01 * 0.01) ** 2, rtol=1e-6, atol=1e-8)


def test_a_token_that_was_not_announced_is_an_error_and_not_another_s_embedding():
    table = CompactEmbedding(torch.nn.Embedding(10, 4), [[1, 2], [7]])
    assert table(torch.tensor([[1, 7]])).shape == (1, 2, 4)
    with pytest.raises(IndexError):
        table(torch.tensor([3]))


def test_a_table_that_is_shared_with_an_output_layer_stays_as_it_is():
    class Language(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.words = torch.nn.Embedding(10, 4)
            self.head = torch.nn.Linear(4, 10, bias=False)
            self.head.weight = self.words.weight

        def get_input_embeddings(self):
            return self.words

        def get_output_embeddings(self):
            return self.head

    assert compacted(Language(), [[1]]) is None
