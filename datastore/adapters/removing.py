"""Removing many documents in a call that may fail half-way. When it is repeated, each document is still counted once.

A request whose answer is lost may have removed its documents. So a document that was sent for removal is *in doubt*
until its fate is known. After a call that failed, all this is kept until the same call is made again. The adapter
settles documents in doubt: it either reads them, or knows that what it does not find again is gone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, Protocol, TypeAlias, TypeVar

from datastore import deadlines
from datastore.adapters.knowledge import Memory
from datastore.backend import DocumentPage, Fields, Forgotten, IdRange
from datastore.errors import DataStoreError
from datastore.turns import keep_newest

MOST_BROKEN_OFF = 100
"""The most failed calls that are remembered. The store repeats a call soon, or never."""


class Removal:
    """What one call has removed so far."""

    def __init__(self) -> None:
        self.live = 0
        """How many live documents are gone. A document that cannot be read counts as live."""
        self.expired = 0
        """How many expired documents are gone."""
        self.in_doubt: dict[str, bool] = {}
        """The ids of the documents that were sent for removal and whose fate is not known, and whether each one was
        live."""

    def send(self, documents: Mapping[str, bool]) -> None:
        """Note documents before they are sent for removal: whether each one is live, by its id."""
        self.in_doubt.update(documents)

    def removed(self, id: str) -> None:
        """Count a document in doubt, because it is gone."""
        if self.in_doubt.pop(id):
            self.live += 1
        else:
            self.expired += 1

    def kept(self, id: str) -> None:
        """Do not count a document in doubt, because it still exists."""
        del self.in_doubt[id]


Removed: TypeAlias = Mapping[str, bool]
"""Documents by their ids, with whether each one is live."""
R = TypeVar("R", bound=Removal)


class Removals(Generic[R]):
    """The removals of calls that failed. Each one is kept until the same call is made again.

    Args:
        begin: Creates a new removal. An adapter that must keep more about a call has a subclass of `Removal`.
        most: The most removals that are kept.
    """

    def __init__(self, begin: Callable[[], R], most: int = MOST_BROKEN_OFF) -> None:
        self._begin = begin
        self._most = most
        self._broken_off: dict[Hashable, R] = {}

    def __len__(self) -> int:
        return len(self._broken_off)

    @contextmanager
    def carry_out(self, call: Hashable) -> Iterator[R]:
        """Yield the removal of a call, continuing where the same call failed. It is kept again if the call fails.

        Args:
            call: Identifies the call. When the store repeats a call, it passes the same time.
        """
        removal = self._broken_off.pop(call, None) or self._begin()
        try:
            yield removal
        except DataStoreError:
            self._broken_off[call] = removal
            keep_newest(self._broken_off, self._most)
            raise


class Scan(Protocol):
    """Reads a page of documents."""

    def __call__(self, range: IdRange, fields: Fields, limit: int, after: str | None, *, reverse: bool) -> DocumentPage:
        """See `datastore.backend.Backend.scan`."""


class RangeRemover(ABC):
    """Removes what is in a range of ids, for a database that removes a page of documents in one request.

    Args:
        memory: What is known of documents.
        scan: Returns a page of a range as `datastore.backend.Backend.scan` does.
        page: How many documents are removed in one request.

    Requests: 1 per page to find documents, unless an adapter's `expired_pages` takes others, and 1 to remove them.
    """

    def __init__(self, memory: Memory, scan: Scan, page: int) -> None:
        self._memory = memory
        self._removals = Removals(Removal)
        self._scan = scan
        self._page = page

    @abstractmethod
    def remove_page(self, page: Removed, at: str, *, expired: bool) -> Removed:
        """Remove documents, and return those that were there, with whether each was live at a time.

        Args:
            page: Which.
            at: The time.
            expired: Whether to leave those that are live.
        """

    @abstractmethod
    def expired_pages(self, range: IdRange, at: str) -> Iterator[Removed]:
        """Yield the documents that have expired at a time, page by page; others among them are left."""

    def clear(self, range: IdRange, at: str) -> int:
        """See `datastore.backend.Backend.clear`."""
        return self.remove_all("clear", range, at).live

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `datastore.backend.Backend.forget`."""
        removal = self.remove_all("forget", range, at)
        return Forgotten(removal.live, removal.expired)

    def purge(self, at: str, range: IdRange) -> int:
        """See `datastore.backend.Backend.purge`."""
        removal = self._remove(("purge", range, at), self.expired_pages(range, at), at, expired=True)
        return removal.live + removal.expired

    def remove_all(self, call: str, range: IdRange, at: str) -> Removal:
        """Remove all documents of a range.

        Args:
            call: Tells calls about the same range apart.
            range: The ids.
            at: The time by which to tell whether a document is live.
        """
        pages = pages_of(lambda after: self._scan(range, Fields.KEY, self._page, after, reverse=False), at)
        return self._remove((call, range, at), pages, at, expired=False)

    def _remove(self, call: Hashable, pages: Iterable[Removed], at: str, *, expired: bool) -> Removal:
        """Remove pages of documents. One in doubt that is not found again is gone."""
        with self._removals.carry_out(call) as removal:
            for page in pages:
                deadlines.check()
                if not page:
                    continue
                for id in page:
                    self._memory.forget(id)
                removal.send(page)
                removed = self.remove_page(page, at, expired=expired)
                for id in page:
                    if id in removed:
                        removal.in_doubt[id] = removed[id]
                        removal.removed(id)
                    else:
                        removal.kept(id)
            for id in list(removal.in_doubt):
                removal.removed(id)
        return removal


def pages_of(scan: Callable[[str | None], DocumentPage], at: str) -> Iterator[Removed]:
    """Yield what a scan finds, page by page.

    Args:
        scan: Returns the page after an id.
        at: The time by which to tell whether a document is live.
    """
    after: str | None = None
    while True:
        page = scan(after)
        yield {one.id: one.expires_at is None or one.expires_at > at for one in page.documents}
        if page.after is None:
            return
        after = page.after
