"""16-bit matrix products where the hardware supports them: bfloat16 by autocast, weights and updates in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware: AVX-512 BF16 or AMX on CPUs, Ampere and later on GPUs."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # torch has no public function for this; `lscpu` shows the same flags
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """A context in which matrix products are in bfloat16 if `precision` says so (`auto`: if the hardware supports it)."""
    low = precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16) if low else nullcontext()
