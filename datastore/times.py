"""Times as the documents hold them: RFC 3339 text in UTC with microseconds and a ``Z``.

The text has a fixed width, so comparing two of them as text compares them as times. That is how adapters decide
whether a record has expired, in any database, without a date function.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from datastore.errors import InvalidValueError, kind_of

_LATEST = datetime.max.replace(tzinfo=UTC)


_last_second = (0, "1970-01-01T00:00:00.")


def format_time(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 text (``2026-01-31T12:00:00.000000Z``)."""
    global _last_second
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    second, text = _last_second
    if second != whole:  # calls come in time order: the text of a second serves all of them, at a quarter of the cost
        text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        _last_second = (whole, text)
    return f"{text}{micros:06d}Z"


def parse_time(text: str) -> datetime:
    """Return the timezone-aware time that `format_time` wrote."""
    return datetime.fromisoformat(text)


def expiry(ttl: float | timedelta, now: float) -> str:
    """Return the moment ``ttl`` seconds after ``now`` as text.

    Raises:
        InvalidValueError: If ``ttl`` is not a positive, finite number of seconds or a positive `timedelta`, or the
            moment lies beyond the year 9999.
    """
    if isinstance(ttl, timedelta):
        seconds = ttl.total_seconds()
    elif isinstance(ttl, int | float) and not isinstance(ttl, bool):
        seconds = ttl
    else:
        raise InvalidValueError(f"ttl is {kind_of(ttl)}; give seconds as a number, or a timedelta")
    if not seconds > 0 or not math.isfinite(seconds):
        raise InvalidValueError(f"ttl is {ttl!r}; it must be greater than zero and finite (delete() removes a record)")
    if now + seconds >= _LATEST.timestamp():
        raise InvalidValueError(f"ttl is {ttl!r}; that lies beyond the year 9999 (leave ttl out to keep a record)")
    # A ttl below a microsecond must not end at the very moment it begins: that would be a record never seen.
    return format_time(max(now + seconds, now + 1e-6))
