"""What CrewAI's memory writes and deletes, once for threads and for coroutines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from datastore import BatchError, Item, KeyExistsError, Record
from datastore.bridges.crewai_format import kept_of, key_of, query_of
from datastore.bridges.extras import needs
from datastore.bridges.steps import Asked, Steps, ask

with needs("CrewAI", "crewai"):
    from crewai.memory.types import MemoryRecord


def saving(memories: Sequence[MemoryRecord]) -> Steps[None]:
    """Keep memories, those that are there already in their places."""
    latest = {key_of(memory.id): memory for memory in memories}  # of several with one id the last one counts
    with_vectors = {key: memory for key, memory in latest.items() if memory.embedding}
    plain = [Item(key, memory.content, kept_of(memory)) for key, memory in latest.items() if key not in with_vectors]
    items = [Item(key, memory.content, kept_of(memory)) for key, memory in with_vectors.items()]
    if plain:
        yield ask("set_many", plain)
    if not items:
        return
    try:
        yield ask("memory.add_many", items, vectors=[memory.embedding for memory in with_vectors.values()])
    except BatchError as error:
        there = [str(key) for key, reason in error.failed.items() if isinstance(reason, KeyExistsError)]
        if len(there) < len(error.failed):
            raise
        for key in there:
            yield _setting(with_vectors[key])


def updating(memory: MemoryRecord) -> Steps[None]:
    """Replace a memory. What `get_record` returns has no vector: one that comes back without keeps what it has."""
    key, kept = key_of(memory.id), kept_of(memory)
    if not memory.embedding:
        found: Record | None = yield ask("get_record", key)
        if found is not None and found.value == memory.content:
            edited: bool = yield ask("memory.edit", key, metadata=kept)
            if edited:
                return
    yield _setting(memory)


def _setting(memory: MemoryRecord) -> Asked:
    return ask("set", key_of(memory.id), memory.content, kept_of(memory), vector=memory.embedding or None)


def deleting(
    scope: str | None,
    categories: Sequence[str] | None,
    record_ids: Sequence[str] | None,
    older_than: datetime | None,
    metadata: Mapping[str, Any] | None,
) -> Steps[int]:
    """Delete what matches all that is given, and return how many there were."""
    keys = None if record_ids is None else {key_of(id) for id in record_ids}
    query = query_of(scope, categories, metadata, older_than)
    number: int
    if not query:
        number = yield (ask("clear") if keys is None else ask("delete_many", sorted(keys)))
        return number
    if keys is not None:
        query["key"] = {"$in": sorted(keys)}
    number = yield ask("delete_where", {}, meta=query)
    return number
