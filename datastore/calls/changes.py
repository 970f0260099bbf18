"""Race-free changes: read, apply, write if nobody wrote in between, and otherwise start over."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from datastore.arguments import as_bool, check_name, check_text, is_a
from datastore.backend import Fields, Put
from datastore.calls.steps import Steps, follow
from datastore.errors import ConflictError, DataStoreError, InvalidValueError, kind_of
from datastore.frozen import NamedTuple
from datastore.retry import Backoff
from datastore.scope import Bound, Scope, bounded, scope_of
from datastore.values import article, decode, encode

_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds; a competitor is done after one round trip
RESULT = "the function's result"
"""The name of a new value in errors."""


class ChangeCalls(Bound):
    """Changes values race-free: reads, applies, writes if nothing came between, and starts over if something did."""

    __slots__ = ()

    @bounded
    def modify(
        self,
        key: str,
        function: Callable[[Any], Any],
        default: Any = None,
        *,
        allow_none: bool = False,
        ttl: float | timedelta | None = None,
        touch: bool = False,
    ) -> Any:
        """Replace a value by what a function makes of it, without losing anybody's change.

        It reads, applies the function, and writes if nobody wrote in between; otherwise it starts over, for up to
        ``max_seconds``. The metadata stay as they are, and the expiry unless ``touch`` is given. No access is counted.

        Args:
            key: The key.
            function: Takes a copy of the value and returns the new one. It may be called several times. What it raises
                reaches the caller as it is, and nothing is stored.
            default: What the function gets if there is no record.
            allow_none: Store null if the function returns ``None``. Without it that is an error, because a function
                that changes a list in place and forgets to return it returns ``None``, too.
            ttl: Seconds, or a `timedelta`, until the record expires if this call creates it; ``None`` for never.
            touch: Let an existing record expire ``ttl`` from now, too. Without it, it keeps its expiry.

        Returns:
            The new value.

        Raises:
            ConflictError: If other writers came first each time.
            InvalidValueError: If the new value is not JSON, or ``None`` without ``allow_none``; the stored value stays
                as it is.
            ValueTooLargeError: If the new value is too large.

        Requests: 2 for each attempt.
        """
        steps = modifying(scope_of(self), key, function, default, allow_none=allow_none, ttl=ttl, touch=touch)
        return follow(steps, function)

    @bounded
    def increment(
        self, key: str, by: float = 1, *, ttl: float | timedelta | None = None, touch: bool = False
    ) -> int | float:
        """Add to a number, without losing anybody's change. A missing record counts as 0.

        Args:
            key: The key.
            by: How much: an integer or a float, which may be negative.
            ttl: Seconds, or a `timedelta`, until the record expires if this call creates it; ``None`` for never.
            touch: Let an existing record expire ``ttl`` from now, too. Without it, it keeps its expiry.

        Returns:
            The new number.

        Raises:
            InvalidValueError: If ``by`` or the stored value is not a number.
            ConflictError: As `modify`.

        Requests: 2 for each attempt.
        """
        result: int | float = _change(scope_of(self), key, _adding(by), 0, "the sum", _expiry(ttl, touch))
        return result

    @bounded
    def append(self, key: str, *items: Any, ttl: float | timedelta | None = None, touch: bool = False) -> list[Any]:
        """Append to an array, without losing anybody's change. A missing record counts as an empty array.

        Args:
            key: The key.
            items: What to append.
            ttl: Seconds, or a `timedelta`, until the record expires if this call creates it; ``None`` for never.
            touch: Let an existing record expire ``ttl`` from now, too. Without it, it keeps its expiry.

        Returns:
            The new array.

        Raises:
            InvalidValueError: If an item is not JSON or the stored value is not an array.
            ValueTooLargeError: If the array grows too large.
            ConflictError: As `modify`.

        Requests: 2 for each attempt.
        """
        result: list[Any] = _change(scope_of(self), key, _appending(items), [], "the array", _expiry(ttl, touch))
        return result

    @bounded
    def update(
        self,
        key: str,
        changes: Mapping[str, Any],
        *,
        ttl: float | timedelta | None = None,
        touch: bool = False,
    ) -> dict[str, Any]:
        """Change an object in part, without losing anybody's change. A missing record counts as an empty object.

        Args:
            key: The key.
            changes: MongoDB's update operators (``$set $setOnInsert $unset $inc $mul $min $max $push $pop $pull
                $pullAll $addToSet $rename``) with their fields, or fields to set, which are merged in at the top level.
                A path such as ``"address.city"`` can stand in an operator only.
            ttl: Seconds, or a `timedelta`, until the record expires if this call creates it; ``None`` for never.
            touch: Let an existing record expire ``ttl`` from now, too. Without it, it keeps its expiry.

        Returns:
            The new object.

        Raises:
            QueryError: If an operator is unknown or its operand is wrong, or if the name of a field to set is empty or
                has a dot in it; the message names the place.
            InvalidValueError: If ``changes`` is not JSON, the stored value is not an object, or an operator does not
                fit what is in it.
            ValueTooLargeError: If the object grows too large.
            ConflictError: As `modify`.

        Requests: 2 for each attempt.
        """
        from datastore.queries.paths import MISSING  # imported here, because few agents use operators
        from datastore.queries.updates import compile_update

        result: dict[str, Any] = _change(
            scope_of(self), key, compile_update(changes), MISSING, "the object", _expiry(ttl, touch)
        )
        return result


class _Expiry(NamedTuple):
    """What a change does about the time when the record expires."""

    ttl: float | timedelta | None
    touch: bool


def _expiry(ttl: float | timedelta | None, touch: bool) -> _Expiry:
    if as_bool(touch, "touch") and ttl is None:
        raise InvalidValueError("touch is True and there is no ttl: say for how long the record is to live from now on")
    return _Expiry(ttl, touch)


def _change(
    scope: Scope,
    key: str,
    function: Callable[[Any], Any],
    default: Any,
    name: str,
    expiry: _Expiry,
    *,
    allow_none: bool = True,
) -> Any:
    """Replace a value by the result of a function, and return the new value; the parameters are those of `_changing`.

    Args:
        scope: The user, the agent and the namespace.
        key: The key.
        function: Takes a copy of the value and returns the new one; called again after a conflict.
        default: What the function gets if there is no record.
        name: The name of the new value in errors.
        expiry: When a new record expires, and whether an existing one is to expire then, too.
        allow_none: Whether the function may return ``None``, or has then forgotten to return something.
    """
    _check_function(function)
    return follow(_changing(scope, key, default, name, expiry, allow_none=allow_none), function)


def modifying(
    scope: Scope,
    key: str,
    function: Callable[[Any], Any],
    default: Any,
    *,
    allow_none: bool,
    ttl: float | timedelta | None,
    touch: bool,
) -> Steps:
    """Return the steps of `modify`; whoever follows them calls the function."""
    expiry = _expiry(ttl, touch)
    _check_function(function)
    return _changing(scope, key, default, RESULT, expiry, allow_none=allow_none)


def _check_function(function: Callable[[Any], Any]) -> None:
    if not callable(function):
        raise InvalidValueError(f"function is {kind_of(function)}; it must take a value and return the new one")


def _changing(scope: Scope, key: str, default: Any, name: str, expiry: _Expiry, *, allow_none: bool) -> Steps:
    """Yield each value to apply a function to, take what it returns, and return the value that was stored."""
    key = check_name(key, "key")
    scope.moment(expiry.ttl)  # raises before any request
    scope.core.check_writes(scope.prefix)
    seconds = scope.core.max_seconds
    backoff = Backoff(seconds, _FIRST_DELAY, _LONGEST_DELAY)
    while True:
        document = scope.fetch(key, Fields.VALUE)
        value = yield (copy_of(default) if document is None else document.value,)
        if value is None and not allow_none:
            raise forgotten(name)
        put = _changed(scope, key, value, None if document is None else document.revision, expiry, name)
        outcome = scope.core.write_one(put)
        if outcome.done:
            return decode(put.json)
        if not backoff.wait():
            raise outpaced(scope, key, seconds, outcome.revision)


def _changed(scope: Scope, key: str, value: Any, revision: str | None, expiry: _Expiry, name: str) -> Put:
    """Return the write of a new value, if the record is still at a revision; ``None`` if there is none yet."""
    put = scope.put(key, value, scope.moment(expiry.ttl), if_absent=revision is None, name=name)
    return put if revision is None else put._replace(if_revision=revision, keep_expiry=not expiry.touch)


def forgotten(name: str = RESULT) -> InvalidValueError:
    """Return the error for a function that returned ``None`` where null is not to be stored."""
    return InvalidValueError(
        f"{name} is None: return the new value, also where the function changes a list or dict in place; "
        "to store null say allow_none=True"
    )


def outpaced(scope: Scope, key: str, seconds: float, revision: str | None) -> ConflictError:
    """Return the error for a change that others came before each time."""
    return ConflictError(
        f"other writers changed the record at each attempt for {seconds:g} s; try again", revision=revision
    ).during(f"changing {key!r} of namespace {scope.namespace!r}", scope.core.backend.name)


# ------------------------------------------------------------------------------------ `modify` in two requests
# For a caller whose function runs in another process (`datastore.wire`). They keep nothing between the two.


class Seen(NamedTuple):
    """What `read_to_change` found."""

    value: Any
    revision: str


class Written(NamedTuple):
    """What came of `write_changed`."""

    done: bool
    revision: str | None
    """If it is done, the new revision, and otherwise that of the record that is there; ``None`` if there is none."""


def read_to_change(scope: Scope, key: str, *, ttl: float | timedelta | None = None, touch: bool = False) -> Seen | None:
    """Return the value to apply a function to, with its revision; ``None`` if there is no record.

    Args:
        scope: Whose it is.
        key: As `ChangeCalls.modify`.
        ttl: As `ChangeCalls.modify`.
        touch: As `ChangeCalls.modify`.

    Requests: 1.
    """
    scope.moment(_expiry(ttl, touch).ttl)  # raises before any request
    scope.core.check_writes(scope.prefix)
    document = scope.fetch(check_name(key, "key"), Fields.VALUE)
    return None if document is None else Seen(document.value, document.revision)


def write_changed(
    scope: Scope,
    key: str,
    value: Any,
    revision: str | None,
    *,
    ttl: float | timedelta | None = None,
    touch: bool = False,
) -> Written:
    """Store what the function has made of a value, if nobody wrote in between.

    Args:
        scope: Whose it is.
        key: As `ChangeCalls.modify`.
        value: The new value.
        revision: That of `Seen`; ``None`` if there was no record.
        ttl: As `ChangeCalls.modify`.
        touch: As `ChangeCalls.modify`.

    Requests: 1.
    """
    if revision is not None:
        revision = check_text(revision, "revision", "give the one that was read, or None")
    put = _changed(scope, check_name(key, "key"), value, revision, _expiry(ttl, touch), RESULT)
    outcome = scope.core.write_one(put)
    return Written(outcome.done, put.revision if outcome.done else outcome.revision)


def copy_of(default: Any) -> Any:
    """Return a copy of a default for a function that may change it."""
    try:
        return copy.deepcopy(default)
    except Exception as error:
        raise InvalidValueError(f"default is {kind_of(default)}, which cannot be copied") from error


def _adding(by: float) -> Callable[[Any], Any]:
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


def _appending(items: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Return the function that appends to an array."""
    encode(items, "items")

    def append(value: Any) -> Any:
        if not isinstance(value, list):
            raise InvalidValueError(f"the stored value is {article(value)}; items can only be appended to an array")
        return [*value, *items]

    return append


@contextmanager
def naming(scope: Scope, key: str) -> Iterator[None]:
    """Add to an error which record was being changed."""
    try:
        yield
    except DataStoreError as error:
        raise error.during(f"changing {key!r} of namespace {scope.namespace!r}", scope.core.backend.name) from None


def _is_number(value: Any) -> bool:
    return is_a(value, int, float) and not is_a(value, bool)
