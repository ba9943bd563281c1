"""Labelled text tasks: readers, splits, families. Every mistake in a file is found here, before any training."""
