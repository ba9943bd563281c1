"""Names of environment variables."""

from __future__ import annotations

HISTORY = "TRANSFERCAST_HISTORY"
"""History that train-meta reads without --history: a URL may hold a password, and other users can see command lines."""

API_KEY = "TRANSFERCAST_API_KEY"
"""The key that clients of the service must send."""
