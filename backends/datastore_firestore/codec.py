"""From JSON values to Firestore's native values and back, where nothing is lost.

A value that Firestore cannot hold exactly is stored as JSON text. That is the case for arrays in arrays, integers
beyond 64 bits, ``-0.0`` (equal to ``0.0`` in Firestore's order of values), field names that are empty or reserved
(``__x__``), nesting beyond 20 levels, and whatever would take too much of a document's 1 MiB or of its index entries.
The limits are those of "Quotas and limits" in Firestore's documentation, with room left for the other fields.
"""

from __future__ import annotations

import calendar
import math
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from datastore.values import UnreadableError

_INT64 = 2**63
_MAX_DEPTH = 16  # of 20: the value itself is a field of a document
_MAX_PATH_BYTES = 1_000  # of the 1,500 that a field path may have
_INDEXED_BYTES = 1_500  # of a value; a longer one is indexed by its beginning
_ENTRY_BYTES = 32  # of an index entry, besides the document's name, the field's path and the value
_RESERVED = re.compile(r"__.*__", re.DOTALL)


class Limits(NamedTuple):
    """What one field may take in its document."""

    bytes: int
    entries: int
    """The number of index entries."""
    index_bytes: int


# Together with some 4,000 bytes of names and other fields, they stay below 1,048,576 bytes, 40,000 index entries, and
# 8 MiB of index entries.
VALUE_LIMITS = Limits(1_000_000, 30_000, 6_000_000)
METADATA_LIMITS = Limits(16_000, 5_000, 1_000_000)


class _NotNativeError(Exception):
    """Firestore would not hold the value exactly."""


def fill(target: Any, value: Any, name_bytes: int, limits: Limits) -> bool:
    """Write a JSON value into a Firestore value, if Firestore can hold it exactly.

    Args:
        target: An empty Firestore message, which is empty again when this returns ``False``.
        value: A checked value.
        name_bytes: The size of the document's name, which every index entry repeats.
        limits: What the field may take.

    Returns:
        Whether Firestore can hold it.
    """
    kind = type(value)
    if kind is str and len(value) <= limits.bytes // 4:  # most values need no counting
        target.string_value = value
        return True
    try:
        _Filling(name_bytes + _ENTRY_BYTES, limits).fill(target, value, 0, 8)
    except _NotNativeError:
        target.Clear()
        return False
    return True


class _Filling:
    """Counts what one value takes: its bytes, its index entries, and their bytes."""

    def __init__(self, entry_bytes: int, limits: Limits) -> None:
        self._entry_bytes = entry_bytes
        self._limits = limits
        self._bytes = 0
        self._entries = 0
        self._index_bytes = 0

    def fill(self, target: Any, value: Any, depth: int, path_bytes: int) -> None:
        kind = type(value)
        if kind is str:
            target.string_value = value
            self._spend(len(value) if value.isascii() else len(value.encode()), path_bytes)
        elif kind is bool:
            target.boolean_value = value
            self._spend(1, path_bytes)
        elif kind is int:
            if not -_INT64 <= value < _INT64:
                raise _NotNativeError
            target.integer_value = value
            self._spend(8, path_bytes)
        elif kind is float:
            if value == 0.0 and math.copysign(1.0, value) < 0:
                raise _NotNativeError
            target.double_value = value
            self._spend(8, path_bytes)
        elif value is None:
            target.null_value = 0
            self._spend(1, path_bytes)
        elif isinstance(value, dict):
            self._fill_map(target, value, depth + 1, path_bytes)
        else:
            self._fill_array(target, value, depth + 1, path_bytes)

    def _fill_map(self, target: Any, value: dict[str, Any], depth: int, path_bytes: int) -> None:
        self._enter(depth, path_bytes)
        target.map_value.SetInParent()
        fields = target.map_value.fields
        for name, child in value.items():
            size = len(name.encode()) + 1
            if size == 1 or path_bytes + size > _MAX_PATH_BYTES or _RESERVED.fullmatch(name):
                raise _NotNativeError
            self._bytes += size
            self.fill(fields[name], child, depth, path_bytes + size)

    def _fill_array(self, target: Any, value: Any, depth: int, path_bytes: int) -> None:
        self._enter(depth, path_bytes)
        target.array_value.SetInParent()
        values = target.array_value.values
        for child in value:
            if isinstance(child, list | tuple):
                raise _NotNativeError
            self.fill(values.add(), child, depth, path_bytes)

    def _enter(self, depth: int, path_bytes: int) -> None:
        if depth > _MAX_DEPTH:
            raise _NotNativeError
        self._spend(0, path_bytes + _INDEXED_BYTES)  # a map or an array is also indexed as a whole

    def _spend(self, size: int, path_bytes: int) -> None:
        self._bytes += size + 1
        self._entries += 2  # ascending and descending; an array's elements have one entry, by which they are found
        self._index_bytes += 2 * (self._entry_bytes + path_bytes + min(size, _INDEXED_BYTES))
        most = self._limits
        if self._bytes > most.bytes or self._entries > most.entries or self._index_bytes > most.index_bytes:
            raise _NotNativeError


