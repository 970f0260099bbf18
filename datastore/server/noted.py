"""What no quota counts: the leases that a token has taken and not ended, and how many new names it has used."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

from datastore.errors import QuotaExceededError
from datastore.server.fairness import Bucket

Place: TypeAlias = tuple[str, str, str]
"""Namespace, call, and key or name."""

_DAY = 86_400.0  # seconds


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

    def end(self, place: Place, lease: str) -> bool:
        """Forget it, unless there is another lease in its place, and return whether it was noted."""
        one = self._noted.get(place)
        if one is None or one.lease != lease:
            return False
        del self._noted[place]
        return True


class Uncounted:
    """How many records that no quota counts may be made in a day: one for each new name of a lease, run or token.

    Args:
        most: How many.
    """

    UNIT = "new names in a day"
    """The ``unit`` of a `QuotaExceededError` for too many."""

    def __init__(self, most: int) -> None:
        self._bucket = Bucket(most, _DAY)
        self._known: dict[bytes | None, None] = {}

    def spend(self, place: Place | None) -> bool:
        """Count one that is made, and return whether it was counted now, so that it may be given back.

        Args:
            place: Where; what was counted there before has its record. ``None`` for one that is always new.

        Raises:
            QuotaExceededError: If there are too many.
        """
        name = None if place is None else _digest(place)
        if name in self._known:
            return False
        if (seconds := self._bucket.wait()) > 0:
            most = self._bucket.most
            raise QuotaExceededError(
                f"this token may use {most:,} new names for leases, runs and narrower tokens in a day; the next one in "
                f"{seconds:,.0f} s",
                unit=self.UNIT,
                limit=most,
                needed=most + 1,
            )
        self._bucket.take()
        if name is not None:
            self._known[name] = None
            if len(self._known) > self._bucket.most:
                del self._known[next(iter(self._known))]
        return True

    def give_back(self, place: Place) -> None:
        """Count one less, if it was counted: it was not made, or its record is gone."""
        if self._known.pop(_digest(place), self) is None:
            self._bucket.give_back()

    def is_full(self) -> bool:
        """Return whether nothing is missing, so that nothing is lost with this object."""
        return self._bucket.is_full()


def _digest(place: Place) -> bytes:
    return blake2b(repr(place).encode("utf-8", "backslashreplace"), digest_size=16).digest()
