"""Names of environment variables."""

from __future__ import annotations

HISTORY = "TRANSFERCAST_HISTORY"
"""Read by train-meta in place of --history: a URL may hold a password, and other users can read command lines."""

API_KEY = "TRANSFERCAST_API_KEY"
"""The key that clients of the service must send."""
