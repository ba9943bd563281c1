"""Number of tokens in one pass of a model: as many as the free memory allows, up to the number where speed stops rising."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import psutil
import torch

NODES_HELD = 16
"""Limit on stored states, as a multiple of the token budget: documents in work x tokens x nodes that they may need."""

FASTEST = {"cpu": 2048, "mps": 8192, "cuda": 65536}
"""Padded tokens in one pass above which speed does not rise."""

SMALLEST = 256


def default_budget(model: Any, max_tokens: int) -> int:
    """Padded tokens in one pass that take about a quarter of the memory that is free on the model's device.

    One token's share: activations of a pass (about 16 d floats a layer, and a row of each head's attention), and
    hidden states and gradients at NODES_HELD nodes.
    """
    config, device = model.config, model.device
    heads = getattr(config, "num_attention_heads", 1)
    floats = 16 * config.hidden_size + heads * max_tokens + 2 * NODES_HELD * config.hidden_size
    share = _free(device) // (4 * 4 * config.num_hidden_layers * floats)
    return int(min(max(share, SMALLEST), FASTEST.get(device.type, FASTEST["cpu"])))


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def give_back() -> None:
    """Let the C library return freed memory to the system (glibc; elsewhere nothing happens).

    Passes of changing shapes leave holes in glibc's heap, which it does not release: without this call, 1,024 documents took
    1.8 times the memory of 64. The call takes some hundredths of a second.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
