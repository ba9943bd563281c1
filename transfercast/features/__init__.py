"""Measures of transferability, each in its own file, and the extractor that computes them for all pairs."""
