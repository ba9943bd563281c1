"""Errors that a user can correct, in one class hierarchy.

    TransfercastError            exit 1, HTTP 500
    ├── InputError               exit 2, HTTP 422   a file, row or option is wrong
    │   ├── ShapeError                              arrays that do not fit together
    │   └── MissingExtraError                       an optional package is not installed
    └── ArtifactError            exit 3, HTTP 409   a stored predictor, plan or table cannot be used

Every message says where, what was found and what to do, in one line.
"""

from __future__ import annotations


class TransfercastError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1
    http_status = 500


class InputError(TransfercastError):
    """What the user gave is wrong: a file, a row, an option."""

    exit_code = 2
    http_status = 422


class ShapeError(InputError):
    """Shapes of arrays do not match."""


class MissingExtraError(InputError):
    """An optional package is needed that is not installed."""


class ArtifactError(TransfercastError):
    """A stored predictor, plan or table is of another format, damaged, or does not match its inputs."""

    exit_code = 3
    http_status = 409
