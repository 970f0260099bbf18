"""Removing much in one call that may fail half-way: the call that repeats it goes on, and counts each document once.

A request whose answer is lost may have removed its documents. So what was sent stays *in doubt* until it is known what
became of it, and all of it is kept from a call that failed until the same call is made again. How a document in doubt
is settled is the adapter's: it looks, or it knows that whatever it does not find again is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, TypeVar

from datastore.errors import DataStoreError
from datastore.turns import keep_newest

MOST_BROKEN_OFF = 100
"""The calls that broke off and are remembered; the store repeats one soon, or never."""


class Removal:
    """What one call has removed so far."""

    def __init__(self) -> None:
        self.live = 0
        """How many live documents are gone; one that nobody can read counts as live."""
        self.expired = 0
        """How many expired ones are."""
        self.in_doubt: dict[str, bool] = {}
        """Whether each was live, by the ids of those that were sent to be removed, until it is known what became of
        them."""

    def send(self, documents: Mapping[str, bool]) -> None:
        """Take note of documents before they are sent to be removed, by id, and whether each is live."""
        self.in_doubt.update(documents)

    def removed(self, id: str) -> None:
        """Count a document in doubt: it is gone."""
        if self.in_doubt.pop(id):
            self.live += 1
        else:
            self.expired += 1

    def kept(self, id: str) -> None:
        """Do not count a document in doubt: it is still there."""
        del self.in_doubt[id]


R = TypeVar("R", bound=Removal)


class Removals(Generic[R]):
    """The removals that broke off, each kept until the same call is made again.

    Args:
        begin: Makes a new one; an adapter that must keep more of a call has a subclass of `Removal`.
        most: The bound on those that are kept.
    """

    def __init__(self, begin: Callable[[], R], most: int = MOST_BROKEN_OFF) -> None:
        self._begin = begin
        self._most = most
        self._broken_off: dict[Hashable, R] = {}

    def __len__(self) -> int:
        return len(self._broken_off)

    @contextmanager
    def carry_out(self, call: Hashable) -> Iterator[R]:
        """Hand out the removal of a call, from where the same one broke off; it is kept if the call fails.

        Args:
            call: What tells the call from all others. The store repeats a call with the same time.
        """
        removal = self._broken_off.pop(call, None) or self._begin()
        try:
            yield removal
        except DataStoreError:
            self._broken_off[call] = removal
            keep_newest(self._broken_off, self._most)
            raise
