"""Measuring a designed set of transfers of one's own: an atlas that a predictor learns from."""
