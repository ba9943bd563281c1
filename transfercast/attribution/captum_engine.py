"""The same conductance by Captum, layer by layer with fixed steps: slow, and used as the reference of the tests.

Captum sums the gradients at the left ends of its steps, also with its default rule: the Gauss-Legendre nodes are used without
their weights (0.9.0). Its error is inversely proportional to the number of steps, which is doubled until the tolerance holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

from transfercast.attribution.layers import hooked, replaced_embeddings
from transfercast.attribution.objective import log_odds
from transfercast.attribution.path import FLOOR, allowed_error
from transfercast.attribution.solve import Solution, nothing_read, rounds_to_one
from transfercast.attribution.states import Encoded, Reader
from transfercast.core.errors import InputError
from transfercast.sources.batches import padded

FIRST_STEPS = 50
MOST_STEPS = 3200


def captum_conductance(reader: Reader, tolerance: float) -> Iterator[Solution]:
    """Each document's solution, in order.

    Raises:
        InputError: if layers share a module, because Captum cannot separate them.
    """
    if len(reader.layers) < getattr(reader.model.config, "num_hidden_layers", 0):
        raise InputError(f"{type(reader.model).__name__} runs one module as several layers; engine='captum' needs one each.")
    for document in reader.documents():
        yield _solution(reader, document, tolerance) if document.target != [] else nothing_read(document, reader)


def _solution(reader: Reader, document: Encoded, tolerance: float) -> Solution:
    steps = FIRST_STEPS
    spent = 0
    while True:
        pieces, start, end = conductance_in_steps(reader, document, steps)
        spent += len(reader.layers) * (steps + 1)
        missing = np.abs(pieces.sum(1) - (end - start))
        within = bool(missing.max() <= allowed_error(end - start, tolerance))
        if within or steps >= MOST_STEPS:
            completeness = missing / max(abs(end - start), FLOOR)
            saturated = rounds_to_one([start, end]) and not pieces.any()
            return Solution(document, pieces, completeness, missing, within, spent, start, end, saturated)
        steps *= 2


def conductance_in_steps(reader: Reader, document: Encoded, steps: int) -> tuple[np.ndarray, float, float]:
    """(L, T) Captum's LayerConductance of each layer at so many steps, and F at both ends."""
    from captum.attr import LayerConductance  # the import takes a second, and only this engine needs it

    batch = padded(reader.encodings, [document.row], reader.pad, reader.model.device)
    start, end = reader.ends(batch["input_ids"], [document])

    def probability(embedded: torch.Tensor) -> torch.Tensor:
        rows = len(embedded)
        with replaced_embeddings(reader.model, embedded):
            logits = reader.model(**{name: values.expand(rows, -1) for name, values in batch.items()}).logits
        return log_odds(reader.model, logits, [document.target] * rows).sigmoid()

    def of_layer(layer: torch.nn.Module) -> np.ndarray:
        found: Any = LayerConductance(probability, layer).attribute(
            end, baselines=start, n_steps=steps, internal_batch_size=max(reader.token_budget // len(document), 2)
        )
        found = found[0] if isinstance(found, tuple) else found
        return np.asarray(found[0].sum(-1).detach().cpu().double().numpy())

    with torch.no_grad():
        ends = probability(torch.cat([start, end])).tolist()
    modules = [_giving_tensor(layer, lambda: probability(start)) for layer in reader.layers]
    return np.stack([of_layer(module) for module in modules]), ends[0], ends[1]


@torch.no_grad()
def _giving_tensor(layer: torch.nn.Module, run: Callable[[], Any]) -> torch.nn.Module:
    """The layer, or, if it returns a tuple, which Captum does not accept, the last module in it that makes the first part."""
    outputs: dict[torch.nn.Module, Any] = {}
    with ExitStack() as stack:
        for module in layer.modules():
            stack.enter_context(hooked(module, lambda module, _inputs, output: outputs.__setitem__(module, output)))
        run()
    if isinstance(outputs[layer], torch.Tensor):
        return layer
    return next(module for module, output in outputs.items() if output is outputs[layer][0])
