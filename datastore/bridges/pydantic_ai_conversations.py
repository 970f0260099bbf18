"""The `ConversationStore` of Pydantic AI: a record for each conversation, and one for each message.

Extra ``pydantic-ai``.

| what | where |
|---|---|
| a conversation | the record ``pydantic-ai/<conversation id>``: ``{"format": 1, "head_id": ..., ...}`` |
| an entry, which is one message | the record ``pydantic-ai-entry/<entry id>``; a large message is in a blob |

The long ids of conversations are shortened (``datastore.limits.shorten_key``). A conversation is replaced only at its
revision, after its new entries are stored: so it is there with all of them. Forks and branches share entries.

An entry knows its way to the beginning (`datastore.bridges.pydantic_ai_entries`), so that a history is not read one
entry after the other. It takes the entry itself, its milestone, the earlier milestones, and all others at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from datastore import (
    AgentDataStore,
    AsyncAgentDataStore,
    BatchError,
    ConflictError,
    KeyExistsError,
    ValueTooLargeError,
)
from datastore.bridges.extras import needs
from datastore.bridges.given import ago, awaited, span_of, text_of
from datastore.bridges.large import sweep
from datastore.bridges.pydantic_ai_entries import (
    CONVERSATION,
    ENTRY,
    MILESTONE,
    dumped,
    entry_of,
    fetch,
    key_of,
    placed,
    record_of,
    smaller,
)

with needs("Pydantic AI", "pydantic-ai"):
    from pydantic_ai.conversation_store import (
        ConversationConflict,
        ConversationEntry,
        ConversationRecord,
        ConversationStore,
    )

__all__ = ["DataStoreConversationStore"]


class DataStoreConversationStore(ConversationStore):
    """Conversations that an agent's store keeps, with revisions, forks and branches.

    Several processes may save one conversation: one does, and the others get a `ConversationConflict`.
    """

    def __init__(self, data_store: AgentDataStore | AsyncAgentDataStore) -> None:
        """Bind a store of conversations; there is no request.

        Args:
            data_store: Whose conversations they are. They are kept in its namespace.
        """
        self._store = awaited(data_store)

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Return the record of a conversation. Requests: 1."""
        found = await self._store.get_record(key_of(conversation_id))
        return None if found is None else record_of(found)

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> list[ConversationRecord]:
        """Return records, the last saved first. Requests: 1 per page of conversations, however long they are."""
        if limit == 0:
            return []
        filter = {} if scope is None else {"scope": scope}
        page = await self._store.find_records(filter, prefix=CONVERSATION, sort=[("updated_at", -1)], limit=limit)
        return [record_of(found) for found in page.records]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store new entries, and then a record in place of the one of a revision.

        Raises:
            ConversationConflict: If the record is of another revision, or an entry that it builds on is gone. Of the
                new entries none is left.
            InvalidValueError: If one is not JSON. Nothing was stored.

        Requests: 4, and 1 more for each 100th entry of a history; 3 without new entries. Those of `Blobs.put` for each
            message of more than 1 MB, which is kept in a blob.
        """
        key, conflict = key_of(record.conversation_id), ConversationConflict(record.conversation_id)
        stored = await self._store.get_record(key)
        if (None if stored is None else record_of(stored).revision) != expected_revision:
            raise conflict
        known: dict[str, Any] = {}
        outer = {record.head_id, *(entry.parent_id for entry in new_entries)} - {entry.id for entry in new_entries}
        try:
            await fetch(self._store, [id for id in outer if id is not None], known)
            entries = {ENTRY + entry.id: await placed(self._store, entry, known) for entry in new_entries}
        except LookupError:
            raise conflict from None
        try:
            if entries:
                try:
                    await self._store.add_many(entries)
                except ValueTooLargeError:
                    await self._store.add_many(await smaller(self._store, entries))
            value = dumped(record)
            if stored is None:
                await self._store.add(key, value)
            else:
                await self._store.set(key, value, if_revision=stored.revision)
        except BatchError as error:
            added = [one for one, outcome in error.outcomes.items() if outcome is None]
            await self._store.delete_many(added)
            failed = [one for one in error.outcomes.values() if one is not None]
            raise next((one for one in failed if not isinstance(one, KeyExistsError)), conflict) from error
        except (ConflictError, KeyExistsError):
            await self._store.delete_many(list(entries))
            raise conflict from None

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete the record of a conversation. Its entries stay until `prune`: others may have forked it.

        Raises:
            ConversationConflict: If the record is of another revision, or gone.

        Requests: 2.
        """
        key, conflict = key_of(conversation_id), ConversationConflict(conversation_id)
        stored = await self._store.get_record(key)
        if stored is None or record_of(stored).revision != expected_revision:
            raise conflict
        try:
            deleted = await self._store.delete(key, if_revision=stored.revision)
        except ConflictError:
            raise conflict from None
        if not deleted:
            raise conflict

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Return an entry. Raises `LookupError` if there is none. Requests: 1; those of `Blobs.get` if it is large."""
        known: dict[str, Any] = {}
        await fetch(self._store, [text_of(entry_id, "entry_id")], known)
        return await entry_of(self._store, entry_id, known[entry_id])

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """Return the entries up to one, in order, or the last of them. Raises `LookupError` if one is gone.

        Requests: 2 for up to 100 entries; 4 for more, and 1 more for each 1,000 (DynamoDB 100). For each message of
            more than 1 MB those of `Blobs.get`.
        """
        if head_id is None or limit == 0:
            return []
        known: dict[str, Any] = {}
        await fetch(self._store, [head_id], known)
        want = known[head_id]["depth"] + 1
        want = want if limit is None else min(want, limit)
        ids = [*known[head_id]["path"], head_id]
        if len(ids) < want:
            await fetch(self._store, [ids[0]], known)
            paths = (want - len(ids) + MILESTONE - 1) // MILESTONE
            earlier = known[ids[0]]["milestones"][1 - paths :] if paths > 1 else []
            await fetch(self._store, earlier, known)
            for milestone in [ids[0], *reversed(earlier)]:
                ids = known[milestone]["path"] + ids
        ids = ids[-want:]
        await fetch(self._store, ids, known)
        return [await entry_of(self._store, id, known[id]) for id in ids]

    async def prune(self, *, idle: float | timedelta | None = None, grace: float | timedelta = 3_600) -> int:
        """Delete conversations that were not saved for a time, and the entries that no conversation uses any more.

        For a host, now and then, and not while somebody forks or branches what was just deleted.

        Args:
            idle: For how long, in seconds or as a `timedelta`; ``None`` to delete no conversation.
            grace: For how long an entry is left that no conversation uses: it may be of one that is just being saved.

        Returns:
            How many entries were deleted.

        Raises:
            InvalidValueError: If one of them is not above 0.

        Requests: 1 per page of all conversations and of all entries, without their messages, 1 that looks for blobs,
            and those of deleting.
        """
        unused, oldest = ago(span_of(grace, "grace")), None if idle is None else ago(span_of(idle, "idle"))
        parents: dict[str, str | None] = {}
        blobs: dict[str, str] = {}
        young: set[str] = set()
        async for found in self._store.find_records({}, prefix=ENTRY, fields=["parent", "blob"]):
            id = found.key.removeprefix(ENTRY)
            parents[id] = found.value.get("parent")
            if "blob" in found.value:
                blobs[id] = found.value["blob"]
            if found.created_at > unused:
                young.add(id)
        used: set[str | None] = {None}
        async for found in self._store.find_records({}, prefix=CONVERSATION):
            record = record_of(found)
            if oldest is not None and found.updated_at < oldest:
                try:
                    await self._store.delete(found.key, if_revision=found.revision)
                    continue
                except ConflictError:
                    pass  # it is saved at this moment
            for tip in [record.head_id, *record.branches]:
                on_the_way: str | None = tip
                while on_the_way not in used:
                    used.add(on_the_way)
                    on_the_way = parents.get(on_the_way or "")
        gone = parents.keys() - used - young
        deleted = await self._store.delete_many([ENTRY + id for id in gone])
        left = {blob for id, blob in blobs.items() if id not in gone}
        await sweep(self._store, await self._store.blobs.list(ENTRY), used=left, gone=set(blobs.values()) - left)
        return deleted
