"""Measured transfers that are part of the package, from which it can forecast before a user's first training."""
