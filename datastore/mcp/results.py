"""What a model is told: results that fit into its context, and errors that say what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from datastore.errors import (
    BackendUnavailableError,
    ConflictError,
    DataStoreError,
    DeadlineExceededError,
    InvalidNameError,
    InvalidTokenError,
    InvalidValueError,
    KeyExistsError,
    OutcomeUnknownError,
    PermissionDeniedError,
    QueryError,
    QuotaExceededError,
    ValueTooLargeError,
)
from datastore.wire.errors import error_to_json

T = TypeVar("T")

LEAST_SIZE = 1_000
DEFAULT_SIZE = 20_000
"""About 5,000 to 7,000 tokens: MCP clients warn at 10,000, and cut off or refuse a result of 25,000."""

_NOBODY = "-"
"""A model is told no ids, so whose they would be does not matter."""
_WHAT_TO_DO: tuple[tuple[type[DataStoreError], str], ...] = (
    (InvalidTokenError, "Stop using these tools, and tell the user that the token has ended."),
    (PermissionDeniedError, "Do not try again. Use a namespace that you may use: list_namespaces shows some."),
    (QuotaExceededError, "Delete what is no longer needed, or store less."),
    (KeyExistsError, "Get what is there. To overwrite it use set."),
    (ConflictError, "Somebody else changed the record. Get it again, decide, and write with its new revision."),
    (ValueTooLargeError, "Divide the value among several records."),
    (InvalidNameError, "Correct the name, and call again."),
    (QueryError, "Correct the argument that the message names, and call again."),
    (InvalidValueError, "Correct the argument that the message names, and call again."),
    (OutcomeUnknownError, "Look at what is there now, and decide."),
    (DeadlineExceededError, "Ask for less: a narrower prefix, or a smaller limit."),
    (BackendUnavailableError, "Try again in a minute. If it was a write, look first whether it was done."),
    (DataStoreError, "Do not try again. Tell the user."),
)


def text_of(result: Any) -> str:
    """Return a result as JSON text."""
    return json.dumps(result, ensure_ascii=False, separators=(",", ":"))


def size_of(value: Any) -> int:
    """Return how many characters a value takes in a result."""
    return len(text_of(value))


def error_text(error: DataStoreError) -> str:
    """Return what a model is told about an error: nothing of the host's, and what to do next."""
    public = error_to_json(error, _NOBODY)
    told: dict[str, Any] = {"error": public["type"], "message": public["message"]}
    told["what_to_do"] = next(text for kind, text in _WHAT_TO_DO if isinstance(error, kind))
    if "revision" in public:
        told["revision"] = public["revision"]
    return text_of(told).encode("utf-8", "backslashreplace").decode()  # an argument that it quotes may not be Unicode


def piece(value: Any, offset: int, size: int) -> dict[str, Any]:
    """Return a value, or if its JSON text does not fit, a piece of that text and where the next one begins.

    Raises:
        InvalidValueError: If ``offset`` is beyond the end.
    """
    text = text_of(value)
    if offset == 0 and len(text) <= size:
        return {"value": value}
    if offset >= len(text):
        raise InvalidValueError(f"offset is {offset}; the value's JSON text has {len(text)} characters")
    # A piece is escaped once more in the result, so it can take up to twice its length.
    end, room = offset, size
    while end < len(text) and room > 0:
        room -= 1 + (text[end] in '"\\')
        end += 1
    more = end < len(text)
    return {
        "cut": True,
        "json_text": text[offset:end],
        "offset": offset,
        "next_offset": end if more else None,
        "length": len(text),
    }


def fitting(items: Iterable[T], size: int, as_told: Callable[[T], Any]) -> list[Any]:
    """Return of some items, as they are told, as many from the beginning as fit; at least one if there is one."""
    told: list[Any] = []
    for item in items:
        one = as_told(item)
        size -= size_of(one) + 1
        if told and size < 0:
            break
        told.append(one)
    return told
