r"""Term conductance: how much each word, seen through each encoder layer, moves a model from a blank text to its decision.

For the path x(a) = x' + a (x - x') from the [PAD] embedding at every word piece to the document, and the output h_l of
layer l,

.. math:: \mathrm{cond}_l(w) = \sum_j \int_0^1 \frac{\partial F}{\partial h_{lwj}} \frac{d h_{lwj}}{d a}\, da .

One forward and one backward pass serve all layers: F is differentiated with respect to every hidden state at once, and
the hidden states are differenced along the path, averaging the gradients at both ends of each interval. Intervals are
halved where completeness says that the error is. Dhamdhere, Sundararajan, Yan (ICLR 2019), arXiv:1805.12233.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from transfercast.attribution.path import FIRST_NODES, completeness_error, midpoints, to_halve
from transfercast.attribution.words import word_of_pieces, words_of
from transfercast.core.errors import InputError
from transfercast.core.progress import progress
from transfercast.sources.batches import padded

TOKEN_BUDGET = 2048
STATE_BYTES = 512 * 2**20
"""Documents are taken in groups whose hidden states and gradients at 32 nodes stay below this."""


@dataclass(frozen=True, slots=True)
class Conductance:
    """Conductance of the words of one document.

    Attributes:
        words: W words.
        layers: (L, W) conductance in units of F; words cut off by truncation have 0.
        completeness: (L,) what is missing of F(document) - F(baseline), relative to it.
        evaluations: forward and backward passes spent.
        change: F(document) - F(baseline).
        truncated: whether words were cut off.
    """

    words: tuple[str, ...]
    layers: np.ndarray
    completeness: np.ndarray
    evaluations: int
    change: float
    truncated: bool

    def activity(self) -> np.ndarray:
        """(W,) mean over layers of the conductance divided by its L2 norm over the document, in [-1, 1]."""
        norms = np.linalg.norm(self.layers, axis=1, keepdims=True)
        return np.asarray((self.layers / np.where(norms == 0, 1, norms)).mean(0))


@dataclass(slots=True)
class _Document:
    """One document under way: its encoding, its nodes and what was found at them."""

    row: int
    pieces: list[int]
    length: int
    nodes: list[float] = field(default_factory=list)
    value: dict[float, float] = field(default_factory=dict)
    hidden: dict[float, torch.Tensor] = field(default_factory=dict)  # node -> (L, T, d)
    gradient: dict[float, torch.Tensor] = field(default_factory=dict)
    gathered: dict[tuple[float, float], np.ndarray] = field(default_factory=dict)  # interval -> (L, T)

    def add(self, node: float, value: float, hidden: torch.Tensor, gradient: torch.Tensor) -> None:
        self.value[node], self.hidden[node], self.gradient[node] = value, hidden, gradient
        self.nodes = sorted(self.value)

    def intervals(self) -> np.ndarray:
        """(intervals, L, T) conductance gathered between neighbouring nodes."""
        for a, b in zip(self.nodes, self.nodes[1:], strict=False):
            if (a, b) not in self.gathered:
                mean = (self.gradient[a] + self.gradient[b]) / 2
                self.gathered[a, b] = (mean * (self.hidden[b] - self.hidden[a])).sum(-1).double().cpu().numpy()
        return np.stack([self.gathered[pair] for pair in zip(self.nodes, self.nodes[1:], strict=False)])

    def errors(self) -> np.ndarray:
        """(intervals, L) conductance gathered minus the change of F."""
        changes = np.diff([self.value[node] for node in self.nodes])
        return np.asarray(self.intervals().sum(2) - changes[:, None])

    @property
    def change(self) -> float:
        return self.value[1.0] - self.value[0.0]


def term_conductance(
    model: Any,
    tokenizer: Any,
    texts: Sequence[Any],
    *,
    target: int | Sequence[Any] = 1,
    tolerance: float = 0.02,
    max_evaluations: int = 65,
    max_tokens: int = 128,
    split: bool = False,
    token_budget: int = TOKEN_BUDGET,
) -> list[Conductance]:
    """Conductance of every word in every encoder layer.

    Args:
        model: a sequence or token classifier of transformers.
        tokenizer: its fast tokenizer.
        texts: n strings or pairs; with `split`, n tuples of tokens.
        target: the class whose probability is F, one for all or one a text. For token classifiers, a sequence of n
            lists of word numbers: F is then the mean, over the first pieces of these words, of the probability of not
            being `O` (class 0).
        tolerance: completeness error, relative to the change of F, that every layer shall reach.
        max_evaluations: where a document stops all the same.
        max_tokens: longer texts are cut.
        token_budget: padded tokens in one forward pass; bounds the memory.

    Returns:
        One Conductance a text, in order.

    Raises:
        InputError: if the tolerance or the evaluations make no sense, or targets do not fit the texts.
    """
    if not tolerance > 0 or max_evaluations < len(FIRST_NODES):
        raise InputError(f"tolerance {tolerance} must be above 0 and max_evaluations at least {len(FIRST_NODES)}.")
    if not texts:
        return []
    targets = [target] * len(texts) if isinstance(target, int) else list(target)
    if len(targets) != len(texts):
        raise InputError(f"{len(texts)} texts, {len(targets)} targets.")
    pass_ = _Pass(model.eval(), tokenizer, list(texts), targets, max_tokens, split, token_budget)
    found: dict[int, Conductance] = {}
    with _frozen(model):
        for group in progress(pass_.groups(), "conductance"):
            pending = group
            new = [(document, node) for document in group for node in FIRST_NODES]
            while new:
                pass_.evaluate(new)
                new = []
                for document in pending:
                    left = max_evaluations - len(document.nodes)
                    halves = to_halve(document.errors(), document.change, tolerance, left)
                    new += [(document, node) for node in midpoints(document.nodes, halves)]
                waiting = {id(document) for document, _ in new}
                pending = [document for document in pending if id(document) in waiting]
            for document in group:
                found[document.row] = pass_.result(document)
    return [found[row] for row in range(len(texts))]


class _frozen:
    """Weights need no gradients while attributions are taken; put back as they were."""

    def __init__(self, model: Any) -> None:
        self.parameters = list(model.parameters())

    def __enter__(self) -> None:
        self.before = [parameter.requires_grad for parameter in self.parameters]
        for parameter in self.parameters:
            parameter.requires_grad_(False)

    def __exit__(self, *error: object) -> None:
        for parameter, before in zip(self.parameters, self.before, strict=True):
            parameter.requires_grad_(before)


@dataclass(slots=True)
class _Pass:
    """The model and the encoded texts, and how F, its gradients and the hidden states are taken at a node."""

    model: Any
    tokenizer: Any
    texts: list[Any]
    targets: list[Any]
    max_tokens: int
    split: bool
    token_budget: int
    encodings: Any = None

    def __post_init__(self) -> None:
        texts = [list(text) for text in self.texts] if self.split else self.texts
        self.encodings = self.tokenizer(texts, truncation=True, max_length=self.max_tokens, is_split_into_words=self.split)

    def groups(self) -> list[list[_Document]]:
        """Documents of similar length in groups whose states fit in STATE_BYTES."""
        documents = []
        for row, text in enumerate(self.texts):
            pieces = word_of_pieces(self.encodings, row, text, self.split)
            documents.append(_Document(row, pieces, len(pieces)))
        documents.sort(key=lambda document: -document.length)
        config = self.model.config
        a_token = 2 * 4 * 32 * config.num_hidden_layers * config.hidden_size
        groups: list[list[_Document]] = []
        room = 0
        for document in documents:
            if document.length * a_token > room:
                groups.append([])
                room = STATE_BYTES
            groups[-1].append(document)
            room -= document.length * a_token
        return groups

    def evaluate(self, new: list[tuple[_Document, float]]) -> None:
        """Fill in the nodes, packed across documents."""
        for part in self._packed(new):
            documents, nodes = [document for document, _ in part], [node for _, node in part]
            values, hidden, gradients = self._at(documents, nodes)
            for place, (document, node) in enumerate(part):
                n = document.length
                document.add(node, float(values[place]), hidden[:, place, :n].clone(), gradients[:, place, :n].clone())

    def _packed(self, new: list[tuple[_Document, float]]) -> Iterator[list[tuple[_Document, float]]]:
        start = 0
        while start < len(new):
            count = max(1, self.token_budget // max(document.length for document, _ in new[start:]))
            yield new[start : start + count]
            start += count

    def _at(self, documents: list[_Document], nodes: list[float]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """F (rows,), hidden states and gradients (L, rows, T, d) at one node of each document."""
        device = self.model.device
        batch = padded(self.encodings, [d.row for d in documents], self.tokenizer.pad_token_id, device)
        ids = batch.pop("input_ids")
        is_word = torch.zeros(ids.shape, dtype=torch.bool, device=device)
        for place, document in enumerate(documents):
            is_word[place, : document.length] = torch.tensor([word >= 0 for word in document.pieces], device=device)
        table = self.model.get_input_embeddings()
        with torch.no_grad():
            blank = torch.where(is_word, torch.full_like(ids, self.tokenizer.pad_token_id), ids)
            start, end = table(blank), table(ids)
            along = torch.tensor(nodes, dtype=end.dtype, device=device)[:, None, None]
            embedded = start + along * (end - start)
        embedded.requires_grad_(True)
        result = self.model(inputs_embeds=embedded, **batch, output_hidden_states=True)
        hidden = result.hidden_states[1:]
        values = self._objective(result.logits, documents)
        gradients = torch.autograd.grad(values.sum(), hidden)
        return values.detach(), torch.stack([h.detach() for h in hidden]), torch.stack(gradients)

    def _objective(self, logits: torch.Tensor, documents: list[_Document]) -> torch.Tensor:
        probabilities = logits.float().softmax(-1)
        if logits.ndim == 2:
            classes = torch.tensor([self.targets[d.row] for d in documents], device=logits.device)
            return probabilities.gather(1, classes[:, None])[:, 0]
        weights = torch.zeros(logits.shape[:2], device=logits.device)
        for place, document in enumerate(documents):
            wanted = set(self.targets[document.row])
            first = [p for p, word in enumerate(document.pieces) if word in wanted and document.pieces.index(word) == p]
            weights[place, first] = 1 / max(len(first), 1)
        return ((1 - probabilities[..., 0]) * weights).sum(1)

    def result(self, document: _Document) -> Conductance:
        """Pieces summed into words; the document's states are let go."""
        words = words_of(self.texts[document.row], self.split)
        pieces = document.intervals().sum(0)
        layers = np.zeros((len(pieces), len(words)))
        for position, word in enumerate(document.pieces):
            if word >= 0:
                layers[:, word] += pieces[:, position]
        completeness = completeness_error(document.errors(), document.change)
        document.hidden.clear()
        document.gradient.clear()
        truncated = document.length >= self.max_tokens and len(words) - 1 not in document.pieces
        return Conductance(tuple(words), layers, completeness, len(document.nodes), document.change, truncated)
