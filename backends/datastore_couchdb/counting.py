"""Counting accesses: one bulk read and one bulk write for a flush, and none twice.

The count lies in the document, so counting is a write of the document at the revision that was read: a `set` or a
`delete` in between makes it a conflict, and it is repeated on what stands then. When the answer to the write is lost,
nobody knows whether it was applied; the caller will send the same accesses again. So this module remembers what it may
have counted, looks when it is asked again, and leaves out what it finds counted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from datastore.backend import Access
from datastore.errors import BackendUnavailableError, DataStoreError
from datastore.retry import Backoff
from datastore.turns import Turns
from datastore_couchdb.codec import Memory, accessed, stored_of
from datastore_couchdb.reading import fetch
from datastore_couchdb.session import NAME, Session
from datastore_couchdb.writing import bulk_docs

_CONFLICT_SECONDS = 10.0
_BATCH = 1_000
_BATCH_BYTES = 16_000_000


class _Doubt(NamedTuple):
    """A write of counts whose answer was lost."""

    created_at: str
    number: int
    """How many accesses it added."""
    at: str
    rev: str
    """What the document had before."""
    total: int
    """What its count would be after."""


class Counter:
    """Adds accesses to documents through a session."""

    def __init__(self, session: Session, memory: Memory) -> None:
        self._session = session
        self._memory = memory
        self._turns = Turns(
            "counting accesses"
        )  # flushes come one at a time; immediate tracking may come from many threads
        self._doubts: dict[str, _Doubt] = {}
        self._counted: dict[tuple[str, str], int] = {}

    def after_fork(self) -> None:
        """Forget what is the parent's to finish."""
        self.__init__(self._session, self._memory)  # type: ignore[misc]  # on purpose: as new

    def record(self, accesses: Sequence[Access]) -> None:
        """Count accesses; see `Backend.record_access`.

        Requests: 2 per 1,000 documents.
        """
        with self._turns.take():
            for start in range(0, len(accesses), _BATCH):
                self._record({access.id: access for access in accesses[start : start + _BATCH]})
            self._counted.clear()

    def _record(self, pending: dict[str, Access]) -> None:
        backoff = Backoff(_CONFLICT_SECONDS, 0.002, 0.2)
        while pending:
            documents = fetch(self._session, self._memory, list(pending))
            counted: dict[str, dict[str, Any]] = {}
            for id, access in list(pending.items()):
                document = documents.get(id)
                number = 0
                if document is not None and _is(document, access.created_at):
                    number = access.number - self._already(access, document)
                self._doubts.pop(id, None)
                if number > 0 and document is not None:
                    counted[id] = accessed(document, number, access.agent, access.at)
                else:
                    del pending[id]
            self._write(counted, documents, pending)
            if pending and not backoff.wait():
                raise BackendUnavailableError("other writers came first each time; nothing is lost", backend=NAME)

    def _already(self, access: Access, document: dict[str, Any]) -> int:
        """Return how many of an access's number are in the document from an earlier attempt."""
        doubt = self._doubts.get(access.id)
        if doubt is not None and doubt.created_at == access.created_at and _applied(doubt, document):
            key = (access.id, access.created_at)
            self._counted[key] = self._counted.get(key, 0) + doubt.number
        return self._counted.get((access.id, access.created_at), 0)

    def _write(
        self, counted: dict[str, dict[str, Any]], documents: dict[str, dict[str, Any]], pending: dict[str, Access]
    ) -> None:
        """Write counted documents; those that are done leave ``pending``."""
        texts = {id: json.dumps(document, ensure_ascii=False) for id, document in counted.items()}
        while texts:
            batch: list[str] = []
            size = 0
            while texts and (not batch or size + len(next(iter(texts.values()))) <= _BATCH_BYTES):
                id = next(iter(texts))
                batch.append(texts.pop(id))
                size += len(batch[-1])
            ids = list(counted)[: len(batch)]
            try:
                answers = bulk_docs(self._session, batch)
            except DataStoreError:
                for id in ids:
                    access, old, total = pending[id], documents[id], counted[id]["accessCount"]
                    number = total - old["accessCount"]
                    self._doubts[id] = _Doubt(access.created_at, number, access.at, old["_rev"], total)
                raise
            for id, answer in zip(ids, answers, strict=True):
                document = counted.pop(id)
                if "rev" in answer and "error" not in answer:
                    access = pending.pop(id)
                    self._counted[id, access.created_at] = access.number
                    self._memory.put(id, stored_of({**document, "_rev": answer["rev"]}))


def _is(document: dict[str, Any], created_at: str) -> bool:
    """Return whether a document is the one that was read, and can be counted in."""
    return document.get("createdAt") == created_at and not stored_of(document).damaged


def _applied(doubt: _Doubt, document: dict[str, Any]) -> bool:
    """Return whether a document shows that a write in doubt was applied."""
    steps = _generation(document["_rev"]) - _generation(doubt.rev)
    if steps <= 0:
        return False
    if steps == 1:  # one write came after: it was this one, or it made this one a conflict
        return bool(document["accessCount"] == doubt.total and document["lastAccessedAt"] == doubt.at)
    return bool(document["accessCount"] >= doubt.total)


def _generation(rev: str) -> int:
    return int(rev.split("-")[0])
