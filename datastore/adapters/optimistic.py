"""Adapters for databases that replace one document at a time, on the condition of a version token.

`OptimisticBackend` is a `Backend` whose writes, counts and reads by id are there already. A subclass brings `load` and
`swap`, `scan` and `close`. Larger adapters implement `datastore.adapters.primitives.Primitives` beside a `Backend` of
their own, and call a `Writer` and a `Counter`.
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

    `load` makes what it returns with `datastore.adapters.knowledge.known_of`, so that ``Known.source`` is the document.
    `swap` stores `Change.document`, or removes what is there where that is ``None``, with `Known.writes` and
    `Known.counts` of `Change.after` beside it.

    Args:
        memory: What is remembered between calls; by default that is about 10,000 documents, without their values.
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
            if fields is Fields.ALL:  # what is remembered must be whole
                self.memory.note(id, known)
            documents[id] = known.source
        return documents

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`.

        Requests: 1 `swap`; 1 `load` before where something must be read first, and both again where others write, too.
        """
        return self.writer.write(writes)

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`.

        Requests: as `write`.
        """
        return self.writer.write(restores)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`.

        Requests: 1 `load` and 1 `swap` per ``capabilities.write_batch`` documents.
        """
        self.counter.record(accesses)

    def after_fork(self) -> None:
        """See `Backend.after_fork`; a subclass also makes its connections new."""
        self.memory.clear()
        self.writer.after_fork()
        self.counter.after_fork()
