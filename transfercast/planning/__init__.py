"""From forecasts and a budget to a plan: pure, nothing is trained here."""
