"""A uniform access to encoders: hooks replace the word embeddings, and keep the outputs of the layers.

Because of the hooks a model still gets its usual `input_ids`, so that position numbers, padding and the token that a decoder
pools are the same as in ordinary use. With `inputs_embeds` they would not be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from transfercast.core.errors import InputError


def layers_of(model: Any) -> list[torch.nn.Module]:
    """The modules whose outputs are the encoder's layers, in order; a shared module (as in ALBERT) is listed once.

    Raises:
        InputError: if the model's configuration does not determine them.
    """
    config = model.config
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(f"{type(model).__name__} is an encoder-decoder; conductance is taken of encoders and decoders alone.")
    lengths = {getattr(config, "num_hidden_layers", None), getattr(config, "num_hidden_groups", None)} - {None}
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) in lengths:
            return list(module)
    raise InputError(f"{type(model).__name__}: its layers were not found; name the modules with layers=[...].")


@contextmanager
def replaced_embeddings(model: Any, embedded: torch.Tensor) -> Iterator[None]:
    """While open, the model's word embeddings are `embedded` (rows, T, d), for any ids."""

    def replace(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if output.shape != embedded.shape:
            raise InputError(f"{type(model).__name__} embeds {tuple(output.shape)} instead of {tuple(embedded.shape)}.")
        return embedded

    with hooked(model.get_input_embeddings(), replace):
        yield


@contextmanager
def kept_outputs(layers: Sequence[torch.nn.Module]) -> Iterator[list[torch.Tensor]]:
    """While open, the outputs (rows, T, d) of the layers are gathered, in the order in which they are computed."""
    kept: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        kept.append(output[0] if isinstance(output, tuple) else output)

    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(hooked(layer, keep))
        yield kept


@contextmanager
def hooked(module: torch.nn.Module, hook: Any) -> Iterator[None]:
    """While open, `hook(module, inputs, output)` is called after each run of the module; its result replaces the output."""
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def frozen(model: Any, pad_token_id: int) -> Iterator[None]:
    """While open, the model is in evaluation mode, its weights take no gradients, and it knows its padding token."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    training, config = model.training, model.config
    padding = getattr(config, "pad_token_id", None)
    model.eval()
    for parameter in parameters:
        parameter.requires_grad_(False)
    config.pad_token_id = pad_token_id  # decoders refuse batches without one, and use it to find the pooled token
    try:
        yield
    finally:
        config.pad_token_id = padding
        for parameter in parameters:
            parameter.requires_grad_(True)
        model.train(training)
