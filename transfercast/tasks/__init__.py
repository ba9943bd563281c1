"""Labelled text tasks: readers, splits, families. Mistakes in files are found here, before any training."""
