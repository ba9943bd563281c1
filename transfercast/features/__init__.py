"""Measures of transferability, one a file, and the extractor that computes them for all pairs into a FeatureTable."""
