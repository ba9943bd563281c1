"""Names of options that a user may choose; kept here so that the command line need not load the code behind them."""

from __future__ import annotations

from typing import Literal

Bounds = Literal["grouped", "hierarchical"]
"""How bounds are made from residuals of held-out targets: `hierarchical` ones are wider, and safe with few targets."""

Stop = Literal["learned", "median", "halving", "hyperband", "none"]
"""Rules that stop trials of a search before their last epoch; see `execution.stopping`."""

STOP_LEVEL = 0.01
"""For `learned`: a trial is stopped if its probability to end above the best score so far is lower than this."""
