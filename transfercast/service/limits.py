"""What is bounded, and by how much. docs/service.md repeats these."""

from __future__ import annotations

MOST_ROWS = 10_000
"""Candidates, or observations, of a request."""

MOST_TARGETS = 1_000
"""Different targets of a request: the time of a forecast and of a plan grows with them."""

MOST_FEATURES = 500
"""Features of a row, and columns that a request describes."""

MOST_BYTES = 20 * 2**20
"""Of a request's body."""

MOST_HELD_BYTES = 256 * 2**20
"""Of the bodies of all requests that are being answered."""

MOST_HEAD_BYTES = 64 * 2**10
"""Of a request's line and headers."""

MOST_CONNECTIONS = 500

ARRIVAL_SECONDS = 60.0
"""In which a request must have arrived whole, and within which one must begin on a new connection."""

FORECAST_SECONDS = 20.0
"""That a process may take to forecast or plan; then it is replaced, and the client is told."""

START_SECONDS = 120.0
"""That a new process may take until it is ready."""

WRITE_SECONDS = 3.0
"""For which observations wait for other writers, first those of this service and then those of other processes."""

RETRY_SECONDS = 5
"""What Retry-After says where the service cannot answer now."""

MOST_TOGETHER = 8
"""Waiting requests that one process takes at once."""

MOST_RETRAININGS = 50
"""Retrainings that are remembered."""

MOST_TABLE_BYTES = 128 * 2**20
"""Of a feature table that is sent, unpacked."""

MOST_FILES = 200
"""Feature tables, and plans, that the page offers."""

MOST_LISTED = 1_000
"""Observations, or trainings, of an answer."""

MOST_TERM_LETTERS = 5_000
"""Of a text whose words are to be explained."""

TERM_SECONDS = 300.0
"""That explaining a text, or two sources, may take."""
