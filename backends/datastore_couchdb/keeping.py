"""In which form a value is kept: natively, natively with its JSON text beside it, or as JSON text alone.

CouchDB itself gives back ``1.0`` and integers of many digits as they are. Other servers that speak its protocol are
JavaScript, where ``1.0`` is ``1`` and integers end at 2^53. What is found out of the server at hand (`KEEPS`, see
`datastore_couchdb.formats`) decides:

- *natively* where the server gives back what it was given;
- natively, *and as text beside it*, where it changes the form of a number but not its place among others: queries go by
  the native one, and mean the same, and what is handed out is the text;
- *as text alone* where a number would become another one, or the server refuses the value. Queries cannot look into
  text, so these are found by being text, and looked at here.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

EXACT = 2**53
"""Integers up to here are themselves in JavaScript; https://tc39.es/ecma262/#sec-number.max_safe_integer"""
KEEPS = [1.0, -25.0, 1e16, 0.1, 1e22, 1.5e300, EXACT + 1, -(10**22) - 7, 10**299 + 3]
"""A server that gives these back as they are keeps numbers."""
_LEAST = 2.0**-1022
"""Smaller numbers than this are subnormal, and CouchDB's decoder takes them for 0."""
_EXPONENT = 1e21
"""From here on JavaScript, too, writes an exponent, so that a float is still one when it is read."""
_LARGEST = 10**300
"""Integers up to here have a place among the floats that other programs make of them."""


class Kept(IntEnum):
    """How a value is kept; of an object or an array, the greatest of what is in it decides."""

    NATIVE = 0
    BESIDE = 1
    TEXT = 2


def kept(value: Any, exact: bool) -> Kept:
    """Return how a value is kept.

    Args:
        value: The value.
        exact: Whether the server at hand keeps numbers.
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
        if "__proto__" in value:  # some servers refuse the name, and some drop it
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
        return Kept.BESIDE  # CouchDB has but one zero
    if exact or abs(value) >= _EXPONENT:
        return Kept.NATIVE
    return Kept.BESIDE if abs(value) <= EXACT else Kept.TEXT


def as_javascript(value: Any) -> Any:
    """Return a value as it looks in JavaScript: floats without a fraction are integers there."""
    if type(value) is float and value.is_integer() and abs(value) < _EXPONENT:
        return int(value)
    if isinstance(value, dict):
        return {name: as_javascript(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_javascript(item) for item in value]
    return value


def plain_number(value: Any) -> int | float | None:
    """Return a number to ask a server for, ``None`` for anything else, and for one that a server may take for another.

    Whether large integers compare as such or as floats depends on the server, so numbers beyond `EXACT` are left out.
    """
    kind = type(value)
    if (kind is not int and kind is not float) or not abs(value) < EXACT or 0 < abs(value) < _LEAST:
        return None
    return float(value) if kind is float and not value.is_integer() else int(value)
