"""What is too large for an entry of a log, or for a record: a blob beside it, which is named in its place.

Only the store knows what is too large, and says so before anything is asked of the database. So what fits costs nothing
more: `small` is for those who were told `ValueTooLargeError`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any

from datastore import AsyncAgentDataStore, Blob, DamagedRecordError, Entry
from datastore.bridges.given import ago

_LARGE = 900_000
"""From how many bytes of JSON on something is put into a blob. It is written here as no store does it, so there is a
margin below 1,000,000."""
GRACE = timedelta(hours=1)
"""For how long a blob may be there before what names it is written."""


def prefix_of(kind: str, name: str) -> str:
    """Return what the names of the blobs of something begin with: a blob's name is shorter than a key can be."""
    return f"{kind}/{sha256(name.encode()).hexdigest()[:32]}/"


async def small(
    store: AsyncAgentDataStore, value: dict[str, Any], member: str, prefix: str, metadata: dict[str, Any]
) -> dict[str, Any]:
    """Return a value, with a member that is large put into a blob, whose name is its ``blob`` then.

    Requests: those of `Blobs.put`, if it is large.
    """
    try:
        data = json.dumps(value[member], ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        return value  # the store refuses it, and says where in it the fault is
    if len(data) < _LARGE:
        return value
    name = prefix + uuid.uuid4().hex
    await store.blobs.put(name, data, "application/json", metadata)
    return {**{key: other for key, other in value.items() if key != member}, "blob": name}


async def whole(store: AsyncAgentDataStore, value: dict[str, Any], member: str, what: str) -> Any:
    """Return a member of a value, from its blob if it is in one.

    Args:
        store: Where the blob is.
        value: What `small` has returned.
        member: Which member.
        what: What it is, for the error.

    Raises:
        DamagedRecordError: If the blob is gone.

    Requests: those of `Blobs.get`, if it is in one.
    """
    if member in value:
        return value[member]
    data = await store.blobs.get(value["blob"])
    if data is None:
        raise DamagedRecordError(f"the blob of {what} is gone: {value['blob']!r}")
    return json.loads(data)


async def sweep(
    store: AsyncAgentDataStore, blobs: Iterable[Blob], *, used: Collection[str] = (), gone: Collection[str] = ()
) -> None:
    """Delete blobs that nothing names any more.

    A blob is put before what names it is written. So a young one is left, unless it is known to be gone.

    Args:
        store: Where they are.
        blobs: Those that there are.
        used: The names of those that are still needed.
        gone: The names of those that are not, however young they are.

    Requests: those of `Blobs.delete` for each that is deleted.
    """
    for blob in blobs:
        if blob.name in gone or (blob.name not in used and blob.created_at < ago(GRACE)):
            await store.blobs.delete(blob.name, grace=0)


def all_held(entries: Sequence[Entry], member: str, format: int) -> bool:
    """Return whether entries of a log are of a format and hold a member, or name its blob, and are nothing else.

    It takes a third of the time that it takes to match each.
    """
    try:
        found = [value["format"] == format and (member in value or "blob" in value) for _, value, _, _ in entries]
    except (KeyError, TypeError):
        return False
    return all(found)
