"""Remembered orders: which records come next, so that a page of a sorted listing does not read all of them again.

An entry holds places and ids, no values, and only helps to find quickly what could be found again without it. There are
no locks in here: each change is one atomic operation, so that no thread, signal or fork can find one half done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

Place: TypeAlias = tuple[Any, ...]
"""Where a record is in an order: what it sorts by, followed by its id, so that no two have the same place."""

MOST = 32
"""So many orders are remembered for each store, the latest ones."""
BYTES = 2_000_000
"""So much an order takes at most, by a rough count: that is some thousand places."""
SECONDS = 300.0
"""So long an order is used; what was written since it was read is not in it."""
_LOOKS = 10


class Ahead(NamedTuple):
    """What follows a page."""

    token: str
    """What the cursor calls it by; it cannot be guessed."""
    of: str
    """Whose order of what: says user, namespace, query and sort. For anything else the entry is as good as missing."""
    until: float
    """When it is too old, by the store's clock."""
    places: Sequence[Place]
    """The next places, in order, without a gap. Never changed: other threads may be reading it."""
    horizon: Place | None
    """From here on nothing is known; ``None`` if these are all that there are."""


class Places:
    """The orders that a store remembers."""

    __slots__ = ("_latest",)

    def __init__(self) -> None:
        self._latest: deque[Ahead] = deque(maxlen=MOST)

    def remember(self, ahead: Ahead) -> None:
        """Keep an order, and forget the oldest if there are too many."""
        self._latest.append(ahead)

    def recall(self, token: str, of: str, now: float) -> Ahead | None:
        """Return an order, or ``None`` if it is not remembered, too old, or another one than is asked for."""
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
    key = getattr(place, "key", None)  # of what sorts in descending order
    return 24 if key is None else 48 + size_of(key)
