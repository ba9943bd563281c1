"""How the hidden states of a model are pooled into one vector for each text."""

from __future__ import annotations

from typing import Literal, get_args

Pooling = Literal["mean", "cls", "pooler"]
"""The mean over tokens, the first token, or the output of the encoder's pooler for the first token."""

Layers = Literal["last", "mean", "best"]
"""The last layer, the mean over layers, or the layer with the best score."""

POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
LAYERS: tuple[Layers, ...] = get_args(Layers)
