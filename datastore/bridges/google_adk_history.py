"""The events of one session of Google's ADK, in an ordered log. See `datastore.bridges.google_adk_format`."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from datastore import AsyncAgentDataStore, DamagedRecordError, Entry, InvalidValueError, ValueTooLargeError
from datastore.bridges.extras import needs
from datastore.bridges.given import log_of, unknown_format
from datastore.bridges.google_adk_format import FORMAT, SESSION, event_of

with needs("Google ADK", "google-adk"):
    from google.adk.events import Event

_BLOB = re.compile(rf"{SESSION}([0-9a-f]{{32}})/[0-9a-f]{{32}}")
_FIRST_PAGE, _GROWTH = 50, 4  # entries that are read at first if nobody says how many, and how many times as many then


class Kept(NamedTuple):
    """An event, and where it is."""

    event: Event
    number: int
    """Of its entry."""
    blob: str | None
    """Which it is in, if it is large."""


class History:
    """The events of a session: those entries of its log to which its record leads."""

    def __init__(self, store: AsyncAgentDataStore, path: str) -> None:
        self._blobs = store.blobs
        self._log = log_of(store, "", path, "session_id")

    @property
    def name(self) -> str:
        """The name of the log."""
        return self._log.name

    async def append(self, head: dict[str, Any], event: dict[str, Any]) -> int:
        """Append an event, and return the number of its entry. It counts when the session's record says so.

        Raises:
            InvalidValueError: If something in it is not JSON.

        Requests: 1 in steady state (`AgentDataStore.log_append`), and those of `Blobs.put` if it takes more than 1 MB.
        """
        entry = {"format": FORMAT, "after": head["last"]}
        try:
            return await self._log.append({**entry, "event": event})
        except ValueTooLargeError:
            try:
                data = json.dumps(event, ensure_ascii=False, allow_nan=False).encode()
            except ValueError:
                raise InvalidValueError("event holds a number or a character that JSON does not have") from None
            name = f"{_blobs(head)}{uuid.uuid4().hex}"
            await self._blobs.put(name, data, "application/json", {"session": head["id"]})
            return await self._log.append({**entry, "blob": name})

    async def read(self, head: dict[str, Any], want: int | None = None, since: float | None = None) -> list[Kept]:
        """Return events from the last one on back.

        Args:
            head: The session's record.
            want: How many at most; ``None`` for all.
            since: Only those after the last one that is older than this, in seconds since 1970.

        Raises:
            UnsupportedError: If an entry is of a format that this version does not know.
            DamagedRecordError: If the log is not what its record says, or the blob of a large event is gone.

        Requests: 1 page of the log with as many entries; more where others were refused. Of all: 1 per page of the
            database. With ``since`` alone: 1 for 50 entries, 2 for 250, and so on. 2 or more for each large event.
        """
        found: list[Kept] = []
        number: int = head["last"]
        page = _FIRST_PAGE if want is None and since is not None else want
        while number and want != 0:
            entries = await self._log.read(after=max(head["first"] - 1, 0), before=number + 1, limit=page, reverse=True)
            for entry in entries:
                if entry.number != number:
                    continue  # its session was stale
                value = self._checked(entry)
                kept = await self._event(entry, value)
                if since is not None and kept.event.timestamp < since:
                    return found
                found.append(kept)
                number = value["after"]
                if len(found) == want:
                    return found
            if page is None or len(entries) < page:
                break  # it was pruned
            page *= _GROWTH
        return found

    async def remove(self, head: dict[str, Any]) -> None:
        """Remove the events of a session that is gone. Requests: those of trimming the log, and of its blobs."""
        await self._log.trim(before=head["last"] + 1)  # and not what a new session of this id appends
        for blob in await self._blobs.list(_blobs(head)):
            await self._blobs.delete(blob.name, grace=0)

    async def keep(self, head: dict[str, Any], last: int, before: datetime) -> int:
        """Remove all but the last events, and return how many entries that were.

        Args:
            head: The session's record.
            last: How many stay.
            before: Blobs of no event are left if they are younger: they may be of one that is just being appended.

        Requests: those of `read` for what stays, of trimming the log, and of its blobs.
        """
        kept = await self.read(head, last)
        trimmed = await self._log.trim(before=kept[-1].number) if len(kept) == last else 0
        if trimmed:
            used = {one.blob for one in kept}
            for blob in await self._blobs.list(_blobs(head)):
                if blob.name not in used and blob.updated_at < before:
                    await self._blobs.delete(blob.name, grace=0)
        return trimmed

    def _checked(self, entry: Entry) -> dict[str, Any]:
        match entry.value:
            case {"format": 1, "after": int(after), "event": _} | {"format": 1, "after": int(after), "blob": str()}:
                if 0 <= after < entry.number:
                    checked: dict[str, Any] = entry.value
                    return checked
                raise DamagedRecordError(f"entry {entry.number} of log {self.name!r} leads to none before it")
        raise unknown_format(f"entry {entry.number} of log {self.name!r}", FORMAT)

    async def _event(self, entry: Entry, value: dict[str, Any]) -> Kept:
        name: str | None = value.get("blob")
        stored = value.get("event")
        if name is not None:
            data = await self._blobs.get(name)
            if data is None:
                raise DamagedRecordError(f"the blob of entry {entry.number} of log {self.name!r} is gone")
            stored = json.loads(data)
        return Kept(event_of(stored, f"entry {entry.number} of log {self.name!r}"), entry.number, name)


async def remove_forgotten(store: AsyncAgentDataStore, heads: Mapping[str, dict[str, Any]], before: datetime) -> int:
    """Remove events of sessions that are gone, such as those that have expired, and return how many logs that were.

    Args:
        store: Whose.
        heads: The records of all sessions that are there, by their keys.
        before: What is younger stays: it may be of a session that is just being created.

    Requests: those of `AgentDataStore.list_logs`; 1 and those of trimming for each log of none; and those of its blobs.
    """
    known, removed = {History(store, path).name for path in heads}, 0
    for name in await store.list_logs(SESSION):
        if name not in known:
            log = store.log(name)
            last = await log.last()
            if last and last[-1].at < before and isinstance(last[-1].value, dict) and "after" in last[-1].value:
                await log.trim(before=last[-1].number + 1)
                removed += 1
    parts = {head["part"] for head in heads.values()}
    for blob in await store.blobs.list(SESSION):
        ours = _BLOB.fullmatch(blob.name)
        if ours and ours[1] not in parts and blob.updated_at < before:
            await store.blobs.delete(blob.name, grace=0)
    return removed


def _blobs(head: dict[str, Any]) -> str:
    """Return what the names of a session's blobs begin with."""
    return f"{SESSION}{head['part']}/"
