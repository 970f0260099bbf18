"""A `Backend` that hands each method of the contract to the part that does it.

`ComposedBackend` is for adapters of several modules over `datastore.adapters.primitives.Primitives`. A small one, in a
module of its own, has `datastore.adapters.optimistic.OptimisticBackend`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from datastore.adapters.counting import Counter
from datastore.adapters.knowledge import Memory
from datastore.adapters.primitives import Primitives
from datastore.adapters.writing import Writer
from datastore.backend import (
    Access,
    Backend,
    Document,
    DocumentPage,
    Fields,
    Forgotten,
    IdRange,
    Outcome,
    Restore,
    Write,
)
from datastore.ids import EVERYTHING


class Connected(Protocol):
    """What has the connections."""

    def close(self) -> None:
        """See `Backend.close`."""

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""


class Reads(Protocol):
    """What reads. Its methods are those of `Backend`."""

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None, *, reverse: bool) -> DocumentPage:
        """See `Backend.scan`."""

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`."""

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `Backend.namespaces`."""


class Removes(Protocol):
    """What removes much at once. Its methods are those of `Backend`."""

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`."""

    def purge(self, at: str, range: IdRange) -> int:
        """See `Backend.purge`."""


class ComposedBackend(Backend):
    """A backend of parts; a subclass makes them, and adds what its database can do besides.

    Args:
        connections: What has the connections.
        records: The database, as the toolkit sees it.
        memory: What is known of documents. It is shared with the reader and the remover.
        reader: What reads.
        remover: What removes.

    Requests: those of the parts. A write is one `Primitives.swap`, and a `Primitives.load` before it if it must know
        more; counting is one of each, or none, per ``capabilities.write_batch`` documents.
    """

    def __init__(
        self, connections: Connected, records: Primitives, memory: Memory, reader: Reads, remover: Removes
    ) -> None:
        self._connections = connections
        self._memory = memory
        self._writer = Writer(records, memory)
        self._counter = Counter(records, memory, self.capabilities.write_batch)
        self._reads = reader
        self._removes = remover

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`."""
        return self._reads.read(ids, fields)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `Backend.write`."""
        return self._writer.write(writes)

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        """See `Backend.scan`."""
        return self._reads.scan(range, fields, limit, after, reverse=reverse)

    def record_access(self, accesses: Sequence[Access]) -> None:
        """See `Backend.record_access`."""
        self._counter.record(accesses)

    def close(self) -> None:
        """See `Backend.close`."""
        self._connections.close()

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`."""
        return self._reads.count(range, at)

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `Backend.namespaces`."""
        return self._reads.namespaces(range, at)

    def clear(self, range: IdRange, at: str) -> int:
        """See `Backend.clear`."""
        return self._removes.clear(range, at)

    def forget(self, range: IdRange, at: str) -> Forgotten:
        """See `Backend.forget`."""
        return self._removes.forget(range, at)

    def purge(self, at: str, range: IdRange = EVERYTHING) -> int:
        """See `Backend.purge`."""
        return self._removes.purge(at, range)

    def all_documents(self, fields: Fields, limit: int, after: str | None = None) -> DocumentPage:
        """See `Backend.all_documents`. A database that keeps users apart has a way of its own."""
        return self.scan(EVERYTHING, fields, limit, after)

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """See `Backend.restore`."""
        return self._writer.write(restores)

    def after_fork(self) -> None:
        """See `Backend.after_fork`."""
        self._connections.after_fork()
        self._memory.clear()
        self._writer.after_fork()
        self._counter.after_fork()
