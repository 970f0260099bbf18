"""The marks of a record's last writes and counts (`datastore.adapters.remembering`), each in its own attribute.

The newest mark is in ``w1`` or ``c1``. A new one shifts the others by one, in the same request that writes or counts,
so that nothing must be read first. A request that is sent again has the condition that its mark is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from datastore.adapters.remembering import MARK_LENGTH
from datastore_dynamodb.codec import Attribute, Attributes

REMEMBERED = 8
"""How many marks a record keeps of writes, and of counts. They are fewer than elsewhere: no expression of DynamoDB
shortens a list or a text, so each mark needs an attribute, a term in the update and one in its condition."""
WRITES = tuple(f"w{number}" for number in range(1, REMEMBERED + 1))
"""The attributes for the marks of writes, the newest first."""
COUNTS = tuple(f"c{number}" for number in range(1, REMEMBERED + 1))
"""The attributes for the marks of counts, the newest first."""
_NONE = "-"
_NEW = (":mark", ":mark2")
"""The values of the new marks in an expression, the newest first."""


def remembering(names: Sequence[str], number: int = 1) -> str:
    """Return the terms of a ``SET`` that add marks. Each right side is the value before the update."""
    new = [f"{name} = {mark}" for name, mark in zip(names, _NEW[:number], strict=False)]
    moved = [
        f"{name} = if_not_exists({before}, :none)" for before, name in zip(names[:-number], names[number:], strict=True)
    ]
    return ", ".join(new + moved)


def unknown(names: Sequence[str]) -> str:
    """Return the condition that the newest of the new marks is not there."""
    return f"NOT ({' OR '.join(f'{name} = :mark' for name in names)})"


def operands(marks: Sequence[str]) -> Attributes:
    """Return the values for both expressions; the newest mark is the last."""
    return {":none": {"S": _NONE}, **{name: {"S": mark} for name, mark in zip(_NEW, reversed(marks), strict=False)}}


def first(names: Sequence[str], marks: Sequence[str]) -> Attributes:
    """Return the attributes with which a new record remembers marks; the newest is the last."""
    return {name: {"S": mark} for name, mark in zip(names, reversed(marks), strict=False)}


def marks_of(item: Mapping[str, Attribute], names: Sequence[str]) -> str:
    """Return an item's marks as the toolkit has them: one after another in one text."""
    marks = (item.get(name, {}).get("S", "") for name in names)
    return "".join(mark for mark in marks if len(mark) == MARK_LENGTH)
