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


def encoded(parameters: Sequence[Any]) -> tuple[list[bytes | None], list[Format]]:
    """Return parameters as libpq takes them, and the format of each.

    Raises:
        InternalError: If a text has a NUL, at which libpq would cut it off.
    """
    values: list[bytes | None] = []
    formats = [Format.TEXT] * len(parameters)
    for place, parameter in enumerate(parameters):
        if parameter is None:
            values.append(None)
            continue
        if type(parameter) is list:
            parameter = _array_of(parameter)
        if type(parameter) is str:
            if "\0" in parameter:
                raise InternalError("a text for PostgreSQL has a NUL", backend=NAME)
            values.append(parameter.encode())
        elif type(parameter) is bytes:
            formats[place] = Format.BINARY
            values.append(parameter)
        else:
            values.append(str(parameter).encode())
    return values, formats


def _array_of(items: Sequence[Any]) -> str | bytes:
    """Return items of one kind as an array: integers as text, others in binary form, in which nothing is escaped.

    That form is the dimensions, whether there is a NULL, the type, the length, the first place, and the items.
    https://www.postgresql.org/docs/current/arrays.html#ARRAYS-INPUT
    """
    kinds = set(map(type, items)) - {NoneType}
    if kinds <= {int}:
        return f"{{{','.join(['NULL' if one is None else str(one) for one in items])}}}"
    texts = [one.encode() if type(one) is str else one for one in items]
    parts = [_NULL if one is None else len(one).to_bytes(4) + one for one in texts]
    return struct.pack("!5i", 1, 1, _BYTEA if bytes in kinds else _TEXT, len(items), 1) + b"".join(parts)
