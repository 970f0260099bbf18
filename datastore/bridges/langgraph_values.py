"""What is kept of a value of LangGraph: JSON, or what its serializer makes of it, or what of that is new."""

from __future__ import annotations

import math
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple

from datastore.bridges.extras import needs

with needs("LangGraph", "langgraph"):
    from langchain_core.messages import BaseMessage
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

_READABLE = 4_096
"""Up to how many serialised bytes a plain value is kept as JSON, for people: to check what is plain takes its time."""
_SQUEEZED = 256
"""From how many bytes on compression is tried. Level 1 of zlib takes 0.6 ms for 100 KB of text and level 6 2.2 ms, for
three quarters of the bytes."""
_SHOWN = 200
_HEADER, _PROBE = 16, 64
_MOST_NEW = 8
"""A value is kept as a difference if all but the eighth part of it stands in the earlier one as it is. Differences grow
until one is too large, and the next value is kept whole: so what a load reads and unpacks is bounded."""

Serialised = tuple[str, bytes]


class Same(NamedTuple):
    """Which bytes of a value stand in an earlier one: those after the first ``before``."""

    before: int
    start: int
    length: int


def packed(serde: SerializerProtocol, value: Any, serialised: Serialised, same: Same | None = None) -> dict[str, Any]:
    """Return what is kept of a value: JSON where it is small and plain, else what the serializer makes of it.

    What another serializer makes, an encrypting one before all, is kept as it is, and nothing of it is shown.

    Args:
        serde: The serializer.
        value: The value.
        serialised: What the serializer makes of it.
        same: What of it stands in an earlier value, and is not kept again.
    """
    kind, data = serialised
    ours = isinstance(serde, JsonPlusSerializer)
    if ours and len(data) <= _READABLE and is_plain(value):
        return {"json": value}
    kept: dict[str, Any] = {"type": kind}
    if same is not None:
        kept["same"] = list(same)
        data = data[: same.before] + data[same.before + same.length :]
    if len(data) >= _SQUEEZED and len(squeezed := zlib.compress(data, 1)) < len(data) * 0.9:
        kept["zlib"], data = True, squeezed
    kept["base64"] = b64encode(data).decode()
    if ours and (text := _shown(value)):
        kept["shows"] = text
    return kept


def packed_size(kept: Mapping[str, Any], serialised: Serialised) -> int:
    """Return how many characters of JSON what is kept of a value takes at most, within a few hundred."""
    return len(kept["base64"]) if "base64" in kept else 6 * len(serialised[1])  # as the control characters do


def serialised_of(serde: SerializerProtocol, kept: Mapping[str, Any], earlier: bytes | None = None) -> Serialised:
    """Return what the serializer made of the value of which `packed` has made what is kept."""
    if "json" in kept:
        return serde.dumps_typed(kept["json"])
    data = b64decode(kept["base64"])
    data = zlib.decompress(data) if kept.get("zlib") else data
    if "same" in kept and earlier is not None:
        before, start, length = kept["same"]
        data = data[:before] + earlier[start : start + length] + data[before:]
    return kept["type"], data


def unpacked(serde: SerializerProtocol, kept: Mapping[str, Any]) -> Any:
    """Return a value that was kept whole."""
    return kept["json"] if "json" in kept else serde.loads_typed(serialised_of(serde, kept))


def difference(earlier: bytes, data: bytes) -> Same | None:
    """Return the run of bytes of a value that stands in an earlier one; ``None`` if too much is new.

    A list to which messages are appended is its earlier self but for a few bytes at its beginning, which say how long
    it is, and for its end. One whose first messages go is so, too, further on. A value that has changed near its
    beginning ends as it did before.
    """
    size, end = len(data), len(earlier)
    if size <= _READABLE:
        return None
    least = size - size // _MOST_NEW
    begins, ends = data[_HEADER : _HEADER + _PROBE], data[-_PROBE:]
    for at, start in (
        (_HEADER, earlier.find(begins, _HEADER, _HEADER + _PROBE)),
        (size - _PROBE, earlier.find(ends, max(0, end - _PROBE))),
        (_HEADER, earlier.find(begins, 0, max(0, end - least) + _HEADER + _PROBE)),  # later there is too little left
    ):
        if start >= 0:
            before = _alike(earlier[:start], data[:at], backward=True)
            after = _alike(earlier[start:], data[at:])
            if before + after >= least:
                return Same(at - before, start - before, before + after)
    return None


def _alike(one: bytes, other: bytes, *, backward: bool = False) -> int:
    """Return with how many bytes both begin, or end. Halving what is compared is faster than looking at each byte."""
    low, high = 0, min(len(one), len(other))
    if (one.endswith(other[-high:]) if backward else one.startswith(other[:high])) if high else True:
        return high  # as nearly always, to the end of the shorter one
    while low < high:
        middle = (low + high + 1) // 2
        if backward:
            same = one[len(one) - middle : len(one) - low] == other[len(other) - middle : len(other) - low]
        else:
            same = one[low:middle] == other[low:middle]
        if same:
            low = middle
        else:
            high = middle - 1
    return low


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is JSON that comes back as it is, type for type."""
    kind = type(value)
    if kind is str:
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    if kind is float:
        return math.isfinite(value)
    if kind is list:
        return depth < 50 and all(is_plain(one, depth + 1) for one in value)
    if kind is dict:
        if set(map(type, value)) | set(map(type, value.values())) == {str} and "".join(value).isascii():
            return all(is_plain(text) for text in value.values())  # versions of channels, before all
        return depth < 50 and all(type(k) is str and is_plain(k) and is_plain(v, depth + 1) for k, v in value.items())
    return value is None or kind is bool or (kind is int and abs(value) < 1 << 64)


def _shown(value: Any) -> str | None:
    """Return the last message of a value, for people who look at the record."""
    message = value[-1] if isinstance(value, list) and value else value
    if not isinstance(message, BaseMessage):
        return None
    text = f"{message.type}: {message.text}".encode("utf-8", "ignore").decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def split_plain(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the members that are JSON, which can be read and searched, and the others."""
    others = {key: value for key, value in values.items() if not (is_plain(value) and is_plain(key))}
    return ({key: value for key, value in values.items() if key not in others} if others else dict(values)), others


def without_tuples(value: Any) -> Any:
    """Return metadata as JSON has it: lists in place of tuples."""
    if isinstance(value, Mapping):
        return {key: without_tuples(member) for key, member in value.items()}
    return [without_tuples(member) for member in value] if isinstance(value, list | tuple) else value
