"""From a history to a predictor in force: train a challenger, compare it with the champion, keep versions."""
