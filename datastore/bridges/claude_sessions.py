"""The `SessionStore` of the Claude Agent SDK: transcripts in ordered logs, and a record that lists each of them.

Extra ``claude-agent``. Names are joined by slashes; in each, ``%`` and ``/`` are percent-encoded. The name of a log is
shortened if it is too long (``datastore.limits.shorten_name``).

| what | where |
|---|---|
| the transcript of a session | the log ``claude/<project>/<session>`` |
| that of a subagent | the log ``claude-sub/<project>/<session>/<subpath>`` |
| that there is one | a record under the same name, which is written before the log; of a session, with its summary |
| an entry of more than 1 MB | a blob, whose metadata says of which transcript it is |

An entry of a log is ``{"format": 1, "entry": {...}}``, or ``{"format": 1, "blob": "<name>"}``. Nothing looks for an
entry before one is appended: of several with the same ``uuid`` the first one counts when a transcript is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from datastore import (
    AgentDataStore,
    AsyncAgentDataStore,
    AsyncLog,
    InvalidValueError,
    Record,
    ValueTooLargeError,
)
from datastore.bridges.extras import needs
from datastore.bridges.given import ago, awaited, last_name, log_of, path_of, span_of, unknown_format
from datastore.bridges.large import prefix_of, small, whole

with needs("The Claude Agent SDK", "claude-agent"):
    from claude_agent_sdk import (
        SessionKey,
        SessionListSubkeysKey,
        SessionStore,
        SessionStoreEntry,
        SessionStoreListEntry,
        SessionSummaryEntry,
        fold_session_summary,
    )

__all__ = ["DataStoreSessionStore"]

FORMAT = 1
_MAIN, _SUB = "claude/", "claude-sub/"


class DataStoreSessionStore(SessionStore):
    """Transcripts that an agent's store keeps, for ``ClaudeAgentOptions(session_store=...)``.

    All optional methods are there. Several processes may write to one session at the same moment.
    """

    def __init__(self, data_store: AgentDataStore | AsyncAgentDataStore) -> None:
        """Bind a store of sessions; there is no request.

        Args:
            data_store: Whose sessions they are. They are kept in its namespace.
        """
        self._store = awaited(data_store)

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Append entries to a transcript. Entries that are appended again (``uuid``) are loaded once.

        Raises:
            InvalidNameError, InvalidValueError: If a name of the key is not text, or an entry not JSON.

        Requests: 3 in steady state for up to 100 entries that take 1 MB, 2 of a subagent; 1 more for each such part
            more, and those of `Blobs.put` for each entry of more than 1 MB.
        """
        path = _path(key)
        if not all(isinstance(entry, dict) for entry in entries):
            raise InvalidValueError("entries has one that is no dict")
        if not entries:
            return
        if path.startswith(_SUB):
            await self._store.set(path, {"format": FORMAT})
        else:
            await self._store.modify(path, lambda found: _folded(path, found, key, entries))
        log, values = self._log(path), [{"format": FORMAT, "entry": entry} for entry in entries]
        try:
            await log.append(*values)
        except ValueTooLargeError:
            told = {"transcript": path}
            await log.append(*[await small(self._store, value, "entry", _blobs(path), told) for value in values])

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """Return the entries of a transcript in their order; ``None`` if there are none.

        Raises:
            UnsupportedError: If an entry is of a format that this version does not know.
            DamagedRecordError: If the blob of a large entry is gone.

        Requests: 1 per page of the log, and those of `Blobs.get` for each entry of more than 1 MB.
        """
        log = self._log(_path(key))
        known: set[str] = set()
        loaded: list[SessionStoreEntry] = []
        for entry in await log.read():
            value = entry.value
            if not isinstance(value, dict) or value.get("format") != FORMAT or not {"entry", "blob"} & value.keys():
                raise unknown_format(f"entry {entry.number} of log {log.name!r}", FORMAT)
            found = await whole(self._store, value, "entry", f"entry {entry.number}")
            id = found.get("uuid") if isinstance(found, dict) else None
            if isinstance(id, str):
                if id in known:
                    continue
                known.add(id)
            loaded.append(found)
        return loaded or None

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """Return the sessions of a project, and when each was last written to. Requests: 1 per page of sessions."""
        return [{"session_id": last_name(one.key), "mtime": _mtime(one)} for one in await self._sessions(project_key)]

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """Return the summaries of the sessions of a project. Requests: 1 per page of sessions."""
        return [
            {"session_id": last_name(one.key), "mtime": _mtime(one), "data": _summary(one.key, one.value)}
            for one in await self._sessions(project_key)
        ]

    async def delete(self, key: SessionKey) -> None:
        """Remove a transcript; that of a session with those of its subagents.

        If it is interrupted, the session is still listed, and can be deleted again. Delete a session to which nobody
        writes any more.

        Requests: for each transcript, 2 to list and delete, and those of clearing its log and deleting its blobs.
        """
        path = _path(key)
        if path.startswith(_MAIN):
            for sub in await self._store.list_keys(_subs(path)):
                await self._remove(sub)
        await self._remove(path)

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """Return the subpaths of the subagents of a session. Requests: 1 per page of them."""
        return [last_name(sub) for sub in await self._store.list_keys(_subs(_path(key)))]

    async def prune(self, *, idle: float | timedelta) -> int:
        """Delete the sessions of all projects to which nothing was appended for a time. For a host, now and then.

        Args:
            idle: For how long, in seconds or as a `timedelta`.

        Returns:
            How many sessions were deleted.

        Raises:
            InvalidValueError: If ``idle`` is not above 0.

        Requests: 1 per page of sessions, and those of deleting.
        """
        oldest = ago(span_of(idle, "idle"))
        paths = [one.key async for one in self._store.iter_records(_MAIN) if one.updated_at < oldest]
        for path in paths:
            for sub in [*await self._store.list_keys(_subs(path)), path]:
                await self._remove(sub)
        return len(paths)

    def _log(self, path: str) -> AsyncLog:
        return log_of(self._store, "", path, "key")

    async def _sessions(self, project_key: str) -> list[Record]:
        prefix = _MAIN + path_of((project_key, "project_key")) + "/"
        return [record async for record in self._store.iter_records(prefix)]

    async def _remove(self, path: str) -> None:
        await self._log(path).clear()
        blobs = self._store.blobs
        for blob in await blobs.list(_blobs(path)):
            await blobs.delete(blob.name, grace=0)
        await self._store.delete(path)


