"""Adapters for databases that replace one document at a time, on the condition of a version token.

`OptimisticBackend` is a `Backend` that already writes, counts and reads by id. A subclass adds `load`, `swap`, `scan`
and `close`. Larger adapters implement `datastore.adapters.primitives.Primitives` in a class beside their own `Backend`,
and call a `Writer` and a `Counter`.
"""

from __future__ import annotations

from collections.abc import Sequence

from datastore.adapters.counting import Counter
from datastore.adapters.knowledge import Memory
from datastore.adapters.primitives import Primitives
from datastore.adapters.writing import Writer
from datastore.backend import Access, Backend, Document, Fields, Outcome, Restore, Write
from datastore.documents import damaged, foreign


class OptimisticBackend(Primitives, Backend):
    """A `Backend` over `load` and `swap`.

    `load` must make its results with `datastore.adapters.knowledge.known_of`, so that ``Known.source`` is the document.
    `swap` must store `Change.document`, with `Change.writes`, `Change.counts` and `Change.fences` beside it, or remove
    the document if `Change.document` is ``None``.

    Args:
        memory: What is remembered between calls; by default about 10,000 documents, without their values.
    """

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = Memory() if memory is None else memory
        self.writer = Writer(self, self.memory)
        self.counter = Counter(self, self.memory, self.capabilities.write_batch)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`.

        Requests: 1 `load`.
        """
        documents: dict[str, Document] = {}
        found = self.load(ids, metadata=fields is Fields.ALL, value=fields is not Fields.KEY)
        for id, known in found.items():
            if known.damaged:
                raise foreign(id) if known.foreign else damaged(id)
            if fields is Fields.ALL:  # what is remembered must be complete
                self.memory.note(id, known)
            documents[id] = known.source
        return documents

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`.

        Requests: 1 `swap`; 1 `load` before it if something must be read first; both again if others write too.
        """
        return self.writer.write(writes)

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`.

        Requests: the same as `write`.
        """
        return self.writer.write(restores)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`.

        Requests: 1 `load` and 1 `swap` per ``capabilities.write_batch`` documents.
        """
        self.counter.record(accesses)

    def after_fork(self) -> None:
        """See `Backend.after_fork`. A subclass must also renew its connections."""
        self.memory.clear()
        self.writer.after_fork()
        self.counter.after_fork()
