"""Measured transfers that come with transfercast, so that it knows something before its user's first run."""