def _path(key: Mapping[str, Any]) -> str:
    """Return the name of a transcript. Raises `InvalidNameError` if the key has none."""
    names = [(key.get("project_key"), "project_key"), (key.get("session_id"), "session_id")]
    if key.get("subpath") is None:
        return _MAIN + path_of(*names)
    return _SUB + path_of(*names, (key["subpath"], "subpath"))


def _subs(path: str) -> str:
    """Return what the names of the transcripts of a session's subagents begin with."""
    return _SUB + path.removeprefix(_MAIN) + "/"


def _blobs(path: str) -> str:
    """Return what the names of a transcript's blobs begin with."""
    return prefix_of("claude", path)


def _mtime(record: Record) -> int:
    return int(record.updated_at.timestamp() * 1_000)


def _summary(path: str, value: Any) -> dict[str, Any]:
    """Return the SDK's state in the record of a session."""
    if isinstance(value, dict) and value.get("format") == FORMAT and isinstance(value.get("summary"), dict):
        return cast(dict[str, Any], value["summary"])
    raise unknown_format(f"record {path!r}", FORMAT)


def _folded(path: str, value: Any, key: SessionKey, entries: list[SessionStoreEntry]) -> dict[str, Any]:
    """Return the record of a session after more was appended to it."""
    before: SessionSummaryEntry | None = None
    if value is not None:
        before = {"session_id": key["session_id"], "mtime": 0, "data": _summary(path, value)}
    return {"format": FORMAT, "summary": fold_session_summary(before, key, entries)["data"]}
