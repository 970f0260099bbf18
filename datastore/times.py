"""Times in the form that documents hold: RFC 3339 text in UTC with microseconds and a ``Z``.

The text has a fixed width, so comparing two of them as text compares them as times. So an adapter can tell whether a
record has expired in any database, without a date function.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from datastore.arguments import as_number, as_seconds, is_a, shown
from datastore.errors import InvalidValueError, kind_of

_TIME = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z")
_FEW = 64
_SHAPE = b"0000-00-00T00:00:00.000000Z"
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_LATEST = datetime.max.replace(tzinfo=UTC)


_last_second = (0, "1970-01-01T00:00:00.")


def format_time(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 text (``2026-01-31T12:00:00.000000Z``)."""
    global _last_second
    try:
        whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
        second, text = _last_second
        if second != whole:  # calls come in time order and share the text of a second, at a quarter of the cost
            text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
            _last_second = (whole, text)
    except (ArithmeticError, OSError, TypeError, ValueError):
        raise InvalidValueError(
            f"the time is {shown(seconds)}; the clock that was given to connect must return seconds since the epoch"
        ) from None
    return f"{text}{micros:06d}Z"


def text_of(time: datetime) -> str:
    """Return a timezone-aware time as `format_time` writes it.

    Raises:
        ValueError: If it has no time zone, or is outside the years 1 to 9999 in UTC.
    """
    try:
        moment = datetime.astimezone(time, UTC) if datetime.utcoffset(time) is not None else None
    except ArithmeticError:
        moment = None
    if moment is None:
        raise ValueError
    return datetime.isoformat(moment, timespec="microseconds")[: -len("+00:00")] + "Z"


@lru_cache(4_096)  # a time is first checked and then used, and records that were written together share one
def parse_time(text: str) -> datetime:
    """Return the timezone-aware time that `format_time` wrote.

    Raises:
        ValueError: If it has another form, or no such day exists.
        TypeError: If it is not text.
    """
    if not _TIME.fullmatch(text):
        raise ValueError("not a time")
    return datetime.fromisoformat(text)


def parse_times(texts: Collection[str]) -> dict[str, datetime]:
    """Return the times of several texts, by text; of many in a third of the time that `parse_time` takes for new ones.

    A few are often the ones that were there a moment ago: then `parse_time` knows them, which takes less time still.

    Raises:
        ValueError: If one of them has another form, or no such day exists.
        TypeError: If one of them is not text.
    """
    if len(texts) <= _FEW:
        return {text: parse_time(text) for text in texts}
    _check_shape(texts)
    return dict(zip(texts, map(datetime.fromisoformat, texts), strict=True))


def times_of(texts: Sequence[str]) -> list[datetime]:
    """Return the times of several texts, in their order. It takes least time if hardly two of them are alike.

    Raises:
        ValueError: If one of them has another form, or no such day exists.
        TypeError: If one of them is not text.
    """
    if len(texts) <= _FEW:
        return list(map(parse_time, texts))
    _check_shape(texts)
    return list(map(datetime.fromisoformat, texts))


def _check_shape(texts: Collection[str]) -> None:
    together = "".join(texts).encode("ascii", "replace").translate(_DIGITS_AS_ZEROS)
    if together != _SHAPE * len(texts) or {*map(len, texts)} - {len(_SHAPE)}:
        raise ValueError("not all are times")


def expiry(ttl: float | timedelta, now: float, parameter: str = "ttl") -> str:
    """Return the moment ``ttl`` seconds after ``now`` as text.

    Raises:
        InvalidValueError: If ``ttl`` is not a positive, finite number of seconds or a positive `timedelta`, or the
            moment lies beyond the year 9999.
    """
    seconds = as_seconds(ttl) if is_a(ttl, timedelta) else as_number(ttl)
    if seconds is None:
        raise InvalidValueError(f"{parameter} is {kind_of(ttl)}; give seconds as a number, or a timedelta")
    if not 0 < seconds < math.inf:
        raise InvalidValueError(
            f"{parameter} is {shown(seconds)}; it must be greater than zero and finite (delete() removes a record)"
        )
    if seconds >= _LATEST.timestamp() - now:
        raise InvalidValueError(
            f"{parameter} is {shown(seconds)}; that lies beyond the year 9999 (leave ttl out to keep a record)"
        )
    # A ttl below a microsecond must not end at the moment it begins: nobody could ever read the record.
    return format_time(max(now + seconds, now + 1e-6))