_MOST_ARRAYS = 10
_MOST_ARRAY_BYTES = 500  # of the paths; with the pairs, ten times as much
_BETWEEN = "\n"


def nameable(path: Sequence[str]) -> bool:
    """Return whether a native value can have something at a path."""
    size = sum(len(step.encode()) + 1 for step in path)
    return len(path) <= _MAX_DEPTH and size < _MAX_PATH_BYTES and not any(map(_RESERVED.fullmatch, path))


def arrays_in(value: Any) -> list[str]:
    """Return where a native value has arrays, for queries: the path of each one, and a `pair` for every two.

    Arrays in arrays need not be listed. A value with many arrays is treated like one that is text: the result is
    ``[""]``, the path of the value itself, which says that there may be an array anywhere.
    """
    found: list[str] = []
    if not isinstance(value, dict):
        return found  # no path leads into such a value
    if not _collect_arrays(value, "", found) or len("".join(found).encode()) > _MOST_ARRAY_BYTES:
        return [""]
    return found + [pair(one, other) for index, one in enumerate(found) for other in found[index + 1 :]]


def pair(one: str, other: str) -> str:
    """Return the text that stands for arrays at both of two paths."""
    return f"{one}{_BETWEEN}{other}" if one < other else f"{other}{_BETWEEN}{one}"


def _collect_arrays(value: dict[str, Any], prefix: str, found: list[str]) -> bool:
    """Add the paths of arrays, and return whether they are few enough."""
    for name, child in value.items():
        if isinstance(child, dict):
            if not _collect_arrays(child, f"{prefix}{name}.", found):
                return False
        elif isinstance(child, list | tuple):
            if len(found) == _MOST_ARRAYS:
                return False
            found.append(prefix + name)
    return True


def decode_native(value: Any) -> Any:
    """Return the JSON value of a Firestore value. The fields of an object are in the order of their names.

    Raises:
        UnreadableError: If it is of a type that JSON does not have.
    """
    kind = value.WhichOneof("value_type")
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise UnreadableError(f"a {kind}, which the store never writes")
    return decoder(value)


def get_text(value: Any) -> str:
    """Return the text in a Firestore value.

    Raises:
        UnreadableError: If it is something else: the client would return empty text for it.
    """
    if value.WhichOneof("value_type") != "string_value":
        raise UnreadableError("another type where text is expected")
    text: str = value.string_value
    return text


def get_bytes(value: Any) -> bytes:
    """Return the bytes that a Firestore value holds.

    Raises:
        UnreadableError: If it does not hold any.
    """
    if value.WhichOneof("value_type") != "bytes_value":
        raise UnreadableError("something other than bytes")
    return bytes(value.bytes_value)


def get_integer(value: Any) -> int:
    """Return the integer in a Firestore value.

    Raises:
        UnreadableError: If it is something else: the client would return 0 for it.
    """
    if value.WhichOneof("value_type") != "integer_value":
        raise UnreadableError("another type where an integer is expected")
    integer: int = value.integer_value
    return integer


def _decode_map(value: Any) -> dict[str, Any]:
    fields = value.map_value.fields
    return {name: decode_native(fields[name]) for name in sorted(fields)}


_DECODERS: dict[str | None, Callable[[Any], Any]] = {
    None: lambda value: None,  # a missing field
    "null_value": lambda value: None,
    "boolean_value": lambda value: value.boolean_value,
    "integer_value": lambda value: value.integer_value,
    "double_value": lambda value: value.double_value,
    "string_value": lambda value: value.string_value,
    "array_value": lambda value: [decode_native(item) for item in value.array_value.values],
    "map_value": _decode_map,
}


# Times are native timestamps, which Firestore keeps to the microsecond, and RFC 3339 text in
# `datastore.backend.Document`.


def set_time(target: Any, text: str) -> None:
    """Write a time into a Firestore value."""
    stamp = target.timestamp_value
    stamp.seconds = _seconds(text[:19])
    stamp.nanos = int(text[20:26]) * 1_000


def get_time(value: Any) -> str:
    """Return the time in a Firestore value.

    Raises:
        UnreadableError: If it is something else: the client would return 1970 for it.
    """
    if value.WhichOneof("value_type") != "timestamp_value":
        raise UnreadableError("another type where a time is expected")
    return text_of(value.timestamp_value)


def text_of(stamp: Any) -> str:
    """Return a Firestore timestamp as text."""
    return f"{_text(stamp.seconds)}.{stamp.nanos // 1_000:06d}Z"


def micros(text: str) -> int:
    """Return a time as microseconds since the epoch."""
    return _seconds(text[:19]) * 1_000_000 + int(text[20:26])


@lru_cache(4_096)  # times come in order, so the text of one second serves for many
def _seconds(text: str) -> int:
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))


@lru_cache(4_096)
def _text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
