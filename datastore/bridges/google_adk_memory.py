"""The `BaseMemoryService` of Google's ADK: what was said, as texts that are found by their words or by their meaning.

Extra ``google-adk``. Each user of an app has a namespace of their own beside that of the store, so that a search reads
nothing of others: ``<namespace>:adk/<app>/<user>``, with names as in `datastore.bridges.google_adk_format`, shortened
if it is too long. In it an event is the record ``<event id>``: its text, with what ADK knows of it and its words in the
metadata. One that was deleted leaves a record without text, so that it is not added again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from typing import Any

from datastore import (
    AgentDataStore,
    AsyncAgentDataStore,
    BatchError,
    InvalidValueError,
    Item,
    KeyExistsError,
    Record,
    limits,
)
from datastore.bridges.extras import needs
from datastore.bridges.given import ago, awaited, path_of, span_of, text_of, unknown_format
from datastore.bridges.google_adk_words import indexed, score, sought, words_of

with needs("Google ADK", "google-adk"):
    from google.adk.events import Event
    from google.adk.memory import BaseMemoryService
    from google.adk.memory.base_memory_service import SearchMemoryResponse
    from google.adk.memory.memory_entry import MemoryEntry
    from google.adk.sessions import Session
    from google.genai import types
    from pydantic import ValidationError

__all__ = ["DataStoreMemoryService"]

FORMAT = 1  # as `_entry` matches it


class DataStoreMemoryService(BaseMemoryService):
    """What an agent's store remembers of sessions, for ``Runner(memory_service=...)``.

    A text is kept once, however often its session is added.
    """

    def __init__(
        self,
        data_store: AgentDataStore | AsyncAgentDataStore,
        *,
        by_meaning: bool = False,
        n: int = 10,
        ttl: float | timedelta | None = None,
    ) -> None:
        """Bind a service; there is no request.

        Args:
            data_store: Whose memories they are, whatever ``user_id`` says. They are kept beside its namespace.
            by_meaning: Whether a search is for what is meant (``data_store.memory``), with the embedder that the host
                has given to `connect`; without it, for the words of the query.
            n: How many memories a search returns at most.
            ttl: For how long a text is remembered, in seconds or as a `timedelta`; ``None`` for ever.
                ``custom_metadata={"ttl": ...}`` says so for some of them.

        Raises:
            InvalidValueError: If ``n`` is not an int above 0, or ``ttl`` not above 0.
        """
        if type(n) is not int or n < 1:
            raise InvalidValueError("n must be an int above 0")
        self._store = awaited(data_store)
        self._by_meaning = by_meaning
        self._n = n
        self._ttl = None if ttl is None else span_of(ttl, "ttl")

    async def add_session_to_memory(self, session: Session) -> None:
        """Add the texts of a session that are not there yet. Requests: as `add_events_to_memory`."""
        await self.add_events_to_memory(
            app_name=session.app_name, user_id=session.user_id, events=session.events, session_id=session.id
        )

    async def add_events_to_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        events: Sequence[Event],
        session_id: str | None = None,
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Add the texts of events that are not there yet.

        Raises:
            InvalidValueError: If ``custom_metadata`` is not JSON, or its ``ttl`` not above 0.
            ValueTooLargeError: If a text takes more than 1 MB.
            ConfigurationError, EmbedderError: By meaning, if the host has given no embedder, or it fails.

        Requests: 1 to see which are there, and those of `add_many` for the new ones, of records or of memory.
        """
        memories = [(_memory(event, event.content), event.timestamp) for event in events if event.content is not None]
        await self._add(self._namespace(app_name, user_id), memories, custom_metadata, session_id)

    async def add_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        memories: Sequence[MemoryEntry],
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Add memories that are not there yet; one without an id gets one. As `add_events_to_memory`."""
        now = time.time()
        await self._add(self._namespace(app_name, user_id), [(one, now) for one in memories], custom_metadata, None)

    async def search_memory(self, *, app_name: str, user_id: str, query: str) -> SearchMemoryResponse:
        """Return what was remembered of a user of an app, the best first.

        By words, a memory is better the more different words of the query are in it, and then the newer it is.

        Raises:
            UnsupportedError: If a record is of a format that this version does not know.
            ConfigurationError, EmbedderError: As `add_events_to_memory`.

        Requests: by words 1 for each page of the memories that have one of them; by meaning those of `Memory.search`.
        """
        store, words = self._namespace(app_name, user_id), words_of(query)
        if not words:
            return SearchMemoryResponse()
        if self._by_meaning:
            matches = await store.memory.search(query, self._n, keywords=True)
            return SearchMemoryResponse(memories=[_entry(match.record) for match in matches])
        found: list[tuple[int, float, str, MemoryEntry]] = []
        async for record in store.find_records(meta={"metadata.words": {"$in": sought(words)}}):
            entry = _entry(record)
            if count := score(words, record.value):
                found.append((count, record.metadata["at"], record.key, entry))
        best = nlargest(self._n, found, key=lambda one: one[:3])
        return SearchMemoryResponse(memories=[entry for *_, entry in best])

    async def delete_memory(self, *, app_name: str, user_id: str, memory_id: str | None = None) -> None:
        """Delete a memory, and let it not be added again; if there is none, nothing happens. Requests: 2."""
        store = self._namespace(app_name, user_id)
        if memory_id:
            key = limits.shorten_key(text_of(memory_id, "memory_id"))
            found = await store.get_record(key)
            if found is not None and not found.metadata.get("deleted"):
                gone = dict.fromkeys(found.metadata) | {"format": FORMAT, "deleted": True}
                await store.set(key, None, gone)

    async def forget(self, *, app_name: str, user_id: str) -> int:
        """Delete all that is remembered of a user of an app, and return how many records that were.

        Requests: those of `AgentDataStore.clear`.
        """
        return await self._namespace(app_name, user_id).clear()

    async def prune(self, *, idle: float | timedelta) -> int:
        """Delete what was remembered longer ago, of all apps and users; also the records of what was deleted then.

        For a host, now and then. Its session may be added again afterwards.

        Args:
            idle: How long ago, in seconds or as a `timedelta`.

        Returns:
            How many records were deleted.

        Raises:
            InvalidValueError: If ``idle`` is not above 0.

        Requests: those of `AgentDataStore.list_namespaces`, and those of `delete_where` for each app and user.
        """
        before, deleted = ago(span_of(idle, "idle")), 0
        for name in await self._store.list_namespaces(self._beginning):
            deleted += await self._store.use_namespace(name).delete_where({}, meta={"updatedAt": {"$lt": before}})
        return deleted

    @property
    def _beginning(self) -> str:
        return f"{self._store.namespace}:adk/"

    def _namespace(self, app_name: str, user_id: str) -> AsyncAgentDataStore:
        path = path_of((app_name, "app_name"), (user_id, "user_id"))
        return self._store.use_namespace(limits.shorten_name(f"{self._beginning}{path}"))

    async def _add(
        self,
        store: AsyncAgentDataStore,
        memories: Sequence[tuple[MemoryEntry, float]],
        custom_metadata: Mapping[str, object] | None,
        session_id: str | None,
    ) -> None:
        custom, ttl = dict(custom_metadata or {}), self._ttl
        if "ttl" in custom:
            ttl = span_of(custom.pop("ttl"), "custom_metadata['ttl']")  # type: ignore[arg-type]  # it is checked there
        items: dict[str, Item] = {}
        for memory, at in memories:
            text = "\n".join(part.text for part in memory.content.parts or () if part.text)
            if text.strip():
                id = memory.id or str(uuid.uuid4())
                metadata: dict[str, Any] = {"format": FORMAT, "id": id, "at": at, "session": session_id}
                metadata |= {"author": memory.author, "role": memory.content.role, "timestamp": memory.timestamp}
                metadata |= {"custom": {**custom, **memory.custom_metadata}}
                metadata |= {} if self._by_meaning else {"words": indexed(text)}
                key = limits.shorten_key(text_of(id, "id"))
                items[key] = Item(key, text, metadata, ttl)
        known = await store.get_records(items) if items else {}
        new = [item for key, item in items.items() if key not in known]
        try:
            if new and self._by_meaning:
                await store.memory.add_many(new)
            elif new:
                await store.add_many(new)
        except BatchError as error:
            failed = (one for one in error.outcomes.values() if not isinstance(one, KeyExistsError | None))
            if (first := next(failed, None)) is not None:
                raise first from error  # and what somebody else has added meanwhile is there


def _memory(event: Event, content: types.Content) -> MemoryEntry:
    timestamp = datetime.fromtimestamp(event.timestamp, UTC).isoformat()
    return MemoryEntry(id=event.id, content=content, author=event.author, timestamp=timestamp)


def _entry(record: Record) -> MemoryEntry:
    match record.metadata:
        case {"format": 1, "id": str(id), "at": int() | float(), "custom": dict(custom), **more}:
            with suppress(ValidationError):
                content = types.Content(role=more.get("role"), parts=[types.Part(text=record.value)])
                author, timestamp = more.get("author"), more.get("timestamp")
                return MemoryEntry(id=id, content=content, author=author, timestamp=timestamp, custom_metadata=custom)
    raise unknown_format(f"record {record.key!r}", FORMAT)
