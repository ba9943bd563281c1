"""How good forecasts of held-out targets and encoders are: learned anew for each fold, judged, and told as a report."""
