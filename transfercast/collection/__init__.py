"""Measurement of a designed set of transfers between one's own tasks: an atlas that a predictor learns from."""
