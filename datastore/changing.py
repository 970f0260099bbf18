"""Race-free changes: read, apply, write if nothing came between, and start over if something did."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from datastore.backend import Fields
from datastore.errors import ConflictError, InvalidValueError, UnsupportedError, kind_of
from datastore.retry import Backoff
from datastore.scope import Scope
from datastore.values import decode, encode

_SECONDS = 30.0
"""How long one call goes on against concurrent writers of its key."""
_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds; a round trip is enough for a competitor to be done


def modify(scope: Scope, key: str, function: Callable[[Any], Any], default: Any, name: str) -> Any:
    """Replace a value by what a function makes of it, and return the new value.

    Args:
        scope: Where.
        key: The key.
        function: Takes a copy of the value and returns the new one; called again after a conflict.
        default: What the function gets if there is no record.
        name: What an error calls the new value.
    """
    backoff = Backoff(_SECONDS, _FIRST_DELAY, _LONGEST_DELAY)
    while True:
        document = scope.fetch(key, Fields.VALUE)
        value = function(copy.deepcopy(default) if document is None else document.value)
        if document is None:
            put = scope.put(key, value, scope.moment(), if_absent=True, name=name)
        else:
            moment = scope.moment()._replace(expires_at=document.expires_at)
            put = scope.put(key, value, moment, name=name)._replace(if_revision=document.revision)
        outcome = scope.core.write_one(put)
        if outcome.done:
            return decode(put.json)
        if not backoff.wait():
            raise ConflictError(
                f"other writers changed the record during each attempt of {_SECONDS:.0f} s; try again",
                revision=outcome.revision,
            ).during(f"changing {key!r} of namespace {scope.namespace!r}", scope.core.backend.name)


def adding(by: float) -> Callable[[Any], Any]:
    """Return the function that adds to a number."""
    if not _is_number(by):
        raise InvalidValueError(f"by is {kind_of(by)}; it must be a number")
    encode(by, "by")

    def add(value: Any) -> Any:
        if not _is_number(value):
            raise InvalidValueError(f"the stored value is {_article(value)}; only a number can be incremented")
        return value + by

    return add


def appending(items: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Return the function that appends to an array."""
    encode(items, "items")

    def append(value: Any) -> Any:
        if not isinstance(value, list):
            raise InvalidValueError(f"the stored value is {_article(value)}; items can only be appended to an array")
        return [*value, *items]

    return append


def merging(changes: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return the function that merges an object into an object, shallowly."""
    if not isinstance(changes, Mapping):
        raise InvalidValueError(f"changes is {kind_of(changes)}; it must be a dict")
    changes = dict(changes)
    encode(changes, "changes")
    operator = next((name for name in changes if name.startswith("$")), None)
    if operator is not None:
        raise UnsupportedError(f"changes has the key {operator!r}: update takes the fields to set, and no operators")

    def merge(value: Any) -> Any:
        if not isinstance(value, dict):
            raise InvalidValueError(f"the stored value is {_article(value)}; only an object can be updated")
        return {**value, **changes}

    return merge


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _article(value: Any) -> str:
    return {dict: "an object", list: "an array", str: "text", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
