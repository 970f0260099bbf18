"""The order of values: MongoDB's comparison order, for the types of JSON.

https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import total_ordering
from math import isfinite
from typing import Any, TypeAlias

from datastore.deadlines import check
from datastore.queries.paths import MISSING, is_position
from datastore.queries.tree import Path

Key: TypeAlias = tuple[Any, ...]
"""Compares with the keys of values of any type as the values compare."""

_OWN_HASH = 2**61 - 1  # Python hashes an integer by its remainder after division by this number
_EMPTY_ARRAY: Key = (0,)
_NULL: Key = (1,)
RANKS = {type(None): 1, int: 2, float: 2, str: 3, dict: 4, list: 5, bool: 6}
"""The order of the types; values are compared only within a rank."""


def order_key(value: Any) -> Key:
    """Return the key that a value is compared by. An object's keys are sorted: not every database keeps their order."""
    rank = RANKS[type(value)]
    if rank == 1:
        return _NULL
    if rank == 4:
        fields = []
        for name in sorted(value):
            child = value[name]
            fields.append((RANKS[type(child)], name, order_key(child)))
        return (4, tuple(fields))
    if rank == 5:
        return (5, tuple(map(order_key, value)))
    return (rank, value)


def equality_key(value: Any) -> Hashable:
    """Return a key that is equal if and only if the values are equal, and that is safe to look up in a set.

    Text is its own key. Python hashes a large integer by a remainder, so anybody can construct thousands of integers
    with the same hash: the key of a large integer is its digits.
    """
    kind = type(value)
    if kind is str or value is None:
        return value  # type: ignore[no-any-return]  # it is hashable
    if kind is int or kind is float:
        if -_OWN_HASH < value < _OWN_HASH:
            return value  # type: ignore[no-any-return]  # it is hashable
        return (int, hex(int(value)))
    if kind is list:
        return (list, *map(equality_key, value))
    if kind is dict:
        fields: list[Hashable] = [dict]
        for name in sorted(value):
            fields += name, equality_key(value[name])
        return tuple(fields)
    return (bool, value)


def is_key(key: Any) -> bool:
    """Return whether something has the form of an `order_key`, and can be compared with one: a cursor may be forged."""
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


def sort_key(sort: Sequence[tuple[Path, int]]) -> Callable[[Any], tuple[Any, ...]]:
    """Return the function that returns the key by which a document is sorted.

    An array sorts by its smallest element, in descending order by its largest. An empty array comes before everything
    else, and a missing field sorts as ``null``. See https://www.mongodb.com/docs/manual/reference/method/cursor.sort/.
    """

    def key(document: Any) -> tuple[Any, ...]:
        parts: list[Any] = []
        for path, direction in sort:
            parts.append(_key(document, path, 0, min) if direction > 0 else Descending(_key(document, path, 0, max)))
        return tuple(parts)

    return key


def _key(value: Any, path: Path, step: int, choose: Callable[[Iterable[Key]], Key]) -> Key:
    """Return the smallest or the largest of the keys that an index on the path would hold for a document."""
    for index in range(step, len(path)):
        if type(value) is list:
            return _key_in(value, path, index, choose)
        value = value.get(path[index], MISSING) if type(value) is dict else MISSING
    if value is MISSING:
        return _NULL
    if type(value) is not list:
        return order_key(value)
    check()  # it may be large
    return choose(map(order_key, value)) if value else _EMPTY_ARRAY


def _key_in(array: list[Any], path: Path, step: int, choose: Callable[[Iterable[Key]], Key]) -> Key:
    check()
    if is_position(path[step]) and int(path[step]) < len(array):
        return _key(array[int(path[step])], path, step + 1, choose)
    if not array:
        return _NULL
    keys = []
    for element in array:  # not a comprehension, which takes a frame more for each level
        key = _key(element, path, step, choose) if type(element) is dict else _NULL
        keys.append(key)
    return choose(keys)
