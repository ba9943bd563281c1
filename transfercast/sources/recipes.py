"""What a recipe means for the optimiser: which weights learn, how fast, and when.

`ulmfit` follows Howard and Ruder (2018): each lower layer learns at 1/2.6 of the one above, the rate rises over the
first tenth of all updates and falls to 1/32, and layers are set free from the top, all of them by the last epoch.
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


def layer_groups(model: Any) -> list[list[nn.Parameter]]:
    """Parameters from the bottom up: embeddings, each encoder layer, head. Each parameter is in one group."""
    encoder = model.base_model
    depth = model.config.num_hidden_layers
    layers = next((m for m in encoder.modules() if isinstance(m, nn.ModuleList) and len(m) == depth), nn.ModuleList())
    in_layers = {id(p) for p in layers.parameters()}
    in_encoder = {id(p) for p in encoder.parameters()}
    embeddings = [p for p in encoder.parameters() if id(p) not in in_layers]
    head = [p for p in model.parameters() if id(p) not in in_encoder]
    return [group for group in (embeddings, *(list(layer.parameters()) for layer in layers), head) if group]


def optimiser_for(model: Any, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW over the layer groups; with `ulmfit`, a rate for each."""
    groups = layer_groups(model)
    decline = DISCRIMINATIVE if recipe.adaptation == "ulmfit" else 1.0
    rates = [recipe.learning_rate / decline ** (len(groups) - 1 - depth) for depth in range(len(groups))]
    settings = [{"params": group, "lr": rate} for group, rate in zip(groups, rates, strict=True)]
    return torch.optim.AdamW(settings, weight_decay=WEIGHT_DECAY, fused=True)


def rate_at(recipe: Recipe, update: int, updates: int) -> float:
    """The factor on the learning rate at an update (counted from 0) of `updates`."""
    if recipe.adaptation == "ulmfit":
        cut = max(1, int(updates * CUT_FRACTION))
        fraction = update / cut if update < cut else 1 - (update - cut) / max(1, updates - cut)
        return (1 + fraction * (RATIO - 1)) / RATIO
    rise = max(1, int(updates * WARMUP))
    return (update + 1) / rise if update < rise else max(0.0, (updates - update) / max(1, updates - rise))


def set_free(model: Any, recipe: Recipe, epoch: int) -> None:
    """Let the groups learn that the recipe wants to learn in this epoch (counted from 0)."""
    groups = layer_groups(model)
    if recipe.adaptation == "features":
        free = 1
    elif recipe.adaptation == "ulmfit":
        free = -(-len(groups) * (epoch + 1) // recipe.epochs)  # rounded up
    else:
        free = len(groups)
    for depth, group in enumerate(groups):
        for parameter in group:
            parameter.requires_grad_(depth >= len(groups) - free)
