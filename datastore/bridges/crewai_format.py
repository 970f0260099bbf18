"""How a memory of CrewAI is kept: its content is the value of a record, and this is the metadata.

| field | is |
|---|---|
| `format` | 1 |
| `id` | CrewAI's id; the key is it, shortened if it is too long |
| `scope`, `within` | its scope, and all scopes that it is in: of ``/a/b`` these are ``/``, ``/a`` and ``/a/b`` |
| `categories`, `metadata`, `importance`, `source`, `private` | as CrewAI has them |
| `marks` | each member of `metadata` as JSON text, by which it is looked for whatever its name is |
| `created_at`, `last_accessed` | times in UTC, of one length, because they are compared as text |

The store notes accesses by itself, so that CrewAI's `last_accessed` is the later one of both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from datastore import InvalidValueError, Record, UnsupportedError, limits
from datastore.bridges.extras import needs
from datastore.bridges.given import text_of, unknown_format

with needs("CrewAI", "crewai"):
    from crewai.memory.types import MemoryRecord

FORMAT = 1
PAGE = 500
"""How many memories are in the process at once where all of a scope are looked at."""


def key_of(record_id: str) -> str:
    """Return the key of a memory. Raises `InvalidNameError` if its id is no text."""
    return limits.shorten_key(text_of(record_id, "record_id"))


def normal(scope: str | None) -> str:
    """Return a scope as it is kept: with a slash before each name, and none at the end."""
    return "/" + "/".join(name for name in (scope or "/").strip().split("/") if name)


def kept_of(memory: MemoryRecord) -> dict[str, Any]:
    """Return the metadata of the record of a memory."""
    scope = normal(memory.scope)
    names = [name for name in scope.split("/") if name]
    return {
        "format": FORMAT,
        "id": memory.id,
        "scope": scope,
        "within": ["/" + "/".join(names[:number]) for number in range(len(names) + 1)],
        "categories": list(memory.categories),
        "metadata": dict(memory.metadata),
        "marks": [_mark(name, value) for name, value in memory.metadata.items()],
        "importance": memory.importance,
        "source": memory.source,
        "private": memory.private,
        "created_at": as_text(memory.created_at),
        "last_accessed": as_text(memory.last_accessed),
    }


def memory_of(record: Record) -> MemoryRecord:
    """Return the memory that a record holds, without its vector.

    Raises:
        UnsupportedError: If this version does not know its format, or CrewAI does not.
    """
    kept = record.metadata
    if kept.get("format") != FORMAT or not isinstance(record.value, str):
        raise unknown_format(f"record {record.key!r}", FORMAT)
    try:
        accessed = datetime.fromisoformat(kept["last_accessed"])
        if record.last_accessed_at is not None:
            accessed = max(accessed, record.last_accessed_at)
        return MemoryRecord(
            id=kept["id"],
            content=record.value,
            scope=kept["scope"],
            categories=kept["categories"],
            metadata=kept["metadata"],
            importance=kept["importance"],
            source=kept.get("source"),
            private=kept["private"],
            created_at=_naive(datetime.fromisoformat(kept["created_at"])),
            last_accessed=_naive(accessed),
        )
    except (KeyError, TypeError, ValueError) as error:  # Pydantic's ValidationError is a ValueError
        raise UnsupportedError(f"record {record.key!r} is not what this version of CrewAI reads") from error


def query_of(
    scope: str | None,
    categories: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    older_than: datetime | None = None,
) -> dict[str, Any]:
    """Return a filter on metadata: of memories in a scope, of one of the categories, with all members of a dict."""
    found: dict[str, Any] = {}
    if (within := normal(scope)) != "/":
        found["metadata.within"] = within
    if categories:
        found["metadata.categories"] = {"$in": list(categories)}
    if metadata:
        found["metadata.marks"] = {"$all": [_mark(name, value) for name, value in metadata.items()]}
    if older_than is not None:
        found["metadata.created_at"] = {"$lt": as_text(older_than)}
    return found


def as_text(moment: datetime) -> str:
    """Return a time as it is kept. CrewAI's have no zone, and are in UTC."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _mark(name: str, value: Any) -> str:
    try:
        return json.dumps([name, value], sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidValueError("metadata has a member that is not JSON") from error
