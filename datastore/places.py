"""Remembers orders: which records come next, so that the next page of a sorted listing need not read all of them again.

An entry holds places and ids, but no values. It only makes the next page faster: without it, the same records are
found. There are no locks here: each change is one atomic operation, so no thread, signal or fork can see half of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias

from datastore.frozen import NamedTuple

Place: TypeAlias = tuple[Any, ...]
"""Where a record is in an order: its sort keys followed by its id, so that no two records have the same place."""

MOST = 32
"""The most orders that a store remembers, the latest ones."""
BYTES = 2_000_000
"""The most memory for an order, roughly counted in bytes: enough for a few thousand places."""
SECONDS = 300.0
"""How long an order is used; it does not include what was written since it was read."""
_LOOKS = 10


class Ahead(NamedTuple):
    """The places that follow a page."""

    token: str
    """The name of the entry in the cursor; it cannot be guessed."""
    of: str
    """Identifies user, namespace, query and sort. For any others, the entry is not used."""
    until: float
    """When the entry becomes too old, by the store's clock."""
    places: Sequence[Place]
    """The next places, in order, without a gap. The list is never changed: other threads may be reading it."""
    horizon: Place | None
    """The first place that is not in the list; ``None`` if no more follow."""


class Places:
    """The orders that a store remembers."""

    __slots__ = ("_latest",)

    def __init__(self) -> None:
        self._latest: deque[Ahead] = deque(maxlen=MOST)

    def remember(self, ahead: Ahead) -> None:
        """Keep an order, and forget the oldest if there are too many."""
        self._latest.append(ahead)

    def recall(self, token: str, of: str, now: float) -> Ahead | None:
        """Return an order, or ``None`` if it is not remembered, is too old, or belongs to another query."""
        for _ in range(_LOOKS):
            try:
                latest = tuple(self._latest)
            except RuntimeError:  # another thread has added one meanwhile
                continue
            return next((one for one in latest if one.token == token and one.of == of and now < one.until), None)
        return None


def size_of(place: Any) -> int:
    """Return about how many bytes a place takes."""
    kind = type(place)
    if kind is tuple:
        return 56 + sum(map(size_of, place)) + 8 * len(place)
    if kind is str:
        return 60 + 2 * len(place)
    if kind is int:
        return 28 + int(place.bit_length()) // 8
    key = getattr(place, "key", None)  # a `Descending` holds its key
    return 24 if key is None else 48 + size_of(key)
