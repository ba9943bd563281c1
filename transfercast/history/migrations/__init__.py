"""Alembic's migrations of the history's tables. To add one: a file in `versions`, and its number as `tables.HEAD`."""
