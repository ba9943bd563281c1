"""Observed transfers and their scores in SQL: written by searches, imported and exported as tables."""
