"""Removing a user's documents, expired documents, or everything: page by page, each document counted once.

If the answer to a request is lost, its documents may have been removed. They are kept in mind until the call is
repeated, which first finds out whether they exist.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import grpc

from datastore import deadlines
from datastore.adapters.batching import batches
from datastore.adapters.knowledge import Known, Memory
from datastore.adapters.removing import Removal, Removals
from datastore.backend import Forgotten, IdRange
from datastore.errors import DataStoreError
from datastore.ids import EVERYTHING
from datastore.retry import Backoff
from datastore_firestore import documents
from datastore_firestore.client import Connection, Message, Settings
from datastore_firestore.failures import CAME_TOO_LATE, CODES, error_for, is_lost
from datastore_firestore.reading import Reader

_AT_ONCE = 500
"""The most writes in one ``BatchWrite``."""
_PAGE = 10_000
_DROP_SECONDS, _FIRST_DELAY, _LONGEST_DELAY = 30.0, 0.05, 2.0
"""Nobody repeats a `Remover.drop` that fails for a while, so it repeats itself."""

_Seen: TypeAlias = Sequence[tuple[str, Known]]
"""Documents by id, as they were read for removal."""


class Remover:
    """Removes documents through one connection."""

    def __init__(self, connection: Connection, memory: Memory, settings: Settings, reader: Reader) -> None:
        self._connection = connection
        self._memory = memory
        self._reader = reader
        self._prefix = settings.prefix
        self._removals = Removals(Removal)

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`."""
        removal = self._remove((range, at), at, lambda: self._pages(range), as_seen=False)
        return Forgotten(removal.live, removal.expired)

    def purge(self, at: str, range: IdRange) -> int:
        """See `Backend.purge`. A document that was written again after it was found stays."""

        def pages() -> Iterator[_Seen]:
            # The index of `expiresAt` leads to the expired documents of all users, and that of `expires` to all the
            # documents of a range that expire. A range of both would need a composite index.
            return (
                iter(partial(self._reader.expired, at, _AT_ONCE), []) if range is EVERYTHING else self._pages(range, at)
            )

        removal = self._remove(("purge", range, at), at, pages, as_seen=True)
        return removal.live + removal.expired

    def drop(self) -> bool:
        """Remove every document of the collection, whoever wrote it, and return whether there was one.

        Requests: 1 per 10,000 documents, and 1 per 500.
        """
        removal = Backoff(_DROP_SECONDS, _FIRST_DELAY, _LONGEST_DELAY).repeat(
            lambda: self._remove((EVERYTHING, ""), "", lambda: self._pages(EVERYTHING), as_seen=False)
        )
        return removal.live + removal.expired > 0

    def _remove(self, call: Hashable, at: str, pages: Callable[[], Iterable[_Seen]], *, as_seen: bool) -> Removal:
        """Remove pages of documents, after settling what an earlier call that failed left in doubt.

        If some are not as they were seen, the pages are read again: they may still be what is to be removed.
        """
        with self._removals.carry_out(call) as removal:
            self._settle(removal)
            late = True
            while late:
                late = False
                for page in pages():
                    for seen in batches(page, _AT_ONCE):
                        deadlines.check()
                        late = self._send(seen, removal, at, as_seen) or late
        return removal

    def _settle(self, removal: Removal) -> None:
        for some in batches(list(removal.in_doubt), _AT_ONCE):
            there = self._reader.load(some, metadata=False)
            for id in some:
                if id in there:
                    removal.kept(id)
                else:
                    removal.removed(id)

    def _send(self, seen: _Seen, removal: Removal, at: str, as_seen: bool) -> bool:
        """Remove documents in one request, count them, and return whether some were not as they had been seen."""
        messages = [self._message(id, known, as_seen) for id, known in seen]
        for id, _ in seen:
            self._memory.forget(id)
        removal.send({id: known.live(at) for id, known in seen})
        failure: DataStoreError | None = None
        late = False
        try:
            statuses = self._connection.batch_write(messages).status
        except DataStoreError as error:
            if not is_lost(error):
                for id, _ in seen:
                    removal.kept(id)
            raise
        for (id, _), status in zip(seen, statuses, strict=True):
            code = CODES.get(status.code, grpc.StatusCode.UNKNOWN)
            if code is grpc.StatusCode.OK:
                removal.removed(id)
                continue
            if as_seen and code in CAME_TOO_LATE:
                removal.kept(id)
                late = True
                continue
            failure = error_for(code, status.message)
            if not is_lost(failure):
                removal.kept(id)
        if failure is not None:
            raise failure
        return late

    def _message(self, id: str, known: Known, as_seen: bool) -> Message:
        message = documents.remove(self._prefix + id)
        if as_seen:
            time = message.current_document.update_time
            time.seconds, time.nanos = known.token
        return message

    def _pages(self, range: IdRange, expired_at: str | None = None) -> Iterator[_Seen]:
        after: str | None = None
        while True:
            seen, after = self._reader.all_states(range, _PAGE, after, expired_at)
            yield seen
            if after is None:
                return
