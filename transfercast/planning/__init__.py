"""From forecasts and a budget to a plan; nothing is trained here."""
