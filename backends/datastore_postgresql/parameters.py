"""From the store's statements and their parameters to what libpq takes.

Parameters are text whose type the server takes from the statement, or bytes. So a statement is the same for the server
whatever its parameters are, and is prepared once.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import NoneType
from typing import Any, TypeAlias

from psycopg.pq import Format

from datastore.errors import InternalError
from datastore_postgresql.failures import NAME

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]
"""Text without NUL, integers, bytes, ``None``, and lists of them."""

_PLACE = re.compile(r"%(?:%|s|\((\w+)\)s)")
_BYTEA, _TEXT = 17, 25  # https://www.postgresql.org/docs/current/datatype-oid.html
_NULL = b"\xff\xff\xff\xff"
_head, _length = struct.Struct("!5i").pack, struct.Struct("!i").pack


@lru_cache(maxsize=512)
def parsed(statement: str) -> tuple[bytes, Sequence[str]]:
    """Return a statement as libpq takes it, and the names of its parameters, each once; there are none for ``%s``."""
    names: dict[str, str] = {}
    number = 0

    def place(found: re.Match[str]) -> str:
        nonlocal number
        if found[0] == "%%":
            return "%"
        if found[1] is None:
            number += 1
            return f"${number}"
        return names.setdefault(found[1], f"${len(names) + 1}")

    return _PLACE.sub(place, statement).encode(), tuple(names)


def encoded(parameters: Sequence[Any]) -> tuple[list[bytes | None], list[Format] | None]:
    """Return parameters as libpq takes them, and the format of each; ``None`` if all are text.

    Raises:
        InternalError: If a text has a NUL, at which libpq would cut it off.
    """
    values: list[bytes | None] = []
    binary = []
    for parameter in parameters:
        if type(parameter) is list:
            parameter = _array_of(parameter)
        if type(parameter) is str:
            if "\0" in parameter:
                raise InternalError("a text for PostgreSQL has a NUL", backend=NAME)
            values.append(parameter.encode())
        elif type(parameter) is bytes:
            binary.append(len(values))
            values.append(parameter)
        else:
            values.append(None if parameter is None else str(parameter).encode())
    if not binary:
        return values, None
    formats = [Format.TEXT] * len(values)
    for place in binary:
        formats[place] = Format.BINARY
    return values, formats


def _array_of(items: Sequence[Any]) -> str | bytes:
    """Return items of one kind as an array: integers as text, others in binary form, in which nothing is escaped.

    That form is the dimensions, whether there is a NULL, the type, the length, the first place, and the items.
    https://www.postgresql.org/docs/current/arrays.html#ARRAYS-INPUT
    """
    kinds = set(map(type, items))
    if kinds <= {int, NoneType}:
        return f"{{{','.join(['NULL' if one is None else str(one) for one in items])}}}"
    if kinds == {str}:  # most are, and this takes half the time
        parts = [b""] * (2 * len(items))
        parts[1::2] = texts = list(map(str.encode, items))
        sizes = list(map(len, texts))
        is_one = sizes.count(sizes[0]) == len(sizes)  # as tokens are
        parts[::2] = [_length(sizes[0])] * len(sizes) if is_one else map(_length, sizes)
    else:
        both = [one.encode() if type(one) is str else one for one in items]
        parts = [_NULL if one is None else _length(len(one)) + one for one in both]
    return _head(1, 1, _BYTEA if bytes in kinds else _TEXT, len(items), 1) + b"".join(parts)
