"""Names of what a user may choose; here, so that a command line need not load what carries it out."""

from __future__ import annotations

from typing import Literal

Bounds = Literal["grouped", "hierarchical"]
"""How residuals of held-out targets become bounds: `hierarchical` is wider, and safe with few targets."""
