"""How a model's states become one vector a text."""

from __future__ import annotations

from typing import Literal, get_args

Pooling = Literal["mean", "cls", "pooler"]
"""The mean over tokens, the first token, or what the encoder's pooler makes of the first token."""

Layers = Literal["last", "mean", "best"]
"""The last layer, the mean over layers, or that which scores best."""

POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
LAYERS: tuple[Layers, ...] = get_args(Layers)
