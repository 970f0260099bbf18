"""Counting accesses: an increment for each document, on the condition that it is still the one that was read.

An increment must not be applied twice, and a request whose answer was lost may or may not have been applied. The
condition on the update time settles it for as long as nothing else changes the document; and where something did, the
stored count does: it only grows, so if it is below what it was and what was to be added, the increment is not in it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import grpc

from datastore.backend import Access
from datastore.errors import DataStoreError
from datastore.retry import Backoff
from datastore_firestore import documents
from datastore_firestore.connection import Connection, Settings
from datastore_firestore.failures import CAME_TOO_LATE, CODES, error_for
from datastore_firestore.hints import Hints, Known, State, stamp
from datastore_firestore.reading import Reader

logger = logging.getLogger("datastore")

_AT_ONCE = 500  # writes in one BatchWrite
_SECONDS = 10.0
"""How long one call goes on against writers of the same documents."""
_FIRST_DELAY, _LONGEST_DELAY = 0.005, 0.5  # seconds
_MOST_DOUBTS = 100_000


class _Doubt(NamedTuple):
    """An increment that was sent and not answered."""

    created_at: str
    total: int
    """The stored count if it was applied, or more."""
    number: int


class _Counted(NamedTuple):
    """Accesses that a call has counted which then raised, so that they will be handed over again."""

    created_at: str
    number: int


class Counter:
    """Counts accesses through one connection."""

    def __init__(self, connection: Connection, hints: Hints, settings: Settings, reader: Reader) -> None:
        self._connection = connection
        self._hints = hints
        self._reader = reader
        self._prefix = settings.prefix
        self._counted: dict[str, _Counted] = {}
        self._doubts: dict[str, _Doubt] = {}  # the store counts in one call at a time

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        pending = {access.id: access for access in accesses}
        for id in [id for id in pending if id in self._counted]:
            if self._counted[id].created_at == pending[id].created_at:
                _subtract(pending, id, self._counted[id].number)
        states = self._hinted(accesses)
        counted = False
        problem: DataStoreError | None = None
        backoff = Backoff(_SECONDS, _FIRST_DELAY, _LONGEST_DELAY)
        while pending:
            try:
                for ids in _pieces([id for id in pending if id not in states]):
                    states.update(self._settle(self._reader.states(ids, documents.KEY, False), pending))
                for ids in _pieces(list(pending)):
                    counted |= self._count(ids, states, pending)
                problem = None
            except DataStoreError as error:
                problem = error
                if not (counted and error.retryable):
                    break
            if pending and not backoff.wait():
                break
        if problem is not None and not counted:
            raise problem
        for access in accesses:
            self._counted.pop(access.id, None)
        if pending:
            logger.warning("lost the access counts of %d records: %s", len(pending), problem or "too many writers")

    def _hinted(self, accesses: Iterable[Access]) -> dict[str, Known]:
        """Return the states to begin with: those that the reads which are to be counted have left."""
        states = dict[str, Known]()
        for access in accesses:
            hint = self._hints.get(access.id)
            if isinstance(hint, Known) and hint.created_at == access.created_at and access.id not in self._doubts:
                states[access.id] = hint
        return states

    def _settle(self, states: dict[str, State], pending: dict[str, Access]) -> Iterator[tuple[str, Known]]:
        """Yield what there is to count on.

        Drops what is gone or another document now, and what an unanswered request has counted after all.
        """
        for id, state in states.items():
            access, doubt = pending[id], self._doubts.get(id)
            if not isinstance(state, Known) or state.damaged or state.created_at != access.created_at:
                self._doubts.pop(id, None)
                del pending[id]
                continue
            if doubt is not None and (doubt.created_at != access.created_at or state.access_count >= doubt.total):
                self._doubts.pop(id, None)
                if doubt.created_at == access.created_at:
                    before = self._counted.get(id)
                    number = doubt.number + (before.number if before and before.created_at == doubt.created_at else 0)
                    self._counted[id] = _Counted(doubt.created_at, number)
                    _subtract(pending, id, doubt.number)
            if id in pending:
                yield id, state

    def _count(self, ids: Sequence[str], states: dict[str, Known], pending: dict[str, Access]) -> bool:
        """Send the increments of up to 500 documents in one request, and return whether any was applied."""
        sent = list[tuple[str, Known, int]]()
        writes = []
        for id in ids:
            state = states[id]
            doubt = self._doubts.get(id)
            # What is in doubt is sent again as it was, so that it makes no difference which of the two is applied.
            access = pending[id] if doubt is None else pending[id]._replace(number=doubt.number)
            write = documents.count(self._prefix + id, access, state.last_accessed_at)
            time = write.current_document.update_time
            time.seconds, time.nanos = state.update_time
            sent.append((id, state, access.number))
            writes.append(write)
        try:
            answer = self._connection.batch_write(writes)
        except DataStoreError as error:
            for id, state, number in sent:
                del states[id]
                if error.retryable:
                    self._doubt(id, state, number)
            raise
        counted = False
        for (id, state, number), status, result in zip(sent, answer.status, answer.write_results, strict=True):
            code = CODES.get(status.code, grpc.StatusCode.UNKNOWN)
            if code is grpc.StatusCode.OK:
                counted = True
                self._doubts.pop(id, None)
                at = max(pending[id].at, state.last_accessed_at or "")
                states[id] = state._replace(
                    update_time=stamp(result.update_time), access_count=state.access_count + number, last_accessed_at=at
                )
                self._hints.note(id, states[id])
                _subtract(pending, id, number)
                continue
            del states[id]
            self._hints.forget(id)
            if code in CAME_TOO_LATE:
                continue
            if not error_for(code, None).retryable:
                logger.warning("lost the access count of a record: %s", error_for(code, status.message))
                del pending[id]
            else:
                self._doubt(id, state, number)
        return counted

    def _doubt(self, id: str, state: Known, number: int) -> None:
        self._doubts[id] = _Doubt(state.created_at, state.access_count + number, number)
        if len(self._doubts) > _MOST_DOUBTS:
            self._doubts.pop(next(iter(self._doubts)), None)


def _pieces(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]


def _subtract(pending: dict[str, Access], id: str, number: int) -> None:
    """Take what is counted from what is to be counted."""
    access = pending[id]
    if access.number > number:
        pending[id] = access._replace(number=access.number - number)
    else:
        del pending[id]
