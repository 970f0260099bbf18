"""Counting accesses: an increment for each document, on the condition that it is still the one that was read.

An increment must not be applied twice, and a request whose answer was lost may or may not have been applied. So each
has a mark, which the document keeps among those of its last countings (`datastore.adapters.remembering`). What was not
answered is looked at, at once, and sent again with the same number and the same mark if the document does not have it:
then it makes no difference which of the two is applied, and only one can be.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import grpc

from datastore.adapters.contention import contention
from datastore.adapters.remembering import new_mark, remember, remembers
from datastore.backend import Access
from datastore.errors import DataStoreError
from datastore.turns import keep_newest
from datastore_firestore import documents
from datastore_firestore.connection import Connection, Message, Settings
from datastore_firestore.failures import CAME_TOO_LATE, CODES, error_for, is_lost
from datastore_firestore.hints import Hints, Known, State, stamp
from datastore_firestore.reading import Reader

logger = logging.getLogger("datastore")

_AT_ONCE = 500  # writes in one BatchWrite
_SECONDS = 10.0
"""How long one call goes on against writers of the same documents."""
_MOST_OPEN = 100_000


class _Account(NamedTuple):
    """What is open of a document's accesses, until a call that was handed them ends well."""

    created_at: str
    counted: int = 0
    """Counted by calls that then raised, so that they are handed over again."""
    sent: int = 0
    """Sent and not answered."""
    mark: str = ""
    """That of what was sent and not answered."""


class _Sent(NamedTuple):
    """One increment of a request."""

    id: str
    state: Known
    """The document, as it is when the increment is applied."""
    number: int
    mark: str


class Counter:
    """Counts accesses through one connection."""

    def __init__(self, connection: Connection, hints: Hints, settings: Settings, reader: Reader) -> None:
        self._connection = connection
        self._hints = hints
        self._reader = reader
        self._prefix = settings.prefix
        self._accounts: dict[str, _Account] = {}  # the store counts in one call at a time

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        pending = {access.id: access for access in accesses}
        for access in accesses:
            account = self._account(access)
            if account.counted:
                _subtract(pending, access.id, account.counted)
        states = self._hinted(pending.values())
        counted = False
        problem: DataStoreError | None = None
        backoff = contention(_SECONDS)
        while pending:
            try:
                for ids in _pieces([id for id in pending if id not in states]):
                    states.update(self._settle(self._reader.states(ids, documents.KEY, False), pending))
                for ids in _pieces(list(pending)):
                    counted |= self._count(ids, states, pending)
                problem = None
            except DataStoreError as error:
                look_at_once = problem is None and is_lost(error)
                problem = error
                if not (look_at_once or (counted and error.retryable)):
                    break
            if pending and not backoff.wait():
                break
        if problem is not None and not counted:
            raise problem
        for access in accesses:  # none of them is handed over again
            self._accounts.pop(access.id, None)
        if pending:
            logger.warning("lost the access counts of %d records: %s", len(pending), problem or "too many writers")

    def _account(self, access: Access) -> _Account:
        account = self._accounts.get(access.id)
        if account is None or account.created_at != access.created_at:
            return _Account(access.created_at)
        return account

    def _keep(self, id: str, account: _Account) -> None:
        self._accounts.pop(id, None)
        if account.counted or account.sent:
            self._accounts[id] = account
            keep_newest(self._accounts, _MOST_OPEN)

    def _hinted(self, accesses: Iterable[Access]) -> dict[str, Known]:
        """Return the states to begin with: those that the reads which are to be counted have left."""
        states = dict[str, Known]()
        for access in accesses:
            hint = self._hints.get(access.id)
            if isinstance(hint, Known) and hint.created_at == access.created_at and not self._account(access).sent:
                states[access.id] = hint
        return states

    def _settle(self, states: dict[str, State], pending: dict[str, Access]) -> Iterator[tuple[str, Known]]:
        """Yield what there is to count on.

        Drops what is gone or another document now, and what an unanswered request has counted after all.
        """
        for id, state in states.items():
            access = pending[id]
            account = self._account(access)
            if not isinstance(state, Known) or state.damaged or state.created_at != access.created_at:
                self._accounts.pop(id, None)
                del pending[id]
                continue
            if account.sent and remembers(state.counts, account.mark):
                self._keep(id, _Account(account.created_at, account.counted + account.sent))
                _subtract(pending, id, account.sent)
            if id in pending:
                yield id, state

    def _count(self, ids: Sequence[str], states: dict[str, Known], pending: dict[str, Access]) -> bool:
        """Send the increments of up to 500 documents in one request, and return whether any was applied."""
        prepared = [self._prepare(pending[id], states[id]) for id in ids]
        sent = [one for one, _ in prepared]
        try:
            answer = self._connection.batch_write([message for _, message in prepared])
        except DataStoreError as error:
            for one in sent:
                del states[one.id]
                if is_lost(error):
                    self._doubt(one)
            raise
        counted = False
        for one, status, result in zip(sent, answer.status, answer.write_results, strict=True):
            id, code = one.id, CODES.get(status.code, grpc.StatusCode.UNKNOWN)
            if code is grpc.StatusCode.OK:
                counted = True
                self._keep(id, self._account(pending[id])._replace(sent=0))
                states[id] = one.state._replace(update_time=stamp(result.update_time))
                self._hints.note(id, states[id])
                _subtract(pending, id, one.number)
                continue
            del states[id]
            self._hints.forget(id)
            if code in CAME_TOO_LATE:
                continue
            failure = error_for(code, status.message)
            if is_lost(failure):
                self._doubt(one)
            elif not failure.retryable:
                logger.warning("lost the access count of a record: %s", failure)
                del pending[id]
        return counted

    def _prepare(self, access: Access, state: Known) -> tuple[_Sent, Message]:
        """Return an increment and the write that it is; what is in doubt is sent as it was."""
        account = self._account(access)
        number, mark = (account.sent, account.mark) if account.sent else (access.number, new_mark())
        counts = remember(state.counts, mark)
        message = documents.count(
            self._prefix + access.id, access._replace(number=number), state.last_accessed_at, counts
        )
        time = message.current_document.update_time
        time.seconds, time.nanos = state.update_time
        after = state._replace(
            access_count=state.access_count + number,
            last_accessed_at=max(access.at, state.last_accessed_at or ""),
            counts=counts,
        )
        return _Sent(access.id, after, number, mark), message

    def _doubt(self, one: _Sent) -> None:
        before = self._accounts.get(one.id)
        counted = before.counted if before is not None and before.created_at == one.state.created_at else 0
        self._keep(one.id, _Account(one.state.created_at, counted, one.number, one.mark))


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
