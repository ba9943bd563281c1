"""The learned predictor: from features of pairs to forecasts, learned from the history. It needs xgboost, not torch."""
