"""Counting accesses: one bulk read and one bulk write for a flush, and none twice.

The count lies in the document, so counting is a write of the document at the revision that was read: a `set` or a
`delete` in between makes it a conflict, and it is repeated on what stands then. When the answer to the write is lost,
nobody knows whether it was applied; the caller will send the same accesses again. So each attempt leaves a mark in the
document, and an attempt that finds the mark of an earlier one leaves out what that one has counted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from datastore.adapters.contention import came_too_late, contention
from datastore.adapters.remembering import new_mark, remembers
from datastore.backend import Access
from datastore.errors import DataStoreError
from datastore.turns import Turns, keep_newest
from datastore_couchdb.codec import Memory, accessed, stored_of
from datastore_couchdb.reading import fetch
from datastore_couchdb.session import NAME, Session, is_lost, refusal_of
from datastore_couchdb.writing import bulk_docs

logger = logging.getLogger("datastore")

_CONFLICT_SECONDS = 10.0
_BATCH = 1_000
_BATCH_BYTES = 16_000_000
_MOST_IN_DOUBT = 20_000
"""The documents of which it is remembered what may have been counted."""


@dataclass(slots=True)
class _Attempt:
    """A write of counts that the caller does not know to be done."""

    created_at: str
    number: int
    """How many accesses it adds."""
    mark: str
    counted: bool = False
    """The server has said so."""


class Counter:
    """Adds accesses to documents through a session."""

    def __init__(self, session: Session, memory: Memory) -> None:
        self._session = session
        self._memory = memory
        self._reset()

    def _reset(self) -> None:
        self._turns = Turns("counting accesses")  # flushes come one at a time, immediate tracking from many threads
        self._attempts: dict[str, list[_Attempt]] = {}

    after_fork = _reset
    """Forget what is the parent's to finish."""

    def record(self, accesses: Sequence[Access]) -> None:
        """Count accesses; see `Backend.record_access`.

        Requests: 2 per 1,000 documents.
        """
        with self._turns.take():
            for start in range(0, len(accesses), _BATCH):
                self._record({access.id: access for access in accesses[start : start + _BATCH]})
            for access in accesses:  # all of them are done: none will be sent again
                self._attempts.pop(access.id, None)

    def _record(self, pending: dict[str, Access]) -> None:
        pauses = contention(_CONFLICT_SECONDS)
        lost: DataStoreError | None = None
        while pending:
            documents = fetch(self._session, self._memory, list(pending))
            missing = {id: self._missing(access, documents.get(id)) for id, access in pending.items()}
            for id, number in missing.items():
                if number <= 0:
                    del pending[id]
            if lost is not None and pending:
                raise lost  # it was not applied; the caller comes again with the next flush
            counted = {}
            for id, access in pending.items():
                mark = self._begin(access, missing[id])
                counted[id] = accessed(documents[id], missing[id], access.agent, access.at, mark)
            lost = self._write(counted, pending)
            if lost is not None and not is_lost(lost):
                raise lost
            if lost is None and pending and not pauses.wait():
                raise came_too_late(NAME, _CONFLICT_SECONDS)

    def _begin(self, access: Access, number: int) -> str:
        """Note an attempt to count, and return its mark."""
        attempt = _Attempt(access.created_at, number, new_mark())
        attempts = self._attempts.pop(access.id, [])
        self._attempts[access.id] = [*attempts, attempt]  # as the newest
        keep_newest(self._attempts, _MOST_IN_DOUBT)
        return attempt.mark

    def _missing(self, access: Access, document: dict[str, Any] | None) -> int:
        """Return how many of an access's number are not in the document from earlier attempts."""
        if document is None or document.get("createdAt") != access.created_at or stored_of(document).damaged:
            return 0  # another one than was read, or one that cannot be counted in
        marks = document.get("recentCounts")
        return access.number - sum(
            attempt.number
            for attempt in self._attempts.get(access.id, ())
            if attempt.created_at == access.created_at and (attempt.counted or remembers(marks, attempt.mark))
        )

    def _write(self, counted: dict[str, dict[str, Any]], pending: dict[str, Access]) -> DataStoreError | None:
        """Write counted documents, and return the error that ended it; those that are done leave ``pending``."""
        for batch in _cut(counted):
            try:
                answers = bulk_docs(self._session, list(batch), list(batch.values()))
            except DataStoreError as error:
                return error
            for id, answer in zip(batch, answers, strict=True):
                refusal = refusal_of(answer)
                if refusal is not None and not refusal.retryable:
                    del pending[id]
                    self._attempts[id].pop()
                    logger.warning("lost the access count of a record: %s", refusal.message)
                elif answer.get("error") == "conflict":
                    self._attempts[id].pop()
                elif "error" not in answer:
                    del pending[id]
                    self._attempts[id][-1].counted = True
                    self._memory.put(id, stored_of({**counted[id], "_rev": answer["rev"]}))
        return None


def _cut(documents: dict[str, dict[str, Any]]) -> Iterator[dict[str, str]]:
    """Yield the JSON texts of documents by id, as many at once as a request may hold."""
    batch: dict[str, str] = {}
    size = 0
    for id, document in documents.items():
        text = json.dumps(document, ensure_ascii=False)
        if batch and size + len(text) > _BATCH_BYTES:
            yield batch
            batch, size = {}, 0
        batch[id] = text
        size += len(text)
    if batch:
        yield batch
