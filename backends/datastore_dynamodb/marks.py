"""The marks of a record's last writes and counts (`datastore.adapters.remembering`), each in an attribute of its own.

The newest is in ``w1``, or ``c1``, and a new one moves the others on by one: in the very request that writes or counts,
so that nothing has to be read before. A request that is sent again carries the condition that its mark is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from datastore_dynamodb.codec import Attribute, Attributes

REMEMBERED = 8
"""The marks that a record keeps of writes, and of counts; fewer than elsewhere, because each takes 10 bytes of an item,
and a write is paid by the kilobyte."""
WRITES = tuple(f"w{number}" for number in range(1, REMEMBERED + 1))
"""The attributes of the marks of writes, the newest first."""
COUNTS = tuple(f"c{number}" for number in range(1, REMEMBERED + 1))
"""The attributes of the marks of counts."""
_NONE = "-"


def remembering(names: Sequence[str]) -> str:
    """Return the terms of a ``SET`` that add a mark; every right side is what was there before the update."""
    moved = [f"{name} = if_not_exists({before}, :none)" for before, name in pairwise(names)]
    return ", ".join([f"{names[0]} = :mark", *moved])


def unknown(names: Sequence[str]) -> str:
    """Return the condition that a mark is not there."""
    return f"NOT ({' OR '.join(f'{name} = :mark' for name in names)})"


def operands(mark: str) -> Attributes:
    """Return the values that the two expressions speak of."""
    return {":mark": {"S": mark}, ":none": {"S": _NONE}}


def first(names: Sequence[str], mark: str) -> Attributes:
    """Return the attributes of a new record that remembers a mark."""
    return {names[0]: {"S": mark}}


def knows(item: Mapping[str, Attribute], names: Sequence[str], mark: str) -> bool:
    """Return whether an item remembers a mark."""
    return {"S": mark} in (item.get(name) for name in names)
