"""Race-free changes: read, apply, write if nothing came between, and start over if something did."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from datastore.arguments import check_name, is_a
from datastore.backend import Fields
from datastore.errors import ConflictError, DataStoreError, InvalidValueError, kind_of
from datastore.retry import Backoff
from datastore.scope import Scope
from datastore.values import article, decode, encode

_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds; a round trip is enough for a competitor to be done


def modify(
    scope: Scope, key: str, function: Callable[[Any], Any], default: Any, name: str, *, allow_none: bool = True
) -> Any:
    """Replace a value by what a function makes of it, and return the new value.

    Args:
        scope: Where.
        key: The key.
        function: Takes a copy of the value and returns the new one; called again after a conflict.
        default: What the function gets if there is no record.
        name: What an error calls the new value.
        allow_none: Whether the function may make ``None`` of it, or has forgotten to return something then.
    """
    if not callable(function):
        raise InvalidValueError(f"function is {kind_of(function)}; it must take a value and return the new one")
    key = check_name(key, "key")
    seconds = scope.core.max_seconds
    backoff = Backoff(seconds, _FIRST_DELAY, _LONGEST_DELAY)
    while True:
        document = scope.fetch(key, Fields.VALUE)
        value = function(_copy_of(default) if document is None else document.value)
        if value is None and not allow_none:
            raise InvalidValueError(
                f"{name} is None: return the new value, also where the function changes a list or dict in place; "
                "to store null say allow_none=True"
            )
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
                f"other writers changed the record at each attempt for {seconds:g} s; try again",
                revision=outcome.revision,
            ).during(f"changing {key!r} of namespace {scope.namespace!r}", scope.core.backend.name)


def _copy_of(default: Any) -> Any:
    try:
        return copy.deepcopy(default)
    except Exception as error:
        raise InvalidValueError(f"default is {kind_of(default)}, which cannot be copied") from error


def adding(by: float) -> Callable[[Any], Any]:
    """Return the function that adds to a number."""
    if not _is_number(by):
        raise InvalidValueError(f"by is {kind_of(by)}; it must be a number")
    encode(by, "by")

    def add(value: Any) -> Any:
        if not _is_number(value):
            raise InvalidValueError(f"the stored value is {article(value)}; only a number can be incremented")
        try:
            return value + by
        except OverflowError:  # an integer too large for a float, and a float
            raise InvalidValueError("the sum is beyond what a float can hold") from None

    return add


def appending(items: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Return the function that appends to an array."""
    encode(items, "items")

    def append(value: Any) -> Any:
        if not isinstance(value, list):
            raise InvalidValueError(f"the stored value is {article(value)}; items can only be appended to an array")
        return [*value, *items]

    return append


@contextmanager
def naming(scope: Scope, key: str) -> Iterator[None]:
    """Say in an error which record was being changed."""
    try:
        yield
    except DataStoreError as error:
        raise error.during(f"changing {key!r} of namespace {scope.namespace!r}", scope.core.backend.name) from None


def _is_number(value: Any) -> bool:
    return is_a(value, int, float) and not is_a(value, bool)
