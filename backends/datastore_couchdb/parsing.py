"""JSON as the server sends it, which may hold integers of any length from other programs.

Python refuses to convert more than 4,300 digits, unless the host has changed that. With the limit, one such document
would make a whole answer unreadable; without it, the conversion could take minutes and stop every thread. So where the
interpreter has another limit than the store, or has just refused an answer, such an integer is recognised before it is
converted. The field of the document that holds it becomes an `UnreadableError`.

orjson takes half as long as ``json``, but makes floats of integers beyond 64 bits. So it decodes what holds no integer
of 19 digits or more. What it refuses goes to ``json``, which decides.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

import orjson

from datastore.values import MAX_DIGITS, UnreadableError, parse_int

_SHORTEST_LONG = 19  # digits: an integer of fewer fits into 64 bits
_SHAPE = bytes(ord("0") if chr(c).isdigit() else ord(":") if chr(c) in ":,[- \t\r\n" else ord("a") for c in range(128))
_SHAPE += b"a" * 128
"""For `bytes.translate`: makes every digit a zero, and everything that can precede an integer a colon."""
_LONG = b":" + b"0" * _SHORTEST_LONG

_TOO_LONG = UnreadableError(f"an integer of more than {MAX_DIGITS:,} digits")


def loads(text: bytes) -> Any:
    """Return the value of JSON text, which is an object or an array.

    Raises:
        ValueError: If it is not JSON.
        RecursionError: If it is nested too deep.
    """
    if _LONG not in text.translate(_SHAPE):
        with suppress(ValueError):
            return orjson.loads(text)
    if guarded():
        try:
            return json.loads(text)
        except ValueError as error:
            if not is_too_long(error):
                raise
    return without_long(json.loads(text, parse_int=_parse))


def guarded() -> bool:
    """Return whether the interpreter itself refuses to convert an integer that is too long."""
    return 0 < sys.get_int_max_str_digits() <= MAX_DIGITS


def is_too_long(error: ValueError) -> bool:
    """Return whether JSON was refused because of a long integer, and for no other reason."""
    return not isinstance(error, json.JSONDecodeError | UnicodeDecodeError)


def decoder_of_any() -> json.JSONDecoder:
    """Return a decoder that does not convert integers that are too long; apply `without_long` to its result."""
    return json.JSONDecoder(parse_int=_parse)


def without_long(value: Any) -> Any:
    """Return what was decoded, with an error in each field of a document that holds an integer that is too long."""
    if isinstance(value, list):
        return [without_long(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "_id" in value:
        return {name: _TOO_LONG if _holds_long(field) else field for name, field in value.items()}
    return {name: without_long(field) for name, field in value.items()}


def _parse(digits: str) -> Any:
    try:
        return parse_int(digits)
    except ValueError:
        return _TOO_LONG


def _holds_long(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_holds_long, value)) if isinstance(value, list) else value is _TOO_LONG
