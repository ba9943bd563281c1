"""Forecasts and plans over HTTP. Imports planning, predictor, history and core; neither torch nor the measures."""
