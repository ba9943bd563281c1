"""The learned predictor: from features of pairs to forecasts, trained on the history. Needs xgboost, not torch."""
