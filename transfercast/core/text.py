"""Text from outside, made safe to show: no terminal codes, no passwords."""

from __future__ import annotations

import math
import re

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and line feed, marks that change the reading direction, and halves of surrogate pairs."""

_PASSWORD = re.compile(
    r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@'\"]*:)[^\s'\"]*(?=@)|(?P<query>[?&](?:ssl)?password=)[^&\s'\"]*",
    re.IGNORECASE,
)


def printable(text: str) -> str:
    r"""`text` in which each character that a terminal would interpret, or could not show, is replaced by its escape.

    >>> printable("\x1b[31mred\x07, plain\tand\nsimple")
    '\\x1b[31mred\\x07, plain\tand\nsimple'
    """
    return _HIDDEN.sub(lambda match: match.group().encode("unicode_escape", "surrogatepass").decode(), text)


def redacted(text: str) -> str:
    """`text` with the passwords of the URLs in it replaced by ***, before the host and among the options.

    >>> redacted("postgresql://me:s3cret@db/x is down")
    'postgresql://me:***@db/x is down'
    >>> redacted("postgresql://db/x?user=me&password=s3cret&sslmode=require")
    'postgresql://db/x?user=me&password=***&sslmode=require'
    """
    return _PASSWORD.sub(lambda match: f"{match['before'] or match['query']}***", text)


def megabytes(size: int) -> str:
    """A number of bytes as people read it.

    >>> megabytes(90_400_000), megabytes(1_700_000_000), megabytes(0)
    ('90.4 MB', '1.7 GB', '0.0 MB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def duration(hours: float | None) -> str | None:
    """Hours in a readable unit: seconds up to two minutes, minutes up to two hours; None for None and NaN.

    >>> duration(0.005), duration(0.25), duration(3.0), duration(float("nan"))
    ('18 s', '15.0 min', '3.0 h', None)
    """
    if hours is None or not math.isfinite(hours):
        return None
    if hours < 2 / 60:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.1f} min" if hours < 2 else f"{hours:.1f} h"
