"""Removing what there is of a user, what has expired, or everything: page by page, each document counted once.

A request whose answer is lost may have removed its documents. What it was about is kept until the call is repeated,
which looks first what has become of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc

from datastore import deadlines
from datastore.backend import Forgotten, IdRange
from datastore.errors import DataStoreError
from datastore.ids import EVERYTHING
from datastore.retry import Backoff
from datastore.turns import keep_newest
from datastore_firestore import documents
from datastore_firestore.connection import Connection, Message, Settings
from datastore_firestore.failures import CAME_TOO_LATE, CODES, error_for, is_lost
from datastore_firestore.hints import Hints, Known
from datastore_firestore.reading import Reader

_AT_ONCE = 500
"""The most writes in one ``BatchWrite``."""
_PAGE = 10_000
_MOST_UNDER_WAY = 100
_DROP_SECONDS, _FIRST_DELAY, _LONGEST_DELAY = 30.0, 0.05, 2.0
"""Nobody repeats a `Remover.drop` that fails for a while, so it does that itself."""

_Seen: TypeAlias = Sequence[tuple[str, Known]]
"""Documents by id, as they are to be removed."""


@dataclass(slots=True)
class _Tally:
    """What one call has removed so far."""

    live: int = 0
    expired: int = 0
    doubtful: dict[str, Known] = field(default_factory=dict)
    """What was sent to be removed, and not answered."""

    def add(self, state: Known, at: str) -> None:
        """Count one that is gone."""
        if state.live(at):
            self.live += 1
        else:
            self.expired += 1


class Remover:
    """Removes through one connection."""

    def __init__(self, connection: Connection, hints: Hints, settings: Settings, reader: Reader) -> None:
        self._connection = connection
        self._hints = hints
        self._reader = reader
        self._prefix = settings.prefix
        self._under_way = dict[tuple[IdRange | None, str], _Tally]()  # of calls that failed and will be repeated

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`."""
        tally = self._remove((range, at), lambda: self._pages(range), as_seen=False)
        return Forgotten(tally.live, tally.expired)

    def purge(self, at: str) -> int:
        """See `Backend.purge`. What was written again since it was found stays."""
        tally = self._remove((None, at), lambda: iter(lambda: self._reader.expired(at, _AT_ONCE), []), as_seen=True)
        return tally.live + tally.expired

    def drop(self) -> bool:
        """Remove every document of the collection, whoever wrote it, and return whether there was one.

        Requests: 1 per 10,000 documents, and 1 per 500.
        """
        backoff = Backoff(_DROP_SECONDS, _FIRST_DELAY, _LONGEST_DELAY)
        while True:
            try:
                tally = self._remove((EVERYTHING, ""), lambda: self._pages(EVERYTHING), as_seen=False)
            except DataStoreError as error:
                if not error.retryable or not backoff.wait():
                    raise
            else:
                return tally.live + tally.expired > 0

    def _remove(self, what: tuple[IdRange | None, str], pages: Callable[[], Iterable[_Seen]], as_seen: bool) -> _Tally:
        """Remove pages of documents, beginning with what a call that failed has left open."""
        tally, at = self._under_way.pop(what, None) or _Tally(), what[1]
        try:
            self._settle(tally, at)
            for page in pages():
                for start in range(0, len(page), _AT_ONCE):
                    deadlines.check()
                    self._send(page[start : start + _AT_ONCE], tally, at, as_seen)
        except DataStoreError:
            self._under_way[what] = tally
            keep_newest(self._under_way, _MOST_UNDER_WAY)
            raise
        return tally

    def _settle(self, tally: _Tally, at: str) -> None:
        ids = list(tally.doubtful)
        for start in range(0, len(ids), _AT_ONCE):
            for id, state in self._reader.states(ids[start : start + _AT_ONCE], documents.KEY, False).items():
                seen = tally.doubtful.pop(id)
                if not isinstance(state, Known):
                    tally.add(seen, at)

    def _send(self, seen: _Seen, tally: _Tally, at: str, as_seen: bool) -> None:
        """Remove documents in one request, and count them."""
        messages = [self._message(id, state, as_seen) for id, state in seen]
        for id, _ in seen:
            self._hints.forget(id)
        try:
            answer = self._connection.batch_write(messages)
        except DataStoreError as error:
            if is_lost(error):
                tally.doubtful.update(seen)
            raise
        failure: DataStoreError | None = None
        for (id, state), status in zip(seen, answer.status, strict=True):
            code = CODES.get(status.code, grpc.StatusCode.UNKNOWN)
            if code is grpc.StatusCode.OK:
                tally.add(state, at)
            elif not (as_seen and code in CAME_TOO_LATE):
                failure = error_for(code, status.message)
                if is_lost(failure):
                    tally.doubtful[id] = state
        if failure is not None:
            raise failure

    def _message(self, id: str, state: Known, as_seen: bool) -> Message:
        message = documents.remove(self._prefix + id)
        if as_seen:
            time = message.current_document.update_time
            time.seconds, time.nanos = state.update_time
        return message

    def _pages(self, range: IdRange) -> Iterator[_Seen]:
        after: str | None = None
        while True:
            seen, after = self._reader.all_states(range, _PAGE, after)
            yield seen
            if after is None:
                return
