r"""Term conductance: how much each word, seen through each encoder layer, moves a model from a blank text to its decision.

For the path x(a) = x' + a (x - x') from the [PAD] embedding at every word piece to the document, and the output h_l of
layer l,

.. math:: \mathrm{cond}_l(w) = \sum_j \int_0^1 \frac{\partial F}{\partial h_{lwj}} \frac{d h_{lwj}}{d a}\, da .

One forward and one backward pass serve all layers: F is differentiated with respect to every layer's output at once, and
the outputs are differenced along the path. Dhamdhere, Sundararajan, Yan (ICLR 2019), arXiv:1805.12233. The
quadrature and its error bound are in transfercast.attribution.path.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from transfercast.attribution.budget import default_budget
from transfercast.attribution.captum_engine import captum_conductance
from transfercast.attribution.layers import frozen, layers_of
from transfercast.attribution.objective import check_targets
from transfercast.attribution.path import FIRST_NODES
from transfercast.attribution.solve import Solution, solved
from transfercast.attribution.states import Reader, pad_token_id
from transfercast.attribution.words import words_of
from transfercast.core.errors import InputError
from transfercast.core.notebook import words_html
from transfercast.core.progress import progress
from transfercast.sources.batches import most_tokens
from transfercast.sources.models import pick_device

log = logging.getLogger(__name__)

MAX_EVALUATIONS = 65

PALEST = 0.05
"""Smallest activity that is shown in full colour in a notebook: the lowest threshold of ANSAT."""

Normalise = Literal["none", "l2"]


@dataclass(frozen=True, slots=True)
class Conductance:
    """Conductance of the words of one document.

    Attributes:
        words: W words.
        layers: (L, W) conductance in units of F; words cut off by truncation have 0.
        completeness: (L,) missing part of F(document) - F(baseline), relative to it, or to 0.025 if it is smaller.
        error: (L,) upper estimate, in units of F, of the error of a layer's sum over words: the absolute missing parts of all
            intervals of the path, and movements of F within an interval that its conductance does not include. If words act
            in opposite directions, the error of a single word may be a few times as large.
        within_tolerance: whether every layer's error is within the requested tolerance.
        evaluations: forward and backward passes used.
        probability: F(document).
        change: F(document) - F(baseline).
        truncated: whether words were cut off.
        saturated: whether F rounds to 1 (in float32) all along the path: all conductance is 0 then, because no word changes
            F within its precision.
    """

    words: tuple[str, ...]
    layers: np.ndarray
    completeness: np.ndarray
    error: np.ndarray
    within_tolerance: bool
    evaluations: int
    probability: float
    change: float
    truncated: bool
    saturated: bool

    def _repr_html_(self) -> str:
        """The words in a notebook, coloured by their activity."""
        summary = f"Probability {self.probability:.3f}, of a blank text {self.probability - self.change:.3f}"
        return words_html(summary, self.words, self.activity().tolist(), PALEST)

    def shares(self) -> np.ndarray:
        """(L, W) conductance, each layer divided by its L2 norm over the document, in [-1, 1].

        The smaller the change of F, the larger the errors of shares: a tolerance holds in units of F.
        """
        norms = np.linalg.norm(self.layers, axis=1, keepdims=True)
        return np.asarray(self.layers / np.where(norms == 0, 1, norms))

    def activity(self, normalise: Normalise = "none") -> np.ndarray:
        """(W,) mean over the layers in which words have conductance; 0 if there is no such layer.

        With a head that reads only the first token, words of the last layer have a conductance of exactly 0; that layer
        has no information on words and is left out of the mean.

        Args:
            normalise: `none` for conductance itself, in units of F, about in [-1, 1] (Pugantsov and McCreadie 2022); `l2`
                for `shares`, which are comparable between documents with different changes of F.
        """
        if normalise not in ("none", "l2"):
            raise InputError(f"normalise {normalise!r} must be none or l2.")
        values = self.layers if normalise == "none" else self.shares()
        live = self.layers.any(axis=1)
        return np.asarray(values[live].mean(0)) if live.any() else np.zeros(len(self.words))


def term_conductance(
    model: Any,
    tokenizer: Any,
    texts: Sequence[Any],
    *,
    target: int | Sequence[Any] = 1,
    tolerance: float = 0.02,
    max_evaluations: int = MAX_EVALUATIONS,
    max_tokens: int = 128,
    split: bool = False,
    token_budget: int | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    device: str | None = None,
    layers: Sequence[torch.nn.Module] | None = None,
    engine: Literal["path", "captum"] = "path",
) -> list[Conductance]:
    """Conductance of every word in every encoder layer.

    Args:
        model: a sequence or token classifier of transformers, encoder or decoder.
        tokenizer: its fast tokenizer.
        texts: n strings or pairs; with `split`, n tuples of tokens.
        target: the class whose probability is F, one for all or one a text. For token classifiers, a sequence of n
            lists of word numbers: F is then the mean, over the first pieces of these words, of the probability of not
            being `O` (class 0).
        tolerance: error that every layer shall reach, summed over the parts of the path without letting them cancel,
            relative to the change of F, or to 0.025 where F changes by less; completeness is within it then.
        max_evaluations: a document stops after so many, even if its error is larger; `within_tolerance` is then false.
        max_tokens: longer texts are truncated, and `truncated` is then true; at most the number of the model's positions.
        token_budget: padded tokens in one pass, which bounds the memory for any number of texts. By default as many as a
            quarter of the free memory allows, up to the number where speed stops rising. Halved if a GPU runs out of memory.
        precision: bfloat16 runs the passes in that precision and sums in float32; for GPUs. The states are then too
            coarse for small errors, and many documents miss the tolerance.
        device: cpu, cuda, cuda:1, mps; the model is moved there. By default the model's own device.
        layers: modules whose outputs count as layers, for models whose layers are not found automatically.
        engine: `captum` uses Captum's LayerConductance layer by layer, doubling the steps until the tolerance holds
            (at most 3,200): a slow reference.

    Returns:
        One Conductance for each text, in order.

    Raises:
        InputError: if an argument makes no sense, or the model cannot be attributed.

    Example:
        The folder `pool/sources/help` holds a classifier of two layers.

        >>> from transformers import AutoModelForSequenceClassification, AutoTokenizer
        >>> import transfercast as tc
        >>> folder = "pool/sources/help"
        >>> model = AutoModelForSequenceClassification.from_pretrained(folder)
        >>> (found,) = tc.term_conductance(model, AutoTokenizer.from_pretrained(folder), ["we need help"], target=1)
        >>> found.words, found.layers.shape, found.within_tolerance
        (('we', 'need', 'help'), (2, 3), True)
        >>> len(found.activity())
        3
    """
    if not tolerance > 0 or max_evaluations < len(FIRST_NODES) or (token_budget is not None and token_budget < 1):
        raise InputError(
            f"tolerance {tolerance} must be above 0, max_evaluations {max_evaluations} at least {len(FIRST_NODES)}, "
            f"token_budget {token_budget} at least 1."
        )
    if isinstance(texts, str):
        raise InputError("texts is one string; give a list of texts.")
    if precision not in ("float32", "bfloat16") or engine not in ("path", "captum"):
        raise InputError(f"precision {precision!r} must be float32 or bfloat16, engine {engine!r} path or captum.")
    texts = list(texts)
    if not texts:
        return []
    asked = [target] * len(texts) if isinstance(target, int | np.integer) else list(target)
    targets = [int(one) if isinstance(one, np.integer) else one for one in asked]
    if len(targets) != len(texts):
        raise InputError(f"{len(texts)} texts, {len(targets)} targets.")
    check_targets(model, targets, tokens=type(model).__name__.endswith("ForTokenClassification"))
    if device is not None:
        model = model.to(pick_device(device))
    modules = list(layers) if layers is not None else layers_of(model)
    max_tokens = min(max_tokens, most_tokens(model))
    budget = token_budget or default_budget(model, max_tokens)
    with frozen(model, pad_token_id(tokenizer)):
        reader = Reader(model, tokenizer, texts, targets, modules, max_tokens, split, budget, getattr(torch, precision))
        solutions = solved(reader, tolerance, max_evaluations) if engine == "path" else captum_conductance(reader, tolerance)
        found = {
            one.document.row: _conductance(one, words_of(texts[one.document.row], split))
            for one in progress(solutions, "conductance", len(texts))
        }
    missed = sum(not one.within_tolerance for one in found.values())
    if missed:
        log.warning("%d of %d documents miss the tolerance of %g; see within_tolerance.", missed, len(found), tolerance)
    saturated = sum(one.saturated for one in found.values())
    if saturated:
        log.warning("%d of %d documents: F is 1 whatever is read, so words have no conductance.", saturated, len(found))
    return [found[row] for row in range(len(texts))]


def _conductance(solution: Solution, words: list[str]) -> Conductance:
    """Pieces summed into words."""
    layers = np.zeros((len(solution.pieces), len(words)))
    for position, word in enumerate(solution.document.pieces):
        if word >= 0:
            layers[:, word] += solution.pieces[:, position]
    return Conductance(
        tuple(words),
        layers,
        solution.completeness,
        solution.error,
        solution.within_tolerance,
        solution.evaluations,
        solution.end,
        solution.end - solution.start,
        solution.document.truncated,
        solution.saturated,
    )
