"""Names of what a user may choose; here, so that a command line need not load what carries it out."""

from __future__ import annotations

from typing import Literal

Bounds = Literal["grouped", "hierarchical"]
"""How residuals of held-out targets become bounds: `hierarchical` is wider, and safe with few targets."""

Stop = Literal["learned", "median", "halving", "hyperband", "none"]
"""Which trials of a search are stopped before their last epoch; see `execution.stopping`."""

STOP_LEVEL = 0.05
"""Of `learned`: a trial whose chance to end above what is in hand is below this is stopped."""
