"""How a value is stored: natively, natively with its JSON text beside it, or as JSON text alone.

CouchDB itself gives ``1.0`` and integers of many digits back unchanged. Other servers with its protocol are written in
JavaScript, where ``1.0`` is ``1`` and integers are exact up to 2^53. `KEEPS` tells what the server at hand does (see
`datastore_couchdb.formats`). A value is stored

- *natively* where the server gives back what it was given;
- natively, *with the text beside it*, where the server changes the form of a number but not its order among others.
  Queries use the native value and mean the same; reads return the text;
- *as text alone* where a number would become another number, or the server refuses the value. Queries cannot look into
  text, so they find every such document, and the store checks it.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

EXACT = 2**53
"""Integers up to here are exact in JavaScript; https://tc39.es/ecma262/#sec-number.max_safe_integer"""
KEEPS = [1.0, -25.0, 1e16, 0.1, 1e22, 1.5e300, EXACT + 1, -(10**22) - 7, 10**299 + 3]
"""A server that gives these back unchanged keeps numbers."""
_LEAST = 2.0**-1022
"""Smaller numbers are subnormal, and CouchDB's decoder reads them as 0."""
_EXPONENT = 1e21
"""From here on JavaScript writes an exponent too, so that a float is still one when it is read."""
_LARGEST = 10**300
"""Larger integers have no place among the floats that other programs convert them to."""


class Kept(IntEnum):
    """How a value is stored. For an object or an array, the greatest of its elements decides."""

    NATIVE = 0
    BESIDE = 1
    TEXT = 2


def kept(value: Any, exact: bool) -> Kept:
    """Return how a value is stored.

    Args:
        value: The value.
        exact: Whether the server at hand gives numbers back unchanged.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return Kept.NATIVE
    if kind is int:
        most = _LARGEST if exact else EXACT
        return Kept.NATIVE if -most <= value <= most else Kept.TEXT
    if kind is float:
        return _kept_float(value, exact)
    if isinstance(value, dict):
        if "__proto__" in value:  # some servers refuse this name, and some drop it
            return Kept.TEXT
        value = value.values()
    most_of_all = Kept.NATIVE
    for item in value:
        of_item = kept(item, exact)
        if of_item is Kept.TEXT:
            return of_item
        most_of_all = max(most_of_all, of_item)
    return most_of_all


def _kept_float(value: float, exact: bool) -> Kept:
    if not value.is_integer():
        return Kept.NATIVE if abs(value) >= _LEAST else Kept.TEXT
    if value == 0 and math.copysign(1.0, value) < 0:
        return Kept.BESIDE  # CouchDB has only one zero
    if exact or abs(value) >= _EXPONENT:
        return Kept.NATIVE
    return Kept.BESIDE if abs(value) <= EXACT else Kept.TEXT


def as_javascript(value: Any) -> Any:
    """Return a value as JavaScript sees it: floats without a fraction are integers."""
    if type(value) is float and value.is_integer() and abs(value) < _EXPONENT:
        return int(value)
    if isinstance(value, dict):
        return {name: as_javascript(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_javascript(item) for item in value]
    return value


def plain_number(value: Any) -> int | float | None:
    """Return a number to ask a server for; ``None`` for other values, and for numbers that servers may confuse.

    Whether large integers are compared exactly or as floats depends on the server, so numbers beyond `EXACT` are left
    out.
    """
    kind = type(value)
    if (kind is not int and kind is not float) or not abs(value) < EXACT or 0 < abs(value) < _LEAST:
        return None
    return float(value) if kind is float and not value.is_integer() else int(value)
