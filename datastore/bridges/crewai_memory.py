"""CrewAI's memory on any database of the store. See ``docs/bridges/crewai.md``. Extra ``crewai``.

    memory = Memory(storage=DataStoreMemory(data_store))

A memory is a record in the namespace ``<namespace>:crewai``: its content is the value, the rest is in the metadata, and
the vector that CrewAI has made of it lies beside it, as of any text of ``data_store.memory``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from datastore import AgentDataStore, AsyncAgentDataStore, Match
from datastore.bridges.crewai_format import PAGE, key_of, memory_of, normal, query_of
from datastore.bridges.crewai_writing import deleting, saving, updating
from datastore.bridges.extras import needs
from datastore.bridges.given import awaited
from datastore.bridges.steps import arun, run

with needs("CrewAI", "crewai"):
    from crewai.memory.types import MemoryRecord, ScopeInfo


class DataStoreMemory:
    """A `StorageBackend`: what the agents of a crew remember, for one user.

    It can be shared between crews, threads and processes. Scopes are paths: ``/a`` holds what is in ``/a`` and in
    ``/a/b``, and nothing of ``/ab``.
    """

    def __init__(self, data_store: AgentDataStore | AsyncAgentDataStore) -> None:
        """Bind a memory; there is no request.

        Args:
            data_store: Whose memories they are. They are kept in the namespace beside its own; or its awaited twin.
        """
        twin = awaited(data_store)
        self._twin = twin.use_namespace(f"{twin.namespace}:crewai")
        self._store = self._twin.sync

    # --------------------------------------------------------------------------------------------------- memories

    def save(self, records: list[MemoryRecord]) -> None:
        """Keep memories. One that is there already is replaced.

        Raises:
            EmbedderError: If the vectors are of another model than those that are there.
            InvalidValueError, ValueTooLargeError: If one is not JSON, or its metadata takes more than 16,000 bytes.

        Requests: those of `Memory.add_many` for those with vectors, and of `set_many` for others; of `set` for each
            that is there already.
        """
        run(self._store, saving(records))

    async def asave(self, records: list[MemoryRecord]) -> None:
        await arun(self._twin, saving(records))

    def update(self, record: MemoryRecord) -> None:
        """Replace a memory. Without a vector it keeps the one that it has, if its content is the same.

        Requests: those of `set`, with a vector; without one 1, and those of `Memory.edit`.
        """
        run(self._store, updating(record))

    def get_record(self, record_id: str) -> MemoryRecord | None:
        """Return a memory, without its vector. Requests: 1."""
        found = self._store.get_record(key_of(record_id))
        return None if found is None else memory_of(found)

    def touch_records(self, record_ids: list[str]) -> None:
        """Note that memories were used: an access of each is counted, as of every read. Requests: 1 for 100 or more."""
        self._store.get_many([key_of(id) for id in record_ids])

    # --------------------------------------------------------------------------------------------------- searching

    def search(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """Return the nearest of the memories that match, with the cosine. What does not match takes no place.

        Requests: those of `Memory.search`.
        """
        if not len(query_embedding) or limit < 1:
            return []
        meta = query_of(scope_prefix, categories, metadata_filter)
        return _found(self._store.memory.search(query_embedding, limit, meta=meta, min_score=min_score))

    async def asearch(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        if not len(query_embedding) or limit < 1:
            return []
        meta = query_of(scope_prefix, categories, metadata_filter)
        return _found(await self._twin.memory.search(query_embedding, limit, meta=meta, min_score=min_score))

    def list_records(self, scope_prefix: str | None = None, limit: int = 200, offset: int = 0) -> list[MemoryRecord]:
        """Return memories of a scope, the newest first. Requests: those of `find_records`, sorted."""
        if limit < 1:
            return []
        page = self._store.find_records(
            meta=query_of(scope_prefix), sort=[("$metadata.created_at", -1)], skip=max(0, offset), limit=limit
        )
        return [memory_of(record) for record in page.records]

    # --------------------------------------------------------------------------------------------------- forgetting

    def delete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """Delete the memories that match all that is given; return how many.

        Requests: those of `delete_where`; of `delete_many` if only ids are given, of `clear` if nothing is.
        """
        return run(self._store, deleting(scope_prefix, categories, record_ids, older_than, metadata_filter))

    async def adelete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        return await arun(self._twin, deleting(scope_prefix, categories, record_ids, older_than, metadata_filter))

    def reset(self, scope_prefix: str | None = None) -> None:
        """Delete all memories of a scope. Requests: those of `clear` for all, else as `delete`."""
        if normal(scope_prefix) == "/":
            self._store.clear()
        else:
            self.delete(scope_prefix)

    # --------------------------------------------------------------------------------------------------- scopes

    def count(self, scope_prefix: str | None = None) -> int:
        """Return how many memories a scope has. Requests: those of `AgentDataStore.count`."""
        return self._store.count(meta=query_of(scope_prefix))

    def get_scope_info(self, scope: str) -> ScopeInfo:
        """Return what is in a scope. Requests: those of `find_records` for it, in pages of 500."""
        number = 0
        categories: set[str] = set()
        times: list[datetime] = []
        children: set[str] = set()
        for memory in self._all(scope):
            number += 1
            categories.update(memory.categories)
            times = [min([memory.created_at, *times]), max([memory.created_at, *times])]
            children.update(_child(memory.scope, normal(scope)))
        return ScopeInfo(
            path=normal(scope),
            record_count=number,
            categories=sorted(categories),
            oldest_record=times[0] if times else None,
            newest_record=times[1] if times else None,
            child_scopes=sorted(children),
        )

    def list_scopes(self, parent: str = "/") -> list[str]:
        """Return the scopes right under one. Requests: as `get_scope_info`."""
        return sorted({child for memory in self._all(parent) for child in _child(memory.scope, normal(parent))})

    def list_categories(self, scope_prefix: str | None = None) -> dict[str, int]:
        """Return how many memories of a scope each category has. Requests: as `get_scope_info`."""
        counts: dict[str, int] = {}
        for memory in self._all(scope_prefix):
            for category in memory.categories:
                counts[category] = counts.get(category, 0) + 1
        return counts

    def _all(self, scope: str | None) -> Iterator[MemoryRecord]:
        cursor = None
        while True:
            page = self._store.find_records(meta=query_of(scope), limit=PAGE, cursor=cursor)
            yield from map(memory_of, page.records)
            if (cursor := page.cursor) is None:
                return


def _child(scope: str, parent: str) -> list[str]:
    """Return the scope right under a parent that another one is, or is in."""
    above = "/" if parent == "/" else f"{parent}/"
    name = scope.removeprefix(above).partition("/")[0] if scope.startswith(above) else ""
    return [above + name] if name else []


def _found(matches: Sequence[Match]) -> list[tuple[MemoryRecord, float]]:
    return [(memory_of(match.record), match.score) for match in matches]
