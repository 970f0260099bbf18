"""The `BaseSessionService` of Google's ADK: a record for each session, and its events in an ordered log.

Extra ``google-adk``. What is kept where is said in `datastore.bridges.google_adk_format`.

An event is appended to the log first. It counts when the session's record, which is replaced only at the revision that
the session was read at, says that it is the last one. So event and state change together, a stale session is refused,
and of what was refused nothing is seen. A change of state that sessions share is written into the session's record
with the event, and then made in the records of the user and the app: if this is interrupted, whoever reads the session
sees it, and the next who appends makes it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

from datastore import AgentDataStore, AsyncAgentDataStore
from datastore.bridges.extras import needs
from datastore.bridges.given import ago, awaited, check_keep, span_of
from datastore.bridges.google_adk_format import (
    Owner,
    app_prefix,
    as_json,
    dumped,
    head_of,
    new_head,
    session_of,
    split,
    stripped,
    with_pending,
)
from datastore.bridges.google_adk_history import History, remove_forgotten
from datastore.bridges.google_adk_records import Records

with needs("Google ADK", "google-adk"):
    from google.adk.events import Event
    from google.adk.sessions import BaseSessionService, Session
    from google.adk.sessions.base_session_service import GetSessionConfig, ListSessionsResponse

__all__ = ["DataStoreSessionService"]


class DataStoreSessionService(BaseSessionService):
    """Sessions that an agent's store keeps, for ``Runner(session_service=...)``.

    Many tasks, processes and machines may use it at the same moment. As in ADK's own database service, an event is
    refused with `StaleSessionError` if another one was appended since its session was read.
    """

    def __init__(
        self, data_store: AgentDataStore | AsyncAgentDataStore, *, ttl: float | timedelta | None = None
    ) -> None:
        """Bind a service; there is no request.

        Args:
            data_store: Whose sessions they are, whatever ``user_id`` says. They are kept in its namespace.
            ttl: For how long a session lives after its last event, in seconds or as a `timedelta`; ``None`` for ever.
                `prune` gives back the space of its events.

        Raises:
            InvalidValueError: If ``ttl`` is not above 0.
        """
        self._store = awaited(data_store)
        self._records = Records(self._store, None if ttl is None else span_of(ttl, "ttl"))
        self._locks: WeakValueDictionary[tuple[Any, str], asyncio.Lock] = WeakValueDictionary()

    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Session:
        """Create a session. If there is one with this id, ADK's `AlreadyExistsError` is raised.

        Raises:
            InvalidNameError, InvalidValueError, ValueTooLargeError: If a name is not text, or the state not JSON or
                more than 1 MB.

        Requests: 2; with state that begins with ``user:`` or ``app:`` 3 more, or 5 with both.
        """
        owner, id = Owner.of(app_name, user_id), stripped(session_id) or str(uuid.uuid4())
        key = owner.path(id)
        own, user, app = split(as_json(state))
        head = with_pending(new_head(owner, str(id), own, time.time(), uuid.uuid4().hex), user, app)
        head, revision = await self._records.add(owner, key, head)
        return session_of(head, *await self._records.shared(owner), revision)

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """Return a session with its events; ``None`` if there is none.

        Raises:
            UnsupportedError: If a record or an entry is of a format that this version does not know.

        Requests: 2; 1 more for each page of the database beyond the first if all events are asked for. With
            ``num_recent_events`` as many entries are read, with ``after_timestamp`` 1 page or more of 50, 200, 800...
        """
        owner = Owner.of(app_name, user_id)
        key = owner.path(session_id)
        found = await self._records.read(owner, key)
        if found is None:
            return None
        head, user, app, revision = found
        want, since = (None, None) if config is None else (config.num_recent_events, config.after_timestamp)
        kept = await History(self._store, key).read(head, want, since)
        return session_of(head, user, app, revision, [one.event for one in reversed(kept)])

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Return sessions without their events, from the one that was used longest ago; of all users without one.

        Requests: 1 for each page of sessions, and 1 for each 100 users.
        """
        prefix = app_prefix(app_name) if user_id is None else Owner.of(app_name, user_id).prefix
        order = [("updated", 1), ("user_id", 1), ("id", 1)]
        records = [found async for found in self._store.find_records({}, prefix=prefix, sort=order)]
        heads = [head_of(found.key, found.value) for found in records]
        owners = [Owner(head["app_name"], head["user_id"]) for head in heads]
        states = await self._records.shared_by(owners) if owners else {}
        listed = zip(heads, owners, records, strict=True)
        sessions = [session_of(head, *states[owner], found.revision) for head, owner, found in listed]
        return ListSessionsResponse(sessions=sessions)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session with its events; if there is none, nothing happens.

        Once it has begun, the session is gone. If it is interrupted, `prune` removes the events that are left.

        Requests: 2, and those of trimming its log and of listing and deleting its blobs; 1 if there is none.
        """
        key = Owner.of(app_name, user_id).path(session_id)
        head = await self._records.pop(key)
        if head is not None:
            await History(self._store, key).remove(head)

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the state that begins with ``user:``, without that. Requests: 1."""
        user, _ = await self._records.shared(Owner.of(app_name, user_id))
        state: dict[str, Any] = user["state"]
        return state

    async def append_event(self, session: Session, event: Event) -> Event:
        """Append an event to a session, with what it changes in state: all of it or, if it fails, nothing.

        If something was appended since the session was read, ADK's `StaleSessionError` is raised: read it again. If
        there is no such session, it is ADK's `SessionNotFoundError`.

        Raises:
            InvalidValueError, ValueTooLargeError: If something is not JSON, or the state takes more than 1 MB.

        Requests: 2 in steady state; 1 more if this service does not know the session. If state that begins with
            ``user:`` or ``app:`` changes 3 more, or 5 with both. An event of more than 1 MB is a blob: 5 or more.
        """
        if event.partial:
            return event
        owner = Owner.of(session.app_name, session.user_id)
        key = owner.path(session.id)
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        stored = dumped(event)
        async with self._locks.setdefault((asyncio.get_running_loop(), key), asyncio.Lock()):
            head, revision = await self._records.current(owner, key, session)
            own, user, app = split(stored.get("actions", {}).get("state_delta", {}))
            number = await History(self._store, key).append(head, stored)
            head = {**head, "state": {**head["state"], **own}, "updated": event.timestamp, "event": event.id}
            head = with_pending({**head, "last": number, "first": head["first"] or number}, user, app)
            session._storage_update_marker = await self._records.replace(owner, key, session, head, revision)
            session.last_update_time = event.timestamp
        return self._commit_event_to_session(session, event)

    async def prune(self, *, idle: float | timedelta | None = None, keep: int | None = None) -> int:
        """Delete sessions that were not used for a time, old events, and what is left of sessions that are gone.

        For a host, now and then. State that sessions share stays. What belongs to no session stays for an hour: it may
        be of a call that is under way.

        Args:
            idle: For how long, in seconds or as a `timedelta`; ``None`` to delete no session.
            keep: How many events of each other session may stay, the last ones; ``None`` for all.

        Returns:
            How many sessions were deleted, or have expired since.

        Raises:
            InvalidValueError: If ``idle`` is not above 0, or ``keep`` is not an int above 0.

        Requests: 1 for each page of sessions and 1 for each log; those of deleting; with ``keep`` 2 or more for each.
        """
        check_keep(keep)
        oldest = None if idle is None else ago(span_of(idle, "idle"))
        there: dict[str, dict[str, Any]] = {}
        deleted = 0
        async for head, found in self._records.all():
            history = History(self._store, found.key)
            if oldest is not None and found.updated_at < oldest and await self._records.delete(found):
                await history.remove(head)
                deleted += 1
                continue
            there[found.key] = head
            if keep is not None:
                await history.keep(head, keep)
        return deleted + await remove_forgotten(self._store, there)
