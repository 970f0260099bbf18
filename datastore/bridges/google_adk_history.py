"""The events of one session of Google's ADK, in an ordered log. See `datastore.bridges.google_adk_format`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from datastore import AsyncAgentDataStore, DamagedRecordError, Entry, ValueTooLargeError
from datastore.bridges.extras import needs
from datastore.bridges.given import ago, log_of, unknown_format
from datastore.bridges.google_adk_format import FORMAT, SESSION, event_of
from datastore.bridges.large import GRACE, small, sweep, whole

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
        self._store = store
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
        entry = {"format": FORMAT, "after": head["last"], "event": event}
        try:
            return await self._log.append(entry)
        except ValueTooLargeError:
            entry = await small(self._store, entry, "event", _blobs(head), {"session": head["id"]})
            return await self._log.append(entry)

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
        blobs = await self._store.blobs.list(_blobs(head))
        await sweep(self._store, blobs, gone={blob.name for blob in blobs})

    async def keep(self, head: dict[str, Any], last: int) -> None:
        """Remove all but the last events. Requests: those of `read` for what stays, of trimming, and of the blobs."""
        kept = await self.read(head, last)
        if len(kept) == last and await self._log.trim(before=kept[-1].number):
            used = {one.blob for one in kept if one.blob is not None}
            await sweep(self._store, await self._store.blobs.list(_blobs(head)), used=used)

    def _checked(self, entry: Entry) -> dict[str, Any]:
        match entry.value:
            case {"format": 1, "after": int(after), "event": _} | {"format": 1, "after": int(after), "blob": str()}:
                if 0 <= after < entry.number:
                    checked: dict[str, Any] = entry.value
                    return checked
                raise DamagedRecordError(f"entry {entry.number} of log {self.name!r} leads to none before it")
        raise unknown_format(f"entry {entry.number} of log {self.name!r}", FORMAT)

    async def _event(self, entry: Entry, value: dict[str, Any]) -> Kept:
        what = f"entry {entry.number} of log {self.name!r}"
        return Kept(event_of(await whole(self._store, value, "event", what), what), entry.number, value.get("blob"))


async def remove_forgotten(store: AsyncAgentDataStore, heads: Mapping[str, dict[str, Any]]) -> int:
    """Remove events of sessions that are gone, such as those that have expired, and return how many logs that were.

    Args:
        store: Whose.
        heads: The records of all sessions that are there, by their keys.

    Requests: those of `AgentDataStore.list_logs`; 1 and those of trimming for each log of none; and those of its blobs.
    """
    known, removed = {History(store, path).name for path in heads}, 0
    for name in await store.list_logs(SESSION):
        if name not in known:
            log = store.log(name)
            last = await log.last()
            if last and last[-1].at < ago(GRACE) and isinstance(last[-1].value, dict) and "after" in last[-1].value:
                await log.trim(before=last[-1].number + 1)
                removed += 1
    parts = {head["part"] for head in heads.values()}
    ours = [(blob, match) for blob in await store.blobs.list(SESSION) if (match := _BLOB.fullmatch(blob.name))]
    await sweep(store, [blob for blob, match in ours if match[1] not in parts])
    return removed


def _blobs(head: dict[str, Any]) -> str:
    """Return what the names of a session's blobs begin with."""
    return f"{SESSION}{head['part']}/"
