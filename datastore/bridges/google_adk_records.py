"""The records of the sessions of Google's ADK, and of the state that they share. See `google_adk_format`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

from datastore import AsyncAgentDataStore, ConflictError, KeyExistsError, Record
from datastore.bridges.extras import needs
from datastore.bridges.google_adk_format import SESSION, Owner, changed, head_of, shared, without_pending

with needs("Google ADK", "google-adk"):
    from google.adk.errors import StaleSessionError
    from google.adk.errors.already_exists_error import AlreadyExistsError
    from google.adk.errors.session_not_found_error import SessionNotFoundError
    from google.adk.sessions import Session

_REMEMBERED = 64  # of how many sessions the record is remembered, so that it is not read before an event is appended
Value: TypeAlias = dict[str, Any]


class Records:
    """The records of sessions, and of what the sessions of a user and of an app share."""

    def __init__(self, store: AsyncAgentDataStore, ttl: timedelta | None) -> None:
        self._store = store
        self._ttl = ttl
        self._known: dict[str, tuple[str, Value]] = {}

    async def add(self, owner: Owner, key: str, head: Value) -> tuple[Value, str]:
        """Store the record of a new session; return it, and its revision. Requests: 1, and those of `_settle`."""
        try:
            revision = await self._store.add(key, head, ttl=self._ttl)
        except KeyExistsError:
            raise AlreadyExistsError(f"Session with id {head['id']} already exists.") from None
        return await self._settle(owner, key, head, revision)

    async def read(self, owner: Owner, key: str) -> tuple[Value, Value, Value, str] | None:
        """Return the record of a session, those of its user and its app, and the revision of the first. Requests: 1."""
        found = await self._store.get_records([key, owner.user_key, owner.app_key])
        if key not in found:
            return None
        head, revision = head_of(key, found[key].value), found[key].revision
        self._remember(key, revision, head)
        return head, *_shared(owner, found), revision

    async def shared(self, owner: Owner) -> tuple[Value, Value]:
        """Return what the sessions of a user share, and those of an app. Requests: 1."""
        return (await self.shared_by([owner]))[owner]

    async def shared_by(self, owners: Iterable[Owner]) -> dict[Owner, tuple[Value, Value]]:
        """Return the same for several users. Requests: 1 for each 100 (CouchDB 1,000) of them."""
        different = dict.fromkeys(owners)
        keys = dict.fromkeys(key for owner in different for key in (owner.user_key, owner.app_key))
        found = await self._store.get_records(keys)
        return {owner: _shared(owner, found) for owner in different}

    async def current(self, owner: Owner, key: str, session: Session) -> tuple[Value, str]:
        """Return the record of a session that is not stale, and its revision. Requests: 1, or none if it is known."""
        marker, known = session._storage_update_marker, self._known.get(key)
        if known is not None and known[0] == marker:
            revision, head = known
        else:
            found = await self._store.get_record(key)
            if found is None:
                raise _gone(session)
            revision, head = found.revision, head_of(key, found.value)
            if marker is None:  # it does not come from this service; then ADK's own ask the same
                last = session.events[-1].id if session.events else None
                if head["updated"] > session.last_update_time and head.get("event") != last:
                    raise _stale()
            elif marker != revision:
                raise _stale()
        if "pending" in head:  # who wrote it was interrupted
            head, revision = await self._settle(owner, key, head, revision)
        return head, revision

    async def replace(self, owner: Owner, key: str, session: Session, head: Value, revision: str) -> str:
        """Store the record of a session in place of a revision, and return the new one.

        Requests: 1, and those of `_settle`.
        """
        try:
            revision = await self._store.set(key, head, ttl=self._ttl, if_revision=revision)
        except ConflictError as error:
            raise (_gone(session) if error.revision is None else _stale()) from None
        return (await self._settle(owner, key, head, revision))[1]

    async def pop(self, key: str) -> Value | None:
        """Remove the record of a session, and return it. Requests: 2; 1 if there is none."""
        self._known.pop(key, None)
        value = await self._store.pop(key)
        return None if value is None else head_of(key, value)

    async def all(self) -> AsyncIterator[tuple[Value, Record]]:
        """Yield the records of all sessions. Requests: 1 for each page."""
        async for found in self._store.iter_records(SESSION):
            yield head_of(found.key, found.value), found

    async def delete(self, found: Record) -> bool:
        """Remove the record of a session if it is what was found, and return whether it was. Requests: 1 or 2."""
        try:
            return await self._store.delete(found.key, if_revision=found.revision)
        except ConflictError:
            return False  # it is used at this moment

    async def _settle(self, owner: Owner, key: str, head: Value, revision: str) -> tuple[Value, str]:
        """Make the change of shared state that the record of a session has, and return it without that.

        Requests: none if there is no such change; 3 for that of a user or an app, 5 for both.
        """
        if (pending := head.get("pending")) is not None:
            for where, delta in ((owner.user_key, pending["user"]), (owner.app_key, pending["app"])):
                if delta:
                    await self._store.modify(where, partial(changed, where, id=pending["id"], delta=delta))
            try:
                settled = without_pending(head)
                revision = await self._store.set(key, settled, ttl=self._ttl, if_revision=revision)
            except ConflictError:
                return head, revision  # somebody has read the session since, and appended to it
            head = settled
        self._remember(key, revision, head)
        return head, revision

    def _remember(self, key: str, revision: str, head: Value) -> None:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = revision, head


def _shared(owner: Owner, found: dict[str, Record]) -> tuple[Value, Value]:
    user, app = (found.get(key) for key in (owner.user_key, owner.app_key))
    return shared(owner.user_key, user and user.value), shared(owner.app_key, app and app.value)


def _gone(session: Session) -> SessionNotFoundError:
    return SessionNotFoundError(f"Session {session.id} not found.")


def _stale() -> StaleSessionError:
    return StaleSessionError("The session was changed since it was read. Read it again before you append to it.")
