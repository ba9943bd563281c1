"""Evaluation of forecasts of held-out targets and encoders: a predictor is learned without each fold, and evaluated on it."""
