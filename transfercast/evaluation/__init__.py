"""How good forecasts of held-out targets and encoders are: a predictor is fitted without each fold, and judged on it."""
