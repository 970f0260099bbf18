"""The leases that a token has taken and not ended, for as long as they last."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

Place: TypeAlias = tuple[str, str, str]
"""Namespace, call, and key or name."""


class _Noted(NamedTuple):
    lease: str
    ttl: float
    until: float


class NotedLeases:
    """Of one token. A client that dies does not end what it took: that is forgotten when it has expired.

    Args:
        clock: Returns the time by which leases expire.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._noted: dict[Place, _Noted] = {}

    def __len__(self) -> int:
        """Return how many last still."""
        now = self._clock()
        for place in [place for place, one in self._noted.items() if one.until <= now]:
            del self._noted[place]
        return len(self._noted)

    def may_add(self, place: Place, most: int) -> bool:
        """Return whether one more is not too many. It costs what is there only when there seem to be too many."""
        return place in self._noted or len(self._noted) < most or len(self) < most

    def add(self, place: Place, lease: str, ttl: float) -> None:
        """Note one that was taken, for so many seconds."""
        self._noted[place] = _Noted(lease, ttl, self._clock() + ttl)

    def renew(self, place: Place, lease: str) -> None:
        """Note that it lasts as long again from now on."""
        one = self._noted.get(place)
        if one is not None and one.lease == lease:
            self.add(place, lease, one.ttl)

    def end(self, place: Place, lease: str) -> None:
        """Forget it, unless there is another lease in its place."""
        one = self._noted.get(place)
        if one is not None and one.lease == lease:
            del self._noted[place]
