"""From a history to a predictor in force: learn a challenger, compare it with the champion, and keep versions."""
