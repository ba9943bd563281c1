"""A classifier on the mean of an encoder's last layer, for encoders whose own pooler was never trained.

transformers puts an encoder's pooler, a layer over the first token, between encoder and classifier. Sentence encoders are
trained on the mean over tokens and never use that layer; a head behind it learns slower (docs/training.md has the figures),
and nothing at all while the encoder is frozen. A folder of such a model holds the encoder as transformers saves it, and the
head in `head.safetensors` beside `head.json`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from transfercast.core.errors import InputError
from transfercast.core.files import read_json, reason, write_json
from transfercast.sources.encoders import HEAD

HEAD_WEIGHTS = "head.safetensors"
FORMAT = 1
HEAD_DEVIATION = 0.02
"""Standard deviation of a new head's weights, as in BERT."""


class PooledClassifier(nn.Module):
    """An encoder, the mean of its last layer over tokens, dropout, and a linear head.

    Args:
        encoder: from `AutoModel`, with `num_labels` and `id2label` of the task in its configuration; its pooler is dropped.

    Attributes:
        base_model: the encoder, under the name that it has in transformers' classifiers.
        classifier: the head, (C, d).
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        config = encoder.config
        if hasattr(encoder, "pooler"):
            encoder.pooler = None
        self.base_model = encoder
        self.config = config
        self.dropout = nn.Dropout(float(getattr(config, "hidden_dropout_prob", getattr(config, "dropout", 0.1))))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        nn.init.normal_(self.classifier.weight, std=HEAD_DEVIATION)
        nn.init.zeros_(self.classifier.bias)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.classifier.weight.device

    def get_input_embeddings(self) -> Any:
        """The encoder's word embeddings."""
        return self.base_model.get_input_embeddings()

    def set_input_embeddings(self, table: nn.Module) -> None:
        """Replace the encoder's word embeddings."""
        self.base_model.set_input_embeddings(table)

    def forward(self, attention_mask: torch.Tensor, **batch: Any) -> Any:
        """Logits (n, C), and hidden states if `output_hidden_states` asks for them."""
        from transformers.modeling_outputs import SequenceClassifierOutput

        states = self.base_model(attention_mask=attention_mask, **batch)
        pooled = mean_over_tokens(states.last_hidden_state, attention_mask)
        return SequenceClassifierOutput(
            logits=self.classifier(self.dropout(pooled)), hidden_states=states.hidden_states, attentions=states.attentions
        )

    def save_pretrained(self, folder: Path, **options: Any) -> None:
        """Write encoder and head; the method has the name that it has in transformers' classifiers."""
        self.base_model.save_pretrained(folder, **options)
        save_file(
            {name: value.contiguous() for name, value in self.classifier.state_dict().items()}, Path(folder) / HEAD_WEIGHTS
        )
        write_json(Path(folder) / HEAD, {"format": FORMAT, "pooling": "mean"})

    def load_head(self, folder: Path) -> None:
        """Read the head back from a folder.

        Raises:
            InputError: if it is damaged or does not fit the encoder.
        """
        read_json(folder / HEAD, "a head's record", FORMAT)
        try:
            self.classifier.load_state_dict(load_file(folder / HEAD_WEIGHTS))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{folder / HEAD_WEIGHTS}: not the head of this model ({reason(error)}). Fit it again.") from error


def mean_over_tokens(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(n, d) mean of (n, T, d) states over the tokens where the (n, T) mask is 1."""
    weights = mask[..., None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)
