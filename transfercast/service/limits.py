"""Limits of the service. docs/service.md repeats them."""

from __future__ import annotations

MOST_ROWS = 10_000
"""Largest number of candidates, or observations, in a request."""

MOST_TARGETS = 1_000
"""Largest number of different targets in a request: the time of a forecast and of a plan grows with it."""

MOST_FEATURES = 500
"""Largest number of features of a row, and of columns that a request describes."""

MOST_BYTES = 20 * 2**20
"""Largest size of a request's body."""

MOST_HELD_BYTES = 256 * 2**20
"""Largest size of the bodies of all requests that are being answered."""

MOST_HEAD_BYTES = 64 * 2**10
"""Largest size of a request's line and headers."""

MOST_CONNECTIONS = 500

ARRIVAL_SECONDS = 60.0
"""Time in which a request must have arrived completely, and in which the first must begin on a new connection."""

FORECAST_SECONDS = 20.0
"""Time that a process may take to forecast or plan; then it is replaced, and the request is refused."""

START_SECONDS = 120.0
"""Time that a new process may take until it is ready."""

WRITE_SECONDS = 3.0
"""Time that observations wait for other writers of this service, and again for other processes."""

RETRY_SECONDS = 5
"""Value of Retry-After if the service is temporarily unavailable."""

MOST_TOGETHER = 8
"""Largest number of waiting requests that one process takes at once."""

MOST_RETRAININGS = 50
"""Largest number of retrainings that are remembered."""

MOST_TABLE_BYTES = 128 * 2**20
"""Largest unpacked size of a feature table that is sent."""

MOST_FILES = 200
"""Largest number of feature tables, and of plans, that the page offers."""

MOST_LISTED = 1_000
"""Largest number of observations, or trainings, in an answer."""

MOST_TERM_LETTERS = 5_000
"""Largest number of characters of a text whose words are to be explained."""

TERM_SECONDS = 300.0
"""Time that explaining a text, or two sources, may take."""
