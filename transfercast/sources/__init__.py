"""Sources: models fine-tuned on one task each, with their scores; encoders, recipes and the pool on disk."""
