"""An embedding table of only the tokens that occur: the same training in less time.

Of BERT's 30,522 word embeddings the texts of a task use a few thousand. The gradients of the others are zero, and so are
their moments in Adam, so an update multiplies such a row by (1 - rate x decay) and changes nothing else. A small table is
trained in place of the whole one, and at the end the rows that never occurred are multiplied by the product of these
factors: the weights equal those of training the whole table, up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class CompactEmbedding(nn.Module):
    """Word embeddings of the tokens that occur; token ids stay those of the whole table.

    Args:
        whole: the table to replace.
        token_lists: token ids of all texts that will be read.

    Attributes:
        weight: (kept tokens, d) the rows that are trained.
        shrink: factor by which the rows that do not occur have decayed; part of the state, like the rows.
    """

    rows: torch.Tensor
    kept: torch.Tensor
    shrink: torch.Tensor

    def __init__(self, whole: nn.Embedding, token_lists: Iterable[list[int]]) -> None:
        super().__init__()
        occurring = set().union(*token_lists)
        if whole.padding_idx is not None:
            occurring.add(whole.padding_idx)
        kept = torch.tensor(sorted(occurring), device=whole.weight.device)
        rows = torch.full((whole.num_embeddings,), -1, device=whole.weight.device)
        rows[kept] = torch.arange(len(kept), device=whole.weight.device)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("kept", kept, persistent=False)
        self.weight = nn.Parameter(whole.weight.detach()[kept].clone())
        self.padding_row = None if whole.padding_idx is None else int(rows[whole.padding_idx])
        self.register_buffer("shrink", torch.ones((), dtype=torch.float64))  # on the CPU: not every device has float64

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embeddings (..., d) of token ids (...)."""
        return functional.embedding(self.rows[tokens], self.weight, self.padding_row)

    def note_update(self, optimiser: torch.optim.Optimizer) -> None:
        """Count the decay of the coming update; without a gradient, AdamW does not change the table."""
        if self.weight.grad is None:
            return
        group = next(group for group in optimiser.param_groups if any(one is self.weight for one in group["params"]))
        self.shrink *= 1.0 - group["lr"] * group["weight_decay"]

    @torch.no_grad()
    def write_back(self, whole: nn.Embedding) -> None:
        """Write the weights into the whole table that training it would have given."""
        whole.weight.mul_(float(self.shrink))
        whole.weight[self.kept] = self.weight


def compacted(model: Any, token_lists: Iterable[list[int]]) -> tuple[CompactEmbedding, nn.Embedding] | None:
    """Put a small table in place of a model's word embeddings.

    Returns:
        The small table and the whole one; None if the model's embeddings are not a plain table, or are shared with an
        output layer (language models).
    """
    whole = model.get_input_embeddings()
    if type(whole) is not nn.Embedding or whole.max_norm is not None or whole.scale_grad_by_freq:
        return None
    output = getattr(model, "get_output_embeddings", lambda: None)()
    if output is not None and output.weight is whole.weight:
        return None
    small = CompactEmbedding(whole, token_lists)
    model.set_input_embeddings(small)
    return small, whole
