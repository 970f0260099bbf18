"""The calls of an agent's store that change a value without losing anybody else's change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from datastore import changing
from datastore.scope import Bound, bounded, scope_of


class Changeable(Bound):
    """Changes values race-free: reads, applies, writes if nothing came between, and starts over if something did."""

    __slots__ = ()

    @bounded
    def modify(self, key: str, function: Callable[[Any], Any], default: Any = None, *, allow_none: bool = False) -> Any:
        """Replace a value by what a function makes of it, without losing anybody's change.

        It reads, applies the function, and writes if nobody wrote in between; otherwise it starts over, for up to
        ``max_seconds``. The expiry and the metadata stay as they are. No access is counted.

        Args:
            key: The key.
            function: Takes a copy of the value and returns the new one. It may be called several times. What it raises
                reaches the caller as it is, and nothing is stored.
            default: What the function gets if there is no record.
            allow_none: Store null if the function returns ``None``. Without it that is an error, because a function
                that changes a list in place and forgets to return it returns ``None``, too.

        Returns:
            The new value.

        Raises:
            ConflictError: If other writers came first each time.
            InvalidValueError: If the new value is not JSON, or ``None`` without ``allow_none``; the stored value stays
                as it is.
            ValueTooLargeError: If the new value is too large.

        Requests: 2 for each attempt.
        """
        name = "the function's result"
        return changing.modify(scope_of(self), key, function, default, name, allow_none=allow_none)

    @bounded
    def increment(self, key: str, by: float = 1) -> Any:
        """Add to a number, without losing anybody's change. A missing record counts as 0.

        Args:
            key: The key.
            by: How much: an integer or a float, which may be negative.

        Returns:
            The new number.

        Raises:
            InvalidValueError: If ``by`` or the stored value is not a number.
            ConflictError: As `modify`.

        Requests: 2 for each attempt.
        """
        return changing.modify(scope_of(self), key, changing.adding(by), 0, "the sum")

    @bounded
    def append(self, key: str, *items: Any) -> list[Any]:
        """Append to an array, without losing anybody's change. A missing record counts as an empty array.

        Returns:
            The new array.

        Raises:
            InvalidValueError: If an item is not JSON or the stored value is not an array.
            ValueTooLargeError: If the array grows too large.
            ConflictError: As `modify`.

        Requests: 2 for each attempt.
        """
        result: list[Any] = changing.modify(scope_of(self), key, changing.appending(items), [], "the array")
        return result

    @bounded
    def update(self, key: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change an object in part, without losing anybody's change. A missing record counts as an empty object.

        Args:
            key: The key.
            changes: MongoDB's update operators (``$set $setOnInsert $unset $inc $mul $min $max $push $pop $pull
                $pullAll $addToSet $rename``) with their fields, or fields to set, which are merged in at the top level.
                A path such as ``"address.city"`` can stand in an operator only.

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
        from datastore.queries.paths import MISSING  # here, because few agents use operators
        from datastore.queries.updates import compile_update

        result: dict[str, Any] = changing.modify(scope_of(self), key, compile_update(changes), MISSING, "the object")
        return result
