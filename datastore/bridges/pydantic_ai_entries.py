"""How Pydantic AI's conversations are stored: their records, their entries, and an entry's way to the beginning.

An entry's value has in ``path`` the ids from the last milestone up to the entry before it. Each 100th entry is a
milestone, and has in ``milestones`` the ids of all earlier ones. A message that is too large for it is in a blob
``pydantic-ai-entry/...``, whose name is in ``blob``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any

from datastore import AsyncAgentDataStore, Record, UnsupportedError, limits
from datastore.bridges.extras import needs
from datastore.bridges.given import text_of, unknown_format
from datastore.bridges.large import prefix_of, small, whole

with needs("Pydantic AI", "pydantic-ai"):
    from pydantic import TypeAdapter, ValidationError
    from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord
    from pydantic_ai.messages import ModelMessagesTypeAdapter

FORMAT = 1
MILESTONE = 100
"""Each so many entries there is one that knows all others like it."""
CONVERSATION, ENTRY = "pydantic-ai/", "pydantic-ai-entry/"
_MEMBERS = {"parent", "depth", "path"}
_RECORDS = TypeAdapter(ConversationRecord)


async def fetch(store: AsyncAgentDataStore, ids: Sequence[str], known: dict[str, Any]) -> None:
    """Get the values of entries that are not known yet. Raises `LookupError` if one is not there."""
    keys = {ENTRY + id: id for id in ids if id not in known}
    found = await store.get_records(keys) if keys else {}
    for key, id in keys.items():
        if key not in found:
            raise LookupError(f"there is no entry {id!r}")
        value = found[key].value
        if not (isinstance(value, dict) and value.get("format") == FORMAT and value.keys() >= _MEMBERS):
            raise unknown_format(f"record {key!r}", FORMAT)
        if "message" not in value and "blob" not in value:
            raise unknown_format(f"record {key!r}", FORMAT)
        known[id] = value


async def placed(store: AsyncAgentDataStore, entry: ConversationEntry, known: dict[str, Any]) -> dict[str, Any]:
    """Return what is stored of a new entry; what it follows is known."""
    before = None if entry.parent_id is None else known[entry.parent_id]
    depth = 0 if before is None else before["depth"] + 1
    path = [] if before is None else [*([] if before["depth"] % MILESTONE == 0 else before["path"]), entry.parent_id]
    (message,) = ModelMessagesTypeAdapter.dump_python([entry.message], mode="json")
    value = {"format": FORMAT, "parent": entry.parent_id, "depth": depth, "path": path, "message": message}
    if depth % MILESTONE == 0:
        await fetch(store, path[:1], known)
        value["milestones"] = [*known[path[0]]["milestones"], path[0]] if path else []
    known[entry.id] = value
    return value


async def smaller(store: AsyncAgentDataStore, entries: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return entries by their keys, with large messages put into blobs. Requests: those of `Blobs.put` for each."""
    return {
        key: await small(store, value, "message", prefix_of("pydantic-ai-entry", key), {"key": key})
        for key, value in entries.items()
    }


def key_of(conversation_id: str) -> str:
    """Return the key of a conversation's record. Raises `InvalidNameError` if the id is no text."""
    return limits.shorten_key(CONVERSATION + text_of(conversation_id, "conversation_id"))


def dumped(record: ConversationRecord) -> dict[str, Any]:
    """Return what is stored of a conversation."""
    in_utc = replace(record, updated_at=record.updated_at.astimezone(UTC))
    value: dict[str, Any] = _RECORDS.dump_python(in_utc, mode="json")
    value["updated_at"] = in_utc.updated_at.isoformat(timespec="microseconds")  # of one length, because it is sorted by
    return {"format": FORMAT, **value}


def record_of(found: Record) -> ConversationRecord:
    """Return the record of a conversation.

    Raises:
        UnsupportedError: If this version does not know its format, or Pydantic AI does not.
    """
    value = found.value
    if isinstance(value, dict) and value.get("format") == FORMAT:
        try:
            return _RECORDS.validate_python({name: field for name, field in value.items() if name != "format"})
        except ValidationError as error:
            raise UnsupportedError(f"record {found.key!r} is not what this version of Pydantic AI reads") from error
    raise unknown_format(f"record {found.key!r}", FORMAT)


async def entry_of(store: AsyncAgentDataStore, id: str, value: dict[str, Any]) -> ConversationEntry:
    """Return an entry.

    Raises:
        UnsupportedError: If Pydantic AI does not know the message.
        DamagedRecordError: If the blob of a large message is gone.

    Requests: those of `Blobs.get` if it is large.
    """
    stored = await whole(store, value, "message", f"entry {id!r}")
    try:
        (message,) = ModelMessagesTypeAdapter.validate_python([stored])
    except ValidationError as error:
        raise UnsupportedError(f"entry {id!r} is not what this version of Pydantic AI reads") from error
    return ConversationEntry(id=id, parent_id=value["parent"], message=message)
