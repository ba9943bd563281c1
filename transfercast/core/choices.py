"""Names of what a user may choose; here, so that a command line need not load what carries it out."""

from __future__ import annotations

from typing import Literal

Goal = Literal["standing", "gain", "score"]
"""What is learned: where a source stands within the target, the gain over the target's own score, or the score."""

Learner = Literal["trees and ranker on ridge", "trees on ridge", "ranker on ridge", "ridge"]

Bounds = Literal["grouped", "hierarchical"]
"""How residuals of held-out targets become bounds: `hierarchical` is wider, and safe with few targets."""
