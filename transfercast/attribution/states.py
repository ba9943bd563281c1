"""Hidden states and gradients at nodes of the path: one forward and one backward pass for all layers of many documents."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from transfercast.attribution.layers import kept_outputs, replaced_embeddings
from transfercast.attribution.objective import log_odds
from transfercast.attribution.words import SPECIAL, word_of_pieces
from transfercast.core.errors import InputError, TransfercastError
from transfercast.sources.batches import padded, tokenized

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One encoded document.

    Attributes:
        row: its number among the texts.
        pieces: for each of T word pieces the number of its word; below 0 for special tokens and lone blanks.
        target: a class, or the positions of positive words' first pieces.
        truncated: whether pieces were cut off.
    """

    row: int
    pieces: list[int]
    target: Any
    truncated: bool

    def __len__(self) -> int:
        return len(self.pieces)


@dataclass(frozen=True, slots=True)
class State:
    """Outputs of the model for one document at one node.

    Attributes:
        log_odds: log-odds of F.
        hidden: (L, T, d) outputs of the layers.
        gradient: (L, T, d) gradient of the log-odds with respect to them.
    """

    log_odds: float
    hidden: torch.Tensor
    gradient: torch.Tensor


@dataclass(slots=True)
class Reader:
    """A model and its texts.

    Attributes:
        model: on its device, frozen.
        tokenizer: its fast tokenizer.
        texts: n strings, pairs, or (`split`) tuples of tokens.
        targets: one for each text.
        layers: modules whose outputs count as layers.
        max_tokens: longer texts are truncated.
        split: whether texts are tuples of tokens.
        token_budget: padded tokens in one pass; halved whenever an accelerator runs out of memory.
        precision: of the forward and backward pass, float32 or bfloat16.
    """

    model: Any
    tokenizer: Any
    texts: Sequence[Any]
    targets: Sequence[Any]
    layers: Sequence[torch.nn.Module]
    max_tokens: int
    split: bool
    token_budget: int
    precision: torch.dtype = torch.float32
    encodings: Any = field(init=False)

    def __post_init__(self) -> None:
        self.encodings = tokenized(self.tokenizer, tuple(self.texts), self.max_tokens, words=self.split)

    @property
    def pad(self) -> int:
        """The token whose embedding is the baseline."""
        return pad_token_id(self.tokenizer)

    def documents(self) -> list[Encoded]:
        """The texts, in order."""
        found = []
        for row, (text, target) in enumerate(zip(self.texts, self.targets, strict=True)):
            pieces = word_of_pieces(self.encodings, row, text, self.split)
            if not isinstance(target, int):
                target = [pieces.index(word) for word in sorted(set(target)) if word in pieces]
            found.append(Encoded(row, pieces, target, bool(self.encodings[row].overflowing)))
        return found

    def states(self, wanted: Sequence[tuple[Encoded, float]]) -> Iterator[tuple[int, State]]:
        """The state at each wanted (document, node), with its place in `wanted`, packed by length.

        Raises:
            TransfercastError: if an accelerator has too little memory for a single document.
        """
        order = sorted(range(len(wanted)), key=lambda place: -len(wanted[place][0]))
        while order:
            places = order[: passes([len(wanted[place][0]) for place in order], self.token_budget)[0]]
            try:
                found = self._pass([wanted[place] for place in places])
            except torch.OutOfMemoryError as error:
                self._halve_budget(len(wanted[order[0]][0]), error)
                continue
            yield from zip(places, found, strict=True)
            order = order[len(places) :]

    def _halve_budget(self, longest: int, error: Exception) -> None:
        if self.token_budget <= longest:
            raise TransfercastError(
                f"{self.model.device}: too little memory for one document of {longest} tokens. "
                f"Lower max_tokens, or take another device."
            ) from error
        self.token_budget //= 2
        log.warning("%s is out of memory: going on with a token budget of %d", self.model.device, self.token_budget)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _pass(self, wanted: Sequence[tuple[Encoded, float]]) -> list[State]:
        documents = [document for document, _ in wanted]
        device = self.model.device
        batch = padded(self.encodings, [document.row for document in documents], self.pad, device)
        embedded = self._embedded(batch["input_ids"], documents, [node for _, node in wanted])
        low = self.precision is not torch.float32
        with (
            replaced_embeddings(self.model, embedded),
            kept_outputs(self.layers) as hidden,
            torch.autocast(device.type, dtype=self.precision, enabled=low),
        ):
            logits = self.model(**batch).logits
        values = log_odds(self.model, logits, [document.target for document in documents])
        gradients = torch.stack(torch.autograd.grad(values.sum(), hidden)).float()
        outputs = torch.stack([output.detach() for output in hidden]).float()
        return [
            State(value, outputs[:, place, : len(document)].clone(), gradients[:, place, : len(document)].clone())
            for place, (value, document) in enumerate(zip(values.tolist(), documents, strict=True))
        ]

    @torch.no_grad()
    def ends(self, ids: torch.Tensor, documents: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
        """(rows, T, d) word embeddings of baseline and document; special tokens are the same in both."""
        special = torch.ones(ids.shape, dtype=torch.bool)
        for place, document in enumerate(documents):
            special[place, : len(document)] = torch.tensor([word == SPECIAL for word in document.pieces])
        table = self.model.get_input_embeddings()
        blank = torch.where(special.to(ids.device), ids, torch.full_like(ids, self.pad))
        return table(blank), table(ids)

    def _embedded(self, ids: torch.Tensor, documents: Sequence[Encoded], nodes: Sequence[float]) -> torch.Tensor:
        start, end = self.ends(ids, documents)
        along = torch.tensor(nodes, dtype=end.dtype, device=end.device)[:, None, None]
        return (start + along * (end - start)).requires_grad_(True)


def passes(lengths: Sequence[int], token_budget: int) -> list[int]:
    """Numbers of documents in each pass, the longest documents first.

    The split has the fewest padded tokens, where each pass counts as a fiftieth of the budget more, about the cost of
    starting it.

    >>> passes([10, 10, 9, 2, 2], 1000), passes([10, 10, 9, 2, 2], 100), passes([10, 10, 9, 2, 2], 20)
    ([5], [3, 2], [2, 1, 2])
    """
    costs = [0.0]
    first = [0]  # number of documents in the last pass, by the number of all
    for end in range(1, len(lengths) + 1):
        most = max(1, token_budget // lengths[0])
        options = range(max(0, end - most), end)
        padded_costs = [costs[start] + (end - start) * lengths[start] for start in options]
        best = int(np.argmin(padded_costs))
        costs.append(padded_costs[best] + token_budget / 50)
        first.append(options[best])
    counts: list[int] = []
    end = len(lengths)
    while end:
        counts.insert(0, end - first[end])
        end = first[end]
    return counts


def pad_token_id(tokenizer: Any) -> int:
    """The padding token, or the end of text if there is none.

    Raises:
        InputError: if the tokenizer has neither, or is not a fast one.
    """
    if not tokenizer.is_fast:
        raise InputError(f"{type(tokenizer).__name__} is no fast tokenizer; its pieces cannot be aligned with words.")
    found = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    if found is None:
        raise InputError("the tokenizer has neither a padding nor an end token; set tokenizer.pad_token.")
    return int(found)
