"""The order of values: MongoDB's comparison order, for the types of JSON.

https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import total_ordering
from math import isfinite
from typing import Any, TypeAlias

from datastore.queries.paths import MISSING, is_position
from datastore.queries.tree import Path

Key: TypeAlias = tuple[Any, ...]
"""Compares as the value does with values of any type."""

_EMPTY_ARRAY: Key = (0,)
_NULL: Key = (1,)
RANKS = {type(None): 1, int: 2, float: 2, str: 3, dict: 4, list: 5, bool: 6}
"""The order of the types; values compare with each other within a rank only."""


def order_key(value: Any) -> Key:
    """Return what a value is compared by. An object's keys count as sorted: not every database keeps their order."""
    rank = RANKS[type(value)]
    if rank == 1:
        return _NULL
    if rank == 4:
        fields = sorted(value.items())
        return (4, tuple((RANKS[type(child)], name, order_key(child)) for name, child in fields))
    if rank == 5:
        return (5, tuple(order_key(child) for child in value))
    return (rank, value)


def is_key(key: Any) -> bool:
    """Return whether something is what `order_key` returns, and so can be compared with it: a cursor may be forged."""
    if type(key) is not tuple or not 1 <= len(key) <= 2 or type(key[0]) is not int:
        return False
    if len(key) == 1:
        return key in (_EMPTY_ARRAY, _NULL)
    rank, value = key
    if rank == 5:
        return type(value) is tuple and all(map(is_key, value))
    if rank == 4:
        return type(value) is tuple and all(
            type(field) is tuple
            and len(field) == 3
            and type(field[0]) is int
            and type(field[1]) is str
            and is_key(field[2])
            for field in value
        )
    if type(value) is float and not isfinite(value):
        return False
    return bool(RANKS.get(type(value)) == rank)


@total_ordering
class Descending:
    """A key that sorts in the opposite order."""

    __slots__ = ("key",)

    def __init__(self, key: Key) -> None:
        self.key = key

    def __lt__(self, other: Descending) -> bool:
        return other.key < self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and self.key == other.key

    __hash__ = None  # type: ignore[assignment]


def sort_key(sort: Sequence[tuple[Path, int]]) -> Callable[[Any], tuple[Any, ...]]:
    """Return the function that gives what a document sorts by.

    An array sorts by its smallest element, in descending order by its largest; an empty one before everything else;
    what is missing as ``null``. See https://www.mongodb.com/docs/manual/reference/method/cursor.sort/.
    """

    def key(document: Any) -> tuple[Any, ...]:
        parts: list[Any] = []
        for path, direction in sort:
            keys = _keys(document, path, 0)
            parts.append(min(keys) if direction > 0 else Descending(max(keys)))
        return tuple(parts)

    return key


def _keys(value: Any, path: Path, step: int) -> Iterator[Key]:
    """Yield the keys that an index on the path would hold for a document."""
    for index in range(step, len(path)):
        if type(value) is list:
            yield from _keys_in(value, path, index)
            return
        value = value.get(path[index], MISSING) if type(value) is dict else MISSING
    if value is MISSING:
        yield _NULL
    elif type(value) is not list:
        yield order_key(value)
    elif value:
        yield from map(order_key, value)
    else:
        yield _EMPTY_ARRAY


def _keys_in(array: list[Any], path: Path, step: int) -> Iterator[Key]:
    if is_position(path[step]) and int(path[step]) < len(array):
        yield from _keys(array[int(path[step])], path, step + 1)
        return
    if not array:
        yield _NULL
    for element in array:
        yield from _keys(element if type(element) is dict else {}, path, step)
