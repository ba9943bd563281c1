"""The settings of the optimiser for a recipe: which weights are trained, at which rate, and when.

`ulmfit` follows Howard and Ruder (2018): the learning rate of each layer is 1/2.6 of that of the layer above, the rate rises
over the first tenth of all updates and falls to 1/32, and layers are unfrozen from the top, all of them by the last epoch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from transfercast.core.records import Recipe

DISCRIMINATIVE = 2.6
CUT_FRACTION = 0.1
RATIO = 32.0
WARMUP = 0.1
WEIGHT_DECAY = 0.01
MAX_GRADIENT_NORM = 1.0
HEAD_FACTOR = 10.0
"""Factor of the head's learning rate over the encoder's in `full` and `multitask`: the head is new, the encoder pretrained."""


def layer_groups(model: Any) -> list[list[nn.Parameter]]:
    """Parameters from the bottom up: embeddings, each encoder layer, head. Each parameter is in one group.

    The head's group also holds other parameters above the layers, such as a pooler and a last norm.
    """
    encoder = model.base_model
    depth = model.config.num_hidden_layers
    layers = next((m for m in encoder.modules() if isinstance(m, nn.ModuleList) and len(m) == depth), nn.ModuleList())
    in_layers = {id(p) for p in layers.parameters()}
    outside = [(name, p) for name, p in encoder.named_parameters() if id(p) not in in_layers]
    above = _above(encoder, in_layers)
    in_encoder = {id(p) for p in encoder.parameters()}
    embeddings = [p for name, p in outside if name not in above]
    head = [p for name, p in outside if name in above] + [p for p in model.parameters() if id(p) not in in_encoder]
    return [group for group in (embeddings, *(list(layer.parameters()) for layer in layers), head) if group]


def _above(encoder: Any, in_layers: set[int]) -> set[str]:
    """Names of the pooler's weights and of the norms that come after the layers."""
    names = [name for name, _ in encoder.named_parameters()]
    last = max((place for place, (_, p) in enumerate(encoder.named_parameters()) if id(p) in in_layers), default=len(names))
    after = {name for name, p in list(encoder.named_parameters())[last + 1 :] if p.ndim == 1}
    return after | {name for name in names if name.startswith("pooler.")}


def optimiser_for(model: Any, recipe: Recipe, second_head: nn.Module | None = None) -> torch.optim.Optimizer:
    """AdamW over the layer groups, each at its rate; biases and norms do not decay.

    Args:
        model: its parameters that take gradients are trained.
        recipe: has a learning rate; `ulmfit` divides it for lower layers, `full` and `multitask` multiply that of the head.
        second_head: trained at the rate of the model's own head.
    """
    groups = [[p for p in group if p.requires_grad] for group in layer_groups(model)]
    if second_head is not None:
        groups[-1] += second_head.parameters()
    rate, last = recipe.rate or 0.0, len(groups) - 1
    if recipe.adaptation == "ulmfit":
        rates = [rate / DISCRIMINATIVE ** (last - depth) for depth in range(len(groups))]
    else:
        rates = [*[rate] * last, rate * (HEAD_FACTOR if recipe.adaptation in ("full", "multitask") else 1.0)]
    settings = []
    for group, its_rate in zip(groups, rates, strict=True):
        for decay, members in ((WEIGHT_DECAY, [p for p in group if p.ndim > 1]), (0.0, [p for p in group if p.ndim < 2])):
            if members:
                settings.append({"params": members, "lr": its_rate, "weight_decay": decay})
    return torch.optim.AdamW(settings, fused=True)


def rate_at(recipe: Recipe, update: int, updates: int) -> float:
    """The factor on the learning rate at an update (counted from 0) of `updates`."""
    if recipe.adaptation == "ulmfit":
        cut = max(1, int(updates * CUT_FRACTION))
        fraction = update / cut if update < cut else 1 - (update - cut) / max(1, updates - cut)
        return (1 + fraction * (RATIO - 1)) / RATIO
    rise = max(1, int(updates * WARMUP))
    return (update + 1) / rise if update < rise else max(0.0, (updates - update) / max(1, updates - rise))


def set_free(model: Any, recipe: Recipe, epoch: int, epochs: int) -> None:
    """Unfreeze the groups that `ulmfit` trains in this epoch (counted from 0) of so many; other adaptations change nothing."""
    if recipe.adaptation != "ulmfit":
        return
    groups = layer_groups(model)
    free = -(-len(groups) * (epoch + 1) // epochs)  # rounded up
    for depth, group in enumerate(groups):
        for parameter in group:
            parameter.requires_grad_(depth >= len(groups) - free)
